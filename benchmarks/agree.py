"""Whether two tables hold the same: the same rows in the same order, and equal values.

Peers type in their own way: an integer column for one of whole floats, text for a vector, 0 and 1 for a bool. What a
value means decides, so each column is brought to the type that tomoarrow gives it.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc


class DisagreementError(Exception):
    """Two readers found different things in one file: their times must not be compared."""


def check_agreement(ours: pa.Table, theirs: pa.Table, *, who: str, within: float = 0.0) -> None:
    """Compare all columns that the other one has; it may lack only `tilt_index`, which tomoarrow adds.

    Raises
    ------
    DisagreementError
        Rows, columns or values differ.
    """
    if ours.num_rows != theirs.num_rows:
        raise DisagreementError(f"{who} has {theirs.num_rows} rows, tomoarrow {ours.num_rows}")
    _check_columns(set(ours.column_names) - {"tilt_index"}, set(theirs.column_names) - {"tilt_index"}, who)
    for label in theirs.column_names:
        if label in ours.column_names:
            n = count_different(ours[label], theirs[label], within)
            if n:
                raise DisagreementError(f"{who} has other values in {label}: {n} of {ours.num_rows} rows")


def _check_columns(ours: Collection[str], theirs: Collection[str], who: str) -> None:
    if set(ours) != set(theirs):
        raise DisagreementError(f"{who} has other columns: {', '.join(sorted(set(ours) ^ set(theirs)))}")


def count_different(ours: pa.ChunkedArray, theirs: pa.ChunkedArray, within: float = 0.0) -> int:
    """In how many rows two columns differ; both null, or both not a number, is the same."""
    ours, theirs = _plain(ours), _plain(theirs)
    if pa.types.is_boolean(ours.type) and not pa.types.is_boolean(theirs.type):
        theirs = theirs.cast(pa.int64())
    theirs = theirs.cast(ours.type)
    if pa.types.is_floating(ours.type) and within:
        same = pc.less_equal(pc.abs(pc.subtract(ours, theirs)), within)
    else:
        same = pc.equal(ours, theirs)
    if pa.types.is_floating(ours.type):
        same = pc.or_(same, pc.and_(pc.is_nan(ours), pc.is_nan(theirs)))
    both_null = pc.and_(pc.is_null(ours), pc.is_null(theirs))
    return len(ours) - (pc.sum(pc.or_(pc.fill_null(same, False), both_null)).as_py() or 0)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as text, however it is encoded; a vector as the text in which it stands in STAR files."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_list(column.type):
        return vectors_as_text(column)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    return column


def is_list(type_: pa.DataType) -> bool:
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_))


def vectors_as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists of integers as ``[0,1,1]``."""
    joined = [
        pc.binary_join_element_wise("[", pc.binary_join(chunk.cast(pa.list_(pa.string())), ","), "]", "")
        for chunk in column.chunks
    ]
    return pa.chunked_array(joined, pa.string())


def with_vectors_as_text(table: pa.Table) -> pa.Table:
    """The table for writers that know no lists."""
    for i, field in enumerate(table.schema):
        if is_list(field.type):
            table = table.set_column(i, field.name, vectors_as_text(table.column(i)))
    return table
