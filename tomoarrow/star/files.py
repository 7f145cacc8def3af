"""Tables to the text of many files at once: rows of one style are written together, then cut into their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .columns import Label
from .convention import as_labelled
from .named import StyleName, family_of, new_block, new_loop_style
from .render import render_loop, render_rows
from .reread import valid
from .style import BlockStyle, Departures, FileStyle, Loop, Pair, joined
from .texts import OWN_NAME, FileText


@dataclass(frozen=True, slots=True)
class Leaf:
    """A file with one table.

    Attributes
    ----------
    name : str
        The name of the block of its table.
    text : FileText or None
        How it was written; None where it never was.
    rows : int64[n]
        The rows of the table, as they were numbered when it was read; others for those that are new.
    """

    name: str
    text: FileText | None
    rows: NDArray[np.int64]


def render_leaves(leaves: Sequence[Leaf], table: pa.Table, labels: Mapping[str, Label]) -> list[bytes]:
    """The text of files that have the same labels, given their rows, one file after the other.

    `labels`: what is known of labels, as when the files were read.
    """
    found: list[bytes] = [b""] * len(leaves)
    sizes = np.array([len(leaf.rows) for leaf in leaves], np.int64)
    begins = np.cumsum(sizes) - sizes
    groups: dict[int, list[int]] = {}
    for i, leaf in enumerate(leaves):
        if leaf.text is not None and not leaf.text.style.loops and not sizes[i]:
            found[i] = "".join(_around(leaf.text.style.blocks, "")).replace(OWN_NAME, leaf.name).encode()
        else:
            groups.setdefault(id(leaf.text.style) if _has_loop(leaf) and leaf.text else 0, []).append(i)
    for members in groups.values():
        own = [leaves[i] for i in members]
        if len(members) == len(leaves):
            part = table
        else:
            rows = np.concatenate([np.arange(begins[i], begins[i] + sizes[i]) for i in members])
            part = table.take(pa.array(rows))
        for i, text in zip(members, _render_alike(own, part, labels), strict=True):
            found[i] = text
    return found


def _has_loop(leaf: Leaf) -> bool:
    return leaf.text is not None and bool(leaf.text.style.loops)


def _render_alike(leaves: Sequence[Leaf], table: pa.Table, labels: Mapping[str, Label]) -> Iterator[bytes]:
    """The text of files of one style."""
    text = leaves[0].text if _has_loop(leaves[0]) else None
    table = _with_floats(table, family_of(text.style.loops) if text else "relion", labels)
    file_style = text.style if text else FileStyle((new_block("relion", OWN_NAME, {}, [table], first=True),))
    (loop,) = file_style.loops
    style = loop.style.adapted(new_loop_style(family_of([loop]), table))
    ends = np.cumsum([len(leaf.rows) for leaf in leaves])
    begins = [0, *ends[:-1].tolist()]
    departing = []
    for begin, leaf in zip(begins, leaves, strict=True):
        if leaf.text is not None and any(leaf.text.departures):
            adapted = leaf.text.departures[0].adapted(loop.style.labels, style.labels)
            moved = adapted.moved(leaf.rows, len(style.labels))
            departing.append((begin, valid(moved, table.slice(begin, len(leaf.rows)), labels, star=False)))
    firsts = [begin for begin, leaf in zip(begins, leaves, strict=True) if len(leaf.rows)]
    pieces = list(render_rows(style, table, joined(departing), firsts=firsts))
    data = b"".join(piece.data.tobytes() for piece in pieces)
    shifts = np.cumsum([0, *(len(piece.data) for piece in pieces)])
    row_ends = np.concatenate(
        [np.zeros(1, np.int64), *(piece.ends + shift for piece, shift in zip(pieces, shifts.tolist(), strict=False))]
    )
    header = loop.keyword + style.header.text(style.labels) if style.labels else ""
    around = _around(file_style.blocks, header)
    for begin, end, leaf in zip(begins, ends.tolist(), leaves, strict=True):
        front, back = (part.replace(OWN_NAME, leaf.name).encode() for part in around)
        yield front + data[row_ends[begin] : row_ends[end]] + back


def _around(blocks: Sequence[BlockStyle], header: str) -> tuple[str, str]:
    """What stands before the rows of the one loop, and what behind them."""
    parts = [""]
    for block in blocks:
        parts[-1] += block.front + block.name
        for item in block.items:
            if isinstance(item, Loop):
                parts[-1] += header
                parts.append("")
            else:
                parts[-1] += item.line if isinstance(item, Pair) else item
    return parts[0], "".join(parts[1:])


def render_tables(
    text: FileText,
    tables: Sequence[pa.Table],
    rows: Sequence[NDArray[np.int64]],
    labels: Mapping[str, Label],
    *,
    goes_on: bool = False,
) -> bytes:
    """The text of a file with several tables.

    Parameters
    ----------
    text : FileText
    tables : sequence of pyarrow.Table
        For each loop of its style.
    rows : sequence of int64[n]
        For each loop the rows, as they were numbered when it was read; others for those that are new.
    labels : mapping
        What is known of labels, as when the file was read.
    goes_on : bool
        Whether it is a piece of a file that goes on with a loop: what stands before the rows of its first loop is left
        out, up to the end of the line of the last label.
    """
    pieces: list[bytes | memoryview] = []
    of_loop = iter(zip(tables, text.departures, rows, strict=True))
    for block in text.style.blocks:
        pieces.append((block.front + block.name).encode())
        for item in block.items:
            if isinstance(item, Loop):
                lines = _render_loop(item, *next(of_loop), labels)
                if goes_on:
                    next(lines, None)
                    pieces = [_behind_labels(item).encode()]
                    goes_on = False
                pieces += lines
            else:
                pieces.append((item.line if isinstance(item, Pair) else item).encode())
    return b"".join(pieces)


def _behind_labels(loop: Loop) -> str:
    """What stands between the line of the last label and the first row: blank lines and comments."""
    return loop.style.header.behind_each(len(loop.style.labels))[-1].partition("\n")[2]


def _render_loop(
    loop: Loop, table: pa.Table, departures: Departures, rows: NDArray[np.int64], labels: Mapping[str, Label]
) -> Iterator[bytes | memoryview]:
    if table.num_columns == 0:
        return
    # Labels stay where they were; new ones are the last.
    known = [label for label in loop.style.labels if label in table.column_names]
    table = table.select([*known, *(label for label in table.column_names if label not in known)])
    family = family_of([loop])
    table = _with_floats(table, family, labels)
    yield from render_loop(loop, table, departures, rows, labels, family=family)


def _with_floats(table: pa.Table, family: StyleName, labels: Mapping[str, Label]) -> pa.Table:
    """The table, with floats where integers were put under labels that RELION writes as doubles.

    Never the other way: where one file has a fraction, the integers of the others are floats, and written as such.
    """
    if family != "relion":
        return table
    known = {name: labels[name] for name in table.column_names if name in labels}
    return as_labelled(table, {name: label for name, label in known.items() if label.type == "float64"})
