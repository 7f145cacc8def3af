"""Tables to the text of loops: by a style, and where a value is as it was read, by its text of then."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import SchemaError
from ..kernels.tokenize import SPAN_BITS
from .columns import Cells, LabelType, read_column
from .forms import NONE, Texts, pack, splice, texts_of
from .style import Departures, Exceptions, LoopStyle, put_rows

#: Rows are written in pieces of about this many values: what is at work stays in the cache of a core.
_PIECE_VALUES = 1 << 17


def cores() -> int:
    """How many cores this process may use: a job on a cluster has fewer than its node."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a loop as text: uint8[bytes], and where each row ends: int64[rows]."""

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]


def render_rows(
    style: LoopStyle,
    table: pa.Table,
    departures: Departures,
    *,
    firsts: Sequence[int] = (0,),
    threads: int = 1,
    multiline: bool = False,
) -> Iterator[Rows]:
    """Write the rows of a table, piece by piece.

    Parameters
    ----------
    style : LoopStyle
        Of the columns of the table, in their order.
    table : pyarrow.Table
    departures : Departures
        By the rows of the table; of a table that was changed, those that still hold: see `valid`.
    firsts : sequence of int
        The rows, ascending, that are the first of a file, where the table holds the rows of several.
    threads : int
    multiline : bool
        Strings of several lines become text fields.
    """
    first_rows = np.array(firsts, np.int64)
    height = max(1, _PIECE_VALUES // max(1, table.num_columns))

    def write(begin: int) -> Rows:
        piece = table.slice(begin, height)
        own = range(begin, begin + piece.num_rows)
        leading = first_rows[np.searchsorted(first_rows, own.start) : np.searchsorted(first_rows, own.stop)] - begin
        columns = [
            _texts(column, style, c, own, departures, leading if c == 0 else NONE, multiline=multiline)
            for c, column in enumerate(piece.itercolumns())
        ]
        gaps = {gap: _cut(each, own) for gap, each in departures.gaps.items()}
        return Rows(*put_rows(columns, style.gaps, gaps, piece.num_rows))

    begins = range(0, table.num_rows, height)
    if threads == 1 or len(begins) < 2:
        yield from map(write, begins)
        return
    with ThreadPoolExecutor(threads) as pool:
        # A few pieces at a time: what was written and not yet taken must not pile up.
        for first in range(0, len(begins), 4 * threads):
            yield from pool.map(write, begins[first : first + 4 * threads])


def _texts(
    column: pa.ChunkedArray,
    style: LoopStyle,
    c: int,
    own: range,
    departures: Departures,
    firsts: NDArray[np.int64],
    *,
    multiline: bool,
) -> Texts:
    parts = column.chunks if column.num_chunks == 1 else [column.combine_chunks()]
    texts = texts_of(parts[0], style.forms[c], firsts=firsts, multiline=multiline)
    if c in departures.cells:
        each = _cut(departures.cells[c], own)
        texts = splice(texts, each.rows, each.packed())
    if len(texts.refused):
        row = int(texts.refused[0])
        raise SchemaError(
            f"row {own.start + row} of the column {style.labels[c]}: text that has no form in STAR: "
            f"{parts[0][row].as_py()!r}",
            expected="text without line breaks and control characters",
            remedy="remove these" if multiline else 'remove these; only style="plain" writes text of several lines',
        )
    return texts


def _cut(each: Exceptions, own: range) -> Exceptions:
    """The exceptions of some rows, counted from the first of these."""
    first, last = np.searchsorted(each.rows, [own.start, own.stop]).tolist()
    return Exceptions(each.rows[first:last] - own.start, each.texts[first:last])


def valid(departures: Departures, table: pa.Table, *, star: bool) -> Departures:
    """The departures that still hold: those in rows that are there, of values that are as they were.

    Parameters
    ----------
    star : bool
        Whether they are of the `star` dialect: ``?`` and ``.`` are no values there, and there are text fields.
    """
    if not departures:
        return departures
    cells = {}
    for c, each in departures.cells.items():
        there = each.rows < table.num_rows
        rows, texts = each.rows[there], [text for text, keep in zip(each.texts, there, strict=True) if keep]
        now = table.column(c).take(pa.array(rows)).combine_chunks()
        same = equal_values(read_texts(texts, now.type, star=star), now)
        kept = tuple(text for text, keep in zip(texts, same, strict=True) if keep)
        cells[c] = Exceptions(rows[same], kept)
    gaps = {}
    for gap, each in departures.gaps.items():
        keep = each.rows < table.num_rows
        if gap == table.num_columns:
            # A row without an end of line stands last, or else it would run into the next.
            ended = np.array(["\n" in text for text in each.texts], bool)
            keep &= ended | (each.rows == table.num_rows - 1)
        gaps[gap] = Exceptions(each.rows[keep], tuple(text for text, k in zip(each.texts, keep, strict=True) if k))
    return Departures(cells, gaps)


def read_texts(texts: Sequence[str], type_: pa.DataType, *, star: bool) -> pa.Array:
    """What texts, quotes included, read as; null where they do not fit the type."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    packed = pack([b" " + text.encode() + b" " for text in texts])
    data = np.concatenate([packed.data, np.full(64, 10, np.uint8)])
    spans = np.empty(len(texts), np.int64)
    for i, (begin, text) in enumerate(zip((packed.offsets[:-1] + 1).tolist(), texts, strict=True)):
        raw = text.encode()
        start, length = begin, len(raw)
        if star and raw[:1] == b";":
            body = raw[1:-1].removesuffix(b"\n").removesuffix(b"\r")
            start, length = begin + 1, len(body)
        elif raw[:1] in (b'"', b"'"):
            start, length = begin + 1, len(raw) - 2
        spans[i] = start << SPAN_BITS | length
    escapes = any("\a" in text for text in texts)
    cells = Cells(data, spans, np.zeros(1, np.int64), np.array([len(texts)]), 1, escapes, star)
    known = _KNOWN.get(str(type_), "string")
    read = read_column(cells, 0, known).array
    return read if read.type == type_ else read.cast(type_, safe=False)


_KNOWN: Mapping[str, LabelType] = {
    "double": "float64",
    "float": "float64",
    "bool": "bool",
    **{f"{sign}int{bits}": "int64" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"{kind}<{name}: double>": "list<float64>" for kind in ("list", "large_list") for name in ("item", "element")},
    **{f"{kind}<{name}: int64>": "list<int64>" for kind in ("list", "large_list") for name in ("item", "element")},
}


def equal_values(one: pa.Array, other: pa.Array) -> NDArray[np.bool_]:
    """Where two arrays hold the same, nulls and nans included; 0.0 and -0.0 are not the same."""
    if pa.types.is_dictionary(other.type):
        other = other.dictionary_decode()
    if pa.types.is_nested(other.type):
        return np.array([_same(a, b) for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True)], bool)
    missing = pc.and_(one.is_null(), other.is_null())
    if pa.types.is_floating(other.type):
        equal = pc.if_else(pc.is_nan(one), pc.is_nan(other), pc.equal(one, other))
        signs = pc.equal(pc.sign(pc.divide(1.0, one)), pc.sign(pc.divide(1.0, other)))
        equal = pc.and_(equal, pc.or_(pc.not_equal(one, 0.0), signs))
    else:
        equal = pc.equal(one, other)
    return np.asarray(pc.or_(missing, pc.fill_null(equal, False)), bool)


def _same(one: object, other: object) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    return repr(one) == repr(other)
