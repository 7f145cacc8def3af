"""What is kept of the text of a file beside its values: a style that many files share, and what is its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from .blocks import learn_tables, style_blocks
from .document import Document
from .learn import Learned
from .structure import Structure, analyse
from .style import (
    BlockStyle,
    Departures,
    FileStyle,
    Loop,
    LoopStyle,
    Pair,
    departures_from_plain,
    departures_to_plain,
    from_plain,
    to_plain,
)

#: A text that departs from its style by less than this is not worth a second look.
_LITTLE_BYTES = 256

#: In a style, the name of the block that is named as its table is.
OWN_NAME = "\0"


@dataclass(frozen=True, slots=True)
class FileText:
    """How one file is written.

    Attributes
    ----------
    style : FileStyle
    departures : tuple of Departures
        For each of the loops of the style.
    raw : str
        The text itself, where no style says it in less.
    """

    style: FileStyle
    departures: tuple[Departures, ...]
    raw: str = ""


class FileTexts:
    """Makes the `FileText` of each file of a text, with one style for all files that are written in the same way."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._styles: dict[tuple[object, ...], FileStyle] = {}
        #: Kept, because their identity is part of the keys above.
        self._loops: list[LoopStyle] = []

    def of_loop(self, f: int, name: str, loop: int, learned: Learned, *, whole: bool = True) -> FileText:
        """The text of a file of which one loop was learned.

        Parameters
        ----------
        f : int
            The number of the file.
        name : str
            The name that the block of the loop should have: where it has, the style says so and not the name.
        loop : int
        learned : Learned
        whole : bool
            Whether the bytes themselves are kept where they are less than what departs from the style.
        """
        structure, text = self._structure, self._structure.text
        container = int(structure.loop_container[loop])
        own_name = structure.name(container)
        heading = structure.start(int(structure.heading[container]))
        behind = heading + len(own_name.encode())
        begin, end = int(text.begins[f]), int(text.ends[f])
        named = own_name == name
        around = [(begin, heading), (behind, learned.begin), (learned.end, end)]
        outside = [text.buffer[first:last].tobytes() for first, last in around]
        key = (named or own_name, id(learned.style), *outside)
        if key not in self._styles:
            blocks = style_blocks(structure, f, {loop: replace(learned, departures=Departures(), rows=0)})
            if named:
                blocks = [replace(b, name=OWN_NAME) if b.name == name and _holds_loop(b) else b for b in blocks]
            self._styles[key] = FileStyle(tuple(blocks))
            self._loops.append(learned.style)
        found = FileText(self._styles[key], (learned.departures,))
        return shorter(found, text.buffer[begin:end].tobytes()) if whole and learned.departures else found

    def without_loop(self, f: int, name: str) -> FileText:
        """The text of a file of which nothing was learned; its block is named as `of_loop` says."""
        blocks = [
            replace(block, name=OWN_NAME) if block.name == name else block
            for block in style_blocks(self._structure, f, {})
        ]
        return FileText(FileStyle(tuple(blocks)), ())


def _holds_loop(block: BlockStyle) -> bool:
    return any(isinstance(item, Loop) for item in block.items)


def file_text(structure: Structure, learned: Mapping[int, Learned], *, whole: bool = True) -> FileText:
    """The text of the one file of a structure, of which some loops were learned; `whole` as in `FileTexts`."""
    bare = {loop: replace(each, departures=Departures(), rows=0) for loop, each in learned.items()}
    style = FileStyle(tuple(style_blocks(structure, 0, bare)))
    text = structure.text
    own = tuple(learned[loop].departures for loop in sorted(learned))
    found = FileText(style, own)
    return shorter(found, text.buffer[text.begins[0] : text.ends[0]].tobytes()) if whole else found


def text_of_document(document: Document) -> FileText:
    """The text of a document that was read and not changed, all its loops learned; never the bytes themselves."""
    assert document._origin is not None
    structure = analyse(document._origin.text, document._origin.dialect)
    tables: dict[int, pa.Table] = {}
    for block in document:
        assert block._origin is not None
        loops = np.flatnonzero(structure.loop_container == block._origin[1]).tolist()
        tables |= zip(loops, block.loops, strict=True)
    return file_text(structure, learn_tables(structure, tables), whole=False)


def shorter(text: FileText, raw: bytes) -> FileText:
    """The text, or the bytes themselves where what departs from the style is more than these."""
    if not any(text.departures):
        return text
    departing = departures_json(text.departures).encode()
    if len(departing) < _LITTLE_BYTES or len(departing) < len(raw) // 16:
        return text
    if len(pa.compress(departing, "zstd", asbytes=True)) < len(pa.compress(raw, "zstd", asbytes=True)):
        return text
    return FileText(FileStyle(()), (), raw.decode())


def style_json(style: FileStyle) -> str:
    """A style as JSON."""
    return json.dumps([_block_to_plain(block) for block in style.blocks], ensure_ascii=False, separators=(",", ":"))


def style_from_json(text: str) -> FileStyle:
    """The style that `style_json` wrote."""
    return FileStyle(tuple(_block_from_plain(block) for block in json.loads(text)))


def departures_json(departures: Sequence[Departures]) -> str:
    """The departures of loops as JSON; empty where there are none."""
    if not any(departures):
        return ""
    plain = [departures_to_plain(each) for each in departures]
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def departures_from_json(text: str, n: int) -> tuple[Departures, ...]:
    """The departures of n loops that `departures_json` wrote."""
    return tuple(departures_from_plain(each) for each in json.loads(text)) if text else (Departures(),) * n


def _block_to_plain(block: BlockStyle) -> list[Any]:
    items: list[Any] = []
    for item in block.items:
        if isinstance(item, str):
            items.append(item)
        elif isinstance(item, Pair):
            items.append([item.label, item.gap, item.text, item.end])
        else:
            items.append({"keyword": item.keyword, **to_plain(item.style)})
    return [block.front, block.name, items]


def _block_from_plain(plain: Sequence[Any]) -> BlockStyle:
    items: list[str | Pair | Loop] = []
    for item in plain[2]:
        if isinstance(item, str):
            items.append(item)
        elif isinstance(item, list):
            items.append(Pair(*item))
        else:
            items.append(Loop(item["keyword"], from_plain(item), Departures()))
    return BlockStyle(plain[0], plain[1], tuple(items))
