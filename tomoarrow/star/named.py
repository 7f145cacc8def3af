"""The styles of the writers that users know: RELION 5, Python's starfile, Warp, and a plain one that keeps all digits.

RELION: ``src/metadata_table.cpp`` (MetaDataTable::write), ``src/metadata_container.cpp``. starfile: ``writer.py`` of
version 0.5. Warp: ``WarpLib/Star.cs`` (Star.Save).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from .._version import __version__
from ..errors import SchemaError
from .forms import Form, texts_of, value_array
from .style import BlockStyle, Departures, Gap, Header, Loop, LoopStyle, Pair

StyleName = Literal["relion", "starfile", "warp", "plain"]

#: RELION 5's number for the layout of its tables.
_RELION_VERSION = 50001


def new_block(
    style: StyleName, name: str, pairs: Mapping[str, Any], tables: Sequence[pa.Table], *, first: bool
) -> BlockStyle:
    """The style of a block that was never read.

    Parameters
    ----------
    style : StyleName
    name : str
    pairs : mapping
        Values by label.
    tables : sequence of pyarrow.Table
        One for each loop.
    first : bool
        Whether it is the first block of its file.
    """
    front = {
        "relion": f"\n# version {_RELION_VERSION}\n\ndata_",
        "starfile": f"# Created by tomoarrow (version {__version__})\n\n\ndata_" if first else "data_",
        "warp": "\ndata_" if first else "\n\n\n\ndata_",
        "plain": "data_" if first else "\ndata_",
    }[style]
    items: list[str | Pair | Loop] = []
    if pairs:
        items += ["\n\n", *new_pairs(style, pairs)]
    for table in (table for table in tables if table.num_columns):
        items += ["\n" if items else "\n\n", new_loop(style, table)]
    end = {"relion": " \n", "starfile": "\n\n", "warp": "", "plain": ""}[style]
    return BlockStyle(front, name, (*(items or ["\n\n"]), end))


def new_pairs(style: StyleName, pairs: Mapping[str, Any]) -> list[Pair]:
    """Pairs that were never read."""
    texts = {label: _new_pair_text(style, value) for label, value in pairs.items()}
    longest = max((len(label.encode()) for label in pairs), default=0)
    longest_text = max((len(text) for text in texts.values()), default=0)
    found = []
    for label, text in texts.items():
        blanks = {
            "relion": 12 + max(10, longest) - len(label.encode()) + (0 if _is_text(pairs[label]) else 12 - len(text)),
            "warp": longest + 1 - len(label.encode()) + 2 + longest_text - len(text),
        }
        gap = "\t\t\t" if style == "starfile" else " " * blanks.get(style, 1)
        found.append(Pair(label, gap, text))
    return found


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str | list)


def pair_text(array: pa.Array, form: Form, *, multiline: bool) -> str:
    """The text of the value of a pair, quotes included.

    Raises
    ------
    SchemaError
        It has no form in STAR.
    """
    texts = texts_of(array, form, firsts=np.zeros(1, np.int64), multiline=multiline)
    if len(texts.refused):
        raise SchemaError(f"text that has no form in STAR: {array[0].as_py()!r}", expected="text of one line")
    return texts.data[: texts.size].tobytes().decode()


def _new_pair_text(style: StyleName, value: Any) -> str:
    array = value_array(value)
    # starfile writes the numbers of pairs as Python has them.
    form = Form() if style == "starfile" and pa.types.is_floating(array.type) else form_of(style, array.type)
    return pair_text(array, form, multiline=style == "plain")


def new_loop(style: StyleName, table: pa.Table) -> Loop:
    """A loop that was never read."""
    keyword = "loop_ \n" if style == "relion" else "loop_\n"
    return Loop(keyword, new_loop_style(style, table), Departures())


def new_loop_style(style: StyleName, table: pa.Table) -> LoopStyle:
    """The style of a loop that was never read."""
    header = Header(" #{n} \n" if style == "relion" else " #{n}\n")
    forms = tuple(form_of(style, column.type) for column in table.schema)
    if style == "relion" and table.num_columns == 1:
        # A row that is one word would be read as a keyword where it looks like one.
        forms = tuple(replace(form, quoting="needed") for form in forms)
    labels = tuple(table.column_names)
    if style == "relion":
        return LoopStyle(labels, header, forms, _relion_gaps([column.type for column in table.schema]))
    if style == "warp":
        # Each column as wide as its longest text, and two blanks.
        gaps = tuple(
            Gap("", 2, 2 + _longest(column, form), right=True)
            for column, form in zip(table.itercolumns(), forms, strict=True)
        )
        return LoopStyle(labels, header, forms, (*gaps, Gap("\n")))
    return LoopStyle(labels, header, forms, _tabs(len(labels)))


def usual_gaps(types: Sequence[pa.DataType]) -> list[tuple[Gap, ...]]:
    """The gaps of the writers that leave the same ones in every table: RELION and starfile."""
    return [_relion_gaps(types), _tabs(len(types))]


def _tabs(n_columns: int) -> tuple[Gap, ...]:
    return (Gap(), *[Gap("\t")] * (n_columns - 1), Gap("\n"))


def family_of(loops: Sequence[Loop]) -> StyleName:
    """The named style for what is new beside loops that were read: RELION's where they have its numbers."""
    return "relion" if any(form.kind == "relion" for loop in loops for form in loop.style.forms) else "plain"


def form_of(style: StyleName, type_: pa.DataType) -> Form:
    """How a style writes the values of a type."""
    is_vector = pa.types.is_nested(type_)
    if style == "relion":
        return Form("general", 12) if is_vector else Form("relion", quoting="relion")
    if style == "starfile":
        kind = "word" if pa.types.is_boolean(type_) else "shortest" if is_vector else "fixed"
        return Form(kind, 6)  # type: ignore[arg-type]
    return Form("short" if style == "warp" else "shortest")


def _relion_gaps(types: Sequence[pa.DataType]) -> tuple[Gap, ...]:
    """Numbers are aligned right to 12 bytes, other values to 10; one blank stands behind each."""
    numbers = [pa.types.is_floating(t) or pa.types.is_integer(t) or pa.types.is_boolean(t) for t in types]
    widths = [12 if is_number else 10 for is_number in numbers]
    first = [Gap("", 0, width, right=True) for width in widths[:1]]
    return (*first, *(Gap("", 1, width + 1, right=True) for width in widths[1:]), Gap(" \n"))


def _longest(column: pa.ChunkedArray, form: Form) -> int:
    offsets = texts_of(column.combine_chunks(), form).offsets
    return int((offsets[1:] - offsets[:-1]).max()) if len(offsets) > 1 else 0
