"""Windows of row groups read into arrays, and cut into batches of rows or into tilt series."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from ..dataset.reading.row_groups import GroupedTable, open_file
from ..relion.tomogram_set import NAME
from .arrays import Block, Column, block_of, reordered
from .items import Items
from .matrices import Matrices
from .plan import Window

#: The key of projection matrices.
PROJECTION = "projection"

#: Files that are kept open at a time: row groups come from all of them, shuffled.
_OPEN_FILES = 16


@dataclass(frozen=True, slots=True)
class Source:
    """What is read of a table.

    Attributes
    ----------
    table : GroupedTable
    items : Items
    columns : tuple of Column
    matrices : Matrices or None
        Of tilt series.
    """

    table: GroupedTable
    items: Items
    columns: tuple[Column, ...]
    matrices: Matrices | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """What arrays are handed out as.

    Attributes
    ----------
    convert : function
        The arrays of some rows to what is handed out, by column.
    cut : function
        A column at its rows, given where each part stops.
    join : function
        The parts of a column together.
    pad : function
        A list of series as one batch.
    """

    convert: Callable[[Block], dict[str, Any]]
    cut: Callable[[Any, list[int]], Sequence[Any]]
    join: Callable[[list[Any]], Any]
    pad: Callable[[list[Any]], dict[str, Any]]


def row_batches(source: Source, windows: Iterable[Window], size: int, form: Form) -> Iterator[dict[str, Any]]:
    """Batches of rows; the last may be smaller.

    A batch is a view of the arrays of its window; only one that goes on in the next window is a copy.
    """
    begun: list[dict[str, Any]] = []
    missing = size
    open_once = lru_cache(_OPEN_FILES)(open_file)
    for window in windows:
        block = _read_rows(source, open_once, window)
        rows = len(next(iter(block.values())))
        stops = [*range(missing, rows, size), rows]
        # All of a window is converted and cut at once: for small batches, that took most of the time.
        columns = [form.cut(values, stops) for values in form.convert(block).values()]
        for parts, start, stop in zip(zip(*columns, strict=True), [0, *stops[:-1]], stops, strict=True):
            begun.append(dict(zip(block, parts, strict=True)))
            missing -= stop - start
            if not missing:
                yield begun[0] if len(begun) == 1 else _joined(begun, form)
                begun, missing = [], size
    if begun:
        yield _joined(begun, form)


def series(source: Source, windows: Iterable[Window]) -> Iterator[tuple[str | None, Block]]:
    """Tilt series, each with the name of its tomogram; their arrays are parts of those of a window."""
    open_once = lru_cache(_OPEN_FILES)(open_file)
    for window in windows:
        names, starts, block = _read_series(source, open_once, window)
        chosen = window.chosen
        for number in range(len(names))[chosen] if isinstance(chosen, slice) else chosen.tolist():
            begin, end = starts[number], starts[number + 1]
            yield names[number], {name: values[begin:end] for name, values in block.items()}


def _read_rows(source: Source, open_once: Callable[[str], Any], window: Window) -> Block:
    tables = _tables(source, open_once, window, [column.name for column in source.columns])
    block = block_of(tables, sum(piece.stop - piece.start for piece in window.pieces), source.columns)
    return block if isinstance(window.chosen, slice) else reordered(block, window.chosen)


def _read_series(
    source: Source, open_once: Callable[[str], Any], window: Window
) -> tuple[list[str | None], list[int], Block]:
    matrices = source.matrices
    names = dict.fromkeys([*(column.name for column in source.columns), *(matrices.columns if matrices else ()), NAME])
    tables = list(_tables(source, open_once, window, list(names)))
    block = block_of(tables, sum(table.num_rows for table in tables), source.columns)
    if matrices is not None:
        block[PROJECTION] = matrices.of(tables)[:, : matrices.rows].astype(matrices.dtype)
    lengths = np.concatenate([source.items.lengths_of(piece) for piece in window.pieces])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    column = pa.chunked_array([pa.concat_arrays(_texts(table)) for table in tables])
    return column.take(pa.array(starts[:-1])).to_pylist(), starts.tolist(), block


def _texts(table: pa.Table) -> list[pa.Array]:
    chunks = table.column(NAME).chunks
    return [chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk for chunk in chunks]


def _tables(
    source: Source, open_once: Callable[[str], Any], window: Window, names: Sequence[str]
) -> Iterator[pa.Table]:
    for piece in window.pieces:
        group = source.table.groups[piece.group]
        table = source.table.read(group, names, open_once(group.path))
        rows = source.items.rows_of(piece)
        if isinstance(rows, slice):
            is_whole = rows.stop - rows.start == group.rows
            yield table if is_whole else table.slice(rows.start, rows.stop - rows.start)
        else:
            yield table.take(pa.array(rows))


def _joined(parts: list[dict[str, Any]], form: Form) -> dict[str, Any]:
    return {name: form.join([part[name] for part in parts]) for name in parts[0]}
