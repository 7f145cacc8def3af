"""Blocks that were read, and how they are written: every byte of a file is a value's or a style's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from ..kernels import compare
from ..kernels.tokenize import SPAN_MASK
from .learn import Learned, learn_loops
from .structure import Structure
from .style import BlockStyle, Loop, Pair

#: A comment, or a word.
_WORDS = re.compile(r"#[^\n]*|\S+")

_HEADING = len("data_")


def learn_blocks(structure: Structure, f: int, tables: Mapping[int, pa.Table]) -> list[BlockStyle]:
    """Learn how a file of one text is written.

    Parameters
    ----------
    structure : Structure
    f : int
        The number of the file.
    tables : mapping
        What was read of loops, by their number. The text of other loops, and of save frames, is kept as it stands.
    """
    return style_blocks(structure, f, learn_tables(structure, tables))


def learn_tables(structure: Structure, tables: Mapping[int, pa.Table]) -> dict[int, Learned]:
    """Learn how loops are written, those that look alike together: a file may hold one for each particle."""
    alike: dict[tuple[bytes, tuple[pa.DataType, ...]], list[int]] = {}
    numbers = sorted(tables)
    for loop, header in zip(numbers, structure.headers(numbers), strict=True):
        alike.setdefault((header, tuple(tables[loop].schema.types)), []).append(loop)
    learned: dict[int, Learned] = {}
    for loops in alike.values():
        rows = pa.concat_tables([tables[loop] for loop in loops])
        rows = rows.unify_dictionaries() if len(loops) > 1 else rows
        learned |= zip(loops, learn_loops(structure, loops, rows), strict=True)
    return learned


def style_blocks(structure: Structure, f: int, learned: Mapping[int, Learned]) -> list[BlockStyle]:
    """The styles of the blocks of a file, of whose loops some were learned."""
    roots = np.flatnonzero((structure.file == f) & (structure.parent < 0)).tolist()
    if not roots:
        return []
    items = _items(structure, roots, learned)
    starts = [structure.start(int(structure.heading[c])) for c in roots]
    styles = []
    front = structure.text.cut(int(structure.text.begins[f]), starts[0])
    for root, (_, following) in zip(roots, pairwise([*starts, None]), strict=True):
        name = structure.name(root)
        begin = structure.start(int(structure.heading[root])) + len(name.encode())
        end = int(structure.text.ends[f]) if following is None else following
        found = _fill(structure, begin, items.get(root, []), end)
        next_front = ""
        if following is not None and found and isinstance(last := found[-1], str):
            keep, next_front = split_between(last)
            found[-1:] = [keep] if keep else []
        styles.append(BlockStyle(front, name, tuple(found)))
        front = next_front
    return styles


def _items(
    structure: Structure, roots: list[int], learned: Mapping[int, Learned]
) -> dict[int, list[tuple[int, int, Pair | Loop]]]:
    """For each block its pairs and learned loops, with where they begin and end, in order."""
    items: dict[int, list[tuple[int, int, Pair | Loop]]] = {}
    own = np.isin(structure.pair_container, roots)
    for container, tag in zip(structure.pair_container[own].tolist(), structure.pair_tag[own].tolist(), strict=True):
        items.setdefault(container, []).append(_pair(structure, tag))
    for loop, each in learned.items():
        container = int(structure.loop_container[loop])
        begin = structure.start(int(structure.loop_tags[loop])) - 1
        items.setdefault(container, []).append((begin, each.end, Loop("", each.style, each.departures, each.rows)))
    return {container: sorted(found, key=lambda item: item[0]) for container, found in items.items()}


def _pair(structure: Structure, tag: int) -> tuple[int, int, Pair]:
    label_end = structure.start(tag) + (int(structure.spans[tag]) & SPAN_MASK)
    text = structure.text
    begins, ends = np.empty(1, np.int64), np.empty(1, np.int64)
    compare.extents(text.buffer, structure.spans, np.array([tag + 1]), np.ones(1, np.int64), 1, 0, begins, ends)
    begin, end = int(begins[0]), int(ends[0])
    line_end = end
    while line_end < len(text.buffer) and text.buffer[line_end] in b" \t\r":
        line_end += 1
    file_end = int(text.ends[text.file_at(end - 1)])
    line_end = line_end + 1 if line_end < file_end and text.buffer[line_end] == ord("\n") else end
    pair = Pair(structure.string(tag), text.cut(label_end, begin), text.cut(begin, end), text.cut(end, line_end))
    return structure.start(tag) - 1, line_end, pair


def _fill(
    structure: Structure, begin: int, items: Sequence[tuple[int, int, Pair | Loop]], end: int
) -> list[str | Pair | Loop]:
    """Items, and the text between them."""
    found: list[str | Pair | Loop] = []
    for first, last, item in items:
        between = structure.text.cut(begin, first)
        if isinstance(item, Loop):
            at = _keyword(between)
            found += [between[:at], Loop(between[at:], item.style, item.departures, item.rows)]
        else:
            found += [between, item]
        begin = last
    found.append(structure.text.cut(begin, end))
    return [item for item in found if item != ""]


def _keyword(between: str) -> int:
    """Where the keyword of a loop begins in the text before its labels."""
    at = len(between)
    for word in _WORDS.finditer(between):
        if "loop_" in word[0].lower() and not word[0].startswith("#"):
            at = word.start()
    return at


def split_between(text: str) -> tuple[str, str]:
    """The text between two blocks, from the last value to the name of the second: what belongs to each.

    Comments before a block, such as its version, are the block's own, with one blank line before them.
    """
    words = [word for word in _WORDS.finditer(text[:-_HEADING]) if not word[0].startswith("#")]
    comment = text.find("#", words[-1].end() if words else 0)
    if comment < 0 or (text[:comment] and text[comment - 1] != "\n"):
        comment = len(text) - _HEADING
        return text[:comment], text[comment:]
    if text[:comment].endswith("\n\n") or text[:comment] == "\n":
        comment -= 1
    return text[:comment], text[comment:]
