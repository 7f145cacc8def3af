"""``tilts/`` with some tilt series replaced: files that hold none of these stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..layout import Part, PartWriter, file_rows_for
from ..versions.snapshot import DataFile, Snapshot

#: A file may become so many times as long as new ones before everything is laid out anew.
_LONGEST = 4

_NUMBER = re.compile(r"part-(\d+)")


class TakesAll(Exception):
    """What a new conversion would give is not known, or not to be had, without reading everything."""


@dataclass(frozen=True, slots=True)
class TiltFile:
    """A file that is there, its series, and the row at which each of these begins."""

    file: DataFile
    part: Part
    series: NDArray[np.int64]
    begins: NDArray[np.int64]

    def read(self) -> pa.Table:
        """All of its rows."""
        return pq.ParquetFile(self.file.source).read()


@dataclass(frozen=True, slots=True)
class Changes:
    """Tilt series as they were and as they are to be.

    Attributes
    ----------
    n_old : int
        How many series there were.
    files : dict
        The files of them, by folder.
    kept : int64[new series]
        The number that each had, where it stays; else -1.
    was : int64[new series]
        The number that each had, or -1.
    counts : int64[new series]
    folders : object[new series]
        The folder of each, as text.
    rows : pyarrow.Table
        Those of series that do not stay, one after the other.
    """

    n_old: int
    files: dict[str, list[TiltFile]]
    kept: NDArray[np.int64]
    was: NDArray[np.int64]
    counts: NDArray[np.int64]
    folders: NDArray[np.object_]
    rows: pa.Table


def tilt_files(
    snapshot: Snapshot, counts: NDArray[np.int64], folders: NDArray[np.object_]
) -> dict[str, list[TiltFile]]:
    """The files of ``tilts/`` by folder, given how many rows each series has and the folder that it is in.

    Raises
    ------
    TakesAll
        They hold other rows than that.
    """
    listed = {each["path"]: Part(**each) for each in snapshot.manifest["tables"]["tilts"]["files"]}
    there: dict[str, list[DataFile]] = {}
    for file in snapshot.tables["tilts"]:
        there.setdefault(str(PurePath(file.path).parent), []).append(file)
    found = {}
    for folder in {*there, *folders.tolist()}:
        own = np.flatnonzero((folders == folder) & (counts > 0))
        found[folder] = list(_files_of(own, counts[own], there.get(folder, []), listed))
    return found


def _files_of(
    series: NDArray[np.int64], counts: NDArray[np.int64], files: Sequence[DataFile], listed: dict[str, Part]
) -> Iterator[TiltFile]:
    begins = np.append(0, np.cumsum(counts))
    first = 0
    for file in files:
        part = listed[file.path]
        last = int(np.searchsorted(begins, begins[first] + part.rows))
        if last == len(begins) or begins[last] != begins[first] + part.rows:
            raise TakesAll
        yield TiltFile(file, part, series[first:last], begins[first:last] - begins[first])
        first = last
    if first != len(series):
        raise TakesAll


def read_first(files: dict[str, list[TiltFile]], kept: NDArray[np.int64]) -> dict[str, pa.Table]:
    """The first file of which not all series stay, by its path: it can be read before it is known what they become."""
    for file in (file for own in files.values() for file in own):
        if not np.isin(file.series, kept).all():
            return {file.part.path: file.read()}
    return {}


def rewrite(changes: Changes, tables: dict[str, pa.Table], staging: Path) -> list[Part]:
    """Write the files that change; return all that the table has then.

    `tables`: files that have been read already, by their paths.

    Raises
    ------
    TakesAll
        A file would become too long, or nothing is left.
    """
    file_rows = file_rows_for(int(changes.counts.sum()))
    parts: list[Part] = []
    for folder in sorted({*changes.folders.tolist()}):
        files = changes.files.get(folder, [])
        series = np.flatnonzero((changes.folders == folder) & (changes.counts > 0))
        homes = _homes(series, files, changes, file_rows)
        for at in np.unique(homes).tolist():
            parts += _write(at, series[homes == at], files, tables, changes, staging / folder, staging, file_rows)
    if not parts:
        raise TakesAll
    return parts


def _homes(series: NDArray[np.int64], files: Sequence[TiltFile], changes: Changes, file_rows: int) -> NDArray[np.int64]:
    """The number of the file that each series goes to: a new one goes where the one before it is.

    A file of the number behind the last is a new one.
    """
    of_series = np.full(changes.n_old + 1, -1)
    for f, file in enumerate(files):
        of_series[file.series] = f
    # Of what was not there, -1, no file is known: the last element.
    homes, before = of_series[changes.kept[series]], of_series[changes.was[series]]
    # Up to which file one may go, so that the order stays: that of the next one that is not read again.
    following = np.minimum.accumulate(np.where(homes < 0, len(files), homes)[::-1])[::-1]
    first = int(following[0]) if len(series) else 0
    for i in np.flatnonzero(homes < 0).tolist():
        at = int(homes[i - 1]) if i else first
        if at <= before[i] <= following[i]:
            # It was there before.
            at = int(before[i])
        elif following[i] == len(files) and at == len(files) - 1 and files[at].part.rows >= file_rows:
            # Behind the last file, which is full, a new one begins.
            at = len(files)
        homes[i] = at
    return homes


def _write(
    at: int,
    series: NDArray[np.int64],
    files: Sequence[TiltFile],
    tables: dict[str, pa.Table],
    changes: Changes,
    folder: Path,
    root: Path,
    file_rows: int,
) -> list[Part]:
    """Write one file, or what is behind the last; one that stays as it is is not written."""
    old = files[at] if at < len(files) else None
    if old is not None and np.array_equal(changes.kept[series], old.series):
        return [old.part]
    n_rows = int(changes.counts[series].sum())
    is_last = at >= len(files) - 1
    if n_rows > _LONGEST * file_rows and not is_last:
        raise TakesAll
    number = int(found[1]) if old is not None and (found := _NUMBER.search(old.part.path)) else _next_number(files)
    table = changes.rows if old is None else tables.pop(old.part.path, None) or old.read()
    with PartWriter(folder, root, table.schema, first=number, file_rows=file_rows if is_last else n_rows + 1) as writer:
        for piece in _pieces(series, old, table, changes):
            writer.write(piece)
    return writer.parts


def _pieces(series: NDArray[np.int64], old: TiltFile | None, table: pa.Table, changes: Changes) -> Iterator[pa.Table]:
    """The rows of a file, in as few pieces as can be: new ones, and those of a table that it has."""
    is_fresh = changes.kept[series] < 0
    fresh_ends = np.cumsum(np.where(changes.kept < 0, changes.counts, 0))
    counts = changes.counts[series]
    begins = fresh_ends[series] - counts
    if old is not None:
        kept = changes.kept[series][~is_fresh]
        begins[~is_fresh] = old.begins[np.searchsorted(old.series, kept)]
    goes_on = (is_fresh[1:] == is_fresh[:-1]) & (begins[1:] == (begins + counts)[:-1])
    for run in np.split(np.arange(len(series)), np.flatnonzero(~goes_on) + 1):
        rows = changes.rows if is_fresh[run[0]] else table
        yield rows.slice(int(begins[run[0]]), int(counts[run].sum()))


def _next_number(files: Sequence[TiltFile]) -> int:
    numbers = [int(found[1]) for file in files if (found := _NUMBER.search(file.part.path))]
    return max(numbers, default=-1) + 1
