"""Texts that were kept, read again: whether they still say what a table says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..kernels import numbers
from ..kernels.tokenize import SPAN_BITS
from .cells import Cells
from .columns import ARROW_TYPES, Column, Label, LabelType, read_column
from .forms import as_plain, pack, plain_type
from .style import Departures, Exceptions

#: What columns of integers become where others of them are fractions.
_WIDENED: Mapping[LabelType | None, LabelType] = {"int64": "float64", "list<int64>": "list<float64>"}


def valid(departures: Departures, table: pa.Table, labels: Mapping[str, Label], *, star: bool) -> Departures:
    """The departures of values that are as they were when they were read.

    Parameters
    ----------
    departures : Departures
        By the rows of the table.
    table : pyarrow.Table
    labels : mapping
        What is known of labels, as when they were read.
    star : bool
        Whether they are of the `star` dialect: ``?`` and ``.`` are no values there, and there are text fields.
    """
    cells = {}
    for c, each in departures.cells.items():
        now = table.column(c).take(pa.array(each.rows)).combine_chunks()
        label = labels.get(table.column_names[c])
        same = as_read(each.texts, now, label.type if label else None, star=star)
        cells[c] = Exceptions(each.rows[same], tuple(compress(each.texts, same)))
    return Departures(cells, departures.gaps)


def as_read(texts: Sequence[str], values: pa.Array, known: LabelType | None, *, star: bool) -> NDArray[np.bool_]:
    """Where texts, quotes included, read as values.

    A text that does not fit the type counts as null only where that is the type of its label (`known`): then it was
    a reject. Else the column has got another type since.
    """
    type_ = type_of(values.type)
    if type_ == _WIDENED.get(known):
        # Integers that no double holds were rejects there, and are where the label is read, not its doubles.
        column = read_texts(texts, known, star=star, evidence=numbers.HAS_FLOAT)
    else:
        column = read_texts(texts, type_, star=star)
    try:
        same = equal_values(column.array, as_plain(values).cast(column.array.type))
    except pa.ArrowException:
        # Values of another kind than any that was read.
        return np.zeros(len(texts), bool)
    if column.bad and type_ not in _read_as(known):
        same[[bad.row for bad in column.bad]] = False
    return same


def _read_as(known: LabelType | None) -> tuple[LabelType, ...]:
    """The types that the values of a label may have been read as."""
    if known is None:
        return ()
    own = type_of(ARROW_TYPES[known])
    return (own, _WIDENED[known]) if known in _WIDENED else (own,)


def type_of(type_: pa.DataType) -> LabelType:
    """The type that a text must be read as, to give values of an Arrow type."""
    type_ = plain_type(type_)
    if pa.types.is_large_list(type_):
        return "list<float64>" if pa.types.is_floating(type_.value_type) else "list<int64>"
    if pa.types.is_floating(type_):
        return "float64"
    if pa.types.is_integer(type_):
        return "int64"
    return "bool" if pa.types.is_boolean(type_) else "string"


def read_texts(texts: Sequence[str], known: LabelType | None, *, star: bool, evidence: int | None = None) -> Column:
    """Read texts, quotes included, as the values of a label of a type; arguments are those of `read_column`."""
    packed = pack([b" " + text.encode() + b" " for text in texts])
    data = np.concatenate([packed.data, np.full(64, 10, np.uint8)])
    spans = np.empty(len(texts), np.int64)
    for i, (begin, text) in enumerate(zip((packed.offsets[:-1] + 1).tolist(), texts, strict=True)):
        raw = text.encode()
        start, length = begin, len(raw)
        if star and raw[:1] == b";":
            start, length = begin + 1, len(raw[1:-1].removesuffix(b"\n").removesuffix(b"\r"))
        elif raw[:1] in (b'"', b"'"):
            start, length = begin + 1, len(raw) - 2
        spans[i] = start << SPAN_BITS | length
    # Only the relion dialect has escapes.
    escapes = not star and any("\a" in text for text in texts)
    cells = Cells(data, spans, np.zeros(1, np.int64), np.array([len(texts)]), 1, escapes, star)
    return read_column(cells, 0, known, evidence)


def equal_values(one: pa.Array, other: pa.Array) -> NDArray[np.bool_]:
    """Where two arrays of one plain type hold the same, nulls and nans included; 0.0 and -0.0 are not the same."""
    if pa.types.is_nested(other.type):
        return np.array([same(a, b) for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True)], bool)
    missing = pc.and_(one.is_null(), other.is_null())
    if pa.types.is_floating(other.type):
        equal = pc.if_else(pc.is_nan(one), pc.is_nan(other), pc.equal(one, other))
        signs = pc.equal(pc.sign(pc.divide(1.0, one)), pc.sign(pc.divide(1.0, other)))
        equal = pc.and_(equal, pc.or_(pc.not_equal(one, 0.0), signs))
    else:
        equal = pc.equal(one, other)
    # A copy, because what Arrow hands over cannot be written to.
    return np.array(pc.or_(missing, pc.fill_null(equal, False)), bool)


def same(one: object, other: object) -> bool:
    """Whether two values are the same, nan included; a number is, whether it is written as an integer or not."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, bool) or isinstance(other, bool) or type(one) is type(other):
        return repr(one) == repr(other)
    return isinstance(one, int | float) and isinstance(other, int | float) and one == other
