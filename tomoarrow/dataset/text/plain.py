"""The text of one STAR file as it stands, from its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...errors import DatasetError
from ...relion.labels import LABELS
from ...star.convention import check_labels
from ...star.files import render_tables
from ...star.forms import Form
from ...star.guess import is_text
from ...star.named import new_pairs, pair_text
from ...star.reader import read_star
from ...star.style import FileStyle, Loop, Pair
from ...star.texts import FileText, text_of_document
from ..reading.stored import Stored, integers, open_table
from ..tables.plain import PAIR_COLUMNS, PAIRS, own_items, pair_values
from ..tables.texts import KeptText, portable
from ..versions.snapshot import Snapshot
from .left import Left
from .rendering import Rendered, check_new_labels


def render_plain(snapshot: Snapshot, pieces: Sequence[KeptText], left: Left) -> Rendered:
    """One file, given what is kept of its text piece by piece, and what is left of tomograms."""
    file = pieces[0].file
    rows: dict[str, list[int]] = {}
    for kept in pieces:
        for i, name in enumerate(kept.tables):
            rows.setdefault(name, []).append(0 if kept.rows is None else kept.rows[i])
    tables = {name: _Table.of(snapshot, name, counts) for name, counts in rows.items()}
    pairs = pairs_of(snapshot, file)
    values = None if pairs is None else values_by_block(pairs)
    n_blocks = 0
    data: list[bytes] = []
    for number, kept in enumerate(pieces):
        text = kept.text
        if text.raw:
            text = text_of_document(read_star(text.raw.encode(), labels=LABELS, on_bad_value="null"))
        first = n_blocks - int(number > 0)
        if values is not None:
            goes_on = number + 1 < len(pieces)
            style = with_values(text.style, values, first, has_begun=number > 0, goes_on=goes_on)
            text = replace(text, style=style)
        n_blocks = first + len(text.style.blocks)
        data.append(_render(text, [tables[name] for name in kept.tables], left, goes_on=number > 0))
    if pairs is not None:
        _check_blocks(pairs, n_blocks)
    return Rendered(file, b"".join(data), {name: table.all_rows(left)[0] for name, table in tables.items()})


def pairs_of(snapshot: Snapshot, file: str) -> pa.Table | None:
    """The pairs of a file; None where no file has any."""
    if PAIRS not in snapshot.tables:
        return None
    stored = open_table(snapshot, PAIRS)
    pairs = stored.read(PAIR_COLUMNS)
    _check_columns(pairs)
    at = pairs.column_names.index("block_index")
    pairs = pairs.set_column(at, "block_index", integers(pairs.column("block_index"), "block_index", stored.folder))
    return pairs.filter(pc.equal(pairs.column("file"), portable(file)))


@dataclass(slots=True)
class _Table:
    """A table as it is stored, and the rows of it that each piece of the file is to have."""

    stored: Stored
    labels: dict[str, str]
    bounds: list[int]
    is_edited: bool
    at: int = 0

    @staticmethod
    def of(snapshot: Snapshot, name: str, counts: list[int]) -> _Table:
        """Share the rows of a table out to pieces that had so many; what is there besides goes to the last."""
        stored = open_table(snapshot, name)
        labels = stored.labels(name)
        check_new_labels(stored, name)
        bounds = np.minimum(np.cumsum([0, *counts]), stored.rows).tolist()
        return _Table(
            stored, labels, [*bounds[:-1], stored.rows], stored.rows != snapshot.manifest["tables"][name]["rows"]
        )

    def read(self, begin: int, end: int, left: Left) -> tuple[pa.Table, NDArray[np.int64]]:
        """The rows of a range that are left, and their positions in it."""
        columns = list(self.labels)
        table = self.stored.read(columns, begin, end).rename_columns(list(self.labels.values()))
        rows = left.rows(table)
        if len(rows) < table.num_rows:
            table = table.take(pa.array(rows))
        return left.frames(table), rows

    def next_rows(self, left: Left) -> tuple[pa.Table, NDArray[np.int64]]:
        """The rows of the next piece."""
        self.at += 1
        return self.read(self.bounds[self.at - 1], self.bounds[self.at], left)

    def all_rows(self, left: Left) -> tuple[pa.Table, NDArray[np.int64]]:
        return self.read(0, self.stored.rows, left)


def _render(text: FileText, tables: list[_Table], left: Left, *, goes_on: bool) -> bytes:
    """The text of one piece."""
    departures = [
        each.without_comments() if table.is_edited else each
        for each, table in zip(text.departures, tables, strict=True)
    ]
    pieces = [table.next_rows(left) for table in tables]
    own = replace(text, departures=tuple(departures))
    return render_tables(own, [rows for rows, _ in pieces], [at for _, at in pieces], LABELS, goes_on=goes_on)


def _check_columns(pairs: pa.Table) -> None:
    if not set(PAIR_COLUMNS) <= set(pairs.column_names):
        raise DatasetError(f"the table {PAIRS} lacks columns", expected=f"the columns {', '.join(PAIR_COLUMNS)}")
    for name in ("file", "label", "value"):
        type_ = pairs.column(name).type
        if not (is_text(type_) or pa.types.is_null(type_)):
            raise DatasetError(f"the column {name} of the table {PAIRS} is {type_}", expected="text")


def _check_blocks(pairs: pa.Table, n_blocks: int) -> None:
    """Refuse a table of pairs that names no block of the file.

    Raises
    ------
    DatasetError
    """
    if all(i in range(n_blocks) for i in pairs.column("block_index").to_pylist()):
        return
    raise DatasetError(
        f"the table {PAIRS} names no block of the file",
        expected=f"a block_index from 0 to {n_blocks - 1}",
    )


def values_by_block(pairs: pa.Table) -> dict[int, dict[str, str | None]]:
    """The values of the pairs of a file, by the number of their block and their label."""
    values: dict[int, dict[str, str | None]] = {}
    for row in pairs.to_pylist():
        values.setdefault(row["block_index"], {})[row["label"]] = row["value"]
    return values


def with_values(
    style: FileStyle,
    values: dict[int, dict[str, str | None]],
    first: int,
    *,
    has_begun: bool = False,
    goes_on: bool = False,
) -> FileStyle:
    """A style whose pairs have the values given, which are used up; those that have none are left out, new ones added.

    `first`: which block of the file is the first of the style. `has_begun`: whether a piece before had the rows of its
    loop; `goes_on`: whether the last block goes on in the next piece.
    """
    blocks = []
    for i, block in enumerate(style.blocks):
        # What stands before the loop of a block that has begun only repeats what the piece before had.
        begin = len(block.items) - len(own_items(block.items)) if has_begun and i == 0 else 0
        own = values.setdefault(first + i, {})
        is_whole = not (goes_on and i == len(style.blocks) - 1)
        items = (*block.items[:begin], *_with_own(block.name, block.items[begin:], own, is_whole=is_whole))
        blocks.append(replace(block, items=items))
    return FileStyle(tuple(blocks))


def _with_own(
    name: str, given: Sequence[str | Pair | Loop], values: dict[str, str | None], *, is_whole: bool
) -> list[str | Pair | Loop]:
    """The items of a block with the values of its pairs; `is_whole`: whether values that are left over are new."""
    items: list[str | Pair | Loop] = []
    last = 0
    for item in given:
        if not isinstance(item, Pair):
            items.append(item)
        elif item.label in values:
            value = pa.array([values.pop(item.label)], pa.string())
            same = pair_values([item.text]) == value
            items.append(item if same else replace(item, text=pair_text(value, Form(), multiline=False)))
            last = len(items)
    if not values or not is_whole:
        return items
    check_labels(list(values), name)
    new = new_pairs("plain", values)
    if not last and items and isinstance(items[0], Loop):
        return [*items, "\n", *new]
    return [*items[:last], *([] if last else ["\n\n"]), *new, *items[last:]]
