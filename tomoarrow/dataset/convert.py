"""The main job: a tomogram set to one dataset."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .._version import __version__
from ..errors import DatasetError, MissingFileError, Place, SchemaError, StarSyntaxError, UsageError, raise_gathered
from ..relion.labels import LABELS
from ..relion.project import Project, find_project
from ..relion.tomogram_set import (
    NAME,
    SERIES_FILE,
    GlobalTable,
    Series,
    SeriesFile,
    join_types,
    read_global,
    read_series,
    series_types,
)
from ..star.columns import ARROW_TYPES
from ..star.document import Reject
from ..star.faults import Notice
from ..star.reader import Findings, OnBadValue, Options
from .join import TiltSchema, fits, join_tilts, tilt_schema
from .layout import Part, PartWriter, partition_folder, write_table
from .manifest import Manifest, SourceInfo, TableInfo, column_infos, write_manifest
from .staging import check_target, staged

OnMissing = Literal["error", "skip"]

#: Called with the number of tomograms done, and of all.
Progress = Callable[[int, int], None]

#: Tilt-series files are read in slabs of about this much text.
_SLAB_BYTES = 16 << 20

#: More folders than this are refused: one file a tomogram makes a dataset 30 to 80 times slower.
_MOST_PARTITIONS = 1000

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class WarningSummary:
    """All notices of one kind."""

    code: str
    message: str
    count: int
    files: int
    first: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a conversion did.

    Attributes
    ----------
    dataset, project : str
    project_how : str
        How the project directory was found.
    tomograms, tilts : int
        Rows of the two tables.
    missing : int
        Tomograms whose tilt-series file is not there.
    files, bytes : int
        Parquet files written, and their size.
    source_files, source_bytes : int
    seconds : float
    rejects : int
        What was left out; listed in the table ``rejects``.
    warnings : list of WarningSummary
    """

    dataset: str
    kind: str
    project: str
    project_how: str
    tomograms: int
    tilts: int
    missing: int
    files: int
    bytes: int
    source_files: int
    source_bytes: int
    seconds: float
    rejects: int
    warnings: list[WarningSummary] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or 1 where something was left out."""
        return 1 if self.rejects else 0

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is known before tilt series are read."""

    path: Path
    table: GlobalTable
    project: Project
    options: Options
    present: NDArray[np.int64]
    files: list[SeriesFile]
    sources: list[SourceInfo]


class _SchemaGrew(Exception):
    """A slab has a column, or a type, that earlier slabs did not have."""


