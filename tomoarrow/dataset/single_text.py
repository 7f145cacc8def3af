"""The text of one STAR file that is no tomogram set, from its tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import DatasetError
from ..relion.labels import LABELS
from ..star.convention import check_labels
from ..star.files import render_tables
from ..star.forms import Form
from ..star.named import new_pairs, pair_text
from ..star.reader import read_star
from ..star.style import BlockStyle, FileStyle, Loop, Pair
from ..star.texts import FileText, text_of_document
from .rendering import Rendered, check_new_labels
from .single import PAIR_COLUMNS, PAIRS, pair_values
from .stored import Stored, open_table
from .texts import kept_texts


def render_single(dataset: Path, manifest: dict[str, Any]) -> Iterator[Rendered]:
    """The one file of a dataset."""
    pieces = kept_texts(dataset)
    rows: dict[str, list[int]] = {}
    for kept in pieces:
        for i, name in enumerate(kept.tables):
            rows.setdefault(name, []).append(0 if kept.rows is None else kept.rows[i])
    tables = {name: _Table.of(dataset, name, manifest, counts) for name, counts in rows.items()}
    pairs = open_table(dataset, PAIRS, manifest).read(PAIR_COLUMNS) if PAIRS in manifest["tables"] else None
    n_blocks = 0
    data: list[bytes] = []
    for number, kept in enumerate(pieces):
        text = kept.text
        if text.raw:
            text = text_of_document(read_star(text.raw.encode(), labels=LABELS, on_bad_value="null"))
        first = n_blocks - int(number > 0)
        if pairs is not None:
            text = replace(text, style=_with_values(text.style, pairs, first, goes_on=number > 0))
        n_blocks = first + len(text.style.blocks)
        data.append(_render(text, [tables[name] for name in kept.tables], goes_on=number > 0))
    if pairs is not None:
        _check_blocks(pairs, n_blocks)
    yield Rendered(pieces[0].file, b"".join(data), {name: table.all_rows() for name, table in tables.items()})


@dataclass(slots=True)
class _Table:
    """A table as it is stored, and the rows of it that each piece of the file is to have."""

    stored: Stored
    labels: dict[str, str]
    bounds: list[int]
    is_edited: bool
    at: int = 0

    @staticmethod
    def of(dataset: Path, name: str, manifest: dict[str, Any], counts: list[int]) -> _Table:
        """Share the rows of a table out to pieces that had so many; what is there besides goes to the last."""
        stored = open_table(dataset, name, manifest)
        labels = stored.labels(name)
        check_new_labels(stored, name)
        bounds = np.minimum(np.cumsum([0, *counts]), stored.rows).tolist()
        return _Table(stored, labels, [*bounds[:-1], stored.rows], stored.rows != manifest["tables"][name]["rows"])

    def read(self, begin: int, end: int) -> pa.Table:
        columns = list(self.labels)
        return self.stored.read(columns, begin, end).rename_columns(list(self.labels.values()))

    def next_rows(self) -> pa.Table:
        """The rows of the next piece."""
        self.at += 1
        return self.read(self.bounds[self.at - 1], self.bounds[self.at])

    def all_rows(self) -> pa.Table:
        return self.read(0, self.stored.rows)


def _render(text: FileText, tables: list[_Table], *, goes_on: bool) -> bytes:
    """The text of one piece."""
    departures = [
        each.without_comments() if table.is_edited else each
        for each, table in zip(text.departures, tables, strict=True)
    ]
    pieces = [table.next_rows() for table in tables]
    rows = [np.arange(piece.num_rows) for piece in pieces]
    return render_tables(replace(text, departures=tuple(departures)), pieces, rows, LABELS, goes_on=goes_on)


def _check_blocks(pairs: pa.Table, n_blocks: int) -> None:
    """Refuse a table of pairs that names no block of the file.

    Raises
    ------
    DatasetError
    """
    if set(PAIR_COLUMNS) <= set(pairs.column_names):
        named = pairs.column("block_index").to_pylist()
        if all(i in range(n_blocks) for i in named):
            return
    raise DatasetError(
        f"the table {PAIRS} names no block of the file",
        expected=f"the columns {', '.join(PAIR_COLUMNS)}, and a block_index from 0 to {n_blocks - 1}",
    )


def _with_values(style: FileStyle, table: pa.Table, first: int, *, goes_on: bool) -> FileStyle:
    """A style whose pairs have the values of a table; those that are not in it are left out, new ones come last.

    `first`: which block of the file is the first of the style. `goes_on`: whether that has begun before.
    """
    if not set(PAIR_COLUMNS) <= set(table.column_names):
        _check_blocks(table, 0)
    values: dict[int, dict[str, str | None]] = {}
    for row in table.to_pylist():
        values.setdefault(row["block_index"], {})[row["label"]] = row["value"]
    blocks = []
    for i, block in enumerate(style.blocks):
        own = values.get(first + i, {})
        blocks.append(block if goes_on and i == 0 else replace(block, items=_with_own(block, own)))
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
            same = pair_values([item.text]) == value
            items.append(item if same else replace(item, text=pair_text(value, Form(), multiline=False)))
            last = len(items)
    check_labels(list(values), block.name)
    new = new_pairs("plain", values)
    return (*items[:last], *(["\n\n"] if new and not last else []), *new, *items[last:])
