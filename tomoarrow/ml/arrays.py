"""Arrow columns as NumPy arrays: without a copy where types allow, and nulls never unnoticed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from ..errors import DatasetError, UsageError

Array = NDArray[np.generic]

#: The arrays of some rows, by column.
Block = dict[str, Array]

#: What stands for a null.
Fill = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Column:
    """A column and what becomes of it: `dtype` is that of its array, object for text and lists."""

    name: str
    dtype: np.dtype[np.generic]
    fill: Fill | None


def choose_columns(
    schema: pa.Schema, names: Sequence[str] | None, dtype: DTypeLike, fill: Mapping[str, Fill] | None
) -> tuple[Column, ...]:
    """The columns that are asked for, or all of numbers and booleans.

    Raises
    ------
    UsageError
        A column that is asked for, or filled, is not there; or `dtype` is no floating-point type of NumPy.
    """
    fills = dict(fill or {})
    floats = np.dtype(dtype)
    if floats.kind != "f":
        raise UsageError(f"dtype={dtype!r}", expected="'float32', 'float64' or 'float16'")
    types = {field.name: field.type for field in schema}
    dtypes = {name: _dtype(type_, floats) for name, type_ in types.items()}
    wanted = [name for name in types if dtypes[name].kind != "O"] if names is None else list(dict.fromkeys(names))
    unknown = [name for name in (*wanted, *fills) if name not in types]
    if unknown:
        raise UsageError(f"there is no column {', '.join(unknown)}", expected=f"some of: {', '.join(types)}")
    return tuple(Column(name, dtypes[name], fills.get(name)) for name in wanted)


def _dtype(type_: pa.DataType, floats: np.dtype[np.generic]) -> np.dtype[np.generic]:
    if pa.types.is_floating(type_):
        return floats
    if pa.types.is_integer(type_) or pa.types.is_boolean(type_):
        numbers: np.dtype[np.generic] = np.dtype(type_.to_pandas_dtype())
        return numbers
    return np.dtype(object)


def block_of(tables: Sequence[pa.Table], columns: Sequence[Column]) -> Block:
    """The rows of some tables as arrays.

    Raises
    ------
    DatasetError
        A null in a column of integers or booleans, which have no number for it, and no fill.
    """
    return {
        column.name: _array([chunk for table in tables for chunk in table.column(column.name).chunks], column)
        for column in columns
    }


def _array(chunks: Sequence[pa.Array], column: Column) -> Array:
    if len(chunks) == 1 and (view := _view(chunks[0], column)) is not None:
        return view
    array = np.empty(sum(map(len, chunks)), column.dtype)
    start = 0
    # What is too large for float32 is inf there.
    with np.errstate(over="ignore"):
        for chunk in chunks:
            array[start : start + len(chunk)] = _values(chunk, column)
            start += len(chunk)
    return array


def _view(chunk: pa.Array, column: Column) -> Array | None:
    """The numbers where Arrow has them, if they can stay there.

    Nobody else has this memory, so it may be written to, which torch wants of memory that it shares.
    """
    if column.dtype.kind not in "fiu" or chunk.null_count or chunk.type != pa.from_numpy_dtype(column.dtype):
        return None
    values = chunk.buffers()[1]
    if values is None or not values.is_mutable:
        return None
    return np.frombuffer(values, column.dtype, len(chunk), chunk.offset * column.dtype.itemsize)


def _values(chunk: pa.Array, column: Column) -> Array:
    if pa.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary_decode()
    if chunk.null_count:
        if column.fill is not None:
            chunk = chunk.fill_null(column.fill)
        elif column.dtype.kind not in "fO":
            raise DatasetError(
                f"{column.name} has {chunk.null_count} nulls, and {column.dtype} has no number for them",
                remedy=f"fill={{{column.name!r}: ...}} says what stands for null; or filter these rows out",
            )
    values: Array = chunk.to_numpy(zero_copy_only=False)
    return values


def handed_out(block: Block) -> dict[str, Array | list[object]]:
    """Numbers as arrays; text and lists as lists of Python."""
    return {name: values.tolist() if values.dtype == object else values for name, values in block.items()}
