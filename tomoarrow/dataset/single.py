"""One STAR file that is no tomogram set: each loop a table, and the pairs of all blocks in one more."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import DatasetError, UsageError
from ..relion.labels import LABELS
from ..star.convention import check_labels
from ..star.document import Document
from ..star.files import render_tables
from ..star.forms import Form
from ..star.named import new_pairs, pair_text
from ..star.reader import read_star
from ..star.reread import read_texts
from ..star.style import BlockStyle, FileStyle, Loop, Pair
from ..star.tables import Findings
from ..star.texts import FileText, shorter, text_of_document
from .contents import Contents, source_info
from .layout import write_table
from .manifest import FILE_NAME, TableInfo, column_infos
from .rendering import Rendered, check_new_labels
from .stored import open_table
from .texts import KeptText, kept_texts, write_texts

KIND = "STAR file"

PAIRS = "pairs"

_PAIR_COLUMNS = ("block_index", "label", "value")

#: More tables than this are refused: a folder and a file each make a slow dataset.
_MOST_TABLES = 200

#: Names of tables that mean something else in a dataset.
_RESERVED = {"star", "rejects", PAIRS, "tilts", "tomograms", FILE_NAME}


def write_single(path: Path, document: Document, staging: Path, *, found: Findings) -> Contents:
    """Write the tables of a file into a folder."""
    found.notices += document.warnings
    found.rejects += document.rejects
    loops = [(block.name, loop) for block in document for loop in block.loops if loop.num_columns]
    if len(loops) > _MOST_TABLES:
        raise UsageError(
            f"{path}: {len(loops)} tables",
            expected=f"at most {_MOST_TABLES}, or the global file of a tomogram set",
            remedy="read it with read_star",
        )
    names = table_names([name for name, _ in loops])
    tables = {}
    for name, (_, loop) in zip(names, loops, strict=True):
        origins = {label: f"{name}/{label}" for label in loop.column_names}
        parts = write_table(loop, staging / name, staging)
        tables[name] = TableInfo(loop.num_rows, column_infos(loop.schema, origins), parts)
    text = text_of_document(document)
    pairs = _pairs_table(text)
    if pairs.num_rows:
        parts = write_table(pairs, staging / PAIRS, staging)
        tables[PAIRS] = TableInfo(pairs.num_rows, column_infos(pairs.schema, {}), parts)
    kept = KeptText(path.name, None, tuple(names), shorter(text, document.origin_bytes))
    tables["star"] = write_texts([kept], staging)
    home = Path(os.path.abspath(path)).parent
    return Contents(KIND, home, "the folder of the file", tables, [source_info(os.path.abspath(path), path)])


def table_names(blocks: list[str]) -> list[str]:
    """A name for the table of each loop: that of its block, made fit for a folder, and distinct."""
    taken = {name.lower() for name in _RESERVED}
    names = []
    for block in blocks:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", block).strip(".") or "data"
        name, n = plain[:100], 1
        while name.lower() in taken:
            n += 1
            name = f"{plain[:100]}_{n}"
        taken.add(name.lower())
        names.append(name)
    return names


def _pairs_table(text: FileText) -> pa.Table:
    """The pairs of all blocks, in order; their values as text."""
    pairs = [(i, block.name, item) for i, block in enumerate(text.style.blocks) for item in _pairs_of(block)]
    return pa.table(
        {
            "block_index": pa.array([i for i, _, _ in pairs], pa.int32()),
            "block": pa.array([name for _, name, _ in pairs], pa.string()),
            "label": pa.array([pair.label for _, _, pair in pairs], pa.string()),
            "value": _values([pair for _, _, pair in pairs]),
        }
    )


def _pairs_of(block: BlockStyle) -> list[Pair]:
    return [item for item in block.items if isinstance(item, Pair)]


def _values(pairs: Sequence[Pair]) -> pa.Array:
    """The values of pairs, without quotes."""
    return read_texts([pair.text for pair in pairs], "string", star=False).array


def render_single(dataset: Path, manifest: dict[str, Any]) -> Iterator[Rendered]:
    """The one file of a dataset."""
    (kept,) = kept_texts(dataset)
    text = kept.text
    if text.raw:
        document = read_star(text.raw.encode(), labels=LABELS, on_bad_value="null")
        text = text_of_document(document)
    if PAIRS in manifest["tables"]:
        text = replace(text, style=_with_values(text.style, open_table(dataset, PAIRS, manifest).read(_PAIR_COLUMNS)))
    tables = {}
    bare = list(text.departures)
    for name in kept.tables:
        stored = open_table(dataset, name, manifest)
        labels = stored.labels(name)
        check_new_labels(stored, name)
        tables[name] = stored.read(list(labels)).rename_columns(list(labels.values()))
        if stored.rows != manifest["tables"][name]["rows"]:
            bare[len(tables) - 1] = bare[len(tables) - 1].without_comments()
    text = replace(text, departures=tuple(bare))
    rows = [np.arange(table.num_rows) for table in tables.values()]
    yield Rendered(kept.file, render_tables(text, list(tables.values()), rows, LABELS), tables)


def _with_values(style: FileStyle, table: pa.Table) -> FileStyle:
    """A style whose pairs have the values of a table; those that are not in it are left out, new ones come last.

    Raises
    ------
    DatasetError
        The table names a block that is not there.
    """
    missing = set(_PAIR_COLUMNS) - set(table.column_names)
    values = {} if missing else {(row["block_index"], row["label"]): row["value"] for row in table.to_pylist()}
    if missing or any(i not in range(len(style.blocks)) for i, _ in values):
        raise DatasetError(
            f"the table {PAIRS} names no block of the file",
            expected=f"the columns {', '.join(_PAIR_COLUMNS)}, and a block_index from 0 to {len(style.blocks) - 1}",
        )
    blocks = []
    for i, block in enumerate(style.blocks):
        own = {label: value for (index, label), value in values.items() if index == i}
        blocks.append(replace(block, items=_with_own(block, own)))
    return FileStyle(tuple(blocks))


def _with_own(block: BlockStyle, values: dict[str, str | None]) -> tuple[str | Pair | Loop, ...]:
    """The items of a block with the values of its pairs."""
    items: list[str | Pair | Loop] = []
    last = 0
    for item in block.items:
        if not isinstance(item, Pair):
            items.append(item)
        elif item.label in values:
            value = pa.array([values.pop(item.label)], pa.string())
            same = _values([item]) == value
            items.append(item if same else replace(item, text=pair_text(value, Form(), multiline=False)))
            last = len(items)
    check_labels(list(values), block.name)
    new = new_pairs("plain", values)
    return (*items[:last], *(["\n\n"] if new and not last else []), *new, *items[last:])
