"""Batches of a dataset as NumPy arrays: for training without torch, and what the torch datasets are made of.

Nothing here imports torch. JAX takes the batches as they are, with ``rank=jax.process_index()`` and
``world_size=jax.process_count()``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any, TypedDict, Unpack

import numpy as np
import polars as pl
from numpy.typing import DTypeLike

from ..dataset.reading.row_groups import open_groups
from ..errors import UsageError
from ..relion.tomogram_set import NAME
from .arrays import Fill, choose_columns, handed_out
from .items import row_items, series_items
from .matrices import Projections, plan_matrices
from .plan import Lengths, Order, Shard, Window, batches_of_rank, windows
from .progress import Progress
from .reading import Form, Source, row_batches, series


class Options(TypedDict, total=False):
    """What all datasets of this package take, by keyword.

    Attributes
    ----------
    columns : sequence of str
        The columns to read. Default: all that hold numbers or booleans. Text and lists come as lists of Python.
    batch_size : int
        How many rows, or tilt series, are in a batch. Default: no batches, but single rows or series.
    filter : str or polars.Expr
        Only rows for which this is true: an SQL expression over the columns of the table, or one of Polars.
    dtype : "float32", "float64" or "float16"
        The type of floating-point columns, and of matrices. Default: float32. Values too large for it become inf.
        Integers and booleans stay what they are.
    fill : mapping of str to value
        What to put in the place of null, by column. Default: NaN in floating-point columns, None in text; in all
        others a null is an error.
    transform : function
        Called with each batch of rows, each single row, or each tilt series before it goes into a batch; what it
        returns is handed out.
    shuffle : bool
        Whether each epoch has another order. Default: the order of the table.
    seed : int
        The same seed and epoch give the same order, with the same version of NumPy. Default: 0.
    shuffle_rows : int
        How many rows are shuffled together, and held in memory: row groups are shuffled first, then the rows or
        series of as many groups as fit. Default: 65,536.
    lengths : "uneven", "drop" or "repeat"
        What to do about items that do not divide evenly among ranks. "uneven" (default): each item comes exactly once
        an epoch, and ranks differ by one item at most; training that waits for all ranks at each step would hang.
        "drop": the last few items of the epoch's order do not come. "repeat": the first few come twice.
    drop_last : bool
        Leave out the last batch of each rank if it is smaller. Default: False.
    rank, world_size : int
        Which process this is, and of how many. Default: for the datasets of torch what torch.distributed says, else
        the only one.
    """

    columns: Sequence[str] | None
    batch_size: int | None
    filter: str | pl.Expr | None
    dtype: DTypeLike
    fill: Mapping[str, Fill] | None
    transform: Callable[[Any], Any] | None
    shuffle: bool
    seed: int
    shuffle_rows: int
    lengths: Lengths
    drop_last: bool
    rank: int | None
    world_size: int | None


@dataclass(frozen=True, slots=True)
class Settings:
    """`Options` with their defaults."""

    columns: Sequence[str] | None = None
    batch_size: int | None = None
    filter: str | pl.Expr | None = None
    dtype: DTypeLike = "float32"
    fill: Mapping[str, Fill] | None = None
    transform: Callable[[Any], Any] | None = None
    shuffle: bool = False
    seed: int = 0
    shuffle_rows: int = 1 << 16
    lengths: Lengths = "uneven"
    drop_last: bool = False
    rank: int | None = None
    world_size: int | None = None

    def __post_init__(self) -> None:
        if (self.rank is None) != (self.world_size is None):
            raise UsageError("rank and world_size go together", expected="both or neither")

    @property
    def order(self) -> Order:
        """How items are ordered and shared."""
        size = 1 if self.batch_size is None else self.batch_size
        return Order(self.shuffle, self.seed, self.shuffle_rows, self.lengths, size, self.drop_last)


class Batches:
    """The batches of one rank, or of one of its workers, epoch by epoch. Made by `table_batches`, `series_batches`.

    Iterating begins the epoch anew, except for the first time after `load_state_dict`. Iterate once at a time: the
    state is that of the latest iteration.

    Attributes
    ----------
    shard : Shard
        Whose batches they are.
    """

    def __init__(self, source: Source, settings: Settings, form: Form) -> None:
        self._source, self._settings, self._form = source, settings, form
        self._order = settings.order
        self._items = int(source.items.counts.sum())
        self.shard = Shard(settings.rank or 0, settings.world_size or 1)
        self._epoch = 0
        self._resumed: Progress | None = None
        self._iterated: Shard | None = None
        self._taken = 0

    def __len__(self) -> int:
        """How many batches an epoch has for this rank, all its workers together."""
        return batches_of_rank(self._items, self._order, self.shard)

    def __iter__(self) -> Iterator[Any]:
        shard, taken = (self.shard, 0) if self._resumed is None else self._resumed.goes_on(self.shard)
        self._resumed, self._iterated, self._taken = None, shard, taken
        counts, rows = self._source.items.counts, self._source.items.rows
        skip = taken * self._order.batch_size
        ahead = windows(counts, rows, self._order, self._epoch, shard, skip)
        batches = self._rows(ahead) if self._source.items.bounds is None else self._series(ahead)
        for batch in batches:
            self._taken += 1
            yield batch

    @property
    def epoch(self) -> int:
        """Which epoch the next iteration is of."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, and with it the order. What was resumed of another epoch is forgotten."""
        if epoch != self._epoch:
            self._epoch, self._resumed = epoch, None
            self._iterated, self._taken = None, 0

    def state_dict(self) -> dict[str, Any]:
        """How far this epoch has come: plain numbers and texts."""
        return self._progress(self._iterated or self.shard).state() if self._resumed is None else self._resumed.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on where another had stopped.

        Raises
        ------
        UsageError
            The state is of another dataset, or of other options; when iterating, of another rank or worker.
        """
        self._resumed = Progress.of_state(state, self._items, self._order)
        self._epoch = self._resumed.epoch

    def loader_state(self, taken: int, workers: int, each: int) -> dict[str, Any]:
        """How far the workers are together, of which each handed out `each` batches in turn, `taken` times in all."""
        before = 0 if self._resumed is None or self._resumed.worker is not None else self._resumed.taken
        progress = self._progress(self.shard)
        return replace(progress, workers=workers, worker=None, each=each, taken=before + taken).state()

    def _progress(self, shard: Shard) -> Progress:
        return Progress(
            epoch=self._epoch,
            rank=shard.rank,
            world_size=shard.world_size,
            workers=shard.workers,
            worker=shard.worker,
            taken=self._taken,
            each=1,
            items=self._items,
            order=self._order,
        )

    def _rows(self, ahead: Iterator[Window]) -> Iterator[Any]:
        transform = self._settings.transform or _unchanged
        size = self._settings.batch_size or _ROWS_AT_ONCE
        for rows in row_batches(self._source, ahead, size, self._form):
            if self._settings.batch_size is not None:
                yield transform(rows)
                continue
            for values in zip(*rows.values(), strict=True):
                yield transform(dict(zip(rows, values, strict=True)))

    def _series(self, ahead: Iterator[Window]) -> Iterator[Any]:
        transform = self._settings.transform or _unchanged
        each = (transform({NAME: name, **self._form.convert(block)}) for name, block in series(self._source, ahead))
        if self._settings.batch_size is None:
            yield from each
            return
        while batch := list(islice(each, self._settings.batch_size)):
            yield self._form.pad(batch)


#: Rows that are converted together where they are handed out one by one.
_ROWS_AT_ONCE = 4096


def _unchanged(batch: Any) -> Any:
    return batch


def table_batches(path: str | os.PathLike[str], table: str, **options: Unpack[Options]) -> Batches:
    """The rows of a table as dicts of arrays.

    Parameters
    ----------
    path : str or path
        A dataset that `convert` made.
    table : str
        ``tilts``, ``particles``, or any other of its tables.
    **options
        See `Options`.

    Returns
    -------
    Batches
        Each a dict of arrays [rows], by column; without `batch_size`, of single values.

    Raises
    ------
    DatasetError
        The dataset is damaged; or, while iterating, a null that no number stands for.
    UsageError
        There is no such table or column, or an option is wrong.
    """
    return open_rows(path, table, Settings(**options), NUMPY)


def series_batches(
    path: str | os.PathLike[str],
    *,
    projections: Projections | None = "4x4",
    image_size: tuple[int, int] | None = None,
    **options: Unpack[Options],
) -> Batches:
    """Tilt series as dicts of arrays.

    Parameters
    ----------
    path : str or path
        A dataset that `convert` made.
    projections : "4x4", "3x4" or None
        The form of projection matrices, which take points of the tomogram, in unbinned pixels, to each tilt image;
        "3x4" leaves out the last row, (0, 0, 0, 1).
    image_size : (int, int), optional
        Width and height of the tilt images in pixels. Without, points of the image are relative to its centre, the
        pixel ``size // 2``. The matrices of RELION 4 need no size.
    **options
        See `Options`. The filter is one of tilts; series of which none is left do not come.

    Returns
    -------
    Batches
        Each a dict: ``rlnTomoName``, the name; each column as an array [tilts]; ``projection`` as [tilts, 3 or 4, 4].
        With `batch_size`, series are padded: `pad_arrays`.

    Raises
    ------
    DatasetError
        The dataset is damaged; or, while iterating, a null that no number stands for.
    UsageError
        There is no such column, an option is wrong, or the tilts have no alignment for projections.
    """
    return open_series(path, projections, image_size, Settings(**options), NUMPY)


def open_rows(path: str | os.PathLike[str], table: str, settings: Settings, form: Form) -> Batches:
    """`table_batches` in some form."""
    groups = open_groups(path, table)
    columns = choose_columns(groups.schema, settings.columns, settings.dtype, settings.fill)
    if not columns:
        raise UsageError(f"no column of {table} is asked for", expected=f"some of: {', '.join(groups.schema.names)}")
    return Batches(Source(groups, row_items(groups, settings.filter), columns), settings, form)


def open_series(
    path: str | os.PathLike[str],
    projections: Projections | None,
    image_size: tuple[int, int] | None,
    settings: Settings,
    form: Form,
) -> Batches:
    """`series_batches` in some form."""
    groups = open_groups(path, "tilts")
    names = None if settings.columns is None else [name for name in settings.columns if name != NAME]
    columns = choose_columns(groups.schema, names, settings.dtype, settings.fill)
    matrices = None if projections is None else plan_matrices(groups, projections, image_size, settings.dtype)
    source = Source(groups, series_items(groups, settings.filter), columns, matrices)
    return Batches(source, settings, form)


def pad_arrays(series: Sequence[Mapping[str, Any]], value: float = 0) -> dict[str, Any]:
    """Make one batch of tilt series of different length.

    Parameters
    ----------
    series : sequence of dict
    value : float
        What fills up the shorter ones.

    Returns
    -------
    dict
        Arrays as [series, tilts of the longest, ...], single numbers as [series], all else as lists; and ``mask``,
        bool[series, tilts], true where there is a tilt: as many as the first array of a series is long.
    """
    batch: dict[str, Any] = {}
    for name in series[0]:
        values = [each[name] for each in series]
        is_array = all(isinstance(each, np.ndarray | np.generic) for each in values)
        batch[name] = _padded(values, value) if is_array else values
    lengths = [
        next((len(each) for each in one.values() if np.ndim(each) and not isinstance(each, list)), 0) for one in series
    ]
    batch["mask"] = np.arange(max(lengths)) < np.array(lengths)[:, np.newaxis]
    return batch


def _padded(values: Sequence[Any], value: float) -> Any:
    if np.ndim(values[0]) == 0:
        return np.array(values)
    longest = max(map(len, values))
    padded = np.full((len(values), longest, *values[0].shape[1:]), value, values[0].dtype)
    for row, each in zip(padded, values, strict=True):
        row[: len(each)] = each
    return padded


def _cut(values: Any, stops: list[int]) -> list[Any]:
    return [values[start:stop] for start, stop in pairwise([0, *stops])]


def join_lists(parts: list[list[Any]]) -> list[Any]:
    """Lists of text, or of lists, as one."""
    return [each for part in parts for each in part]


def _joined(parts: list[Any]) -> Any:
    return join_lists(parts) if isinstance(parts[0], list) else np.concatenate(parts)


NUMPY = Form(handed_out, _cut, _joined, pad_arrays)
