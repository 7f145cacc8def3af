"""Documents and tables to STAR text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, get_args

import pyarrow as pa

from ..errors import SchemaError, check_choice
from .blocks import learn_blocks
from .columns import Label
from .convention import as_labelled, check_label, check_name, departing_from_relion
from .document import Block, Document, Origin, as_block
from .faults import Notice
from .named import StyleName, family_of, new_block, new_loop, new_loop_style, new_pairs, pair_text
from .render import equal_values, read_texts, render_rows, valid
from .sink import Target, open_sink
from .structure import analyse
from .style import BlockStyle, Loop, Pair
from .tables import Findings, read_loop


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What was written.

    Attributes
    ----------
    bytes : int
    warnings : tuple of Notice
        Where the text is not what RELION would have written, because that would not read back.
    """

    bytes: int
    warnings: tuple[Notice, ...] = ()


def write_star(
    content: Any,
    target: Target,
    *,
    style: StyleName | None = None,
    labels: Mapping[str, Label] | None = None,
    threads: int = 1,
) -> WriteReport:
    """Write a STAR file.

    A document that was read is written as it was, byte for byte; what was changed in it follows the rules by which
    the rest is written.

    Parameters
    ----------
    content : Document, Block, table, or mapping of names to tables, mappings of pairs, or blocks
        A table may be of pyarrow, Polars, pandas, or any library with the Arrow PyCapsule interface.
    target : path or binary file
        Names that end in ``.gz`` or ``.zst`` are compressed.
    style : "relion", "starfile", "warp" or "plain", optional
        The layout of this writer; for a document that was read, its own where not given, else RELION's. RELION
        writes six decimals; ``plain`` keeps every digit.
    labels : mapping, optional
        What is known of labels: RELION writes a number as the type of its label has it.
    threads : int

    Returns
    -------
    WriteReport

    Raises
    ------
    SchemaError
        A value, label or name has no form in STAR.
    MissingFileError
        The file cannot be written. What was there before is unchanged.
    """
    if style is not None:
        check_choice("style", style, get_args(StyleName))
    document = as_document(content)
    notices: list[Notice] = []
    size = 0
    with open_sink(target) as write:
        for piece in render_document(document, style, labels or {}, notices, threads):
            size += len(piece)
            write(piece)
    return WriteReport(size, tuple(notices))


def as_document(content: Any) -> Document:
    """What `write_star` takes, as a document."""
    if isinstance(content, Document):
        return content
    if isinstance(content, Block):
        return Document((content,))
    if isinstance(content, Mapping):
        return Document(tuple(as_block(name, each) for name, each in content.items()))
    return Document((as_block("", content),))


def render_document(
    document: Document, style: StyleName | None, labels: Mapping[str, Label], notices: list[Notice], threads: int
) -> Iterator[bytes]:
    """The text of a document, piece by piece; notices are added."""
    if not document.blocks and document._origin is not None and style is None:
        yield document.origin_bytes
    known: dict[int, Known] = {}
    last, before = b"\n", None
    for position, block in enumerate(document.blocks):
        if style is None and block._origin is not None:
            origin, container = block._origin
            if id(origin) not in known:
                known[id(origin)] = learn_origin(origin)
            pieces = render_known(block, known[id(origin)].styles[container], origin.dialect == "star", threads)
            follows = before is not None and before[0] is origin and before[1] == known[id(origin)].previous[container]
        else:
            pieces, follows = render_new(block, style or "relion", labels, notices, threads, first=position == 0), False
        before = block._origin
        for piece in pieces:
            if last != b"\n" and not follows:
                # A file may end without the end of a line; another block must not be read as part of it.
                yield b"\n"
            follows = True
            yield piece
            last = piece[-1:] or last


@dataclass(frozen=True, slots=True)
class Known:
    """How the blocks of a text are written, by container, and which block stands before each."""

    styles: dict[int, BlockStyle]
    previous: dict[int, int]


