"""What RELION would write, where that cannot be: names and labels that do not read back, and values it corrupts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import Place, SchemaError
from .columns import ARROW_TYPES, Label, first_repeated
from .faults import Notice
from .forms import value_array

#: Integers of more than 12 characters lose their last digits in RELION.
_LONGEST_INT = 10**12
_LONGEST_NEGATIVE = -(10**11)

#: What RELION keeps in tables but does not write as a column of a loop.
_NEVER_COLUMNS = ("rlnComment", "rlnSortedIndex")

_MESSAGES = {
    "exponent": "numbers with an exponent of three digits, of which RELION would write two; written in full",
    "long-integer": "integers of more than 12 characters, which RELION would cut; written in full",
    "quoted": "text that begins as a comment does, which RELION would write without quotes; quoted",
    "missing": "missing values, for which RELION has no text; written as <NA>, which it reads as 0",
    "missing-text": "missing text, for which STAR has no form; written as <NA>, which reads back as that word",
    "zero-rows": "a table without rows, of which RELION would write nothing; its labels are written",
    "column": "a label that RELION never writes as a column; written as one",
}


def check_labels(labels: Sequence[str], block: str = "") -> None:
    """Refuse labels that would not read back.

    Raises
    ------
    SchemaError
    """
    for label in labels:
        if not isinstance(label, str) or not label or "#" in label or not _is_word(label):
            raise SchemaError(
                f"{label!r} cannot be a label",
                place=Place(block=block or None),
                expected="text without blanks and #",
                remedy="rename it",
            )
    repeated = first_repeated(labels)
    if repeated is not None:
        raise SchemaError(
            f"the label {repeated} stands twice in one table", place=Place(block=block or None), remedy="rename one"
        )


def check_name(name: str) -> None:
    """Refuse a name of a block that would not read back.

    Raises
    ------
    SchemaError
    """
    if not isinstance(name, str) or not _is_word(name):
        raise SchemaError(f"{name!r} cannot name a block", expected="text without blanks", remedy="rename it")


def _is_word(text: str) -> bool:
    """Whether a text has no blanks, no control characters, and no halves of characters."""
    return all(c > " " and not "\ud800" <= c <= "\udfff" for c in text)


def as_labelled(table: pa.Table, labels: Mapping[str, Label]) -> pa.Table:
    """A table whose numbers have the types of their labels, where that changes no value."""
    for i, field in enumerate(table.schema):
        wanted = _number(labels.get(field.name))
        is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        if wanted is not None and is_number and wanted != field.type:
            try:
                column = table.column(i).cast(wanted)
            except pa.ArrowInvalid:
                # Fractions, or integers that no double holds.
                continue
            table = table.set_column(i, field.name, column)
    return table


def pair_as_labelled(label: str, value: Any, labels: Mapping[str, Label]) -> Any:
    """The value of a pair, a number as the type of its label, where that does not change it."""
    wanted = _number(labels.get(label))
    if wanted is None or isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return value
    other = float(value) if pa.types.is_floating(wanted) else int(value)
    return other if other == value else value


def _number(label: Label | None) -> pa.DataType | None:
    """The type of a label of numbers."""
    return ARROW_TYPES[label.type] if label is not None and label.type in ("float64", "int64") else None


def departing_from_relion(block: str, pairs: Mapping[str, Any], tables: Sequence[pa.Table]) -> list[Notice]:
    """Where the text of a block is not what RELION would write, because that would not read back."""
    notices = []
    for label, value in pairs.items():
        counts = _counts(pa.chunked_array([value_array(value)])) if value is not None else {"missing": 1}
        place = Place(block=block, label=label)
        notices += [Notice(code, _MESSAGES[code], place, count) for code, count in counts.items() if count]
    for table in tables:
        if not table.num_rows and table.num_columns:
            notices.append(Notice("zero-rows", _MESSAGES["zero-rows"], Place(block=block)))
        for field, column in zip(table.schema, table.itercolumns(), strict=True):
            place = Place(block=block, label=field.name)
            counts = _counts(column) | {"column": int(field.name in _NEVER_COLUMNS)}
            notices += [Notice(code, _MESSAGES[code], place, count) for code, count in counts.items() if count]
    return notices


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """How many values of a column are written otherwise than RELION would, by reason."""
    type_ = column.type
    if pa.types.is_floating(type_):
        values = column.to_numpy()
        if not _may_be_extreme(values):
            return {"exponent": 0, "missing": column.null_count}
        size = np.abs(values)
        # Rounded to six decimals, to five below zero, as they are written.
        high = np.where(values > 0, 9.9999995e99, 9.999995e99)
        extreme = ((size >= high) & np.isfinite(values)) | ((size < high * 1e-199) & (size > 0))
        return {"exponent": int(np.count_nonzero(extreme)), "missing": column.null_count}
    if pa.types.is_integer(type_):
        long = pc.greater_equal(column, pa.scalar(_LONGEST_INT, type_))
        if pa.types.is_signed_integer(type_):
            long = pc.or_(long, pc.less_equal(column, _LONGEST_NEGATIVE))
        return {"long-integer": pc.sum(long).as_py() or 0, "missing": column.null_count}
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return {"quoted": pc.sum(pc.starts_with(column, "#")).as_py() or 0, "missing-text": column.null_count}
    return {"missing": column.null_count}


def _may_be_extreme(values: NDArray[np.float64]) -> bool:
    """Whether any exponent may have three digits: as integers, the bits of doubles are in their order."""
    bits = values.view(np.uint64) & np.uint64(0x7FFFFFFFFFFFFFFF)
    if not len(bits):
        return False
    smallest, largest = np.array([9.9e-100, 9.9e99]).view(np.uint64)
    # Zero, less one, is the largest of all.
    return bool((bits - np.uint64(1)).min() < smallest or bits.max() > largest)
