"""Progress: a bar on a terminal, plain lines elsewhere, both on standard error."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Compiling is worth a line when it takes longer than this.
_PATIENCE_S = 0.7


@contextmanager
def progress_bar(what: str, unit: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None] | None]:
    """Give a function to call with the number done and the number of all."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        yield _lines(what, unit)


def _lines(what: str, unit: str) -> Callable[[int, int], None]:
    """Say how far it is, at most once every five seconds, and nothing about work that is over before."""
    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 5:
            last = time.monotonic()
            print(f"{what}: {done} of {total} {unit}", file=sys.stderr, flush=True)

    return show


def compile_kernels(*, to_convert: bool = False, to_write: bool = False, quiet: bool = False) -> None:
    """Compile the kernels that are needed, or take them from the cache; say why nothing happens where it takes long."""
    line = "compiling kernels, on the first run only (a few seconds; tomoarrow warmup does so ahead of time) ..."
    timer = threading.Timer(_PATIENCE_S, lambda: print(line, file=sys.stderr, flush=True))
    timer.daemon = True
    if not quiet:
        timer.start()
    try:
        from ..kernels.warmup import prepare

        prepare(*["convert"] * to_convert, *["write"] * to_write)
    finally:
        timer.cancel()