def convert(
    source: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    *,
    project: str | os.PathLike[str] | None = None,
    partition_by: str | None = None,
    threads: int | None = None,
    force: bool = False,
    missing: OnMissing = "error",
    on_bad_value: OnBadValue = "error",
    strict: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Convert a tomogram set of RELION 5 to a dataset.

    Parameters
    ----------
    source : path
        The global file: ``tomograms.star``, ``tilt_series.star`` or its like, of any job.
    dataset : path
        The folder to make.
    project : path, optional
        The project directory. Found by itself where not given: see `tomoarrow.relion.project`.
    partition_by : str, optional
        A label of the global table: its values become Hive folders of ``tilts/``.
    threads : int, optional
        How many threads read and parse; all cores by default.
    force : bool
        Replace a dataset that is there.
    missing : "error" or "skip"
        What to do about tilt-series files that are not there: refuse, or leave out and list.
    on_bad_value : "error" or "null"
        What to do about values that do not fit their label's type: refuse, or read as null and list.
    strict : bool
        Refuse what RELION's own reader would read as something else, instead of warning.
    progress : callable, optional
        Called with the number of tomograms done, and of all.

    Returns
    -------
    Report

    Raises
    ------
    TomoarrowError
        Nothing is written then.
    """
    started = time.perf_counter()
    _check_choice("missing", missing, get_args(OnMissing))
    _check_choice("on_bad_value", on_bad_value, get_args(OnBadValue))
    if threads is not None and threads < 1:
        raise UsageError(f"threads={threads}", expected="1 or more")
    target = Path(dataset)
    check_target(target, force=force)
    found = Findings()
    job = _prepare(Path(source), project, Options(LABELS, {}, on_bad_value), missing, found)
    if partition_by is not None:
        _check_partition(job, partition_by)
    with staged(target, force=force) as staging:
        parts, rows_in, schema, counts, seen = _write_tilts(job, staging, partition_by, threads, progress)
        found.notices += seen.notices
        found.rejects += seen.rejects
        if strict:
            raise_gathered([_refused(notice) for notice in found.notices], "{n} warnings, refused by strict:")
        rows_out = sum(part.rows for part in parts)
        if rows_in != rows_out:
            raise DatasetError(f"{rows_in} tilts were read but {rows_out} written: this is a bug, nothing was kept")
        tables = {"tilts": TableInfo(rows_out, column_infos(schema.schema, schema.origins), parts, partition_by)}
        tables["tomograms"] = _write_tomograms(job, counts, staging)
        tables |= _write_others(job, staging, found)
        if found.rejects:
            tables["rejects"] = _write_rejects(found.rejects, staging)
        warnings = _summarise(found.notices)
        manifest = Manifest(
            written_by=f"tomoarrow {__version__}",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            kind="tomogram set",
            input=str(job.path),
            project=str(job.project.directory),
            tables=tables,
            sources=job.sources,
            warnings=[asdict(warning) for warning in warnings],
            rejects=len(found.rejects),
        )
        write_manifest(manifest, staging)
    files = [part for table in tables.values() for part in table.files]
    return Report(
        dataset=str(target),
        kind=manifest.kind,
        project=manifest.project,
        project_how=job.project.how,
        tomograms=job.table.table.num_rows,
        tilts=rows_out,
        missing=job.table.table.num_rows - len(job.present),
        files=len(files),
        bytes=sum(part.bytes for part in files),
        source_files=len(job.sources),
        source_bytes=sum(source.bytes for source in job.sources),
        seconds=round(time.perf_counter() - started, 3),
        rejects=len(found.rejects),
        warnings=warnings,
    )


def _prepare(
    path: Path, project: str | os.PathLike[str] | None, options: Options, missing: OnMissing, found: Findings
) -> _Job:
    """Read the global table, find the project and the tilt-series files."""
    table = read_global(path, options)
    found.notices += table.document.warnings
    found.rejects += table.document.rejects
    home = find_project(path, table.paths, Path(project) if project is not None else None)
    absent = [_absent(path, table, home, row) for row in home.missing]
    if missing == "error":
        tried = ", ".join(map(str, home.tried))
        raise_gathered(
            absent, f"{{n}} of the {len(table.names)} tilt-series files are not there (looked for from: {tried}):"
        )
    for row, error in zip(home.missing, absent, strict=True):
        place = Place(str(path), block=table.names[row], label=SERIES_FILE)
        found.rejects.append(Reject(place, SERIES_FILE, table.paths[row], error.problem, row))
    present = np.setdiff1d(np.arange(len(table.names)), np.array(home.missing, np.int64))
    files = [SeriesFile(table.names[r], table.paths[r], home.directory / table.paths[r]) for r in present.tolist()]
    sources = [_stat(str(path), path), *(_stat(file.path, file.file) for file in files)]
    return _Job(path, table, home, options, present, files, sources)


def _absent(path: Path, table: GlobalTable, home: Project, row: int) -> MissingFileError:
    return MissingFileError(
        f"the tilt-series file of tomogram {table.names[row]!r} is not there",
        place=Place(str(path), label=SERIES_FILE, text=table.paths[row]),
        expected=str(home.directory / table.paths[row]),
        remedy="correct the path, name the project with --project DIR, or leave it out with --missing skip",
    )


def _stat(name: str, path: Path) -> SourceInfo:
    status = path.stat()
    return SourceInfo(name, status.st_size, status.st_mtime_ns)


def _slabs(job: _Job) -> list[range]:
    """Cut the tilt-series files, in their order, into ranges of about `_SLAB_BYTES` of text."""
    sizes = np.array([source.bytes for source in job.sources[1:]], np.int64)
    number = np.cumsum(sizes) // _SLAB_BYTES
    begins = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(sizes)]
    return [range(begin, end) for begin, end in zip(begins[:-1], begins[1:], strict=True) if begin < end]


def _write_tilts(
    job: _Job, staging: Path, partition_by: str | None, threads: int | None, progress: Progress | None
) -> tuple[list[Part], int, TiltSchema, NDArray[np.int64], Findings]:
    """Write ``tilts/``: its parts, the number of rows read, its columns, the tilts of each tomogram, notices.

    The columns are taken from the first slab. Where a later one does not fit, all files are looked through for
    their columns and types, without reading values, and the work begins again.
    """
    try:
        return _write_tilts_once(job, job.options, None, staging, partition_by, threads, progress)
    except _SchemaGrew:
        parts = [series_types([job.files[i] for i in slab], job.options) for slab in _slabs(job)]
        types = join_types(parts)
        options = Options(job.options.labels, types, job.options.on_bad_value)
        fields = [_field(job, label, ARROW_TYPES[kind]) for label, kind in types.items()]
        schema = tilt_schema(fields, job.table.table)
        return _write_tilts_once(job, options, schema, staging, partition_by, threads, progress)


def _field(job: _Job, label: str, kind: pa.DataType) -> pa.Field:
    known = job.options.labels.get(label)
    metadata = {"unit": known.unit, "description": known.description} if known else {}
    return pa.field(label, kind, metadata={key: value for key, value in metadata.items() if value} or None)


def _write_tilts_once(
    job: _Job,
    options: Options,
    schema: TiltSchema | None,
    staging: Path,
    partition_by: str | None,
    threads: int | None,
    progress: Progress | None,
) -> tuple[list[Part], int, TiltSchema, NDArray[np.int64], Findings]:
    def read(slab: range) -> tuple[Series, Findings]:
        seen = Findings()
        return read_series([job.files[i] for i in slab], options, seen), seen

    everything = Findings()
    counts = np.zeros(len(job.files), np.int64)
    done = 0
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(threads or os.cpu_count() or 1))
        writers: dict[str, PartWriter] = {}
        slabs = _slabs(job)
        for slab, (series, seen) in zip(slabs, _in_order(pool, read, slabs, (threads or 2) + 1), strict=True):
            everything.notices += seen.notices
            everything.rejects += seen.rejects
            everything.errors += seen.errors
            counts[slab.start : slab.stop] = series.tilt_counts
            done += len(slab)
            if not everything.errors:
                schema = schema or tilt_schema(list(series.table.schema), job.table.table)
                if not fits(schema, series.table):
                    raise _SchemaGrew
                rows = job.present[slab.start : slab.stop]
                joined = join_tilts(series.table, series.tilt_counts, rows, job.table.table, schema)
                for folder, piece in _partitions(joined, schema, partition_by):
                    if folder not in writers:
                        writer = PartWriter(staging / "tilts" / folder, staging, piece.schema)
                        writers[folder] = stack.enter_context(writer)
                    writers[folder].write(piece)
            if progress is not None:
                progress(done, len(job.files))
        raise_gathered(everything.errors, "{n} errors in tilt-series files; nothing was written:")
        schema = schema or tilt_schema([], job.table.table)
        if not writers:
            writers[""] = stack.enter_context(PartWriter(staging / "tilts", staging, _without(schema, partition_by)))
    parts = [part for writer in writers.values() for part in writer.parts]
    return parts, int(counts.sum()), schema, counts, everything


def _in_order(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """Results of a function, in the order of its arguments, a few of which are worked on at a time."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _check_partition(job: _Job, label: str) -> None:
    table = job.table.table
    if label not in table.column_names:
        raise UsageError(
            f"no label {label} in the global table to partition by", expected=f"one of: {', '.join(table.column_names)}"
        )
    if pa.types.is_list(table.schema.field(label).type):
        raise UsageError(f"{label} holds vectors: it cannot name folders", expected="another label to partition by")
    n_values = len(table.column(label).unique())
    if n_values > _MOST_PARTITIONS:
        raise UsageError(
            f"{label} has {n_values} values: that many folders would make the dataset very slow",
            expected=f"a label with at most {_MOST_PARTITIONS} values",
            remedy="leave --partition-by out: tomograms are found fast by the statistics of row groups",
        )


def _column_of(schema: TiltSchema, partition_by: str) -> str:
    return NAME if partition_by == NAME else schema.global_names[partition_by]


def _without(schema: TiltSchema, partition_by: str | None) -> pa.Schema:
    if partition_by is None:
        return schema.schema
    return schema.schema.remove(schema.schema.get_field_index(_column_of(schema, partition_by)))


def _partitions(table: pa.Table, schema: TiltSchema, partition_by: str | None) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each folder. The column goes into the folder's name, not into its files, as Hive has it."""
    if partition_by is None:
        yield "", table
        return
    name = _column_of(schema, partition_by)
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    rest = table.drop_columns([name])
    for value in column.unique():
        same = pa.compute.is_null(column) if not value.is_valid else pa.compute.equal(column, value)
        yield partition_folder(name, value.as_py()), rest.filter(same)


def _write_tomograms(job: _Job, counts: NDArray[np.int64], staging: Path) -> TableInfo:
    """Write ``tomograms/``: the global table, and how many tilts there are of each tomogram."""
    table = job.table.table
    tilt_counts: list[int | None] = [None] * table.num_rows
    for row, count in zip(job.present.tolist(), counts.tolist(), strict=True):
        tilt_counts[row] = count
    description = "Number of tilt images; null where the tilt-series file is missing"
    column = pa.field("tilt_count", pa.int64(), metadata={"description": description, "unit": "count"})
    table = table.append_column(column, pa.array(tilt_counts, pa.int64()))
    origins = {name: f"global/{name}" for name in job.table.table.column_names} | {"tilt_count": "count"}
    parts = write_table(table, staging / "tomograms", staging)
    return TableInfo(table.num_rows, column_infos(table.schema, origins), parts)


def _write_others(job: _Job, staging: Path, found: Findings) -> dict[str, TableInfo]:
    """Write ``optics/``, which older imports keep beside the global table; say which blocks are not kept."""
    tables = {}
    for block in job.table.others:
        if block.name == "optics" and len(block.loops) == 1 and not block.pairs:
            table = block.loops[0]
            origins = {name: f"optics/{name}" for name in table.column_names}
            parts = write_table(table, staging / "optics", staging)
            tables["optics"] = TableInfo(table.num_rows, column_infos(table.schema, origins), parts)
        else:
            message = "a block of the global file that is no part of a tomogram set; it is not in the dataset"
            found.notices.append(Notice("other-blocks", message, Place(str(job.path), block=block.name)))
    return tables


def _write_rejects(rejects: Sequence[Reject], staging: Path) -> TableInfo:
    table = pa.table(
        {
            "file": [reject.place.path for reject in rejects],
            "line": [reject.place.line or None for reject in rejects],
            "column": [reject.place.column or None for reject in rejects],
            "block": [reject.place.block for reject in rejects],
            "label": [reject.label for reject in rejects],
            "text": [reject.text for reject in rejects],
            "reason": [reject.reason for reject in rejects],
        },
        schema=pa.schema(
            [
                ("file", pa.string()),
                ("line", pa.int64()),
                ("column", pa.int64()),
                ("block", pa.string()),
                ("label", pa.string()),
                ("text", pa.string()),
                ("reason", pa.string()),
            ]
        ),
    )
    return TableInfo(table.num_rows, column_infos(table.schema, {}), write_table(table, staging / "rejects", staging))


def _summarise(notices: Sequence[Notice]) -> list[WarningSummary]:
    """One line for each kind of notice."""
    kinds: dict[str, list[Notice]] = {}
    for notice in notices:
        kinds.setdefault(notice.code, []).append(notice)
    return [
        WarningSummary(
            code,
            same[0].message,
            sum(notice.count for notice in same),
            len({notice.place.path for notice in same}),
            str(same[0].place),
        )
        for code, same in kinds.items()
    ]


def _refused(notice: Notice) -> StarSyntaxError | SchemaError:
    return StarSyntaxError(
        f"{notice.message} [{notice.code}]", place=notice.place, remedy="mend the file, or convert without strict"
    )


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UsageError(f"{name}={value!r}", expected=" or ".join(map(repr, choices)))
