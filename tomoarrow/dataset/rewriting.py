"""``tilts/`` with some tilt series replaced: files that hold none of these stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .layout import Part, PartWriter, file_rows_for
from .snapshot import DataFile, Snapshot

#: A file may become so many times as long as new ones before everything is laid out anew.
_LONGEST = 4

_NUMBER = re.compile(r"part-(\d+)")


class TakesAll(Exception):
    """What a new conversion would give is not known, or not to be had, without reading everything."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Tilt series as they were and as they are to be.

    Attributes
    ----------
    old_counts : int64[old series]
        How many rows each had.
    old_folders : sequence of str
        The folder that each was in.
    kept : int64[new series]
        The number that each had, where it stays; else -1.
    was : int64[new series]
        The number that each had, or -1.
    counts : int64[new series]
    folders : sequence of str
    rows : pyarrow.Table
        Those of series that do not stay, one after the other.
    """

    old_counts: NDArray[np.int64]
    old_folders: Sequence[str]
    kept: NDArray[np.int64]
    was: NDArray[np.int64]
    counts: NDArray[np.int64]
    folders: Sequence[str]
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is there: its series, and the row at which each begins."""

    file: DataFile
    part: Part
    series: list[int]
    begins: dict[int, int]


def rewrite(snapshot: Snapshot, changes: Changes, staging: Path) -> list[Part]:
    """Write the files that change; return all that the table has then.

    Raises
    ------
    TakesAll
        A file would become too long, or nothing is left.
    """
    listed = {each["path"]: Part(**each) for each in snapshot.manifest["tables"]["tilts"]["files"]}
    there: dict[str, list[DataFile]] = {}
    for file in snapshot.tables["tilts"]:
        there.setdefault(str(PurePath(file.path).parent), []).append(file)
    file_rows = file_rows_for(int(changes.counts.sum()))
    ends = np.cumsum(np.where(changes.kept < 0, changes.counts, 0))
    fresh = {
        i: changes.rows.slice(ends[i] - changes.counts[i], changes.counts[i])
        for i in np.flatnonzero(changes.kept < 0).tolist()
    }
    parts: list[Part] = []
    for folder in sorted(set(changes.folders)):
        files = list(_files_in(folder, there.get(folder, []), listed, changes))
        series = [i for i, own in enumerate(changes.folders) if own == folder and changes.counts[i]]
        for at, own in _shared_out(series, files, changes, file_rows):
            parts += _write(at, own, files, fresh, changes, staging / folder, staging, file_rows)
    if not parts:
        raise TakesAll
    return parts


def _files_in(folder: str, files: Sequence[DataFile], listed: dict[str, Part], changes: Changes) -> Iterator[_File]:
    """The files of a folder, each with the series that are in it."""
    own = [i for i, each in enumerate(changes.old_folders) if each == folder and changes.old_counts[i]]
    ends = np.cumsum(changes.old_counts[own])
    first = 0
    for file in files:
        part = listed[file.path]
        begin = int(ends[first - 1]) if first else 0
        last = int(np.searchsorted(ends, begin + part.rows, side="right"))
        if part.rows and (last == first or ends[last - 1] != begin + part.rows):
            raise TakesAll
        begins = {i: int(ends[k] - changes.old_counts[i]) - begin for k, i in enumerate(own[first:last], first)}
        yield _File(file, part, own[first:last], begins)
        first = last
    if first != len(own):
        raise TakesAll


def _shared_out(
    series: Sequence[int], files: Sequence[_File], changes: Changes, file_rows: int
) -> Iterator[tuple[int, list[int]]]:
    """The series of each file, given by its number: a new one goes where the one before it is.

    A file of the number behind the last is a new one.
    """
    of_series = {i: f for f, file in enumerate(files) for i in file.series}
    homes = [of_series[int(changes.kept[i])] if changes.kept[i] >= 0 else -1 for i in series]
    # Up to which file one may go, so that the order stays: that of the next one that is not read again.
    following = np.minimum.accumulate(np.where(np.array(homes) < 0, len(files), homes)[::-1])[::-1].tolist()
    at = min((home for home in homes if home >= 0), default=len(files))
    own: list[tuple[int, int]] = []
    for i, home, last in zip(series, homes, following, strict=True):
        before = of_series.get(int(changes.was[i]), -1)
        if home >= 0:
            at = home
        elif at <= before <= last:
            # It was there before.
            at = before
        elif last == len(files) and at == len(files) - 1 and files[at].part.rows >= file_rows:
            # Behind the last file, which is full, a new one begins.
            at = len(files)
        own.append((at, i))
    for f, group in groupby(own, key=lambda each: each[0]):
        yield f, [i for _, i in group]


def _write(
    at: int,
    series: list[int],
    files: Sequence[_File],
    fresh: dict[int, pa.Table],
    changes: Changes,
    folder: Path,
    root: Path,
    file_rows: int,
) -> list[Part]:
    """Write one file, or what is behind the last; one that stays as it is is not written."""
    old = files[at] if at < len(files) else None
    if old is not None and [changes.kept[i] for i in series] == old.series:
        return [old.part]
    n_rows = int(changes.counts[series].sum())
    is_last = at >= len(files) - 1
    if n_rows > _LONGEST * file_rows and not is_last:
        raise TakesAll
    schema = next(iter(fresh.values())).schema if old is None else pq.read_schema(old.file.source)
    table = None if old is None else pq.ParquetFile(old.file.source).read()
    number = int(found[1]) if old is not None and (found := _NUMBER.search(old.part.path)) else _next_number(files)
    with PartWriter(folder, root, schema, first=number, file_rows=file_rows if is_last else n_rows + 1) as writer:
        for is_fresh, run in groupby(series, key=lambda i: i in fresh):
            own = [*run]
            if is_fresh:
                pieces = [fresh[i] for i in own]
            else:
                assert old is not None
                assert table is not None
                pieces = _slices(table, [old.begins[int(changes.kept[i])] for i in own], changes.counts[own].tolist())
            for piece in pieces:
                writer.write(piece)
    return writer.parts


def _slices(table: pa.Table, begins: Sequence[int], counts: Sequence[int]) -> list[pa.Table]:
    """Rows of a table, in as few pieces as can be."""
    pieces: list[tuple[int, int]] = []
    for begin, count in zip(begins, counts, strict=True):
        if pieces and sum(pieces[-1]) == begin:
            pieces[-1] = pieces[-1][0], pieces[-1][1] + count
        else:
            pieces.append((begin, count))
    return [table.slice(*piece) for piece in pieces]


def _next_number(files: Sequence[_File]) -> int:
    numbers = [int(found[1]) for file in files if (found := _NUMBER.search(file.part.path))]
    return max(numbers, default=-1) + 1
