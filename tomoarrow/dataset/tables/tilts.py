"""``tilts/``: tilt-series files in slabs, read on threads, joined with the global table, written in order."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import DatasetError, TomoarrowError, raise_gathered
from ...relion.project import Project
from ...relion.series import SeriesFile, read_series, series_evidence
from ...relion.tomogram_set import GlobalTable
from ...star.columns import ARROW_TYPES, field_of, settle
from ...star.document import Reject
from ...star.stack import Stack
from ...star.tables import Findings, Options, add_evidence
from ...star.texts import FileText
from ...star.threads import in_order
from ..layout import Part, PartWriter, file_rows_for, partition_folder
from ..versions.manifest import SourceInfo
from .contents import Progress
from .join import TiltSchema, fits, join_tilts, tilt_schema, tomogram_frame
from .plain import StarFile

#: Tilt-series files are read in slabs of about this much text.
_SLAB_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """What is known before tilt series are read.

    Attributes
    ----------
    file : StarFile
        The global file.
    table : GlobalTable
    project : Project
    options : Options
    partition_by : str or None
        A label of the global table.
    threads : int
    present : int64[tomograms whose file is there]
        Their rows in the global table.
    files : list of SeriesFile
        Their files.
    sizes : list of int
        Their bytes.
    sources : list of SourceInfo
        The global file, but for a part of a set, then those that it names.
    head : bytes or None
        Where the tilt series are in the global file too: what stands before them.
    on_bad_file : "error" or "skip"
        What to do about a tilt-series file that cannot be read.
    evidence : mapping
        What is known beforehand of the columns of all tilt series: see `tomoarrow.star.columns.gather_evidence`.
    """

    file: StarFile
    table: GlobalTable
    project: Project
    options: Options
    partition_by: str | None
    threads: int
    present: NDArray[np.int64]
    files: list[SeriesFile]
    sizes: list[int]
    sources: list[SourceInfo]
    head: bytes | None = None
    on_bad_file: str = "error"
    evidence: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WrittenTilts:
    """``tilts/`` as it was written.

    Attributes
    ----------
    writers : list of PartWriter
        What has written its files, which may not be sealed yet.
    rows_read : int
        Rows of all tilt-series tables, as the reader counted them.
    tilt_counts : int64[files]
    schema : TiltSchema
    found : Findings
    texts : list of FileText or None
        How each file is written.
    digests : list of str
        The SHA-256 of each file; none where the series are parts of one.
    bad : set of str
        The paths of files that could not be read.
    evidence : mapping
        What is known of the columns; nothing where those of the first slab were enough.
    """

    writers: list[PartWriter]
    rows_read: int
    tilt_counts: NDArray[np.int64]
    schema: TiltSchema
    found: Findings
    texts: list[FileText | None]
    digests: list[str]
    bad: set[str]
    evidence: Mapping[str, int] = field(default_factory=dict)

    @property
    def parts(self) -> list[Part]:
        """All files, when they are sealed."""
        return [part for writer in self.writers for part in writer.parts]


class _SchemaGrew(Exception):
    """A slab has a column, or a type, that earlier slabs did not have."""


def _slabs(job: Job) -> list[range]:
    """Cut the tilt-series files, in their order, into ranges of about `_SLAB_BYTES` of text."""
    sizes = np.array(job.sizes, np.int64)
    number = np.cumsum(sizes) // _SLAB_BYTES
    begins = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(sizes)]
    return [range(begin, end) for begin, end in pairwise(begins) if begin < end]


def leave_out(found: Findings) -> set[str]:
    """Make rejects of the errors of files: one each, of the first. Return the paths of these files."""
    bad: dict[str, TomoarrowError] = {}
    for error in found.errors:
        bad.setdefault(error.place.path, error)
    found.rejects = [reject for reject in found.rejects if reject.place.path not in bad]
    found.rejects += [
        Reject(error.place, error.place.label or "", error.place.text, f"the file is left out: {error.problem}")
        for error in bad.values()
    ]
    found.errors = []
    return set(bad)


def write_tilts(job: Job, staging: Path, progress: Progress | None, pool: Executor) -> WrittenTilts:
    """Write ``tilts/`` into a folder, with the threads of a pool.

    The columns are taken from the first slab. Where a later one does not fit, all files are looked through for
    their columns and types, without keeping values, and the work begins again.
    """
    with suppress(_SchemaGrew):
        known = _schema(job, job.evidence) if job.evidence else None
        return replace(_write(job, known, staging, progress, pool), evidence=job.evidence)
    shutil.rmtree(staging / "tilts", ignore_errors=True)
    evidence = dict(job.evidence)
    found = Findings()
    for slab in _slabs(job):
        add_evidence(evidence, series_evidence([job.files[i] for i in slab], job.options, found))
        if job.on_bad_file == "skip":
            # They are told of when the values are read.
            found.errors = []
    raise_gathered(found.errors, "{n} errors in tilt-series files; nothing was written:")
    pinned = replace(job, options=replace(job.options, evidence=evidence))
    try:
        return replace(_write(pinned, _schema(job, evidence), staging, progress, pool), evidence=evidence)
    except _SchemaGrew as error:
        raise DatasetError("tilt-series files changed while they were read", remedy="convert again") from error


def _schema(job: Job, evidence: Mapping[str, int]) -> TiltSchema:
    return tilt_schema(tilt_fields(evidence, job.options), job.table.table)


def tilt_fields(evidence: Mapping[str, int], options: Options) -> list[pa.Field]:
    """The columns that tilt series make, given what they hold."""
    return [
        field_of(label, ARROW_TYPES[settle(options.type_of(label), bits)], options.labels.get(label))
        for label, bits in evidence.items()
    ]


def _write(
    job: Job, schema: TiltSchema | None, staging: Path, progress: Progress | None, pool: Executor
) -> WrittenTilts:
    """Write ``tilts/`` with the columns of a schema, or of the first slab."""
    tomograms = tomogram_frame(job.table.table)
    read = partial(_read, job, schema, tomograms)
    everything = Findings()
    counts = np.zeros(len(job.files), np.int64)
    texts: list[FileText | None] = []
    digests: list[str] = []
    file_rows = 0
    bad: set[str] = set()
    writers: dict[str, PartWriter] = {}
    with ExitStack() as stack:
        for slab in stack.enter_context(closing(in_order(pool, read, _slabs(job), job.threads))):
            everything.add(slab.found)
            bad |= slab.bad
            counts[slab.files.start : slab.files.stop] = slab.series.counts
            texts += slab.series.texts
            digests += slab.series.digests
            if not file_rows:
                share = sum(job.sizes[slab.files.start : slab.files.stop]) / max(1, sum(job.sizes))
                file_rows = file_rows_for(int(slab.series.counts.sum() / (share or 1)))
            if not everything.errors:
                schema = schema or slab.schema
                if not fits(schema, slab.series.table):
                    raise _SchemaGrew
                joined = slab.joined
                if joined is None or slab.schema.schema != schema.schema:
                    joined = _join(job, slab.files, slab.series, tomograms, schema)
                for folder, piece in _partitions(joined, schema.column_of(job.partition_by)):
                    if folder not in writers:
                        writer = PartWriter(staging / folder, staging, piece.schema, pool, file_rows=file_rows)
                        writers[folder] = stack.enter_context(writer)
                    writers[folder].write(piece)
            if progress is not None:
                progress(slab.files.stop, len(job.files))
        raise_gathered(everything.errors, "{n} errors in tilt-series files; nothing was written:")
        schema = schema or tilt_schema([], job.table.table)
        if not writers:
            writers["tilts"] = stack.enter_context(PartWriter(staging / "tilts", staging, schema.schema, pool))
    # As who lists the folders has them.
    in_order_of_names = [writers[folder] for folder in sorted(writers)]
    return WrittenTilts(in_order_of_names, int(counts.sum()), counts, schema, everything, texts, digests, bad)


@dataclass(frozen=True, slots=True)
class _Slab:
    """Some of the files, read, with the columns that they would have alone, and joined if there was no error."""

    files: range
    series: Stack
    schema: TiltSchema
    joined: pa.Table | None
    found: Findings
    bad: set[str]


def _read(job: Job, schema: TiltSchema | None, tomograms: pl.DataFrame, files: range) -> _Slab:
    """Read some files. They are joined here, by many threads: most slabs have the columns of the first."""
    found = Findings()
    series = read_series([job.files[i] for i in files], job.options, found, digests=job.head is None)
    bad = leave_out(found) if job.on_bad_file == "skip" else set()
    if bad:
        series = _without(series, [job.files[i].path in bad for i in files])
    schema = schema or tilt_schema(list(series.table.schema), job.table.table)
    is_sound = not found.errors and fits(schema, series.table)
    return _Slab(files, series, schema, _join(job, files, series, tomograms, schema) if is_sound else None, found, bad)


def _without(series: Stack, is_bad: list[bool]) -> Stack:
    """Tilt series without the rows, the columns and the texts of files that are left out."""
    rows = np.repeat(~np.array(is_bad, bool), series.counts)
    table = series.table.filter(pa.array(rows))
    texts = [None if bad else text for bad, text in zip(is_bad, series.texts, strict=True)]
    if not any(text is not None and text.raw for text in texts):
        styles = {id(text.style): text.style for text in texts if text is not None}
        labels = {label for style in styles.values() for label in style.labels}
        table = table.select([name for name in table.column_names if name in labels])
    return replace(series, table=table, counts=np.where(is_bad, 0, series.counts), texts=texts)


def _join(job: Job, files: range, series: Stack, tomograms: pl.DataFrame, schema: TiltSchema) -> pa.Table:
    return join_tilts(series.table, series.counts, job.present[files.start : files.stop], tomograms, schema)


def _partitions(table: pa.Table, name: str | None) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each folder. The column goes into the folder's name, not into its files, as Hive has it."""
    if name is None:
        yield "tilts", table
        return
    column = table.column(name)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    values = column.unify_dictionaries().combine_chunks()
    # By code, not by value: each row has one, also where the value is nan, which equals nothing.
    codes = values.indices.fill_null(-1).to_numpy()
    rest = table.drop_columns([name])
    for code in np.unique(codes).tolist():
        value = None if code < 0 else values.dictionary[code].as_py()
        yield f"tilts/{partition_folder(name, value)}", rest.filter(pa.array(codes == code))
