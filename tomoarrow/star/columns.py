"""Values of loops to typed Arrow arrays, straight into Arrow's buffers.

A label that is known has its type; for any other the type is inferred from all of its values: int64, else
float64, else string. What a value cannot be is never guessed: it is reported, with its row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..kernels import gather, numbers
from ..kernels.memory import SLACK
from ..kernels.tokenize import SPAN_BITS, SPAN_MASK
from .buffers import room
from .cells import Cells

#: ``name`` is a string that repeats, and becomes a dictionary; ``path`` is a string.
LabelType = Literal["float64", "int64", "bool", "string", "name", "path", "list<float64>", "list<int64>"]

ARROW_TYPES: dict[str, pa.DataType] = {
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "name": pa.dictionary(pa.int32(), pa.string()),
    "path": pa.string(),
    "list<float64>": pa.list_(pa.float64()),
    "list<int64>": pa.list_(pa.int64()),
}


@dataclass(frozen=True, slots=True)
class Label:
    """What is known of a label: its type, unit and meaning."""

    name: str
    type: LabelType
    unit: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Bad:
    """A value that does not fit its label's type."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column read.

    Attributes
    ----------
    array : pyarrow.Array
        Bad values are null.
    type : LabelType
        What it was read as: an int64 label may have become a float64.
    bad : tuple of Bad
    notices : dict
        The rows of each kind of notice: ``widened``, ``not-finite``, ``missing``, ``boolean-word``,
        ``exponent``.
    """

    array: pa.Array
    type: LabelType
    bad: tuple[Bad, ...] = ()
    notices: dict[str, NDArray[np.int64]] = field(default_factory=dict)


def read_columns(cells: Cells, wanted: Mapping[int, tuple[LabelType | None, int | None]]) -> list[Column]:
    """Read columns of a table, given for each its type and evidence: see `read_column`.

    Those of floats are read in one pass over the text, and so are those of integers.
    """
    floats, ints = ([c for c, (known, _) in wanted.items() if known == kind] for kind in ("float64", "int64"))
    widen = [_widens("int64", wanted[c][1]) for c in ints]
    read = dict(zip(floats, _read_floats(cells, floats), strict=True))
    read |= dict(zip(ints, _read_ints(cells, ints, widen), strict=True))
    return [read.get(c) or read_column(cells, c, *how) for c, how in wanted.items()]


def read_column(cells: Cells, column: int, known: LabelType | None, evidence: int | None = None) -> Column:
    """Read one column of a table.

    Parameters
    ----------
    cells : Cells
    column : int
    known : LabelType or None
        The type of the label; None infers it.
    evidence : int, optional
        What the column holds here and in other tables that must get the same type: see `gather_evidence`. By
        default, what it holds here.
    """
    kind = known or settle(None, gather_evidence(cells, column, None) if evidence is None else evidence)
    if kind == "float64":
        return _read_floats(cells, [column])[0]
    if kind == "int64":
        return _read_ints(cells, [column], [_widens(kind, evidence)])[0]
    if kind == "bool":
        return _read_bools(cells, column)
    if kind == "list<int64>" or kind == "list<float64>":
        return _read_vectors(cells, column, kind, kind == "list<float64>" or _widens(kind, evidence))
    strings = read_strings(cells, column)
    return Column(strings.dictionary_encode() if kind == "name" else strings, kind)


def gather_evidence(cells: Cells, column: int, known: LabelType | None) -> int:
    """What a column holds that its type depends on: bits of `tomoarrow.kernels.numbers`.

    Bits of several tables may be or-ed: `settle` then gives the one type that fits all their values.
    """
    if known is None:
        return int(numbers.classify(*cells.arguments(column), cells.nulls))
    if known == "int64":
        return numbers.HAS_FLOAT if read_column(cells, column, known).type == "float64" else numbers.HAS_INT
    if known == "list<int64>":
        return numbers.HAS_FLOAT if read_column(cells, column, known).type == "list<float64>" else numbers.HAS_INT
    return 0


def settle(known: LabelType | None, evidence: int) -> LabelType:
    """The type of a column: that of its label, except that integers give way to floats where there are any.

    For a label that is not known: int64, else float64, else string. Where integers that no double holds meet
    floats, only the text keeps both.
    """
    if known == "int64":
        return "float64" if evidence & numbers.HAS_FLOAT else "int64"
    if known == "list<int64>":
        return "list<float64>" if evidence & numbers.HAS_FLOAT else "list<int64>"
    if known is not None:
        return known
    if evidence & numbers.HAS_TEXT or not evidence & (numbers.HAS_INT | numbers.HAS_FLOAT):
        return "string"
    if not evidence & numbers.HAS_FLOAT:
        return "int64"
    return "string" if evidence & numbers.HAS_LARGE else "float64"


def _widens(known: LabelType, evidence: int | None) -> bool | None:
    """Whether integers give way to floats; None where their own values decide that."""
    return None if evidence is None else settle(known, evidence) != known


def evidence_for(type_: pa.DataType) -> int:
    """The evidence with which `settle` gives a column of a label that is not known, or of integers, a type."""
    if pa.types.is_nested(type_):
        return evidence_for(type_.value_type)
    if pa.types.is_floating(type_):
        return numbers.HAS_FLOAT
    return numbers.HAS_INT if pa.types.is_integer(type_) else numbers.HAS_TEXT


_REASONS = {
    numbers.BAD: "not a number",
    numbers.RANGE: "out of range",
    numbers.FRACTION: "not an integer",
}


@dataclass(frozen=True, slots=True)
class _Issues:
    """Values that are not simply good: their rows and statuses (`tomoarrow.kernels.numbers`), in order."""

    rows: NDArray[np.int64]
    statuses: NDArray[np.int64]

    def within(self, begin: int, end: int) -> _Issues:
        """Those of a range of rows, which are counted from its begin then."""
        if not len(self.rows):
            return self
        own = (self.rows >= begin) & (self.rows < end)
        return _Issues(self.rows[own] - begin, self.statuses[own])

    def rows_of(self, *statuses: int) -> NDArray[np.int64]:
        if not len(self.rows):
            return self.rows
        return self.rows[np.isin(self.statuses, statuses)]

    def bad(self, reasons: dict[int, str]) -> tuple[Bad, ...]:
        if not len(self.rows):
            return ()
        is_bad = np.isin(self.statuses, list(reasons))
        pairs = zip(self.rows[is_bad].tolist(), self.statuses[is_bad].tolist(), strict=True)
        return tuple(Bad(row, reasons[status]) for row, status in pairs)

    def notices(self, **statuses: int) -> dict[str, NDArray[np.int64]]:
        """The rows of each kind of notice; underscores in names become hyphens."""
        if not len(self.rows):
            return {}
        found = {name.replace("_", "-"): self.rows_of(status) for name, status in statuses.items()}
        return {name: rows for name, rows in found.items() if len(rows)}


def _run(
    kernel: Callable[..., int], arguments: Sequence[Any], out: NDArray[Any], n_values: int, capacity: int = 64
) -> tuple[NDArray[np.uint8], _Issues]:
    """Run a kernel of numbers: the validity bitmap, and the issues, all of them."""
    valid = np.full((n_values + 7) // 8, 255, np.uint8)
    issues = np.empty(capacity, np.int64)
    n_issues = kernel(*arguments, out, valid, issues)
    if n_issues > capacity:
        if out.dtype == np.uint8:
            out[:] = 0
        return _run(kernel, arguments, out, n_values, n_issues)
    return valid, _Issues(issues[:n_issues] >> 4, issues[:n_issues] & 15)


def _array(kind: pa.DataType, out: NDArray[Any], valid: NDArray[np.uint8], n_rows: int, n_null: int) -> pa.Array:
    bitmap = pa.py_buffer(valid) if n_null else None
    return pa.Array.from_buffers(kind, n_rows, [bitmap, pa.py_buffer(out)], n_null)


def _read_side_by_side(
    kernel: Callable[..., int], dtype: type, cells: Cells, columns: Sequence[int]
) -> tuple[NDArray[Any], NDArray[np.uint8], _Issues, int]:
    """Read columns in one pass: values, validity and issues of one after the other, and how far these are apart."""
    stride = (cells.n_rows + 7) // 8 * 8
    out = room(len(columns) * stride, dtype)
    arguments = *cells.arguments(0)[:-1], np.array(columns, np.int64), stride, cells.nulls
    return out, *_run(kernel, arguments, out, len(out)), stride


def _read_floats(cells: Cells, columns: Sequence[int]) -> list[Column]:
    out, valid, issues, stride = _read_side_by_side(numbers.floats, np.float64, cells, columns)
    for at in np.flatnonzero(issues.statuses == numbers.HARD).tolist():
        k, row = divmod(int(issues.rows[at]), stride)
        value = out[issues.rows[at]] = float(cells.text(row, columns[k]))
        if np.isinf(value):
            issues.statuses[at] = numbers.RANGE
            valid[issues.rows[at] >> 3] &= 255 ^ (1 << (row & 7))
    n = cells.n_rows
    firsts = (k * stride for k in range(len(columns)))
    return [_floats(out[at : at + n], valid[at >> 3 :], issues.within(at, at + n)) for at in firsts]


def _floats(out: NDArray[np.float64], valid: NDArray[np.uint8], issues: _Issues) -> Column:
    n_null = len(issues.rows_of(numbers.MISSING, numbers.BAD, numbers.RANGE))
    array = _array(pa.float64(), out, valid, len(out), n_null)
    notices = issues.notices(not_finite=numbers.NOT_FINITE, missing=numbers.MISSING)
    return Column(array, "float64", issues.bad(_REASONS), notices)


def _read_ints(cells: Cells, columns: Sequence[int], widen: Sequence[bool | None]) -> list[Column]:
    """Integers; as floats where told to, or (None) where there is a number that is none."""
    out, valid, issues, stride = _read_side_by_side(numbers.ints, np.int64, cells, columns)
    found = []
    for k, (column, widens) in enumerate(zip(columns, widen, strict=True)):
        at, end = k * stride, k * stride + cells.n_rows
        values, own = out[at:end], issues.within(at, end)
        fractions = own.rows_of(numbers.FRACTION)
        if widens or (widens is None and len(fractions)):
            # No integer is rounded on the way: what a double cannot hold is refused.
            large = np.flatnonzero((values > numbers.EXACT) | (values < -numbers.EXACT))
            large = np.concatenate([large, own.rows_of(numbers.RANGE)])
            found.append(_widened(_read_floats(cells, [column])[0], large, fractions))
        else:
            found.append(_ints(values, valid[at >> 3 :], own))
    return found


def _ints(out: NDArray[np.int64], valid: NDArray[np.uint8], issues: _Issues) -> Column:
    n_null = len(issues.rows_of(numbers.MISSING, numbers.BAD, numbers.RANGE, numbers.FRACTION))
    array = _array(pa.int64(), out, valid, len(out), n_null)
    notices = issues.notices(missing=numbers.MISSING, exponent=numbers.WORD)
    return Column(array, "int64", issues.bad(_REASONS), notices)


def _widened(floats: Column, large: NDArray[np.int64], fractions: NDArray[np.int64]) -> Column:
    """Integers read as floats; `large` are the rows of those that would be rounded."""
    array = floats.array
    bad = {b.row: b for b in floats.bad}
    bad |= {row: Bad(row, "out of range among fractions") for row in large.tolist()}
    if len(large):
        mask = np.zeros(len(array), bool)
        mask[large] = True
        array = pc.if_else(pa.array(mask), pa.scalar(None, pa.float64()), array)
    notices = floats.notices | ({"widened": fractions} if len(fractions) else {})
    return Column(array, "float64", tuple(bad[row] for row in sorted(bad)), notices)


def _read_bools(cells: Cells, column: int) -> Column:
    n_rows = cells.n_rows
    out = np.zeros((n_rows + 7) // 8, np.uint8)
    valid, issues = _run(numbers.bools, (*cells.arguments(column), cells.nulls), out, n_rows)
    n_null = len(issues.rows_of(numbers.MISSING, *_REASONS))
    array = _array(pa.bool_(), out, valid, n_rows, n_null)
    bad = issues.bad(dict.fromkeys(_REASONS, "not 0, 1, True or False"))
    return Column(array, "bool", bad, issues.notices(missing=numbers.MISSING, boolean_word=numbers.WORD))


def read_strings(cells: Cells, column: int) -> pa.Array:
    """Read one column of a table as text, words for missing values included."""
    n_rows = cells.n_rows
    offsets = room(n_rows + 1, np.int32)
    size = gather.string_offsets(*cells.arguments(column), cells.escapes, offsets)
    if size > np.iinfo(np.int32).max:
        raise OverflowError("more than 2 GiB of text in one column: read the table in pieces")
    data = room(size + SLACK, np.uint8)
    gather.string_bytes(*cells.arguments(column), cells.escapes, data)
    return pa.Array.from_buffers(pa.string(), n_rows, [None, pa.py_buffer(offsets), pa.py_buffer(data)], 0)


def _read_vectors(cells: Cells, column: int, known: LabelType, widen: bool | None) -> Column:
    """Vectors as RELION writes them, ``[a,b,c]``; without brackets too, as RELION reads them."""
    n_rows = cells.n_rows
    if known == "list<int64>" and not widen:
        plain = _read_plain_vectors(cells, column)
        if plain is not None:
            return Column(plain, known)
    offsets = room(n_rows + 1, np.int64)
    n_elements = numbers.vector_offsets(*cells.arguments(column), offsets)
    element_spans = np.empty(n_elements, np.int64)
    numbers.vector_spans(*cells.arguments(column), element_spans)
    elements = Cells(cells.buffer, element_spans, np.zeros(1, np.int64), np.array([n_elements]), 1, False, cells.nulls)
    read = _read_floats(elements, [0])[0] if known == "list<float64>" else _read_ints(elements, [0], [widen])[0]

    spans = cells.spans_along(column)
    starts, lengths = spans >> SPAN_BITS, spans & SPAN_MASK
    opened = (cells.buffer[starts] == ord("[")) & (lengths > 0)
    closed = (cells.buffer[starts + np.maximum(lengths, 1) - 1] == ord("]")) & (lengths > 0)
    bad = {row: Bad(row, "not a vector: a bracket is missing") for row in np.flatnonzero(opened != closed).tolist()}
    for element in read.bad:
        row = int(np.searchsorted(offsets, element.row, side="right")) - 1
        bad.setdefault(row, Bad(row, f"not a vector: an element is {element.reason}"))
    absent = np.zeros(n_rows, bool)
    if "missing" in read.notices:
        # A cell that is one word for "missing", without brackets, is no vector of one missing element.
        single = np.flatnonzero((np.diff(offsets) == 1) & ~opened)
        absent[single] = np.asarray(read.array.is_null())[offsets[single]]
    absent[list(bad)] = True
    array = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), read.array)
    if absent.any():
        array = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), read.array, mask=pa.array(absent))
    read_as: LabelType = "list<float64>" if read.type == "float64" else "list<int64>"
    notices = {code: np.unique(np.searchsorted(offsets, rows, side="right") - 1) for code, rows in read.notices.items()}
    return Column(array, read_as, tuple(bad[row] for row in sorted(bad)), notices)


def _read_plain_vectors(cells: Cells, column: int) -> pa.Array | None:
    """Vectors of integers that hold nothing else, None where they do."""
    offsets = room(cells.n_rows + 1, np.int32)
    most = int((cells.spans_along(column) & SPAN_MASK).sum()) // 2
    if most > np.iinfo(np.int32).max:
        return None
    elements = room(most, np.int64)
    n = numbers.plain_int_vectors(*cells.arguments(column), offsets, elements)
    if n < 0:
        return None
    # A copy, where most of the room was not needed.
    elements = elements[:n] if n > most // 2 else elements[:n].copy()
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(elements))


def field_of(name: str, type_: pa.DataType, label: Label | None) -> pa.Field:
    """The Arrow field of a column, with unit and meaning in its metadata."""
    metadata = {}
    if label is not None:
        metadata = {key: value for key, value in (("unit", label.unit), ("description", label.description)) if value}
    return pa.field(name, type_, metadata=metadata or None)


def first_repeated(labels: Sequence[str]) -> str | None:
    """The first label that stands twice in a loop, if any."""
    if len(set(labels)) == len(labels):
        return None
    seen: set[str] = set()
    for label in labels:
        if label in seen:
            return label
        seen.add(label)
    return None
