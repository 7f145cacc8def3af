"""The tilt series of a set as one table, whatever is wrong with some."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pyarrow as pa

from ..star.stack import Stack
from ..star.tables import Findings, Options
from ..star.threads import cores, in_order
from .labels import LABELS
from .series import SeriesFile, read_series
from .sets import Tilts

#: Tilt-series files are read in slabs of about this much text.
_SLAB_BYTES = 8 << 20


def read_tilts(series: Sequence[SeriesFile | None], whole: str | None, found: Findings) -> Tilts:
    """Read tilt series, on threads; values that do not fit are null.

    Parameters
    ----------
    series : sequence of SeriesFile or None
        For each tomogram its file; None where it is not there.
    whole : str or None
        The file that has them all, where one has.
    found : Findings
        Notices, rejects and errors are added.
    """
    there = [(t, file) for t, file in enumerate(series) if file is not None]
    counts = np.zeros(len(series), np.int64)
    labels = [frozenset[str]()] * len(series)
    tables = []
    bad: set[str] = set()
    with ThreadPoolExecutor(cores()) as pool:
        slabs = [[there[i] for i in slab] for slab in _slabs([file for _, file in there])]
        for slab, (stack, own) in zip(slabs, in_order(pool, _read_slab, slabs, cores()), strict=True):
            found.add(own)
            bad |= {error.place.path for error in own.errors}
            tables.append(stack.table)
            for (t, _), count, own_labels in zip(slab, stack.counts.tolist(), _labels(stack), strict=True):
                counts[t], labels[t] = count, own_labels
    table = _joined(tables)
    is_read = np.array([file is not None and file.path not in bad for file in series], bool) | (counts > 0)
    files = tuple("" if file is None else whole or file.file for file in series)
    paths = tuple("" if file is None else file.path for file in series)
    return Tilts(table, np.concatenate([[0], np.cumsum(counts)]), is_read, tuple(labels), paths, files)


def _slabs(files: Sequence[SeriesFile]) -> list[range]:
    """Files in ranges of about `_SLAB_BYTES` of text."""
    sizes = [len(file.part) if file.part is not None else os.path.getsize(file.file) for file in files]
    number = np.cumsum(np.array(sizes, np.int64)) // _SLAB_BYTES
    begins = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(files)]
    return [range(begin, end) for begin, end in pairwise(begins) if begin < end]


def _read_slab(files: Sequence[tuple[int, SeriesFile]]) -> tuple[Stack, Findings]:
    found = Findings()
    return read_series([file for _, file in files], Options(LABELS, {}, "null"), found), found


def _labels(stack: Stack) -> list[frozenset[str]]:
    """The labels of each series: those that are not null in all of its rows."""
    table, counts = stack.table, stack.counts
    owner = np.repeat(np.arange(len(counts)), counts)
    everywhere = frozenset(table.column_names)
    lacking: dict[int, set[str]] = {}
    for name in table.column_names:
        column = table.column(name)
        if column.null_count:
            filled = np.bincount(owner, weights=column.is_valid().to_numpy(), minlength=len(counts))
            for t in np.flatnonzero((filled == 0) & (counts > 0)).tolist():
                lacking.setdefault(t, set()).add(name)
    return [everywhere - lacking.get(t, set()) if count else frozenset() for t, count in enumerate(counts.tolist())]


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of slabs as one; a column that has not one type in all is left out: its label is not known."""
    types: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for column in table.schema:
            types.setdefault(column.name, set()).add(column.type)
    kept = {name for name, found in types.items() if name in LABELS or len(found) == 1}
    chosen = [table.select([name for name in table.column_names if name in kept]) for table in tables]
    return pa.concat_tables(chosen, promote_options="permissive").unify_dictionaries() if chosen else pa.table({})
