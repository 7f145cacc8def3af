"""Whether a dataset still says what its STAR files say: value by value, and byte by byte."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice, pairwise, zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ..errors import MissingFileError, TomoarrowError, raise_gathered
from ..relion.labels import LABELS
from ..relion.project import paths_outside
from ..relion.relion4 import split_set
from ..relion.series import SeriesFile, read_series
from ..relion.tomogram_set import NAME, global_table
from ..relion.trajectory_set import read_blocks
from ..star.columns import evidence_for
from ..star.document import Document
from ..star.forms import as_plain
from ..star.pieces import never, read_pieces
from ..star.reader import read_star
from ..star.reread import equal_values
from ..star.source import read_text
from ..star.tables import Findings, Options
from .origin import copied
from .paths import inside
from .projects import of_project, project_names
from .stores.urls import Remote, place_of
from .tables.contents import Progress
from .tables.members import name_in
from .tables.stacks import STACKED
from .text.files import Files, open_files
from .text.rendering import Rendered, Selection
from .versions.snapshot import Snapshot, open_snapshot

#: So many tilt-series files are read at a time.
_FILES_AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a file and the dataset differ first.

    Attributes
    ----------
    file : str
        Its path, as the project has it.
    kind : "missing", "outside", "unreadable", "extra", "values" or "bytes"
        ``outside``: its path leads out of the project, and it was not read. ``extra``: a file that was converted, but
        of which nothing is left in the dataset.
    what : str
    """

    file: str
    kind: Literal["missing", "outside", "unreadable", "extra", "values", "bytes"]
    what: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a comparison found.

    Attributes
    ----------
    dataset, against : str
    files : int
        How many STAR files were compared.
    values_equal, bytes_equal : int
        How many of them have the values of the dataset, and the bytes that it would be exported to.
    differences : list of Difference
    seconds : float
    """

    dataset: str
    against: str
    files: int
    values_equal: int
    bytes_equal: int
    seconds: float
    differences: list[Difference] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or 1 where anything differs."""
        return 1 if self.differences else 0

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)


