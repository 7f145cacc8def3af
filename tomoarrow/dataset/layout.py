"""How a table lies in files: parts of whole tomograms, bounded in size, in row groups of a few thousand rows."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError

#: A row group ends with the first tomogram that reaches this many rows: small enough to shuffle for training,
#: large enough to scan.
ROW_GROUP_ROWS = 8192

#: A page has so many rows: who looks for one tomogram unpacks no more than a few pages of each column.
PAGE_ROWS = 2048

_LEAST_PAGE_BYTES = 4096

#: A file ends with the row group that reaches this many rows.
FILE_ROWS = 32 * ROW_GROUP_ROWS

#: A long table has about so many files, or fewer: when one tomogram changes, only one of them is written again.
_MOST_FILES = 32

TILT_INDEX = "tilt_index"

#: What Hive calls the folder of a missing value.
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"

#: The longest name of a file or folder, in bytes, on all file systems in use.
_LONGEST_NAME = 255

_FLUSHED_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file of a table."""

    path: str
    rows: int
    bytes: int
    sha256: str


def file_rows_for(rows: int) -> int:
    """How many rows a file of a table of so many has, about."""
    return min(FILE_ROWS, ROW_GROUP_ROWS * max(1, -(-rows // (_MOST_FILES * ROW_GROUP_ROWS))))


def write_table(table: pa.Table, folder: Path, root: Path) -> list[Part]:
    """Write a small table as one part."""
    with PartWriter(folder, root, table.schema) as writer:
        writer.write_group(table)
    return writer.parts


def partition_folder(label: str, value: object) -> str:
    """The name of a Hive folder.

    Raises
    ------
    UsageError
        The value is too long for the name of a folder, or is what Hive calls a missing one.
    """
    if value == HIVE_NULL:
        raise UsageError(f"{label} has the value {value}, which Hive takes for a missing one")
    text = HIVE_NULL if value is None else str(value)
    # A path may hold bytes that are no UTF-8, which Python has as lone surrogates.
    name = f"{quote(label, safe='')}={quote(text, safe=' ', errors='surrogateescape')}"
    if len(name) > _LONGEST_NAME:
        raise UsageError(f"a value of {label} is too long to name a folder", expected=f"{_LONGEST_NAME} bytes at most")
    return name


class PartWriter:
    """Writes a table that arrives in pieces into files ``part-00000.parquet`` and so on.

    Parameters
    ----------
    folder : Path
        Where the files go.
    root : Path
        What their paths in the manifest are relative to.
    schema : pyarrow.Schema
    pool : Executor, optional
        Seals files that are complete, meanwhile.
    first : int
        The number of the first file.
    file_rows : int, optional
        How many rows a file has, about.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        schema: pa.Schema,
        pool: Executor | None = None,
        *,
        first: int = 0,
        file_rows: int | None = None,
    ) -> None:
        self._folder, self._root, self.schema, self._pool = folder, root, schema, pool
        self._first, self._file_rows = first, FILE_ROWS if file_rows is None else file_rows
        self._path = folder
        self._writer: pq.ParquetWriter | None = None
        self._rows_in_file = 0
        self._waiting: list[pa.Table] = []
        self._sealing: list[tuple[Callable[[], None], Callable[[], Part]]] = []

    @cached_property
    def parts(self) -> list[Part]:
        """The files, once all is written."""
        for flushed, _ in self._sealing:
            flushed()
        return [described() for _, described in self._sealing]

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self._flush_waiting()
            if self._writer is None:
                self._open()
            self._seal()
        else:
            self.abandon()

    def abandon(self) -> None:
        """Close the file that is being written, which is of no use."""
        if self._writer is not None:
            self._writer.close()

    def write(self, table: pa.Table, position: str = TILT_INDEX) -> None:
        """Add rows of whole tomograms, or particles; cut into row groups between these, where `position` is 0."""
        waiting = sum(piece.num_rows for piece in self._waiting)
        begin = 0
        for end in _cuts(table.column(position), ROW_GROUP_ROWS - waiting):
            self._waiting.append(table.slice(begin, end - begin))
            self._flush_waiting()
            begin = end
        if begin < table.num_rows:
            self._waiting.append(table.slice(begin))

    def write_group(self, table: pa.Table) -> None:
        """Write a table as one row group."""
        if self._rows_in_file >= self._file_rows:
            self._seal()
        if self._writer is None:
            self._open()
        assert self._writer is not None
        self._writer.write_table(table.cast(self.schema), row_group_size=max(1, table.num_rows))
        self._rows_in_file += table.num_rows

    def _flush_waiting(self) -> None:
        if self._waiting:
            # One dictionary for all pieces: Parquet's writer gives dictionaries up where they differ.
            self.write_group(pa.concat_tables(self._waiting).unify_dictionaries())
            self._waiting = []

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / f"part-{self._first + len(self._sealing):05d}.parquet"
        repeating = [field.name for field in self.schema if pa.types.is_dictionary(field.type)]
        self._writer = pq.ParquetWriter(
            self._path,
            self.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=True if len(self.schema) == 0 else repeating,
            write_statistics=True,
            write_page_index=True,
            # A page ends with the batch that makes it longer than so many bytes, which each does.
            data_page_size=_LEAST_PAGE_BYTES,
            write_batch_size=PAGE_ROWS,
        )
        self._rows_in_file = 0

    def _seal(self) -> None:
        """Complete the file."""
        assert self._writer is not None
        self._writer.close()
        self._writer, self._rows_in_file = None, 0
        flush, describe = partial(_flush, self._path), partial(_describe, self._path, self._root)
        if self._pool is None:
            self._sealing.append((flush, describe))
        else:
            self._sealing.append((self._pool.submit(flush).result, self._pool.submit(describe).result))


def _cuts(positions: pa.ChunkedArray, first_wanted: int) -> Iterator[int]:
    """The rows at which row groups end: the first tomogram begun after enough rows, and so on."""
    starts = np.flatnonzero(positions.to_numpy() == 0)
    wanted = first_wanted
    while True:
        at = int(np.searchsorted(starts, wanted))
        if at == len(starts):
            return
        yield int(starts[at])
        wanted = int(starts[at]) + ROW_GROUP_ROWS


def seal(path: Path, root: Path) -> Part:
    """Flush a file to disk, read its footer back, and take its checksum."""
    _flush(path)
    return _describe(path, root)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _describe(path: Path, root: Path) -> Part:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = pq.read_metadata(path).num_rows
    return Part(path.relative_to(root).as_posix(), rows, path.stat().st_size, digest)


def flush_files(paths: Iterable[Path]) -> None:
    """Flush many small files to disk, a few at a time: the disk then writes them together."""
    with ThreadPoolExecutor(_FLUSHED_AT_A_TIME) as pool:
        for _ in pool.map(_flush, paths):
            pass


def clear_folder(folder: Path) -> None:
    """Remove the tables in a folder, to write them anew."""
    for table in folder.iterdir():
        shutil.rmtree(table)


def flush_folders(folders: Sequence[Path]) -> None:
    """Flush directory entries to disk (POSIX: a new file is safe only once its directory is)."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
