"""Measuring: in turns, so that what else the machine does strikes all alike, and processes of their own."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

#: Where ``python -m`` finds this package and tomoarrow, whatever the current directory of a process is.
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that does a work.

    Attributes
    ----------
    name : str
    run : callable
        What is timed.
    table : callable, optional
        From what `run` returns, or leaves behind, to the table that is compared. A floor has none.
    before : callable, optional
        What is done before each run, untimed.
    needs : tuple of str
        Packages without which it is left out.
    aim : float, optional
        How many times as long as tomoarrow it should take, at least.
    rounds : int, optional
        At most so many runs, where one takes long.
    scale : int
        It does one part in so many of the work, and its seconds are multiplied.
    within : float
        How far numbers may lie from those of tomoarrow: 0 except for writers that round.
    """

    name: str
    run: Callable[[], Any]
    table: Callable[[Any], pa.Table] | None = None
    before: Callable[[], object] | None = None
    needs: tuple[str, ...] = ()
    aim: float | None = None
    rounds: int | None = None
    scale: int = 1
    within: float = 0.0


@dataclass(frozen=True, slots=True)
class Times:
    """The seconds of several runs, and those that processors worked on them, all cores together."""

    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)

    @property
    def cpu_s(self) -> float:
        return statistics.median(self.cpu_seconds)

    @property
    def best_s(self) -> float:
        return min(self.seconds)


def timed(contestant: Contestant) -> tuple[float, float, Any]:
    """Seconds and processor seconds of one run, and what it made: that is freed by the caller, outside of the time."""
    if contestant.before is not None:
        contestant.before()
    gc.collect()
    cpu, started = _cpu_s(), time.perf_counter()
    result = contestant.run()
    taken, cpu = time.perf_counter() - started, _cpu_s() - cpu
    return taken * contestant.scale, cpu * contestant.scale, result


def _cpu_s() -> float:
    """Of this process and of its children that are over."""
    return sum(os.times()[:4])


def in_turns(contestants: Sequence[Contestant], rounds: int) -> list[Times]:
    """Each runs once a round, in an order that turns with the rounds."""
    taken: list[list[tuple[float, float]]] = [[] for _ in contestants]
    for turn in range(rounds):
        for place in range(len(contestants)):
            which = (place + turn) % len(contestants)
            contestant = contestants[which]
            if contestant.rounds is None or turn < contestant.rounds:
                taken[which].append(timed(contestant)[:2])
    return [Times(*zip(*one, strict=True)) for one in taken]


@dataclass(frozen=True, slots=True)
class Child:
    """A process that is over."""

    seconds: float
    peak_mb: float
    code: int
    said: str


def run_child(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout_s: float = 3600
) -> Child:
    """Run a process; its peak memory is read from Linux while it runs, and 0 elsewhere.

    Not from getrusage: what a child inherits of its parent between fork and exec counts there.
    """
    variables = {**os.environ, "PYTHONPATH": _python_path(), **(environment or {})}
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables)
    peak = _PeakOf(process.pid)
    peak.start()
    try:
        said, _ = process.communicate(timeout=timeout_s)
        taken = time.perf_counter() - started
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        peak.stop()
    return Child(taken, peak.peak_mb, process.returncode, said.strip())


def _python_path() -> str:
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def python(*arguments: str) -> list[str]:
    """The command of a Python process."""
    return [sys.executable, *arguments]


class _PeakOf(threading.Thread):
    """Reads the peak memory of a process every few milliseconds: it never falls, and is gone with the process."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self.peak_mb = 0.0

    def run(self) -> None:
        while not self._over.wait(0.005):
            try:
                lines = self._status.read_text().splitlines()
            except OSError:
                return
            for line in lines:
                if line.startswith("VmHWM:"):
                    self.peak_mb = max(self.peak_mb, int(line.split()[1]) * 1024 / 1e6)

    def stop(self) -> None:
        self._over.set()
        self.join()
