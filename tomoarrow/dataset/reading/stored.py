"""The tables of a dataset as their files are now: those that were converted, or what other tools made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...errors import DatasetError, Place
from ...star.forms import plain_table
from ..stores.urls import Remote
from ..versions.snapshot import DataFile, Snapshot


@dataclass(frozen=True, slots=True)
class Stored:
    """One table.

    Attributes
    ----------
    folder : Path or Remote
    files : tuple of DataFile
    bounds : tuple of tuple of int
        For each file, the rows of the whole table between which its row groups lie: one more than there are groups.
    columns : tuple of str
        Of all files; columns that are folders, as Hive has them, are none.
    origins : dict
        For the columns that were converted, the table and label that they came from.
    described : dict
        What the manifest says of it.
    """

    folder: Path | Remote
    files: tuple[DataFile, ...]
    bounds: tuple[tuple[int, ...], ...]
    columns: tuple[str, ...]
    origins: dict[str, str]
    described: dict[str, Any]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.bounds[-1][-1]

    @property
    def is_changed(self) -> bool:
        """Whether the files are not those that were converted, by their names and sizes."""
        now = {file.path: file.bytes for file in self.files}
        return now != {file["path"]: file["bytes"] for file in self.described["files"]}

    def labels(self, origin: str) -> dict[str, str]:
        """The labels of the columns that came from one of the project's tables, or are new, by column."""
        found = {}
        for column in self.columns:
            table, _, label = self.origins.get(column, f"{origin}/{column}").partition("/")
            if table == origin:
                found[column] = label
        return found

    def read(self, columns: Sequence[str], begin: int = 0, end: int | None = None) -> pa.Table:
        """Some columns of the rows of a range; text, lists and numbers have one type each, whoever wrote them."""
        end = self.rows if end is None else end
        pieces = []
        for each, bounds in zip(self.files, self.bounds, strict=True):
            groups = [g for g, (first, last) in enumerate(pairwise(bounds)) if first < end and last > begin]
            if groups:
                file = pq.ParquetFile(each.source)
                there = [column for column in columns if column in file.schema_arrow.names]
                piece = plain_table(file.read_row_groups(groups, columns=there, use_threads=False))
                first, last = bounds[groups[0]], bounds[groups[-1] + 1]
                pieces.append(piece.slice(max(begin, first) - first, min(end, last) - max(begin, first)))
        if not pieces:
            nothing = plain_table(pq.read_schema(self.files[0].source).empty_table())
            return nothing.select([column for column in columns if column in nothing.column_names])
        table = pa.concat_tables(pieces, promote_options="permissive")
        return table.select([column for column in columns if column in table.column_names])


def open_table(snapshot: Snapshot, name: str) -> Stored:
    """Look at the files of a table.

    Raises
    ------
    DatasetError
        There are none, or one cannot be read.
    """
    folder, files = snapshot.folder / name, snapshot.tables.get(name, ())
    if not files:
        raise DatasetError(
            f"the dataset has no table {name}", place=Place(str(folder)), remedy="convert again, or restore its files"
        )
    bounds: list[tuple[int, ...]] = []
    columns: dict[str, None] = {}
    for file in files:
        try:
            metadata = pq.read_metadata(file.source)
            columns |= dict.fromkeys(metadata.schema.to_arrow_schema().names)
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"the file cannot be read: {error}", place=Place(str(file.place))) from error
        sizes = [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)]
        bounds.append(tuple(np.cumsum([bounds[-1][-1] if bounds else 0, *sizes]).tolist()))
    described = snapshot.manifest["tables"][name]
    origins = {column["name"]: column["origin"] for column in described["columns"] if column["origin"]}
    return Stored(folder, files, tuple(bounds), tuple(columns), origins, described)


def rows_by_name(names: pa.ChunkedArray, order: Sequence[str]) -> NDArray[np.int64]:
    """The position of each name in an order; -1 where it is not in it."""
    found = names.combine_chunks() if names.num_chunks != 1 else names.chunk(0)
    if not len(found):
        return np.empty(0, np.int64)
    codes = found.dictionary_encode()
    at = {name: i for i, name in enumerate(order)}
    of_code = np.array([*(at.get(name, -1) for name in codes.dictionary.to_pylist()), -1], np.int64)
    return np.asarray(of_code[codes.indices.fill_null(-1).to_numpy()], np.int64)


def integers(column: pa.ChunkedArray, name: str, folder: Path | Remote) -> pa.ChunkedArray:
    """A column as int64, whatever other tools made of it.

    Raises
    ------
    DatasetError
    """
    try:
        # Other tools may make floats of them, and nan of what is missing.
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
        return column.cast(pa.int64())
    except pa.ArrowException as error:
        raise DatasetError(f"{name} holds what is no integer: {error}", place=Place(str(folder))) from error
