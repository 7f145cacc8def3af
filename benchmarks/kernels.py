"""What each kernel costs a value, on one core: the kernels are timed while files of one kind are read and written.

So each is called as tomoarrow calls it, and what is listed under one kind of value is all that such values cost.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tomoarrow import LABELS, read_table, write_star
from tomoarrow.star.named import StyleName

#: Columns of each file.
_COLUMNS = 8


def show_kernels(console: Console, *, quick: bool) -> None:
    """Print what each kernel costs, for each kind of value."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    shown = Table("value", "work", "kernel", "ns a value", "MB/s of text", title="kernels, on one core")
    for kind, table in _kinds(20_000 if quick else 200_000).items():
        style: StyleName = "plain" if "17" in kind else "relion"
        target = io.BytesIO()
        write_star(table, target, style=style)
        text = target.getvalue()
        for work, run in (("read", partial(read_table, text)), ("write", partial(_write, table, style))):
            for name, taken_s in _cheapest(run, rounds=3 if quick else 7).items():
                each_ns = 1e9 * taken_s / (table.num_rows * table.num_columns)
                shown.add_row(kind, work, name, f"{each_ns:.1f}", f"{len(text) / 1e6 / taken_s:.0f}")
        shown.add_section()
    console.print(shown)


def _write(table: pa.Table, style: StyleName) -> None:
    write_star(table, io.BytesIO(), style=style)


def _kinds(rows: int) -> dict[str, pa.Table]:
    """A table of each kind of value, under labels of its type; or under labels that nobody knows."""
    rng = np.random.default_rng(4)
    doubles = rng.normal(0, 100, (_COLUMNS, rows))
    number = rng.integers(0, 10_000, (_COLUMNS, rows))
    names = np.char.add("Extract/job020/Subtomograms/TS_001/", number.astype(str))
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * 41)
    visible = pa.ListArray.from_arrays(offsets, pa.array(rng.integers(0, 2, rows * 41)))
    return {
        "floats of 6 decimals": _labelled("float64", doubles),
        "floats of 17 digits": _labelled("float64", doubles),
        "integers": _labelled("int64", number),
        "bools": _labelled("bool", number % 2 == 0),
        "paths": _labelled("path", names),
        "tomogram names": _labelled("name", np.char.mod("TS_%03d", number % 300)),
        "paths with blanks": _labelled("path", np.char.add("a name ", number.astype(str))),
        "vectors of 41": pa.table({"rlnTomoVisibleFrames": visible}),
        "floats without a type": pa.table({f"unknown{i}": column for i, column in enumerate(doubles)}),
    }


def _labelled(type_: str, columns: NDArray[Any]) -> pa.Table:
    labels = [name for name, label in LABELS.items() if label.type == type_]
    return pa.table(dict(zip(labels, list(columns), strict=False)))


def _cheapest(run: Callable[[], object], *, rounds: int) -> dict[str, float]:
    """The seconds of each kernel, and of all else, in the round that took least; the dearest first."""
    best: dict[str, float] = {}
    with _timed() as spent:
        run()
        for _ in range(rounds):
            spent.clear()
            started = time.perf_counter()
            run()
            whole = time.perf_counter() - started
            if whole < best.get("(all)", whole + 1):
                best = {**spent, "(all else)": whole - sum(spent.values()), "(all)": whole}
    return dict(sorted(best.items(), key=lambda item: -item[1]))


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Count the seconds spent in each kernel, wherever in the package it is called from."""
    spent: dict[str, float] = defaultdict(float)
    places = [
        (module, name, value)
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("tomoarrow.")
        for name, value in vars(module).items()
        if hasattr(value, "prepare") and hasattr(value, "__wrapped__")
    ]
    try:
        for module, name, value in places:
            setattr(module, name, _counted(value, spent))
        yield spent
    finally:
        for module, name, value in places:
            setattr(module, name, value)


def _counted(kernel: Callable[..., Any], spent: dict[str, float]) -> Callable[..., Any]:
    # Compiled here: the first call of a round should not differ from the others.
    compiled = kernel.prepare()  # type: ignore[attr-defined]
    name = f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__}"

    @wraps(kernel)
    def call(*arguments: Any) -> Any:
        started = time.perf_counter()
        result = compiled(*arguments)
        spent[name] += time.perf_counter() - started
        return result

    return call
