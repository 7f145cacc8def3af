"""Progress: a bar on a terminal, plain lines elsewhere, both on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
    """Say how far the work has come, at most once every five seconds; nothing where it is done before."""
    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 5:
            last = time.monotonic()
            print(f"{what}: {done} of {total} {unit}", file=sys.stderr, flush=True)

    return show


def compile_kernels(*, to_convert: bool = False, to_write: bool = False, quiet: bool = False) -> None:
    """Compile the kernels that are needed, or take them from the cache; where that takes long, say what is going on."""
    from ..kernels.warmup import prepare

    def told() -> None:
        if not quiet:
            print(
                "compiling kernels, on the first run only (a few seconds; tomoarrow warmup does so ahead of time) ...",
                file=sys.stderr,
                flush=True,
            )

    prepare(*["convert"] * to_convert, *["write"] * to_write, told=told)
