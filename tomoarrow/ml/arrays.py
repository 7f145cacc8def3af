"""Arrow columns as NumPy arrays: without a copy where types allow, and nulls never unnoticed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


def block_of(tables: Iterable[pa.Table], rows: int, columns: Sequence[Column]) -> Block:
    """The rows of some tables as arrays.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Each is looked at before the next one is made, while a processor's cache still has it.
    rows : int
        How many they have together.
    columns : sequence of Column

    Raises
    ------
    DatasetError
        A null in a column of integers or booleans, which have no number for it, and no fill.
    """
    block: Block = {}
    start = 0
    for table in tables:
        stop = start + table.num_rows
        # What is too large for float32 is inf there.
        with np.errstate(over="ignore"):
            for column in columns:
                chunks = table.column(column.name).chunks
                if stop - start == rows and len(chunks) == 1 and (view := _view(chunks[0], column)) is not None:
                    block[column.name] = view
                    continue
                if column.name not in block:
                    block[column.name] = new_array(rows, column.dtype)
                _fill(block[column.name][start:stop], chunks, column)
        start = stop
    return block


def new_array(rows: int, dtype: np.dtype[np.generic]) -> Array:
    """An array whose values are not set, in memory of Arrow's pool.

    The pool has memory at hand that earlier batches gave back; what NumPy gets anew from the system for each batch
    costs more than all that is done with it.
    """
    if dtype.kind == "O" or not rows:
        return np.empty(rows, dtype)
    return np.frombuffer(pa.allocate_buffer(rows * dtype.itemsize), dtype)


def _fill(array: Array, chunks: Iterable[pa.Array], column: Column) -> None:
    start = 0
    for chunk in chunks:
        array[start : start + len(chunk)] = _values(chunk, column)
        start += len(chunk)


def reordered(block: Block, rows: NDArray[np.int64]) -> Block:
    """Some rows of a block, in another order."""
    result: Block = {}
    for name, values in block.items():
        result[name] = new_array(len(rows), values.dtype)
        # "clip", because for other modes NumPy takes them into memory of its own first.
        values.take(rows, out=result[name], mode="clip")
    return result


def _view(chunk: pa.Array, column: Column) -> Array | None:
    """The numbers where Arrow has them, if they can stay there.

    Nobody else has this memory, so it may be written to, which torch wants of memory that it shares.
    """
    if column.dtype.kind not in "fiu" or chunk.type.bit_width != column.dtype.itemsize * 8 or chunk.null_count:
        return None
    if chunk.type != pa.from_numpy_dtype(column.dtype):
        return None
    values = chunk.buffers()[1]
    if values is None or not values.is_mutable:
        return None
    return np.frombuffer(values, column.dtype, len(chunk), chunk.offset * column.dtype.itemsize)


def _values(chunk: pa.Array, column: Column) -> Array:
    if column.dtype.kind == "O" and pa.types.is_dictionary(chunk.type):
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