def verify(
    dataset: str | os.PathLike[str],
    *,
    against: str | os.PathLike[str] | None = None,
    allow_outside: bool = False,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check that a dataset and its STAR files still say the same: read the files again, and compare.

    Whether the dataset's own files are undamaged is another question, which takes no STAR file: `Dataset.verify`.

    Parameters
    ----------
    dataset : path or URL
    against : path or URL, optional
        A folder with the files at the same paths, such as an export; by default, the project that was converted.
    allow_outside : bool
        Also read files outside of that project, where their paths lead there.
    progress : callable, optional
        Called with how many files are compared and how many there are; for several projects, counted anew for each.

    Returns
    -------
    VerifyReport

    Raises
    ------
    DatasetError
        The dataset cannot be read.
    """
    started = time.perf_counter()
    snapshot = open_snapshot(place_of(dataset))
    if project_names(snapshot):
        reports = [
            _verify_one(of_project(snapshot, name), _below(against, name), allow_outside, progress)
            for name in project_names(snapshot)
        ]
        report = _summed(reports, project_names(snapshot))
    else:
        report = _verify_one(snapshot, against, allow_outside, progress)
    return replace(report, dataset=os.fspath(dataset), seconds=round(time.perf_counter() - started, 3))


def _below(against: str | os.PathLike[str] | None, name: str) -> str | os.PathLike[str] | None:
    return None if against is None else f"{os.fspath(against)}/{name}"


def _summed(reports: Sequence[VerifyReport], names: Sequence[str]) -> VerifyReport:
    """What was found in all projects."""
    differences = [
        replace(each, file=f"{name}: {each.file}")
        for name, report in zip(names, reports, strict=True)
        for each in report.differences
    ]
    return VerifyReport(
        dataset="",
        against="; ".join(report.against for report in reports),
        files=sum(report.files for report in reports),
        values_equal=sum(report.values_equal for report in reports),
        bytes_equal=sum(report.bytes_equal for report in reports),
        seconds=0.0,
        differences=differences,
    )


def _verify_one(
    snapshot: Snapshot, against: str | os.PathLike[str] | None, allow_outside: bool, progress: Progress | None
) -> VerifyReport:
    """Compare the files of one project."""
    manifest = snapshot.manifest
    everything = open_files(snapshot, Selection())
    project = place_of(manifest["project"] if against is None else against)
    with ExitStack() as stack:
        if isinstance(project, Remote):
            copy = stack.enter_context(copied(project, list({kept.file for kept in everything.texts})))
            report = _verified(everything, _In(copy), progress)
            report = replace(report, against=str(project))
        elif against is not None:
            report = _verified(everything, _In(project), progress)
        else:
            home, paths = project.resolve(), sorted({kept.file for kept in everything.texts})
            outside = () if allow_outside else paths_outside(home, paths)
            at = _In(home, Path(manifest["input"]), frozenset(paths[i] for i in outside))
            report = _verified(everything, at, progress)
    return report


def _verified(everything: Files, at: _In, progress: Progress | None) -> VerifyReport:
    kept_files = {kept.file for kept in everything.texts}
    total, rendering = len(kept_files), everything.render()
    differences: list[Difference] = []
    files: list[str] = []
    while batch := list(islice(rendering, _FILES_AT_A_TIME)):
        for rendered, found in zip(batch, _compare(batch, at), strict=True):
            differences += found
            files.append(rendered.path)
        if progress is not None:
            progress(len(files), total)
    left = {file for file in kept_files - at.outside - set(files) if at.path(file).exists()}
    differences += [Difference(file, "extra", "nothing of it is left in the dataset") for file in sorted(left)]
    unread = {each.file for each in differences if each.kind in ("missing", "outside", "unreadable")}
    unlike = {kind: unread | {each.file for each in differences if each.kind == kind} for kind in ("values", "bytes")}
    return VerifyReport(
        dataset="",
        against=str(at.home),
        files=len(files),
        values_equal=len(files) - len(unlike["values"]),
        bytes_equal=len(files) - len(unlike["bytes"]),
        seconds=0.0,
        differences=differences,
    )


@dataclass(frozen=True, slots=True)
class _In:
    """Where the files are: in the project that was converted, or at the same paths in another folder.

    Attributes
    ----------
    home : Path
    given : Path or None
        The file that was converted, which may lie outside of the project.
    outside : frozenset of str
        The paths that lead out of the project, and are not to be read.
    """

    home: Path
    given: Path | None = None
    outside: frozenset[str] = frozenset()

    def path(self, path: str) -> Path:
        """Where a file is; in another folder than the project always below it."""
        if self.given is None:
            return self.home / inside(path)
        return self.given if path == name_in(self.home, self.given) else self.home / path


def _compare(batch: list[Rendered], at: _In) -> Iterator[list[Difference]]:
    """The differences of each of some files."""
    series = [each for each in batch if each.tomogram is not None and each.path not in at.outside]
    tables = dict(zip(map(id, series), _read_series(series, at), strict=True))
    for each in batch:
        if each.path in at.outside:
            yield [
                Difference(
                    each.path, "outside", f"it leads out of {at.home}, and was not read; --allow-outside reads it"
                )
            ]
        elif each.tomogram is not None:
            yield _differences(each, at.path(each.path), {"tilts": tables[id(each)]})
        else:
            yield _differences(each, at.path(each.path), _read_others(at.path(each.path), each.tables))


def _read_series(series: list[Rendered], at: _In) -> list[pa.Table | None]:
    """The tilts in each file; None where it cannot be read."""
    evidence: dict[str, int] = {}
    for each in series:
        for column in each.tables["tilts"].schema:
            evidence[column.name] = evidence.get(column.name, 0) | evidence_for(column.type)
    found = Findings()
    files = [SeriesFile(each.tomogram or "", each.path, str(at.path(each.path))) for each in series]
    read = read_series(files, Options(LABELS, evidence, "null"), found)
    bad = {error.place.path for error in found.errors}
    tables = [each.tables["tilts"] for each in series]
    if not bad and [table.num_rows for table in tables] == read.counts.tolist():
        rendered = pa.concat_tables(tables, promote_options="permissive") if tables else read.table
        if set(rendered.column_names) == set(read.table.column_names) and not _first_value(read.table, rendered):
            # All at once: nothing is left to be told of single files.
            return list(tables)
    bounds = np.cumsum([0, *read.counts]).tolist()
    pieces = [read.table.slice(begin, end - begin) for begin, end in pairwise(bounds)]
    return [None if each.path in bad else piece for each, piece in zip(series, pieces, strict=True)]


def _read_others(path: Path, tables: dict[str, pa.Table]) -> dict[str, pa.Table | None]:
    """The tables of a file that is no tilt series, by their names in the dataset; None where it cannot be read."""
    try:
        if "tilts" in tables:
            return _read_one_file_set(path, tables)
        if any(name in STACKED for name in tables):
            return {name: _read_stacked(path, table) for name, table in tables.items()}
        document = read_star(path, labels=LABELS, on_bad_value="null")
        if "tomograms" in tables:
            return _global_tables(path, document, tables)
        loops = [loop for block in document for loop in block.loops if loop.num_columns]
        return dict(zip_longest(tables, loops[: len(tables)]))
    except TomoarrowError:
        return dict.fromkeys(tables)


def _read_stacked(path: Path, table: pa.Table) -> pa.Table:
    """The rows of all blocks of a file, of the types that a table has."""
    options = Options(LABELS, {column.name: evidence_for(column.type) for column in table.schema}, "null")
    work = partial(read_blocks, options=options, is_first=False)
    with closing(read_pieces(path, "relion", work, stands=never, threads=1, whole_blocks=True)) as pieces:
        found = [read.result for read in pieces]
    raise_gathered([error for blocks in found for error in blocks.found.errors], "{n} values or labels do not fit:")
    tables = [blocks.stack.table for blocks in found]
    return pa.concat_tables(tables, promote_options="permissive")


def _global_tables(
    path: Path, document: Document, tables: dict[str, pa.Table], *, has_series: bool = False
) -> dict[str, pa.Table | None]:
    found = global_table(path, document, has_series=has_series)
    optics = found.optics.loops[0] if found.optics is not None else pa.table({})
    return {name: found.table if name == "tomograms" else optics for name in tables if name != "tilts"}


def _read_one_file_set(path: Path, tables: dict[str, pa.Table]) -> dict[str, pa.Table | None]:
    """The tables of a tomogram set in one file."""
    parts = split_set(read_text(path), str(path))
    document = read_star(parts.head, labels=LABELS, on_bad_value="null")
    found = _global_tables(path, document, tables, has_series=True)
    tomograms = found["tomograms"]
    assert tomograms is not None
    names = tomograms.column(NAME).to_pylist()
    evidence = {column.name: evidence_for(column.type) for column in tables["tilts"].schema}
    files = [parts.series[name] for name in names if name in parts.series]
    return found | {"tilts": read_series(files, Options(LABELS, evidence, "null"), Findings()).table}


def _differences(rendered: Rendered, path: Path, tables: dict[str, pa.Table | None]) -> list[Difference]:
    """Where one file differs from what is rendered."""
    try:
        text = read_text(path)
    except MissingFileError as error:
        return [Difference(rendered.path, "missing", error.problem)]
    except TomoarrowError as error:
        return [Difference(rendered.path, "unreadable", error.problem)]
    found = []
    data = text.buffer[text.begins[0] : text.ends[0]].tobytes()
    if data != rendered.data:
        found.append(Difference(rendered.path, "bytes", _first_line(data, rendered.data)))
    for name, table in rendered.tables.items():
        source = tables[name]
        if source is table:
            continue
        if source is None:
            return [Difference(rendered.path, "unreadable", "it does not read as it did"), *found]
        what = _first_value(source, table)
        if what:
            found.append(Difference(rendered.path, "values", what))
            break
    return found


def _first_line(source: bytes, rendered: bytes) -> str:
    lines = zip([*source.splitlines(), b"(end)"], [*rendered.splitlines(), b"(end)"], strict=False)
    for number, (one, other) in enumerate(lines, 1):
        if one != other:
            return f"line {number}: {_shown(one)} in the file, {_shown(other)} in the dataset"
    return "the ends of lines"


def _shown(line: bytes, most: int = 80) -> str:
    text = line.decode("utf-8", "replace")
    return repr(text if len(text) <= most else f"{text[:most]}...")


def _first_value(source: pa.Table, table: pa.Table) -> str:
    """The first value that differs; empty where none does."""
    # Columns that only other files of the set have are null here.
    there = [label for label in source.column_names if source.column(label).null_count < source.num_rows]
    absent = set(there) - set(table.column_names)
    if absent:
        return f"label {min(absent)} is not in the dataset"
    if source.num_rows != table.num_rows:
        return f"{source.num_rows} rows in the file, {table.num_rows} in the dataset"
    for label in table.column_names:
        if label not in source.column_names:
            return f"label {label} is not in the file"
        mine, theirs = (as_plain(each.column(label)).combine_chunks() for each in (table, source))
        if pa.types.is_null(mine.type):
            mine = mine.cast(theirs.type)
        try:
            theirs = theirs.cast(mine.type)
        except pa.ArrowException:
            return f"label {label} is {theirs.type} in the file, {mine.type} in the dataset"
        unlike = np.flatnonzero(~equal_values(theirs, mine))
        if len(unlike):
            row = int(unlike[0])
            return (
                f"row {row}, label {label}: {theirs[row].as_py()!r} in the file, {mine[row].as_py()!r} in the dataset"
            )
    return ""
