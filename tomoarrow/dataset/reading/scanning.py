"""The files of a table as Polars has them: these very files, whatever takes their places meanwhile."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import PurePath
from typing import IO, Any
from urllib.parse import unquote

import polars as pl

from ...errors import DatasetError, Place
from ..layout import HIVE_NULL
from ..stores.urls import Remote
from ..versions.snapshot import DataFile

#: The stores that Polars reads by itself; of others it takes whole files.
_STORES = ("s3", "gs", "az", "abfs", "abfss")

#: What the manifest calls the types of columns that are folders and no text.
_TYPES: dict[str, type[pl.DataType]] = {
    "int64": pl.Int64,
    "int32": pl.Int32,
    "double": pl.Float64,
    "bool": pl.Boolean,
}


def scan_files(files: Sequence[DataFile], table: dict[str, Any]) -> pl.LazyFrame:
    """A frame of some files of a table, given what the manifest says of it.

    Columns that are folders, as Hive has them, come from their names, with the type that the manifest knows. Files
    that other tools have written need not have the same columns: what one lacks is null.
    """
    if not any("=" in file.path for file in files):
        return _scan_alike(files, table)
    types = {column["name"]: _TYPES.get(column["type"], pl.String) for column in table["columns"]}
    frames = []
    for folder, own in groupby(files, key=lambda file: PurePath(file.path).parts[1:-1]):
        values = [
            _value(value, types.get(unquote(name), pl.String)).alias(unquote(name))
            for name, is_hive, value in (part.partition("=") for part in folder)
            if is_hive
        ]
        frames.append(_scan_alike(list(own), table).with_columns(values))
    # Projects need not have the same columns.
    return pl.concat(frames, how="diagonal_relaxed") if len(frames) > 1 else frames[0]


@contextmanager
def tables_read(dataset: object = "") -> Iterator[None]:
    """Turn what Polars says of files that it cannot read, or that lack a column, into an error that says what to do."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        raise DatasetError(
            f"the tables cannot be read as they are: {str(error).splitlines()[0]}",
            place=Place(str(dataset)),
            remedy="see which files are not as they were written: tomoarrow verify DATASET --fast",
        ) from error


def _value(text: str, type_: type[pl.DataType]) -> pl.Expr:
    """What the name of a folder says."""
    value = None if text == HIVE_NULL else unquote(text)
    if value is not None and type_ == pl.Boolean:
        # Polars makes none of text.
        return pl.lit(value.lower() == "true")
    return pl.lit(value).cast(type_)


def _scan_alike(files: Sequence[DataFile], table: dict[str, Any]) -> pl.LazyFrame:
    """A frame of files, of which those that were converted have the same columns."""
    converted = {(file["path"], file["bytes"]) for file in table["files"]}
    if len(files) == 1 or converted.issuperset((file.path, file.bytes) for file in files):
        return _scan(files)
    return pl.concat([_scan([file]) for file in files], how="diagonal_relaxed")


def _scan(files: Sequence[DataFile]) -> pl.LazyFrame:
    held: list[IO[bytes]] = [file.held.file for file in files if file.held is not None]
    if len(held) == len(files):
        return pl.scan_parquet(held)
    if all(not isinstance(file.place, Remote) or file.place.scheme in _STORES for file in files):
        # Of a store, Polars fetches no more than a query needs. Characters that are patterns elsewhere mean themselves.
        return pl.scan_parquet([str(file.place) for file in files], glob=False, hive_partitioning=False)
    sources: list[IO[bytes]] = [
        io.BufferedReader(file.place.open(file.bytes)) for file in files if isinstance(file.place, Remote)
    ]
    return pl.scan_parquet(sources)
