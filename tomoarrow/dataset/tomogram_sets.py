"""A tomogram set as the tables of a dataset: tilts, tomograms, optics."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import DatasetError, MissingFileError, Place, UsageError, raise_gathered
from ..relion.project import Project, find_project
from ..relion.tomogram_set import NAME, SERIES_FILE, GlobalTable, SeriesFile, global_table
from ..star.document import Document, Reject
from ..star.faults import Notice
from ..star.tables import Findings, Options
from ..star.texts import FileText
from .contents import Contents, Progress, source_info
from .join import free_name
from .layout import write_table
from .manifest import TableInfo, column_infos
from .texts import KeptText, write_texts
from .tilts import Job, write_tilts

KIND = "tomogram set"

OnMissing = Literal["error", "skip"]

#: More folders than this are refused: one file a tomogram makes a dataset 30 to 80 times slower.
_MOST_PARTITIONS = 1000


def prepare(
    path: Path,
    document: Document,
    project: str | os.PathLike[str] | None,
    options: Options,
    missing: OnMissing,
    found: Findings,
) -> Job:
    """Take the global table, find the project and the tilt-series files."""
    table = global_table(path, document)
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
    directory = os.fspath(home.directory)
    files = [
        SeriesFile(table.names[row], table.paths[row], os.path.join(directory, table.paths[row]))
        for row in present.tolist()
    ]
    sources = [source_info(os.path.abspath(path), path), *(source_info(file.path, file.file) for file in files)]
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


def check_partition(table: GlobalTable, label: str | None) -> None:
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


def write_set(job: Job, staging: Path, *, found: Findings, progress: Progress | None) -> Contents:
    """Write the tables of a tomogram set into a folder."""
    with ThreadPoolExecutor(job.threads) as pool:
        written = write_tilts(job, staging, progress, pool)
        found.add(written.found)
        tables = {"tomograms": _write_tomograms(job, written.tilt_counts, staging)}
        tables |= _write_others(job, staging, found)
        tables["star"] = write_texts(_texts(job, written.texts), staging)
        parts = written.parts
    rows = sum(part.rows for part in parts)
    if rows != written.rows_read:
        raise DatasetError(f"{written.rows_read} tilts were read, {rows} written: a bug; nothing was kept")
    columns = column_infos(written.schema.schema, written.schema.origins)
    tilts = TableInfo(rows, columns, parts, written.schema.column_of(job.partition_by))
    absent = job.table.table.num_rows - len(job.present)
    return Contents(KIND, job.project.directory, job.project.how, {"tilts": tilts, **tables}, job.sources, absent)


def _texts(job: Job, texts: Sequence[FileText | None]) -> Iterator[KeptText]:
    """How each file is written, the global one first."""
    path = os.path.realpath(job.path)
    inside = os.path.relpath(path, os.path.realpath(job.project.directory))
    file = os.path.basename(path) if inside.split(os.sep)[0] == os.pardir else inside
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
