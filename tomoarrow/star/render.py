"""Tables to the text of loops: by a style, and where a value is as it was read, by its text of then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import SchemaError
from .columns import Label
from .forms import NONE, Texts, splice, texts_of
from .named import StyleName, new_loop_style
from .reread import valid
from .style import Departures, Exceptions, Loop, LoopStyle, put_rows
from .threads import in_order

#: Rows are written in pieces of about this many values: what is at work stays in the cache of a core.
_PIECE_VALUES = 1 << 17


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
    with ThreadPoolExecutor(threads) as pool, closing(in_order(pool, write, begins, threads + 1)) as pieces:
        yield from pieces


def render_loop(
    loop: Loop,
    table: pa.Table,
    departures: Departures,
    rows: NDArray[np.int64],
    labels: Mapping[str, Label],
    *,
    family: StyleName,
    star: bool = False,
    threads: int = 1,
) -> Iterator[bytes | memoryview]:
    """Write a loop in a style that was learned, with what departs from it where that still holds.

    Parameters
    ----------
    loop : Loop
    table : pyarrow.Table
    departures : Departures
        By the columns of the loop and the rows that it had.
    rows : int64[n]
        The row that each row of the table was; others, such as -1, for those that are new.
    labels : mapping
        What is known of labels, as when the loop was read.
    family : StyleName
        How columns are written that the loop did not have.
    star : bool
        Whether the loop is of the `star` dialect.
    threads : int
    """
    style = loop.style.adapted(new_loop_style(family, table))
    yield (loop.keyword + style.header.text(style.labels)).encode()
    moved = departures.adapted(loop.style.labels, style.labels).moved(rows, len(style.labels))
    departures = valid(moved, table, labels, star=star)
    for piece in render_rows(style, table, departures, threads=threads, multiline=star):
        yield piece.data.data


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
