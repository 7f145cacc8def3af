"""The row groups of a table: the pieces in which a training loop reads it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import DatasetError, Place, UsageError
from ..layout import HIVE_NULL
from ..stores.urls import folder_of
from ..versions.snapshot import Snapshot, open_snapshot
from .stored import Stored, open_table


@dataclass(frozen=True, slots=True)
class RowGroup:
    """One row group.

    Attributes
    ----------
    path : str
        Its file.
    number : int
        Which it is in its file, from 0.
    rows : int
    folder : str or None
        The value that the name of its Hive folder has for the column by which the table is partitioned.
    """

    path: str
    number: int
    rows: int
    folder: str | None


@dataclass(frozen=True, slots=True)
class GroupedTable:
    """A table as its row groups, in the order in which any reader of the table has its rows.

    Attributes
    ----------
    stored : Stored
    schema : pyarrow.Schema
        With the column that is in the names of folders, if there is one.
    groups : tuple of RowGroup
    partition_by : str or None
    """

    stored: Stored
    schema: pa.Schema
    groups: tuple[RowGroup, ...]
    partition_by: str | None

    def read(self, group: RowGroup, columns: Sequence[str], file: pq.ParquetFile | None = None) -> pa.Table:
        """Some columns of a row group, in any order, with one thread; `file` is its file where that is open.

        Raises
        ------
        DatasetError
            The file cannot be read, or lacks a column.
        """
        inside = [name for name in columns if name != self.partition_by]
        try:
            opened = open_file(group.path) if file is None else file
            table = opened.read_row_group(group.number, columns=inside, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"the file cannot be read: {error}", place=Place(group.path)) from error
        if table.num_columns < len(inside):
            missing = ", ".join(sorted({*inside} - {*table.column_names}))
            raise DatasetError(f"the file has no column {missing}", place=Place(group.path), remedy="convert again")
        if self.partition_by in columns:
            value = pa.scalar(group.folder, pa.string()).cast(self.schema.field(self.partition_by).type)
            table = table.append_column(self.partition_by, pa.repeat(value, group.rows))
        return table


def open_file(path: str) -> pq.ParquetFile:
    """A Parquet file, to read row groups one by one (read ahead and memory maps were slower when measured)."""
    return pq.ParquetFile(path, memory_map=False, pre_buffer=False)


def open_groups(dataset: str | os.PathLike[str], name: str) -> GroupedTable:
    """The row groups of a table.

    Raises
    ------
    DatasetError
        The folder is no dataset, or a file of the table is missing or damaged.
    UsageError
        The dataset has no such table.
    """
    # By path: those who read go on in other processes.
    return groups_of(open_snapshot(folder_of(dataset, "training"), hold=False), name)


def groups_of(snapshot: Snapshot, name: str) -> GroupedTable:
    """The same of a dataset that is open, in a folder."""
    folder, manifest = folder_of(snapshot.folder, "training"), snapshot.manifest
    if name not in manifest["tables"]:
        raise UsageError(
            f"the dataset has no table {name}", place=Place(str(folder)), expected=", ".join(manifest["tables"])
        )
    stored = open_table(snapshot, name)
    table = manifest["tables"][name]
    groups: list[RowGroup] = []
    for file, bounds in zip(stored.files, stored.bounds, strict=True):
        value = _folder_value(file.path)
        groups += (
            RowGroup(str(file.place), number, stop - start, value)
            for number, (start, stop) in enumerate(pairwise(bounds))
        )
    several = "train on datasets of one project each" if manifest["projects"] else ""
    schema = _schema_of(stored, several or "write all files of the table anew, or convert again")
    column = None if table["partition_by"] is None else _folder_column(stored.files[0].path)
    if column is not None:
        types = {each["name"]: each["type"] for each in table["columns"]}
        schema = schema.append(pa.field(column, _FOLDER_TYPES.get(types.get(column, ""), pa.string())))
    return GroupedTable(stored, schema, tuple(groups), column)


def _schema_of(stored: Stored, remedy: str) -> pa.Schema:
    """The schema that all files have.

    Raises
    ------
    DatasetError
        They have not the same.
    """
    first, *others = (pq.read_schema(file.source) for file in stored.files)
    for file, other in zip(stored.files[1:], others, strict=True):
        if not other.equals(first):
            raise DatasetError(
                "the files of a table have other columns or types than its first",
                place=Place(str(file.place)),
                remedy=remedy,
            )
    return first


#: What the manifest calls the types of columns that are no text.
_FOLDER_TYPES = {str(type_): type_ for type_ in (pa.int64(), pa.int32(), pa.float64(), pa.bool_())}


def _folder_column(path: str) -> str | None:
    name, is_hive, _ = PurePath(path).parent.name.partition("=")
    return unquote(name) if is_hive else None


def _folder_value(path: str) -> str | None:
    _, is_hive, value = PurePath(path).parent.name.partition("=")
    return unquote(value) if is_hive and value != HIVE_NULL else None
