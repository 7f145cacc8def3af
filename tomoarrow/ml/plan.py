"""Which items come in an epoch, in which order, to whom: worked out from counts alone, before anything is read.

An item is a row or a tilt series. The items of an epoch stand in one order, row group after row group. Ranks take spans
of it, and the workers of a rank take spans of the rank's batches. A span is read in windows of whole row groups, and
shuffled within each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError, check_choice

Ints = NDArray[np.int64]

#: What becomes of items that do not divide evenly among ranks.
Lengths = Literal["uneven", "drop", "repeat"]


@dataclass(frozen=True, slots=True)
class Shard:
    """Who asks: a worker of a rank."""

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.world_size and 0 <= self.worker < self.workers):
            raise UsageError(f"{self}", expected="a rank below world_size, a worker below workers")


@dataclass(frozen=True, slots=True)
class Order:
    """How the items of an epoch are ordered and shared.

    Attributes
    ----------
    shuffle : bool
    seed : int
        Not negative.
    shuffle_rows : int
        Rows of whole row groups that are shuffled together.
    lengths : "uneven", "drop" or "repeat"
    batch_size : int
        Items a batch.
    drop_last : bool
        Leave out the last batch of a rank where it is smaller than the others.
    """

    shuffle: bool = False
    seed: int = 0
    shuffle_rows: int = 1 << 16
    lengths: Lengths = "uneven"
    batch_size: int = 1
    drop_last: bool = False

    def __post_init__(self) -> None:
        check_choice("lengths", self.lengths, get_args(Lengths))
        for name, least in (("seed", 0), ("shuffle_rows", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name}={getattr(self, name)}", expected=f"{least} or more")


@dataclass(frozen=True, slots=True)
class Piece:
    """The items from `start` to `stop` of a row group."""

    group: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Window:
    """Pieces that are read together.

    Attributes
    ----------
    pieces : tuple of Piece
    chosen : int64[items] or slice
        The items to hand out, in this order, by their number in the pieces together.
    """

    pieces: tuple[Piece, ...]
    chosen: Ints | slice = field(default_factory=lambda: slice(None))


def items_of_rank(total: int, order: Order, shard: Shard) -> range:
    """The places of a rank's items in the order of the epoch.

    With "repeat", places may go past the end: they count from the beginning again.
    """
    rank, world_size = shard.rank, shard.world_size
    if order.lengths == "uneven":
        return range(rank * total // world_size, (rank + 1) * total // world_size)
    each = -(-total // world_size) if order.lengths == "repeat" else total // world_size
    return range(rank * each, (rank + 1) * each)


def batches_of_rank(total: int, order: Order, shard: Shard) -> int:
    """How many batches a rank has, all its workers together."""
    items = len(items_of_rank(total, order, shard))
    return items // order.batch_size if order.drop_last else -(-items // order.batch_size)


def items_of_worker(total: int, order: Order, shard: Shard) -> range:
    """The places of a worker's items: whole batches of its rank, the first workers with one more where need be."""
    each, more = divmod(batches_of_rank(total, order, shard), shard.workers)
    first = shard.worker * each + min(shard.worker, more)
    last = first + each + (shard.worker < more)
    of_rank = items_of_rank(total, order, shard)
    return of_rank[first * order.batch_size : last * order.batch_size]


def windows(counts: Ints, rows: Ints, order: Order, epoch: int, shard: Shard, skip: int = 0) -> Iterator[Window]:
    """What a worker reads in an epoch.

    Parameters
    ----------
    counts, rows : int64[groups]
        Items, and rows, of each row group.
    order : Order
    epoch : int
    shard : Shard
    skip : int
        How many of its items it has had already; windows of which none is left do not come.
    """
    total = int(counts.sum())
    groups = np.arange(len(counts))
    if order.shuffle:
        groups = np.random.default_rng([order.seed, epoch]).permutation(groups)
    span = items_of_worker(total, order, shard)
    pieces = _pieces(counts, groups, span if order.shuffle else span[skip:])
    if not order.shuffle:
        yield from (Window((piece,)) for piece in pieces)
        return
    for number, gathered in enumerate(_gather(pieces, rows, order.shuffle_rows)):
        items = sum(piece.stop - piece.start for piece in gathered)
        if skip >= items:
            skip -= items
            continue
        # Streams of random numbers that differ in trailing zeros are the same: hence the 1.
        generator = np.random.default_rng(
            [order.seed, epoch, shard.rank, shard.world_size, shard.worker, shard.workers, number, 1]
        )
        yield Window(gathered, generator.permutation(items)[skip:])
        skip = 0


def _pieces(counts: Ints, groups: Ints, span: range) -> Iterator[Piece]:
    """The row groups, and parts of such, that a span of the order is made of."""
    ends = np.cumsum(counts[groups])
    total = int(ends[-1]) if len(ends) else 0
    place = span.start
    while place < span.stop:
        start = place % total
        at = int(np.searchsorted(ends, start, side="right"))
        begin = int(ends[at] - counts[groups[at]])
        stop = min(int(ends[at]), start + span.stop - place)
        yield Piece(int(groups[at]), start - begin, stop - begin)
        place += stop - start


def _gather(pieces: Iterator[Piece], rows: Ints, most_rows: int) -> Iterator[tuple[Piece, ...]]:
    gathered: list[Piece] = []
    read = 0
    for piece in pieces:
        if gathered and read + rows[piece.group] > most_rows:
            yield tuple(gathered)
            gathered, read = [], 0
        gathered.append(piece)
        read += int(rows[piece.group])
    if gathered:
        yield tuple(gathered)
