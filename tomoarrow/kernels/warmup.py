"""Compile kernels ahead of their first call: nothing else tells a user why that takes long.

Numba compiles on one core, so a second process takes half of the work: this one begins with the first kernel, that
one with the last, and what one has compiled the other finds in the cache. Each would do all by itself.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from . import compare, gather, lalr, numbers, rows, tokenize
from . import format as formatting

#: What converting a tomogram set that RELION wrote always needs. The first tells whether there is a cache: it is
#: quick to compile. Those that take longest are at the ends, so that the two processes meet at a quick one.
_TO_CONVERT = (
    gather.find_invalid_utf8,
    tokenize.tokenize_relion,
    numbers.ints,
    rows.count_bare,
    compare.differing_gaps,
    gather.string_offsets,
    gather.string_bytes,
    compare.extents,
    compare.differing,
    compare.count_quoted,
    lalr.parse,
    compare.bodies,
    compare.doubtful,
    numbers.floats,
)

#: What writing STAR files always needs.
_TO_WRITE = (rows.count_bare, formatting.format_ints, rows.put_rows, rows.quote, formatting.format_floats)


def kernels_for(*works: str) -> list[Callable[..., Any]]:
    """The kernels for some works, which are `convert`, `write` or `all`, in the order in which to compile them."""
    listed = {"convert": _TO_CONVERT, "write": _TO_WRITE, "all": (*_TO_CONVERT, *_all())}
    return list(dict.fromkeys(kernel for work in works for kernel in listed[work]))


def _all() -> Iterator[Callable[..., Any]]:
    for module in (tokenize, lalr, numbers, gather, formatting, rows, compare):
        for value in vars(module).values():
            if hasattr(value, "prepare") and value.__module__ == module.__name__:
                yield value


def prepare(*works: str, told: Callable[[], object] = lambda: None) -> int:
    """Compile the kernels for some works, or load them from the cache; return how many there are.

    `told` is called when they have to be compiled, before most of them are.
    """
    first, *rest = kernels_for(*works)
    stats = first.prepare().stats
    if stats.cache_misses or not stats.cache_path:
        told()
    with _helped(works) if stats.cache_misses and stats.cache_path else contextlib.nullcontext():
        for kernel in rest:
            kernel.prepare()
    return 1 + len(rest)


@contextlib.contextmanager
def _helped(works: Sequence[str]) -> Iterator[None]:
    """Have another process compile the same, the last first. Whether it does makes no difference but in time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2 or not sys.executable:
        yield
        return
    command = [sys.executable, "-m", __name__, *works]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    nothing = subprocess.DEVNULL
    try:
        helper = subprocess.Popen(command, env=environment, stdin=nothing, stdout=nothing, stderr=nothing)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        helper.terminate()
        helper.wait()


if __name__ == "__main__":
    for kernel in reversed(kernels_for(*sys.argv[1:])):
        kernel.prepare()