def learn_origin(origin: Origin) -> Known:
    """Take the text of a document apart again, and learn how it is written."""
    structure = analyse(origin.text, origin.dialect)
    options = replace(origin.options, on_bad_value="null")
    roots = [c for c in range(len(structure.heading)) if structure.parent[c] < 0]
    loops = [loop for loop, container in enumerate(structure.loop_container.tolist()) if container in set(roots)]
    tables = {loop: read_loop(structure, loop, options, None, Findings()) for loop in loops}
    styles = learn_blocks(structure, 0, tables)
    return Known(dict(zip(roots, styles, strict=True)), {after: before for before, after in pairwise(roots)})


def render_known(block: Block, style: BlockStyle, multiline: bool, threads: int) -> Iterator[bytes]:
    """A block that was read, as it was where it was not changed."""
    family = family_of([item for item in style.items if isinstance(item, Loop)])
    yield (style.front + block.name).encode()
    left = {label: value for label, value in block.pairs.items() if label not in {p.label for p in _pairs(style)}}
    if left and not _pairs(style):
        yield "".join(["\n\n", *(pair.line for pair in new_pairs(family, left))]).encode()
        left = {}
    tables = iter(block.loops)
    for item in style.items:
        if isinstance(item, str):
            yield item.encode()
        elif isinstance(item, Pair):
            if item.label in block.pairs:
                yield _valued(item, block.pairs[item.label], family, multiline).line.encode()
            if item is _pairs(style)[-1]:
                yield "".join(pair.line for pair in _like(item, left, family)).encode()
        elif (table := next(tables, None)) is not None:
            yield from render_loop(item, table, family, multiline, threads)
    for table in tables:
        yield b"\n"
        yield from render_loop(new_loop(family, table), table, family, multiline, threads)


def _pairs(style: BlockStyle) -> list[Pair]:
    return [item for item in style.items if isinstance(item, Pair)]


def _valued(pair: Pair, value: Any, family: StyleName, multiline: bool) -> Pair:
    """A pair with a value: its text as it was, if it reads as that."""
    array = pa.array([value], pa.float64() if value is None else None)
    if equal_values(read_texts([pair.text], array.type, star=multiline), array)[0]:
        return pair
    return replace(pair, text=pair_text(family, value, multiline=multiline))


def _like(pair: Pair, values: Mapping[str, Any], family: StyleName) -> list[Pair]:
    """Pairs that are new, aligned as one that is there."""
    column = len(pair.label) + len(pair.gap)
    aligned = not pair.gap.strip(" ")
    gaps = {label: " " * max(1, column - len(label)) if aligned else pair.gap for label in values}
    return [Pair(label, gaps[label], pair_text(family, value), pair.end or "\n") for label, value in values.items()]


def render_loop(loop: Loop, table: pa.Table, family: StyleName, multiline: bool, threads: int) -> Iterator[bytes]:
    """A loop in a style that was learned, with what departs from it where that still holds."""
    if table.num_columns == 0:
        return
    for label in table.column_names:
        if label not in loop.style.labels:
            check_label(label)
    style = loop.style.adapted(new_loop_style(family, table))
    yield (loop.keyword + style.header.text(style.labels)).encode()
    departures = valid(loop.departures.adapted(loop.style.labels, style.labels), table, star=multiline)
    for rows in render_rows(style, table, departures, threads=threads, multiline=multiline):
        yield rows.data.tobytes()


def render_new(
    block: Block, style: StyleName, labels: Mapping[str, Label], notices: list[Notice], threads: int, *, first: bool
) -> Iterator[bytes]:
    """A block in the style of a writer."""
    check_name(block.name)
    if block.frames:
        raise SchemaError(f"block 'data_{block.name}' has save frames, which {style} files do not have")
    tables = block.loops
    if style == "relion":
        tables = tuple(as_labelled(table, labels) for table in tables)
        notices += departing_from_relion(block.name, tables)
    for label in [*block.pairs, *(label for table in tables for label in table.column_names)]:
        check_label(label)
    new = new_block(style, block.name, block.pairs, tables, first=first)
    yield (new.front + new.name).encode()
    of_loop = iter(tables)
    for item in new.items:
        if isinstance(item, str):
            yield item.encode()
        elif isinstance(item, Pair):
            yield item.line.encode()
        else:
            table = next(of_loop)
            yield (item.keyword + item.style.header.text(item.style.labels)).encode()
            rows = render_rows(item.style, table, item.departures, threads=threads, multiline=style == "plain")
            for piece in rows:
                yield piece.data.tobytes()
