"""Arrow columns as arrays."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tomoarrow.errors import DatasetError, UsageError
from tomoarrow.ml.arrays import block_of, choose_columns, handed_out


def converted(values: pa.Array, dtype: str = "float32", fill: Any = None) -> Any:
    table = pa.table({"x": values})
    columns = choose_columns(table.schema, ["x"], dtype, None if fill is None else {"x": fill})
    return handed_out(block_of([table], table.num_rows, columns))["x"]


# Arrow values, what they become, and its type.
CASES = [
    (pa.array([1.5, -2.0]), [1.5, -2.0], "float32"),
    (pa.array([1.5, None]), [1.5, np.nan], "float32"),
    (pa.array([1e300, -1e300, np.nan]), [np.inf, -np.inf, np.nan], "float32"),
    (pa.array([1, 2**40]), [1, 2**40], "int64"),
    (pa.array([1, 2], pa.int32()), [1, 2], "int32"),
    (pa.array([True, False]), [True, False], "bool"),
]


@pytest.mark.parametrize(("values", "expected", "dtype"), CASES, ids=lambda each: str(each)[:20])
def test_numbers(values: pa.Array, expected: list[Any], dtype: str) -> None:
    found = converted(values)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.array(expected, dtype))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_type_of_floats_is_chosen(dtype: str) -> None:
    assert converted(pa.array([1.5]), dtype).dtype == dtype


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array(["a", None]), ["a", None]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
    ],
    ids=["text", "names", "large"],
)
def test_text_is_a_list(values: pa.Array, expected: list[Any]) -> None:
    assert converted(values) == expected


def test_lists_are_a_list_of_arrays() -> None:
    first, second = converted(pa.array([[1, 0], [1]]))
    assert (first.tolist(), second.tolist()) == ([1, 0], [1])


@pytest.mark.parametrize("values", [pa.array([1, None]), pa.array([True, None])], ids=["integers", "booleans"])
def test_a_null_that_no_number_stands_for_is_an_error(values: pa.Array) -> None:
    with pytest.raises(DatasetError, match="x has 1 nulls"):
        converted(values)


@pytest.mark.parametrize(
    ("values", "fill", "expected"),
    [
        (pa.array([1, None]), -1, [1, -1]),
        (pa.array([True, None]), False, [True, False]),
        (pa.array([1.5, None]), 0.0, [1.5, 0.0]),
        (pa.array(["a", None]), "", ["a", ""]),
        (pa.array(["a", None]).dictionary_encode(), "", ["a", ""]),
    ],
    ids=str,
)
def test_a_fill_stands_for_null(values: pa.Array, fill: Any, expected: list[Any]) -> None:
    found = converted(values, fill=fill)
    assert list(found) == expected


@pytest.mark.parametrize("type_", [pa.float64(), pa.float32(), pa.int64(), pa.int32()], ids=str)
def test_numbers_that_need_no_other_type_are_where_arrow_has_them(type_: pa.DataType) -> None:
    # Parquet's reader gives memory that may be written to, as an allocated buffer is.
    buffer = pa.allocate_buffer(10 * type_.bit_width // 8)
    values = pa.Array.from_buffers(type_, 10, [None, buffer]).slice(3)
    found = converted(values, "float32" if type_ == pa.float32() else "float64")
    assert found.ctypes.data == buffer.address + 3 * type_.bit_width // 8
    assert found.flags.writeable


def test_memory_that_may_not_be_written_to_is_copied() -> None:
    values = pa.Array.from_buffers(pa.float64(), 2, [None, pa.py_buffer(np.array([1.0, 2.0]).tobytes())])
    found = converted(values, "float64")
    assert found.flags.writeable
    assert found.tolist() == [1.0, 2.0]


def test_tables_and_chunks_are_joined() -> None:
    tables = [pa.table({"x": pa.chunked_array([[1.0], [2.0, None]])}), pa.table({"x": pa.array([4.0])})]
    block = block_of(tables, 4, choose_columns(tables[0].schema, None, "float32", None))
    np.testing.assert_array_equal(block["x"], np.array([1, 2, np.nan, 4], np.float32))


def test_numbers_and_booleans_are_the_default() -> None:
    schema = pa.schema(
        {"f": pa.float64(), "i": pa.int64(), "b": pa.bool_(), "s": pa.string(), "l": pa.list_(pa.int64())}
    )
    assert [column.name for column in choose_columns(schema, None, "float32", None)] == ["f", "i", "b"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((["y"], "float32", None), "no column y"),
        ((None, "float32", {"z": 0}), "no column z"),
        ((None, "int32", None), "dtype"),
    ],
    ids=["columns", "fill", "dtype"],
)
def test_what_is_not_there(arguments: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        choose_columns(pa.schema({"x": pa.float64()}), *arguments)
