"""The order of an epoch, from counts alone."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomoarrow.errors import UsageError
from tomoarrow.ml.plan import Order, Shard, batches_of_rank, items_of_worker, windows

counts = st.lists(st.integers(0, 9), max_size=8)


def handed_out(sizes: list[int], order: Order, epoch: int, shard: Shard, skip: int = 0) -> list[tuple[int, int]]:
    """The items of a worker, as (row group, item in it)."""
    counted = np.array(sizes, np.int64)
    found = []
    for window in windows(counted, counted, order, epoch, shard, skip):
        items = [(piece.group, i) for piece in window.pieces for i in range(piece.start, piece.stop)]
        numbers = range(len(items))[window.chosen] if isinstance(window.chosen, slice) else window.chosen.tolist()
        found += [items[number] for number in numbers]
    return found


def shards(world_size: int, workers: int) -> list[Shard]:
    return [Shard(rank, world_size, worker, workers) for rank in range(world_size) for worker in range(workers)]


@given(counts, st.booleans(), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 20))
def test_each_item_comes_exactly_once(
    sizes: list[int], shuffle: bool, world_size: int, workers: int, batch_size: int, shuffle_rows: int
) -> None:
    order = Order(shuffle, 5, shuffle_rows, "uneven", batch_size)
    found = [item for shard in shards(world_size, workers) for item in handed_out(sizes, order, 2, shard)]
    assert sorted(found) == [(group, i) for group, size in enumerate(sizes) for i in range(size)]


@given(counts, st.sampled_from(["drop", "repeat"]), st.booleans(), st.integers(1, 5), st.integers(1, 3))
def test_ranks_have_equally_many_batches(
    sizes: list[int], lengths: str, drop_last: bool, world_size: int, workers: int
) -> None:
    order = Order(True, 0, 10, lengths, 2, drop_last)  # type: ignore[arg-type]
    found = [len(handed_out(sizes, order, 0, shard)) for shard in shards(world_size, workers)]
    of_rank = {sum(found[i : i + workers]) for i in range(0, len(found), workers)}
    total = sum(sizes)
    each = total // world_size if lengths == "drop" else -(-total // world_size)
    assert of_rank == {each // 2 * 2 if drop_last else each}


def test_what_drop_leaves_out_and_repeat_repeats_is_less_than_one_item_a_rank() -> None:
    drop, repeat = (Order(True, 0, 10, lengths) for lengths in ("drop", "repeat"))  # type: ignore[arg-type]
    dropped = [item for shard in shards(4, 2) for item in handed_out([5, 5, 5], drop, 0, shard)]
    repeated = [item for shard in shards(4, 2) for item in handed_out([5, 5, 5], repeat, 0, shard)]
    assert len(dropped) == len({*dropped}) == 12
    assert len(repeated) == 16
    assert len({*repeated}) == 15


@given(counts, st.booleans(), st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_workers_have_whole_batches_of_their_rank_in_turn(
    sizes: list[int], shuffle: bool, workers: int, batch_size: int, drop_last: bool
) -> None:
    order = Order(shuffle, 0, 10, "uneven", batch_size, drop_last)
    items = [len(items_of_worker(sum(sizes), order, shard)) for shard in shards(1, workers)]
    batches = [-(-n // batch_size) for n in items]
    assert sum(batches) == batches_of_rank(sum(sizes), order, Shard())
    assert all(before in (after, after + 1) for before, after in pairwise(batches))
    assert sum(n % batch_size > 0 for n in items) <= (not drop_last)


@given(counts, st.booleans(), st.integers(0, 80), st.integers(1, 25))
def test_skipped_items_are_the_first(sizes: list[int], shuffle: bool, skip: int, shuffle_rows: int) -> None:
    order = Order(shuffle, 9, shuffle_rows)
    assert handed_out(sizes, order, 1, Shard(), skip) == handed_out(sizes, order, 1, Shard())[skip:]


def test_windows_of_which_nothing_is_left_are_not_read() -> None:
    sizes = np.full(10, 100, np.int64)
    order = Order(True, 0, 200)
    assert len([*windows(sizes, sizes, order, 0, Shard())]) == 5
    assert len([*windows(sizes, sizes, order, 0, Shard(), 950)]) == 1


def test_the_order_follows_from_seed_and_epoch() -> None:
    sizes = [6] * 8
    orders = {
        (seed, epoch): handed_out(sizes, Order(True, seed, 12), epoch, Shard()) for seed in (0, 1) for epoch in (0, 1)
    }
    assert len({tuple(order) for order in orders.values()}) == 4
    assert orders[0, 1] == handed_out(sizes, Order(True, 0, 12), 1, Shard())
    assert handed_out(sizes, Order(False, 0), 3, Shard()) == [(group, i) for group in range(8) for i in range(6)]


def test_rows_of_one_window_are_mixed_and_windows_are_other_ones_in_another_epoch() -> None:
    sizes = np.full(8, 50, np.int64)
    groups = [
        [
            tuple(piece.group for piece in window.pieces)
            for window in windows(sizes, sizes, Order(True, 0, 100), e, Shard())
        ]
        for e in (0, 1)
    ]
    assert [len(window) for window in groups[0]] == [2] * 4
    assert groups[0] != groups[1]
    first = handed_out([50] * 8, Order(True, 0, 100), 0, Shard())[:20]
    assert len({group for group, _ in first}) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"lengths": "even"}, {"seed": -1}, {"batch_size": 0}, {"shuffle_rows": 0}],
    ids=lambda each: next(iter(each)),
)
def test_options_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Order(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [(2, 2, 0, 1), (-1, 2, 0, 1), (0, 1, 3, 3)], ids=str)
def test_a_rank_or_worker_that_cannot_be(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="rank below world_size"):
        Shard(*wrong)
