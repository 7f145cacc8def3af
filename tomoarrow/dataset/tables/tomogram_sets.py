"""A tomogram set as the tables of a dataset: tilts, tomograms, optics."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...errors import DatasetError, MissingFileError, Place, UsageError, raise_gathered
from ...relion.kinds import Kind
from ...relion.labels import LABELS
from ...relion.project import Project, find_project, is_there, joined, outside_error
from ...relion.relion4 import split_set
from ...relion.series import SeriesFile
from ...relion.tomogram_set import NAME, SERIES_FILE, GlobalTable, global_table
from ...star.document import Document, Reject
from ...star.faults import Notice
from ...star.reader import read_star
from ...star.source import Held, Stream, hold, read_text
from ...star.style import FileStyle
from ...star.tables import Findings
from ...star.texts import FileText
from ...star.threads import workers
from ..asked import Asked
from ..layout import Part, write_table
from ..versions.manifest import SourceInfo, TableInfo, column_infos
from .contents import Progress
from .join import TiltSchema, free_name
from .plain import StarFile, Written
from .sources import Known, source_info
from .texts import KeptText
from .tilts import Job, write_tilts

#: More folders than this are refused: one file a tomogram makes a dataset 30 to 80 times slower.
_MOST_PARTITIONS = 1000


def prepare(
    file: StarFile,
    kind: Kind,
    project: Path | None,
    asked: Asked,
    found: Findings,
    *,
    known: Mapping[str, Known] | None = None,
    tried: Sequence[Path] = (),
) -> Job:
    """Take the global table, find the project and the tilt series.

    `known`: the tilt-series files that are there, by their paths, where the project is given and they were looked for;
    `tried`: from where, besides.
    """
    assert not isinstance(file.source, Stream)
    source = source_info(os.path.abspath(file.path), file.path)
    held = hold(file.source)
    text = read_text(held)
    if kind == "tomogram set":
        document = read_star(held, labels=LABELS, on_bad_value=asked.on_bad_value)
        table = global_table(file.path, document)
        if project is None or known is None:
            home = find_project(file.path, table.paths, project, allow_outside=asked.allow_outside)
        else:
            absent_rows = tuple(row for row, path in enumerate(table.paths) if path not in known)
            home = Project(project, "given", absent_rows, (project, *tried))
        files = _series_files(table, home, known or {})
        outside = [outside_error(_place(file.path, table, row), home.directory) for row in home.outside]
        absent = [_absent(file.path, table, home, row) for row in home.missing]
        head = None
    else:
        parts = split_set(text, str(file.path))
        document = read_star(Held(str(file.path), parts.head), labels=LABELS, on_bad_value=asked.on_bad_value)
        table = global_table(file.path, document, has_series=True)
        home = home_of(file, project)
        outside = []
        files = [parts.series.get(name) for name in table.names]
        absent = [_without_block(file.path, name) for name in table.names if name not in parts.series]
        head = parts.head
    what = "tilt-series files" if head is None else "tilt series"
    where = "not there, or outside of the project:" if outside else "not there:"
    raise_gathered(
        [*outside, *(absent if asked.missing == "error" else [])], f"{{n}} of the {len(table.names)} {what} are {where}"
    )
    sources = [replace(source, sha256=text.digest(0))]
    return _job(file, table, home, asked, files, absent, sources, head, found, known or {})


def prepare_rows(file: StarFile, directory: Path, asked: Asked, rows: pa.Table) -> Job:
    """Take some rows of the global table of a set whose project is known; what else its file holds is left to others.

    Raises
    ------
    MissingFileError
        Tilt-series files are not there.
    """
    names, paths = (tuple(rows.column(label).to_pylist()) for label in (NAME, SERIES_FILE))
    table = GlobalTable(rows, names, paths, None, (), Document(()), FileText(FileStyle(()), ()), ())
    absent = [i for i, path in enumerate(paths) if not is_there(os.fspath(directory), path)]
    home = Project(directory, "given", tuple(absent), (directory,))
    errors = [_absent(file.path, table, home, row) for row in home.missing]
    if asked.missing == "error":
        raise_gathered(errors, f"{{n}} of the {len(names)} tilt-series files are not there:")
    return _job(file, table, home, asked, _series_files(table, home, {}), errors, [], None, Findings(), {})


def _job(
    file: StarFile,
    table: GlobalTable,
    home: Project,
    asked: Asked,
    files: Sequence[SeriesFile | None],
    absent: Sequence[MissingFileError],
    sources: list[SourceInfo],
    head: bytes | None,
    found: Findings,
    known: Mapping[str, Known],
) -> Job:
    """The work on the tilt series that are there."""
    found.notices += table.document.warnings
    found.rejects += table.document.rejects
    if not table.names:
        found.notices.append(Notice("no-tomograms", "a tomogram set without tomograms", Place(str(file.path))))
    present = np.array([row for row, series in enumerate(files) if series is not None], np.int64)
    for row, error in zip(np.setdiff1d(np.arange(len(files)), present).tolist(), absent, strict=True):
        place = Place(str(file.path), block=table.names[row], label=SERIES_FILE)
        found.rejects.append(Reject(place, SERIES_FILE, error.place.text, error.problem, row))
    there = [series for series in files if series is not None]
    if head is None:
        of_series = [known[series.path].info if series.path in known else _series_info(series) for series in there]
        sources, sizes = sources + of_series, [source.bytes for source in of_series]
    else:
        sizes = [len(series.part or b"") for series in there]
    return Job(
        file=file,
        table=table,
        project=home,
        options=asked.options,
        partition_by=asked.partition_by,
        threads=1,
        present=present,
        files=there,
        sizes=sizes,
        sources=sources,
        head=head,
        on_bad_file=asked.on_bad_file,
    )


def _series_info(series: SeriesFile) -> SourceInfo:
    try:
        return source_info(series.path, series.file)
    except OSError:
        # Why it cannot be read is told by who reads it.
        return SourceInfo(series.path, 0, 0)


def home_of(file: StarFile, project: Path | None) -> Project:
    """The directory that the path of a file is relative to which names no other: its own, if none is given."""
    if project is not None:
        return find_project(file.path, [], project)
    path = Path(os.path.abspath(file.path))
    if str(path.parent) in ("/dev", "/dev/fd"):
        # What comes through a pipe of the shell, as /dev/stdin or /dev/fd/63, is in no folder.
        return Project(Path.cwd(), "current directory", (), ())
    return Project(path.parent, "the folder of the file", (), ())


def _series_files(table: GlobalTable, home: Project, known: Mapping[str, Known]) -> list[SeriesFile | None]:
    """The tilt-series file of each tomogram; None where it is not there."""
    directory = os.fspath(home.directory)
    missing = {*home.missing, *home.outside}
    return [
        None
        if row in missing
        else SeriesFile(name, path, joined(directory, path), known[path].data if path in known else None)
        for row, (name, path) in enumerate(zip(table.names, table.paths, strict=True))
    ]


def _without_block(path: Path, name: str) -> MissingFileError:
    return MissingFileError(
        f"tomogram {name!r} has no block",
        place=Place(str(path)),
        expected=f"a block data_{name} with a row a tilt image, behind data_global",
        remedy="check the names, or leave the tomogram out with --missing skip",
    )


def _place(path: Path, table: GlobalTable, row: int) -> Place:
    return Place(str(path), label=SERIES_FILE, text=table.paths[row])


def _absent(path: Path, table: GlobalTable, home: Project, row: int) -> MissingFileError:
    others = [str(folder) for folder in home.tried if folder != home.directory]
    also = f"; looked for from {', '.join(others)} too" if others and len(home.missing) == len(table.names) else ""
    return MissingFileError(
        f"the tilt-series file of tomogram {table.names[row]!r} is not there",
        place=_place(path, table, row),
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


def write_set(
    job: Job, staging: Path, written: Written, *, found: Findings, progress: Progress | None, optics: str
) -> Iterator[KeptText]:
    """Write the tables of a tomogram set into a folder, then give the texts of its files.

    `optics`: what the optics table of the global file is called.
    """
    with workers(job.threads) as pool:
        tilts = write_tilts(job, staging, progress, pool)
        found.add(tilts.found)
        written.evidence = tilts.evidence
        written.digests |= dict(zip([file.path for file in job.files], tilts.digests, strict=False))
        is_read = np.array([file.path not in tilts.bad for file in job.files], bool)
        there, counts = job.present[is_read], tilts.tilt_counts[is_read]
        write_global(job, there, counts, staging, written, found=found, optics=optics)
        parts = tilts.parts
    add_tilts(written, job, tilts.schema, parts, tilts.rows_read)
    yield from texts_of_set(job, tilts.texts, optics)


def write_global(
    job: Job,
    rows: NDArray[np.int64],
    counts: NDArray[np.int64],
    staging: Path,
    written: Written,
    *,
    found: Findings,
    optics: str,
) -> None:
    """Write the tables of the global file, given how many tilts there are of the tomograms in some of its rows."""
    written.tables["tomograms"] = write_tomograms(job.table.table, rows, counts, staging)
    if job.table.optics is not None:
        table = job.table.optics.loops[0]
        written.taken.add(optics)
        origins = {name: f"{optics}/{name}" for name in table.column_names}
        written.add(optics, table.schema, write_table(table, staging / optics, staging), origins)
    for block in job.table.others:
        message = "a block of the global file that is no part of a tomogram set; it is kept as text only"
        found.notices.append(Notice("other-blocks", message, Place(str(job.file.path), block=block.name)))


def add_tilts(written: Written, job: Job, schema: TiltSchema, parts: list[Part], rows_read: int) -> None:
    """Add ``tilts/``, which is complete.

    Raises
    ------
    DatasetError
        It has other rows than were read.
    """
    rows = sum(part.rows for part in parts)
    if rows != rows_read:
        raise DatasetError(f"{rows_read} tilts were read, {rows} written: a bug; nothing was kept")
    columns = column_infos(schema.schema, schema.origins)
    info = TableInfo(rows, columns, parts, schema.column_of(job.partition_by))
    written.tables = {"tilts": info, **written.tables}


def tilt_counts(written: Written, staging: Path) -> dict[str, int | None]:
    """How many tilts each tomogram has that was written; None where its tilt series is missing."""
    info = written.tables["tomograms"]
    count = next(column.name for column in info.columns if column.origin == "count")
    table = pq.read_table(staging / info.files[0].path, columns=[NAME, count])
    return dict(zip(table.column(NAME).to_pylist(), table.column(count).to_pylist(), strict=True))


def texts_of_set(job: Job, texts: Sequence[FileText | None], optics: str) -> Iterator[KeptText]:
    """How each file is written, the global one first; tilt series that are parts of it in their order there."""
    tables = tuple(optics if name == "optics" else name for name in job.table.text_tables)
    text = job.table.text
    names = job.table.names if text.raw or any(text.departures) else ()
    yield KeptText(job.file.name, None, tables, text, names)
    series = [(file, text) for file, text in zip(job.files, texts, strict=True) if text is not None]
    if job.head is not None:
        series.sort(key=lambda each: each[0].first_line)
    for file, text in series:
        path = job.file.name if job.head is not None else file.path
        yield KeptText(path, file.tomogram, ("tilts",), text)


def write_tomograms(
    global_table: pa.Table, rows: NDArray[np.int64], counts: NDArray[np.int64], staging: Path
) -> TableInfo:
    """Write ``tomograms/``: the global table, and how many tilts there are of the tomograms in some of its rows."""
    tilt_counts: list[int | None] = [None] * global_table.num_rows
    for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
        tilt_counts[row] = count
    description = "Number of tilt images; null where the tilt-series file is missing"
    labels = global_table.column_names
    name = free_name("tilt_count", "_of_series", set(labels), labels)
    column = pa.field(name, pa.int64(), metadata={"description": description, "unit": "count"})
    table = global_table.append_column(column, pa.array(tilt_counts, pa.int64()))
    origins = {label: f"global/{label}" for label in labels} | {name: "count"}
    parts = write_table(table, staging / "tomograms", staging)
    return TableInfo(table.num_rows, column_infos(table.schema, origins), parts)
