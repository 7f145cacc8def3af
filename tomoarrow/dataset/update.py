"""A dataset brought up to date: only STAR files that have changed are read, only files that hold them are written.

What comes out has the rows and columns of a new conversion. Where that cannot be known without reading everything
(the columns may have become fewer, tomograms stand in another order, half of the files have changed), `update` says
so, and everything is converted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import DatasetError, Place, raise_gathered
from ..relion.series import SeriesFile, read_series, series_evidence
from ..relion.tomogram_set import NAME, SERIES_FILE
from ..star.columns import ARROW_TYPES, evidence_for, settle
from ..star.forms import as_plain
from ..star.reread import equal_values
from ..star.tables import Findings, Options
from ..star.texts import FileText
from .contents import Contents
from .join import TiltSchema, fits, join_tilts, tilt_schema, tomogram_frame
from .layout import partition_folder, write_table
from .manifest import SourceInfo, TableInfo, column_infos, table_info
from .noticed import read_notices, read_rejects
from .particles import OPTICS
from .report import INNER_TABLES
from .rewriting import Changes, TakesAll, rewrite
from .snapshot import Snapshot
from .survey import Survey
from .texts import KeptTable, KeptText
from .tilts import Job
from .tomogram_sets import texts_of_set, write_tomograms

#: Where more of the text than this share has changed, and more than so many bytes, converting everything is as fast.
_MOST_CHANGED = 0.25
_LEAST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Series:
    """The tilt series of a set, as they are or were.

    Attributes
    ----------
    table : pyarrow.Table
        The global table.
    rows : int64[series]
        For each tilt series that is there, its row in the global table.
    names, paths : list of str
        The tomograms, and their files as the global table calls them.
    """

    table: pa.Table
    rows: NDArray[np.int64]
    names: list[str]
    paths: list[str]

    @staticmethod
    def of(table: pa.Table, rows: NDArray[np.int64]) -> Series:
        """Those of some rows of a global table."""
        names, paths = (table.column(label).take(pa.array(rows)).to_pylist() for label in (NAME, SERIES_FILE))
        return Series(table, rows, [*map(str, names)], [*map(str, paths)])

    def folders(self, column: tuple[str, str] | None) -> list[str]:
        """The folder of ``tilts/`` that each is in, given the label that these are named by."""
        if column is None:
            return ["tilts"] * len(self.rows)
        label, name = column
        values = self.table.column(label).take(pa.array(self.rows)).to_pylist()
        return [f"tilts/{partition_folder(name, value)}" for value in values]


@dataclass(frozen=True, slots=True)
class Old:
    """The version that is there.

    Attributes
    ----------
    snapshot : Snapshot
    series : Series
    counts : int64[series]
        How many tilts each has.
    """

    snapshot: Snapshot
    series: Series
    counts: NDArray[np.int64]

    @property
    def partition_by(self) -> tuple[str, str] | None:
        """The label of the global table that folders are named by, and what it is called in ``tilts/``."""
        name = self.snapshot.manifest["tables"]["tilts"]["partition_by"]
        if name is None:
            return None
        origins = {column["name"]: column["origin"] for column in self.snapshot.manifest["tables"]["tilts"]["columns"]}
        return origins[name].partition("/")[2], name

    def tilt_fields(self) -> dict[str, pa.Field]:
        """The columns of ``tilts/`` that came from tilt series, by label."""
        schema = pq.read_schema(self.snapshot.tables["tilts"][0].source)
        origins = {column["name"]: column["origin"] for column in self.snapshot.manifest["tables"]["tilts"]["columns"]}
        own = [name for name, origin in origins.items() if origin.startswith("tilt_series/")]
        labels = {name: origins[name].partition("/")[2] for name in own}
        return {label: schema.field(name).with_name(label) for name, label in labels.items()}

    def column_names(self) -> list[str]:
        """All columns of ``tilts/``, those that are folders too."""
        return [column["name"] for column in self.snapshot.manifest["tables"]["tilts"]["columns"]]


def open_old(snapshot: Snapshot) -> Old:
    """Take the tomogram set of a dataset as it was converted.

    Raises
    ------
    TakesAll
        It has none, or one of RELION 4.
    DatasetError
        Its tables were changed since.
    """
    tables = snapshot.manifest["tables"]
    for name, files in snapshot.tables.items():
        if [(file.path, file.bytes) for file in files] != [(f["path"], f["bytes"]) for f in tables[name]["files"]]:
            raise DatasetError(
                f"the table {name} was changed by other tools, which an update would lose",
                place=Place(str(snapshot.folder / name)),
                remedy="convert into another folder, or again with --force",
            )
    if "tomograms" not in tables:
        raise TakesAll
    table = pa.concat_tables([pq.read_table(file.source) for file in snapshot.tables["tomograms"]])
    origins = {column["origin"]: column["name"] for column in tables["tomograms"]["columns"]}
    counts = table.column(origins["count"])
    table = table.drop_columns([origins["count"]])
    if SERIES_FILE not in table.column_names:
        raise TakesAll
    rows = np.flatnonzero(np.asarray(counts.is_valid()))
    return Old(snapshot, Series.of(table, rows), np.asarray(counts.drop_null().to_numpy(), np.int64))


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
    fresh = np.flatnonzero(kept < 0)
    project = Path(old.snapshot.manifest["project"])
    names, paths = new.names, new.paths
    series = [SeriesFile(names[i], paths[i], os.path.join(project, paths[i])) for i in fresh.tolist()]
    _check_share(series, seen)
    own = Findings()
    read = read_series(series, options, own, digests=True)
    raise_gathered(own.errors, "{n} errors in tilt-series files; nothing was written:")
    texts = KeptTable.of(old.snapshot)
    own_texts: list[FileText | None] = [None] * len(kept)
    for i, text in zip(fresh.tolist(), read.texts, strict=True):
        own_texts[i] = text
    try:
        labels = [_labels(text) if kept[i] < 0 else texts.labels(names[i]) for i, text in enumerate(own_texts)]
        schema = _schema(old, new, kept, labels, texts, series, options)
    except KeyError as error:
        raise TakesAll from error
    if not fits(schema, read.table):
        raise TakesAll
    counts = np.zeros(len(kept), np.int64)
    counts[kept >= 0], counts[fresh] = old.counts[kept[kept >= 0]], read.counts
    others = set(old.snapshot.tables) - {"tilts", "tomograms", OPTICS, *INNER_TABLES}
    if others and not np.array_equal(counts, old.counts):
        # What is told of particles depends on how many tilts there are.
        raise TakesAll
    by = old.partition_by
    rows = join_tilts(read.table, read.counts, new.rows[fresh], tomogram_frame(new.table), schema)
    rows = rows if by is None else rows.drop_columns([by[1]])
    changes = Changes(old.counts, old.series.folders(by), kept, was, counts, new.folders(by), rows)
    parts = rewrite(old.snapshot, changes, staging)
    tables = _tables(old, new, counts, job, staging)
    tables["tilts"] = replace(tables["tilts"], rows=int(counts.sum()), files=parts)
    if sum(part.rows for part in parts) != counts.sum():
        raise DatasetError(f"{counts.sum()} tilts are to be there, others were written: a bug; nothing was changed")
    first = None if job is None else next(texts_of_set(job, own_texts, OPTICS))
    star = texts.spliced(_in_order(names, paths, kept, own_texts), first, staging)
    tables["star"] = tables["star"] if star is None else star
    _add_findings(old, paths, {paths[i] for i in fresh.tolist()}, own, found, is_global_same=job is None)
    digests = dict(zip([paths[i] for i in fresh.tolist()], read.digests, strict=True))
    manifest = old.snapshot.manifest
    missing = new.table.num_rows - len(new.rows)
    sources = _sources(seen, job, digests)
    return Contents(manifest["kind"], project, "as before", tables, sources, missing, paths)


def _in_order(
    names: Sequence[str], paths: Sequence[str], kept: NDArray[np.int64], texts: Sequence[FileText | None]
) -> list[str | KeptText]:
    """What is kept of the tilt-series files."""
    found: list[str | KeptText] = []
    for name, path, number, text in zip(names, paths, kept.tolist(), texts, strict=True):
        if number >= 0:
            found.append(name)
        elif text is not None:
            found.append(KeptText(path, name, ("tilts",), text))
    return found


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
    at = {name: i for i, name in enumerate(old.series.names)}
    return np.array([at.get(name, -1) for name in new.names], np.int64)


def _kept(old: Old, new: Series, was: NDArray[np.int64], seen: Survey) -> NDArray[np.int64]:
    """For each tilt series the number that it had, where it, its tomogram and its file are the same; else -1."""
    paths = new.paths
    if len(set(paths)) < len(paths) or len(set(old.series.paths)) < len(old.series.rows):
        raise TakesAll
    kept = was.copy()
    # What was gone may be there again, with other values.
    again = seen.changed | seen.gone
    kept[[path in again for path in paths]] = -1
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
    sizes = {source.path: source.bytes for source in seen.sources}
    share = sum(sizes[each.path] if each.path in sizes else os.stat(each.file).st_size for each in series)
    if share > max(_LEAST_BYTES, _MOST_CHANGED * sum(sizes.values())):
        raise TakesAll


def _labels(text: FileText | None) -> tuple[str, ...]:
    """The labels of a tilt series, in order."""
    if text is not None and text.raw:
        raise TakesAll
    return () if text is None else tuple(label for loop in text.style.loops for label in loop.style.labels)


def _schema(
    old: Old,
    new: Series,
    kept: NDArray[np.int64],
    labels: Sequence[tuple[str, ...]],
    texts: KeptTable,
    series: Sequence[SeriesFile],
    options: Options,
) -> TiltSchema:
    """The columns of ``tilts/``, if they are those that a new conversion would give.

    A column may go, and its type may become narrower, when a file changes; only the text of all others would tell.
    """
    stored = old.tilt_fields()
    evidence = series_evidence(series, options, Findings())
    for label, bits in evidence.items():
        type_ = settle(options.type_of(label), bits)
        is_vague = options.type_of(label) is None and type_ == "string" and not bits & evidence_for(pa.string())
        if label not in stored or stored[label].type != ARROW_TYPES[type_] or is_vague:
            raise TakesAll
    order = dict.fromkeys(label for own in dict.fromkeys(labels) for label in own)
    if [*order] != [*stored]:
        raise TakesAll
    replaced = np.setdiff1d(np.arange(len(old.counts)), kept)
    names = old.series.names
    lost = {label for i in replaced.tolist() for label in texts.labels(names[i])} - evidence.keys()
    for label in lost:
        known = options.type_of(label)
        if known is None or stored[label].type != ARROW_TYPES[known]:
            raise TakesAll
    schema = tilt_schema([*stored.values()], new.table)
    if schema.schema.names != old.column_names():
        raise TakesAll
    return schema


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


def _sources(seen: Survey, job: Job | None, digests: dict[str, str]) -> list[SourceInfo]:
    if job is None:
        return [replace(each, sha256=digests[each.path]) if each.path in digests else each for each in seen.sources]
    # Those whose rows are kept: as they were when they were found to be the same. They may have changed since.
    known = {each.path: each for each in seen.sources}
    sources = []
    for each in job.sources:
        sha256 = digests.get(each.path) or each.sha256
        sources.append(replace(each, sha256=sha256) if sha256 else known.get(each.path, each))
    return sources


def _add_findings(
    old: Old, paths: Sequence[str], fresh: set[str], own: Findings, found: Findings, *, is_global_same: bool
) -> None:
    """Add what is still true of files that are the same, then what was found in the others."""
    of_series = set(old.series.paths)
    still = {*paths} - fresh

    def stays(path: str) -> bool:
        return path in still or (is_global_same and path not in of_series)

    found.notices += [each for each in read_notices(old.snapshot) if stays(each.place.path)]
    found.rejects += [each for each in read_rejects(old.snapshot) if stays(each.place.path)]
    found.add(own)
