"""A dataset brought up to date: only STAR files that have changed are read, only files that hold them are written.

What comes out has the rows and columns of a new conversion. Where that cannot be known without reading everything
(the columns may have become fewer, tomograms stand in another order, half of the files have changed), `update` says
so, and everything is converted.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow.fs import LocalFileSystem

from ...errors import DatasetError, raise_gathered
from ...relion.series import SeriesFile, read_series, series_evidence
from ...star.columns import ARROW_TYPES, evidence_for, settle
from ...star.forms import as_plain
from ...star.reread import equal_values
from ...star.stack import Stack
from ...star.tables import Findings, Options
from ...star.texts import FileText
from ...star.threads import cores
from ..layout import write_table
from ..report import INNER_TABLES
from ..tables.contents import Contents
from ..tables.join import TiltSchema, fits, join_tilts, tilt_schema, tomogram_frame
from ..tables.noticed import read_notices, read_rejects
from ..tables.particles import OPTICS
from ..tables.sources import SOURCES, as_infos, as_table, with_digests, write_sources
from ..tables.survey import Survey, changed_since
from ..tables.texts import KeptTable, KeptText
from ..tables.tilts import Job
from ..tables.tomogram_sets import texts_of_set, write_tomograms
from ..versions.manifest import SourceInfo, TableInfo, column_infos, table_info
from .previous import Old, Series
from .rewriting import Changes, TakesAll, TiltFile, read_first, rewrite, tilt_files

#: Where more of the text than this share has changed, and more than so many bytes, converting everything is as fast.
_MOST_CHANGED = 0.25
_LEAST_BYTES = 1 << 20


def update(old: Old, job: Job | None, seen: Survey, options: Options, staging: Path, found: Findings) -> Contents:
    """Write what has changed.

    Parameters
    ----------
    old : Old
    job : Job or None
        The tomogram set as it is now; None where the global file is the same.
    seen : Survey
    options : Options
    staging : Path
        Where new files go.
    found : Findings
        What a new conversion would come upon is added; of the global file it is there.

    Raises
    ------
    TakesAll
    TomoarrowError
        A file is malformed, as for `convert`.
    """
    new = old.series if job is None else Series.of(job.table.table, job.present)
    _check_tables(old, job)
    was = _numbers(old, new)
    kept = _kept(old, new, was, seen)
    fresh, project = np.flatnonzero(kept < 0), Path(old.snapshot.manifest["project"])
    series = new.files(fresh, project)
    _check_share(series, seen)
    files = tilt_files(old.snapshot, old.counts, old.series.folders(old.partition_by))
    with ThreadPoolExecutor(1) as pool:
        # Another core reads and writes Parquet, which takes most of the time, while this one does all else.
        ahead = pool.submit(read_first, files, kept)
        own = Findings()
        read = read_series(series, options, own, digests=True)
        raise_gathered(own.errors, "{n} errors in tilt-series files; nothing was written:")
        own_texts = dict(zip(fresh.tolist(), read.texts, strict=True))
        digests = dict(zip([each.path for each in series], read.digests, strict=True))
        stored = old.tilt_fields()
        changes = _changes(old, new, was, kept, read, tilt_schema([*stored.values()], new.table), files)
        # Most often it is of use; it is known only below.
        tilts = pool.submit(lambda: rewrite(changes, ahead.result(), staging))
        texts = KeptTable.of(old.snapshot)
        star_rows = np.where(kept < 0, -1, texts.rows_of(new.names))
        _check_columns(old, stored, kept, texts, star_rows, own_texts, series, options)
        tables = _tables(old, new, changes.counts, job, staging)
        star = _star(texts, star_rows, own_texts, new, job, staging)
        tables["star"] = tables["star"] if star is None else star
        sources, looked_at = _sources(seen, job, digests)
        tables[SOURCES] = write_sources(sources, staging)
        paths = new.paths.to_pylist()
        _add_findings(old, paths, {*digests}, own, found, is_global_same=job is None)
        parts = tilts.result()
    n_tilts = int(changes.counts.sum())
    if sum(part.rows for part in parts) != n_tilts:
        raise DatasetError(f"{n_tilts} tilts are to be there, others were written: a bug; nothing was changed")
    tables["tilts"] = replace(tables["tilts"], rows=n_tilts, files=parts)
    missing = new.table.num_rows - len(new.rows)
    kind, changed = old.snapshot.manifest["kind"], changed_since(looked_at, project, cores())
    return Contents(kind, project, "as before", tables, sources, missing, paths, changed)


def _changes(
    old: Old,
    new: Series,
    was: NDArray[np.int64],
    kept: NDArray[np.int64],
    read: Stack,
    schema: TiltSchema,
    files: dict[str, list[TiltFile]],
) -> Changes:
    """What becomes of the rows of ``tilts/``."""
    if schema.schema.names != old.column_names() or not fits(schema, read.table):
        raise TakesAll
    fresh = np.flatnonzero(kept < 0)
    counts = np.zeros(len(kept), np.int64)
    counts[kept >= 0], counts[fresh] = old.counts[kept[kept >= 0]], read.counts
    others = set(old.snapshot.tables) - {"tilts", "tomograms", OPTICS, *INNER_TABLES}
    if others and not np.array_equal(counts, old.counts):
        # What is told of particles depends on how many tilts there are.
        raise TakesAll
    tomograms = tomogram_frame(new.table.take(pa.array(new.rows[fresh])))
    rows = join_tilts(read.table, read.counts, np.arange(len(fresh)), tomograms, schema)
    by = old.partition_by
    rows = rows if by is None else rows.drop_columns([by[1]])
    return Changes(len(old.counts), files, kept, was, counts, new.folders(by), rows)


def _star(
    texts: KeptTable,
    rows: NDArray[np.int64],
    own: dict[int, FileText | None],
    new: Series,
    job: Job | None,
    staging: Path,
) -> TableInfo | None:
    """Write ``star/`` where it is another than it was."""
    kept = {}
    for i, text in own.items():
        if text is not None:
            kept[i] = KeptText(new.paths[i].as_py(), new.names[i].as_py(), ("tilts",), text)
    first = None if job is None else next(texts_of_set(job, [None] * len(rows), OPTICS))
    return texts.spliced(rows, kept, first, staging)


def _check_tables(old: Old, job: Job | None) -> None:
    """Give up where tables of the global file come or go, or others may depend on it."""
    if job is None:
        return
    tables = set(old.snapshot.tables) - {*INNER_TABLES}
    expected = {"tilts", "tomograms"} | ({OPTICS} if job.table.optics is not None else set())
    same = job.table.table.schema.equals(old.series.table.schema)
    if tables != expected or job.head is not None or not same:
        raise TakesAll


def _numbers(old: Old, new: Series) -> NDArray[np.int64]:
    """For each tomogram that has tilts the number that it had, or -1."""
    if new is old.series:
        return np.arange(len(new.rows))
    return np.array(pc.index_in(new.names, value_set=old.series.names).fill_null(-1), np.int64)


def _kept(old: Old, new: Series, was: NDArray[np.int64], seen: Survey) -> NDArray[np.int64]:
    """For each tilt series the number that it had, where it, its tomogram and its file are the same; else -1."""
    if any(pc.count_distinct(paths).as_py() < len(paths) for paths in (new.paths, old.series.paths)):
        raise TakesAll
    kept = was.copy()
    # What was gone may be there again, with other values.
    again = pa.array([*seen.changed, *seen.gone], pa.string())
    kept[np.asarray(pc.is_in(new.paths, value_set=again))] = -1
    if new is not old.series:
        there = np.flatnonzero(kept >= 0)
        was, now = old.series.rows[kept[there]], new.rows[there]
        for name in new.table.column_names:
            one, other = (
                as_plain(table.column(name)).combine_chunks().take(pa.array(rows))
                for table, rows in ((old.series.table, was), (new.table, now))
            )
            kept[there[~equal_values(one, other)]] = -1
    order = kept[kept >= 0]
    if (np.diff(order) <= 0).any():
        raise TakesAll
    return kept


def _check_share(series: Sequence[SeriesFile], seen: Survey) -> None:
    sizes = seen.sources.column("bytes")
    at = pc.index_in(pa.array([each.path for each in series], pa.string()), value_set=seen.sources.column("path"))
    # What cannot be looked at is told of by who reads it.
    others = [each.file for each, row in zip(series, at.to_pylist(), strict=True) if row is None]
    infos = LocalFileSystem().get_file_info(others)
    share = sum(sizes.take(at.drop_null()).to_pylist()) + sum(info.size or 0 for info in infos)
    if share > max(_LEAST_BYTES, _MOST_CHANGED * pc.sum(sizes, min_count=0).as_py()):
        raise TakesAll


def _labels(text: FileText | None) -> tuple[str, ...]:
    """The labels of a tilt series, in order."""
    if text is not None and text.raw:
        raise TakesAll
    return () if text is None else text.style.labels


def _check_columns(
    old: Old,
    stored: dict[str, pa.Field],
    kept: NDArray[np.int64],
    texts: KeptTable,
    star_rows: NDArray[np.int64],
    own_texts: dict[int, FileText | None],
    series: Sequence[SeriesFile],
    options: Options,
) -> None:
    """Give up where tilt series may have other columns now than those that are stored.

    A column may go, and its type may become narrower, when a file changes; only the text of all others would tell.
    """
    evidence = series_evidence(series, options, Findings())
    for label, bits in evidence.items():
        type_ = settle(options.type_of(label), bits)
        is_vague = options.type_of(label) is None and type_ == "string" and not bits & evidence_for(pa.string())
        if label not in stored or stored[label].type != ARROW_TYPES[type_] or is_vague:
            raise TakesAll
    replaced = np.setdiff1d(np.arange(len(old.counts)), kept)
    try:
        labels = texts.labels(star_rows) | {i: _labels(text) for i, text in own_texts.items()}
        replaced_labels = texts.labels(texts.rows_of(old.series.names.take(pa.array(replaced))))
    except KeyError as error:
        raise TakesAll from error
    if [*dict.fromkeys(label for i in sorted(labels) for label in labels[i])] != [*stored]:
        raise TakesAll
    lost = {label for own in replaced_labels.values() for label in own} - evidence.keys()
    for label in lost:
        known = options.type_of(label)
        if known is None or stored[label].type != ARROW_TYPES[known]:
            raise TakesAll


def _tables(old: Old, new: Series, counts: NDArray[np.int64], job: Job | None, staging: Path) -> dict[str, TableInfo]:
    """What the manifest says of the tables; those of the global file are written again where they have changed."""
    known = old.snapshot.manifest["tables"]
    tables = {name: table_info(table) for name, table in known.items() if name == "star" or name not in INNER_TABLES}
    if job is not None or not np.array_equal(counts, old.counts):
        tables["tomograms"] = write_tomograms(new.table, new.rows, counts, staging)
    if job is not None and job.table.optics is not None:
        rows = job.table.optics.loops[0]
        origins = {name: f"{OPTICS}/{name}" for name in rows.column_names}
        columns = column_infos(rows.schema, origins)
        tables[OPTICS] = TableInfo(rows.num_rows, columns, write_table(rows, staging / OPTICS, staging))
    return tables


def _sources(seen: Survey, job: Job | None, digests: dict[str, str]) -> tuple[pa.Table, list[SourceInfo]]:
    """The rows of ``sources/``, and what must not have changed until now."""
    if job is None:
        is_read = np.asarray(pc.is_in(seen.sources.column("path"), value_set=pa.array([*digests], pa.string())))
        known = as_infos(seen.sources.filter(pa.array(is_read)))
        read = with_digests(known, digests)
        order = np.arange(len(is_read))
        order[is_read] = len(is_read) + np.arange(len(read))
        return pa.concat_tables([seen.sources, as_table(read)]).take(pa.array(order)), read
    # Those whose rows are kept: as they were when they were found to be the same. They may have changed since.
    then = {each.path: each for each in as_infos(seen.sources)}
    read = []
    for each in job.sources:
        sha256 = digests.get(each.path) or each.sha256
        read.append(replace(each, sha256=sha256) if sha256 else then.get(each.path, each))
    return as_table(read), read


def _add_findings(
    old: Old, paths: Sequence[str], fresh: set[str], own: Findings, found: Findings, *, is_global_same: bool
) -> None:
    """Add what is still true of files that are the same, then what was found in the others."""
    of_series = {*old.series.paths.to_pylist()}
    still = {*paths} - fresh

    def stays(path: str) -> bool:
        return path in still or (is_global_same and path not in of_series)

    found.notices += [each for each in read_notices(old.snapshot) if stays(each.place.path)]
    found.rejects += [each for each in read_rejects(old.snapshot) if stays(each.place.path)]
    found.add(own)
