"""Work on one thread is done by who asks for it; results come in the order of their arguments."""

import threading

import pytest

from tomoarrow.star.threads import in_order, workers


@pytest.mark.parametrize(("threads", "is_here"), [(1, True), (2, False)])
def test_one_thread_is_this_one(threads: int, is_here: bool) -> None:
    with workers(threads) as pool:
        assert (pool.submit(threading.get_ident).result() == threading.get_ident()) == is_here
        failed = pool.submit(int, "x")
        with pytest.raises(ValueError, match="invalid literal"):
            failed.result()


@pytest.mark.parametrize("threads", [1, 3])
def test_results_are_in_order(threads: int) -> None:
    with workers(threads) as pool:
        assert list(in_order(pool, lambda n: n * n, range(20), threads)) == [n * n for n in range(20)]
