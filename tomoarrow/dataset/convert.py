"""The main job: a tomogram set to one dataset."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .._version import __version__
from ..errors import DatasetError, MissingFileError, Place, UsageError, check_choice, raise_gathered
from ..relion.labels import LABELS
from ..relion.project import Project, find_project
from ..relion.tomogram_set import NAME, SERIES_FILE, GlobalTable, SeriesFile, read_global
from ..star.document import Reject
from ..star.faults import Notice, refuse
from ..star.render import cores
from ..star.tables import Findings, OnBadValue, Options
from ..star.texts import FileText
from .join import free_name
from .layout import write_table
from .manifest import Manifest, SourceInfo, TableInfo, column_infos, write_manifest
from .report import Report, summarise
from .staging import check_target, staged
from .texts import KeptText, write_texts
from .tilts import Job, Progress, write_tilts

OnMissing = Literal["error", "skip"]

#: More folders than this are refused: one file a tomogram makes a dataset 30 to 80 times slower.
_MOST_PARTITIONS = 1000


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
        How many threads read and parse; by default as many as there are cores for this process.
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
    check_choice("missing", missing, get_args(OnMissing))
    check_choice("on_bad_value", on_bad_value, get_args(OnBadValue))
    if threads is not None and threads < 1:
        raise UsageError(f"threads={threads}", expected="1 or more")
    target = Path(os.path.abspath(dataset))
    check_target(target, force=force)
    found = Findings()
    job = _prepare(Path(source), project, Options(LABELS, {}, on_bad_value), missing, found)
    _check_partition(job.table, partition_by)
    job = replace(job, threads=threads or cores(), partition_by=partition_by)
    with _told(target), staged(target, force=force) as staging:
        written = write_tilts(job, staging, progress)
        found.add(written.found)
        rows = sum(part.rows for part in written.parts)
        if rows != written.rows_read:
            raise DatasetError(f"{written.rows_read} tilts were read, {rows} written: a bug; nothing was kept")
        columns = column_infos(written.schema.schema, written.schema.origins)
        folders_by = written.schema.column_of(job.partition_by)
        tables = {"tilts": TableInfo(rows, columns, written.parts, folders_by)}
        tables["tomograms"] = _write_tomograms(job, written.tilt_counts, staging)
        tables |= _write_others(job, staging, found)
        if strict:
            refuse(found.notices)
        tables["star"] = write_texts(_texts(job, written.texts), staging)
        if found.rejects:
            tables["rejects"] = _write_rejects(found.rejects, staging)
        warnings = summarise(found.notices)
        manifest = Manifest(
            written_by=f"tomoarrow {__version__}",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            kind="tomogram set",
            input=os.path.abspath(job.path),
            project=str(job.project.directory),
            tables=tables,
            sources=job.sources,
            warnings=[asdict(warning) for warning in warnings],
            rejects=len(found.rejects),
        )
        write_manifest(manifest, staging)
    files = [part for table in tables.values() for part in table.files]
    return Report(
        dataset=os.fspath(dataset),
        kind=manifest.kind,
        project=manifest.project,
        project_how=job.project.how,
        tomograms=job.table.table.num_rows,
        tilts=rows,
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
) -> Job:
    """Read the global table, find the project and the tilt-series files."""
    table = read_global(path, options)
    found.notices += table.document.warnings
    found.rejects += table.document.rejects
    if not table.names:
        found.notices.append(Notice("no-tomograms", "a tomogram set without tomograms", Place(str(path))))
    home = find_project(path, table.paths, Path(project) if project is not None else None)
    absent = [_absent(path, table, home, row) for row in home.missing]
    if missing == "error":
        raise_gathered(absent, f"{{n}} of the {len(table.names)} tilt-series files are not there:")
    for row, error in zip(home.missing, absent, strict=True):
        place = Place(str(path), block=table.names[row], label=SERIES_FILE)
        found.rejects.append(Reject(place, SERIES_FILE, table.paths[row], error.problem, row))
    present = np.setdiff1d(np.arange(len(table.names)), np.array(home.missing, np.int64))
    files = [
        SeriesFile(table.names[row], table.paths[row], os.path.join(home.directory, table.paths[row]))
        for row in present.tolist()
    ]
    sources = [_stat(os.path.abspath(path), path), *(_stat(file.path, file.file) for file in files)]
    return Job(path, table, home, options, None, 1, present, files, sources)


def _absent(path: Path, table: GlobalTable, home: Project, row: int) -> MissingFileError:
    others = [str(folder) for folder in home.tried if folder != home.directory]
    also = f"; looked for from {', '.join(others)} too" if others and len(home.missing) == len(table.names) else ""
    return MissingFileError(
        f"the tilt-series file of tomogram {table.names[row]!r} is not there",
        place=Place(str(path), label=SERIES_FILE, text=table.paths[row]),
        expected=f"{home.directory / table.paths[row]}{also}",
        remedy="correct the path, name the project with --project DIR, or leave it out with --missing skip",
    )


def _stat(name: str, path: str | Path) -> SourceInfo:
    status = os.stat(path)
    return SourceInfo(name, status.st_size, status.st_mtime_ns)


def _check_partition(table: GlobalTable, label: str | None) -> None:
    """Refuse to partition by what is not there, or would make a bad dataset."""
    if label is None:
        return
    if label not in table.table.column_names:
        there = ", ".join(table.table.column_names)
        raise UsageError(f"no label {label} in the global table to partition by", expected=f"one of: {there}")
    if pa.types.is_list(table.table.schema.field(label).type):
        raise UsageError(f"{label} holds vectors: it cannot name folders", expected="another label to partition by")
    if label == NAME:
        raise UsageError(
            f"{NAME} has a value for each tomogram: one file each would make the dataset very slow",
            expected="another label to partition by",
            remedy="leave --partition-by out: tomograms are found fast by the statistics of row groups",
        )
    n_values = len(table.table.column(label).unique())
    if n_values > _MOST_PARTITIONS:
        raise UsageError(
            f"{label} has {n_values} values: that many folders would make the dataset very slow",
            expected=f"a label with at most {_MOST_PARTITIONS} values",
            remedy="leave --partition-by out: tomograms are found fast by the statistics of row groups",
        )


def _texts(job: Job, texts: Sequence[FileText | None]) -> Iterator[KeptText]:
    """How each file is written, the global one first."""
    path = os.path.abspath(job.path)
    inside = os.path.relpath(path, job.project.directory)
    file = os.path.basename(path) if inside.startswith("..") else inside
    yield KeptText(file, None, job.table.text_tables, job.table.text, job.table.names)
    for series, text in zip(job.files, texts, strict=True):
        if text is not None:
            yield KeptText(series.path, series.tomogram, ("tilts",), text)


def _write_tomograms(job: Job, counts: NDArray[np.int64], staging: Path) -> TableInfo:
    """Write ``tomograms/``: the global table, and how many tilts there are of each tomogram."""
    table = job.table.table
    tilt_counts: list[int | None] = [None] * table.num_rows
    for row, count in zip(job.present.tolist(), counts.tolist(), strict=True):
        tilt_counts[row] = count
    description = "Number of tilt images; null where the tilt-series file is missing"
    name = free_name("tilt_count", "_of_series", set(table.column_names), table.column_names)
    column = pa.field(name, pa.int64(), metadata={"description": description, "unit": "count"})
    table = table.append_column(column, pa.array(tilt_counts, pa.int64()))
    origins = {label: f"global/{label}" for label in job.table.table.column_names} | {name: "count"}
    parts = write_table(table, staging / "tomograms", staging)
    return TableInfo(table.num_rows, column_infos(table.schema, origins), parts)


def _write_others(job: Job, staging: Path, found: Findings) -> dict[str, TableInfo]:
    """Write ``optics/``; say which blocks of the global file are no tables of the dataset."""
    for block in job.table.others:
        message = "a block of the global file that is no part of a tomogram set; it is kept as text only"
        found.notices.append(Notice("other-blocks", message, Place(str(job.path), block=block.name)))
    if job.table.optics is None:
        return {}
    table = job.table.optics.loops[0]
    origins = {name: f"optics/{name}" for name in table.column_names}
    parts = write_table(table, staging / "optics", staging)
    return {"optics": TableInfo(table.num_rows, column_infos(table.schema, origins), parts)}


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


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that says what was going on."""
    try:
        yield
    except OSError as error:
        where = Place(str(error.filename or target))
        raise DatasetError(f"cannot write the dataset: {error.strerror or error}", place=where) from error
