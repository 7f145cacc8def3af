"""The items of a table, rows or tilt series, and where each is in its row group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from ..dataset.layout import TILT_INDEX
from ..dataset.reading.conditions import rows_where
from ..dataset.reading.row_groups import GroupedTable
from ..errors import DatasetError, Place
from ..relion.tomogram_set import NAME
from .plan import Ints, Piece

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Items:
    """The items of each row group.

    Attributes
    ----------
    counts, rows : int64[groups]
        How many items there are, and how many rows.
    kept : tuple of int64[kept] or None
        The rows of each group that the filter kept; None where it kept all, or there is none.
    bounds : tuple of int64[items + 1], or None
        Where series begin and end among the kept rows of each group; None where items are rows.
    """

    counts: Ints
    rows: Ints
    kept: tuple[Ints | None, ...]
    bounds: tuple[Ints, ...] | None = None

    def rows_of(self, piece: Piece) -> Ints | slice:
        """The rows of a piece in its group."""
        start, stop = piece.start, piece.stop
        if self.bounds is not None:
            start, stop = int(self.bounds[piece.group][start]), int(self.bounds[piece.group][stop])
        kept = self.kept[piece.group]
        return slice(start, stop) if kept is None else kept[start:stop]

    def lengths_of(self, piece: Piece) -> Ints:
        """How many rows each series of a piece has."""
        assert self.bounds is not None
        return np.diff(self.bounds[piece.group][piece.start : piece.stop + 1])


def row_items(table: GroupedTable, where: str | pl.Expr | None) -> Items:
    """Rows as items: those for which a condition is true."""
    rows = np.array([group.rows for group in table.groups], np.int64)
    kept = _kept(table, where, rows)
    counts = [count if some is None else len(some) for count, some in zip(rows.tolist(), kept, strict=True)]
    return Items(np.array(counts, np.int64), rows, kept)


def series_items(table: GroupedTable, where: str | pl.Expr | None) -> Items:
    """Tilt series as items, of those tilts for which a condition is true; series of which none is left are none.

    Raises
    ------
    DatasetError
        A series is in two row groups, its tilts do not stand together in their order, or a row does not say where in
        its series it is: the files are not those that were converted.
    """
    of_rows = row_items(table, where)
    bounds = []
    last: tuple[str | None, int] | None = None
    for group, kept in zip(table.groups, of_rows.kept, strict=True):
        keys = table.read(group, [NAME, TILT_INDEX])
        names = keys.column(NAME).combine_chunks()
        if keys.column(TILT_INDEX).null_count:
            raise DatasetError(f"rows without {TILT_INDEX}", place=Place(group.path), remedy="convert again")
        index = keys.column(TILT_INDEX).to_numpy()
        if len(index):
            if last is not None and names[0].as_py() == last[0] and index[0] > last[1]:
                raise DatasetError(
                    f"the tilts of {last[0]} are in two row groups",
                    place=Place(group.path),
                    expected="whole tomograms in each row group, as convert writes them",
                    remedy="convert again",
                )
            last = names[-1].as_py(), int(index[-1])
        begins = _begins(names, index)
        _check_order(names.filter(pa.array(begins)), group.path)
        series = np.cumsum(begins)
        series = series if kept is None else series[kept]
        starts = np.flatnonzero(np.diff(series, prepend=-1))
        bounds.append(np.append(starts, len(series)).astype(np.int64))
    counts = np.array([len(bound) - 1 for bound in bounds], np.int64)
    return Items(counts, of_rows.rows, of_rows.kept, tuple(bounds))


def _check_order(names: pa.Array, path: str) -> None:
    """Refuse a name that begins more than one series: the tilts of a tomogram are scattered, or in another order.

    Raises
    ------
    DatasetError
    """
    repeated = [name for name, count in Counter(names.drop_null().to_pylist()).items() if count > 1]
    if repeated:
        raise DatasetError(
            f"the tilts of {repeated[0]} do not stand together, in the order of {TILT_INDEX}",
            place=Place(path, label=TILT_INDEX),
            remedy=f"sort the table by tomogram and {TILT_INDEX}, or convert again",
        )


def _begins(names: pa.Array, index: NDArray[np.int32]) -> Bools:
    """Where a series begins: at another name, or where the position in the series does not grow."""
    encoded = names if pa.types.is_dictionary(names.type) else names.dictionary_encode()
    # Other tools count without a sign.
    codes = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy()
    begins = np.ones(len(index), np.bool_)
    begins[1:] = (codes[1:] != codes[:-1]) | (index[1:] <= index[:-1])
    return begins


def _kept(table: GroupedTable, where: str | pl.Expr | None, rows: Ints) -> tuple[Ints | None, ...]:
    if where is None:
        return (None,) * len(rows)
    masks: Sequence[Bools] = np.split(rows_where(table.stored, where), np.cumsum(rows)[:-1]) if len(rows) else ()
    return tuple(None if mask.all() else np.flatnonzero(mask) for mask in masks)
