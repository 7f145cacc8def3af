"""Work on several threads, its results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import UsageError

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """How many cores this process may use: a job on a cluster has fewer than its node."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_for(threads: int | None) -> int:
    """How many threads to work with: as many as were asked for, or one for each core.

    Raises
    ------
    UsageError
        They are fewer than one.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"threads={threads}", expected="1 or more")
    return threads or cores()


class _ThisThread(Executor):
    """Does work when it is asked for, in the thread that asks."""

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def workers(threads: int) -> Executor:
    """What does work on so many threads: with one it is this one, so that a job that has one core uses no more."""
    return _ThisThread() if threads == 1 else ThreadPoolExecutor(threads)


def in_order(pool: Executor, function: Callable[[T], R], items: Iterable[T], ahead: int) -> Generator[R, None, None]:
    """Results of a function, in the order of its arguments, a few of which are worked on at a time."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
