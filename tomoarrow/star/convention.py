"""What RELION would write, where that cannot be: names and labels that do not read back, and values it corrupts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import Place, SchemaError
from .columns import ARROW_TYPES, Label
from .faults import Notice

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


def check_label(label: str) -> None:
    """Refuse a label that would not read back.

    Raises
    ------
    SchemaError
    """
    if not label or any(c.isspace() or c in "#\a\0" for c in label):
        raise SchemaError(f"{label!r} cannot be a label", expected="text without blanks and #", remedy="rename it")


def check_name(name: str) -> None:
    """Refuse a name of a block that would not read back.

    Raises
    ------
    SchemaError
    """
    if any(c.isspace() or c in "\a\0" for c in name):
        raise SchemaError(f"{name!r} cannot name a block", expected="text without blanks", remedy="rename it")


def as_labelled(table: pa.Table, labels: Mapping[str, Label]) -> pa.Table:
    """A table whose numbers have the types of their labels, where that changes no value."""
    for i, field in enumerate(table.schema):
        label = labels.get(field.name)
        if label is None or not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            continue
        if pa.types.is_integer(field.type) == (label.type == "float64") and label.type in ("float64", "int64"):
            try:
                column = table.column(i).cast(ARROW_TYPES[label.type])
            except pa.ArrowInvalid:
                # Fractions, or integers that no double holds.
                continue
            table = table.set_column(i, field.name, column)
    return table


def departing_from_relion(block: str, tables: Sequence[pa.Table]) -> list[Notice]:
    """Where the text of tables is not what RELION would write, because that would not read back."""
    notices = []
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
        values = np.abs(column.to_numpy())
        extreme = ((values >= 1e100) & np.isfinite(values)) | ((values < 1e-99) & (values > 0))
        return {"exponent": int(np.count_nonzero(extreme)), "missing": column.null_count}
    if pa.types.is_integer(type_):
        ends = pc.min_max(column)
        low, high = ends["min"].as_py() or 0, ends["max"].as_py() or 0
        if high < _LONGEST_INT and low > _LONGEST_NEGATIVE:
            return {"missing": column.null_count}
        long = pc.or_(pc.greater_equal(column, _LONGEST_INT), pc.less_equal(column, _LONGEST_NEGATIVE))
        return {"long-integer": pc.sum(long).as_py() or 0, "missing": column.null_count}
    if pa.types.is_dictionary(type_) or pa.types.is_string(type_) or pa.types.is_large_string(type_):
        texts = column.cast(type_.value_type) if pa.types.is_dictionary(type_) else column
        return {"quoted": pc.sum(pc.starts_with(texts, "#")).as_py() or 0, "missing-text": column.null_count}
    return {"missing": column.null_count}
