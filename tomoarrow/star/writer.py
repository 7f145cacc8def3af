"""Documents and tables to STAR text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from ..errors import SchemaError, check_choice
from .blocks import learn_blocks
from .columns import Label
from .convention import as_labelled, check_labels, check_name, departing_from_relion, pair_as_labelled
from .document import Block, Document, Origin, as_block
from .faults import Notice
from .forms import plain_table, value_array
from .guess import guess_forms
from .named import (
    StyleName,
    family_of,
    form_of,
    new_block,
    new_loop,
    new_pairs,
    pair_text,
)
from .render import render_loop, render_rows
from .reread import read_texts, same
from .sink import Target, open_sink
from .structure import analyse
from .style import BlockStyle, Loop, Pair
from .tables import Findings, read_loop
from .threads import threads_for

#: For more values, what departs from RELION is counted while they are written.
_MANY_VALUES = 1 << 20

#: Some bytes of a file.
Piece = bytes | memoryview


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

    A document that was read is written as it was, byte for byte; what was changed in it is written in the style of the
    rest. Blocks and columns that were not read are not written.

    Parameters
    ----------
    content : Document, Block, table, or mapping of names to tables, mappings of pairs, or blocks
        A table may be of pyarrow, Polars, pandas, or any library with the Arrow PyCapsule interface; a sequence of
        tables is one block with as many loops; a mapping is a block of pairs, in which a list is a vector.
    target : path or binary file
        Names that end in ``.gz`` or ``.zst`` are compressed.
    style : "relion", "starfile", "warp" or "plain", optional
        Which program's layout to use. By default that of the document where it was read, else RELION's. RELION writes
        six decimals; ``plain`` keeps every digit, and writes text of several lines as text fields. Text in which both
        kinds of quotes stand before blanks is written with RELION's escape byte, which only the dialect "relion" reads.
    labels : mapping, optional
        The labels that are known, with their types: RELION writes a number as its label's type asks for.
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
    threads = threads_for(threads)
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
) -> Iterator[Piece]:
    """The text of a document, piece by piece; notices are added."""
    known: dict[int, Known] = {}
    if style is None:
        origins = [block._origin[0] for block in document.blocks if block._origin is not None]
        known = {id(origin): learn_origin(origin) for origin in {id(origin): origin for origin in origins}.values()}
        if not document.blocks and document._origin is not None and not learn_origin(document._origin).styles:
            yield document.origin_bytes
    loops = [item for each in known.values() for block in each.styles.values() for item in block.items]
    family = style or (family_of([item for item in loops if isinstance(item, Loop)]) if loops else "relion")
    last, before = b"\n", None
    for position, block in enumerate(document.blocks):
        if style is None and block._origin is not None:
            origin, container = block._origin
            mine = known[id(origin)]
            if len(block.frames) != mine.frames[container]:
                raise SchemaError(f"the save frames of block 'data_{block.name}' were changed, which cannot be written")
            pieces = render_known(block, mine.styles[container], labels, notices, threads)
            follows = before is not None and before[0] is origin and before[1] == mine.previous.get(container)
        else:
            pieces, follows = render_new(block, family, labels, notices, threads, first=position == 0), False
        before = block._origin
        for piece in pieces:
            if last != b"\n" and not follows:
                # A file may end without the end of a line; another block must not be read as part of it.
                yield b"\n"
            follows = True
            yield piece
            last = bytes(piece[-1:]) or last


@dataclass(frozen=True, slots=True)
class Known:
    """How the blocks of a text are written, by container; which block stands before each; how many frames it has."""

    styles: dict[int, BlockStyle]
    previous: dict[int, int]
    frames: Counter[int]


def learn_origin(origin: Origin) -> Known:
    """Take the text of a document apart again, and learn how it is written."""
    structure = analyse(origin.text, origin.dialect)
    options = replace(origin.options, on_bad_value="null")
    roots = [c for c in range(len(structure.heading)) if structure.parent[c] < 0]
    owned = set(roots)
    loops = [loop for loop, container in enumerate(structure.loop_container.tolist()) if container in owned]
    tables = {loop: read_loop(structure, loop, options, None, Findings()) for loop in loops}
    styles = learn_blocks(structure, 0, tables)
    previous = {after: before for before, after in pairwise(roots)}
    return Known(dict(zip(roots, styles, strict=True)), previous, Counter(structure.parent.tolist()))


def render_known(
    block: Block, style: BlockStyle, labels: Mapping[str, Label], notices: list[Notice], threads: int
) -> Iterator[Piece]:
    """A block that was read, as it was where it was not changed."""
    assert block._origin is not None
    origin = block._origin[0]
    if block.name != style.name:
        check_name(block.name)
    pairs = [item for item in style.items if isinstance(item, Pair)]
    loops = [item for item in style.items if isinstance(item, Loop)]
    family = family_of(loops)
    new = {label: value for label, value in block.pairs.items() if label not in {pair.label for pair in pairs}}
    check_labels(list(new), block.name)
    yield (style.front + block.name).encode()
    if new and not pairs:
        yield "".join(["\n\n", *(pair.line for pair in new_pairs(family, new))]).encode()
    loops_now = list(block.loops)
    if family == "relion":
        edited = [i for i, table in enumerate(loops_now) if i >= len(block._read) or table is not block._read[i]]
        for i in edited:
            loops_now[i] = as_labelled(plain_table(loops_now[i]), labels)
        notices += departing_from_relion(block.name, new, [loops_now[i] for i in edited])
    tables = iter(loops_now)
    for item in style.items:
        if isinstance(item, str):
            yield item.encode()
        elif isinstance(item, Pair):
            more = "".join(pair.line for pair in _like(item, new, family)) if item is pairs[-1] else ""
            line = _valued(item, block.pairs[item.label], family, origin).line if item.label in block.pairs else ""
            # What follows a pair that does not end its line, such as a comment, stays with it.
            yield (line + more if item.end else more + line).encode()
        elif (table := next(tables, None)) is not None:
            yield from _render_known_loop(item, table, family, origin, threads)
    for table in tables:
        check_labels(table.column_names, block.name)
        yield b"\n"
        yield from _render_known_loop(new_loop(family, table), table, family, origin, threads)


def _valued(pair: Pair, value: Any, family: StyleName, origin: Origin) -> Pair:
    """A pair with a value: its text as it was, if it reads as that; else another in the same form."""
    star = origin.dialect == "star"
    read = read_texts([pair.text], origin.options.type_of(pair.label), star=star).array
    if same(value, read[0].as_py()):
        return pair
    array = value_array(value)
    form = form_of(family, array.type)
    if _is_number(value) and _is_number(read[0].as_py()):
        form = next(guess_forms(read.cast(array.type, safe=False), [pair.text.encode()], aligned=True), form)
    text = pair_text(array, form, multiline=star)
    gap = pair.gap
    if _is_number(value) and not gap.strip(" "):
        # Numbers are aligned right, by the writers that align pairs at all.
        gap = " " * max(1, len(pair.gap) + len(pair.text) - len(text))
    return replace(pair, gap=gap, text=text)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _like(pair: Pair, values: Mapping[str, Any], family: StyleName) -> list[Pair]:
    """Pairs that are new, aligned as one that is there."""
    column = len(pair.label) + len(pair.gap)
    aligned = not pair.gap.strip(" ")
    gaps = {label: " " * max(1, column - len(label)) if aligned else pair.gap for label in values}
    return [replace(new, gap=gaps[new.label], end=pair.end or "\n") for new in new_pairs(family, values)]


def _render_known_loop(loop: Loop, table: pa.Table, family: StyleName, origin: Origin, threads: int) -> Iterator[Piece]:
    """A loop that was read, with the table that is there now."""
    if table.num_columns == 0:
        return
    if set(table.column_names) - set(loop.style.labels) or len(table.column_names) != len(set(table.column_names)):
        check_labels(table.column_names)
    table = plain_table(table)
    departures = loop.departures
    rows = np.arange(table.num_rows)
    rows[loop.rows :] = -1
    if table.num_rows != loop.rows:
        departures = departures.without_comments()
    known, star = origin.options.labels, origin.dialect == "star"
    yield from render_loop(loop, table, departures, rows, known, family=family, star=star, threads=threads)


def render_new(
    block: Block, style: StyleName, labels: Mapping[str, Label], notices: list[Notice], threads: int, *, first: bool
) -> Iterator[Piece]:
    """A block in the style of a writer."""
    check_name(block.name)
    if block.frames:
        raise SchemaError(f"block 'data_{block.name}' has save frames, which {style} files do not have")
    for names in (list(block.pairs), *(table.column_names for table in block.loops)):
        check_labels(names, block.name)
    tables = [plain_table(table) for table in block.loops]
    pairs = dict(block.pairs)
    if style != "relion":
        yield from _render_block(style, block.name, pairs, tables, threads, first=first)
        return
    tables = [as_labelled(table, labels) for table in tables]
    pairs = {label: pair_as_labelled(label, value, labels) for label, value in pairs.items()}
    if sum(table.num_rows * table.num_columns for table in tables) < _MANY_VALUES:
        notices += departing_from_relion(block.name, pairs, tables)
        yield from _render_block(style, block.name, pairs, tables, threads, first=first)
        return
    with ThreadPoolExecutor(1) as pool:
        departing = pool.submit(departing_from_relion, block.name, pairs, tables)
        yield from _render_block(style, block.name, pairs, tables, threads, first=first)
        notices += departing.result()


def _render_block(
    style: StyleName, name: str, pairs: Mapping[str, Any], tables: Sequence[pa.Table], threads: int, *, first: bool
) -> Iterator[Piece]:
    new = new_block(style, name, pairs, tables, first=first)
    yield (new.front + new.name).encode()
    of_loop = (table for table in tables if table.num_columns)
    for item in new.items:
        if isinstance(item, str):
            yield item.encode()
        elif isinstance(item, Pair):
            yield item.line.encode()
        else:
            yield (item.keyword + item.style.header.text(item.style.labels)).encode()
            rows = render_rows(item.style, next(of_loop), item.departures, threads=threads, multiline=style == "plain")
            for piece in rows:
                yield piece.data.data
