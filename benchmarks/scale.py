"""``python -m benchmarks --scale``: what a conversion costs on many machines, measured here and carried further.

The model: a conversion of ``n`` tomograms by ``w`` workers, each of one thread, takes

    plan(n) + (n * (each + fetch) + parts * part) / w + finalise(n) + cluster      seconds, with

    fetch    = latency / in_flight                        where sources are in an object store
    each     = what a worker needs for a tomogram         a slope, from several sizes
    part     = what a part needs besides                  from many parts and few
    plan     = what the planner needs for a tomogram, and for starting
    finalise = what the last step needs for a tomogram, and for starting
    cluster  = what dask needs, from one worker: with more of them, the model is held against what is measured

``plan`` and ``finalise`` are done by one process: they bound what more workers can do (Amdahl). Memory of a worker does
not grow with ``n``; that of the last step does, by a slope. Each constant is fitted to measurements of this machine,
and the error of the fit at the measured points is printed: if that is 20 %, do not believe it for 100 nodes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tomoarrow.dataset.convert import convert
from tomoarrow.dataset.parts.assembling import finalise
from tomoarrow.dataset.parts.cluster import PARTS_A_THREAD
from tomoarrow.dataset.parts.partition import partition
from tomoarrow.dataset.parts.planning import plan
from tomoarrow.example import make_project

_TILTS = 41
_FEW, _MANY = 4, 40
_WORKERS = (1, 2, 4)
_LATENCIES_S = (0.005, 0.02, 0.1)

#: What is asked of the model in the end.
_TOMOGRAMS, _NODES, _CORES = 1_000_000, 100, 16
_WORKERS_IN_ALL = _NODES * _CORES

_PROCESSES = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Steps:
    """Seconds of the three steps for one size, and the most memory that their process had, which is in the last step.

    `parts_s` is for `_FEW` parts; each more of them takes `part_s` besides.
    """

    tomograms: int
    plan_s: float
    parts_s: float
    part_s: float
    finalise_s: float
    finalise_mb: float


@dataclass(frozen=True, slots=True)
class Line:
    """A cost that is ``fixed + each * n``, fitted to points by least squares of relative errors."""

    fixed: float
    each: float

    @staticmethod
    def through(counts: Sequence[int], costs: Sequence[float]) -> Line:
        """The line nearest to some points; none of its numbers negative."""
        n, y = np.array(counts, float), np.array(costs, float)
        design = np.stack([1 / y, n / y], axis=1)
        fixed, each = np.linalg.lstsq(design, np.ones(len(y)), rcond=None)[0]
        if fixed < 0:
            return Line(0.0, float((y / n).mean()))
        return Line(float(fixed), max(0.0, float(each)))

    def at(self, n: float) -> float:
        """The cost of so many."""
        return self.fixed + self.each * n


def measure_steps(folder: Path, tomograms: int) -> Steps:
    """Plan, all parts one after the other by one thread, and finalise; with many parts, and with few."""
    star = make_project(folder / f"p{tomograms}", tomograms=tomograms, tilts=_TILTS).tomograms_star
    dataset = folder / f"d{tomograms}"
    parts_s = {}
    for parts in (_MANY, _FEW):
        shutil.rmtree(dataset, ignore_errors=True)
        plan_s, _ = _timed(partial(plan, star, dataset, parts=parts))
        parts_s[parts] = sum(_timed(partial(partition, dataset, part, threads=1))[0] for part in range(parts))
        finalise_s, _ = _timed(partial(finalise, dataset, threads=1))
    shutil.rmtree(dataset)
    part_s = max(0.0, (parts_s[_MANY] - parts_s[_FEW]) / (_MANY - _FEW))
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Steps(tomograms, plan_s, parts_s[_FEW], part_s, finalise_s, most_mb)


def steps_alone(folder: Path, tomograms: int) -> Steps:
    """The same in a process of its own, whose memory is that of this size."""
    with _PROCESSES.Pool(1) as pool:
        # Once before: kernels are loaded then.
        pool.apply(measure_steps, (folder / f"warm{tomograms}", 50))
        return pool.apply(measure_steps, (folder, tomograms))


def workers_s(folder: Path, tomograms: int, workers: int) -> float:
    """Seconds of a conversion by a LocalCluster of single-threaded workers that are warm."""
    from distributed import Client, LocalCluster

    star = make_project(folder / f"w{workers}", tomograms=tomograms, tilts=_TILTS).tomograms_star
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        convert(star, folder / "warm", client=client, force=True)
        return min(_timed(lambda: convert(star, folder / "d", client=client, force=True))[0] for _ in range(3))


def spin_s(processes: int) -> float:
    """Seconds of the same work, which touches no memory, shared out to so many processes."""
    with _PROCESSES.Pool(processes) as pool:
        pool.map(_spin, [1] * processes)
        return min(_timed(lambda: pool.map(_spin, [20_000_000 // processes] * processes))[0] for _ in range(3))


def fetch_s(folder: Path, tomograms: int, latency_s: float) -> float:
    """Seconds of a conversion from a store on the loopback address that answers so much later."""
    made = make_project(folder / f"s{latency_s}", tomograms=tomograms, tilts=_TILTS)
    server = Path(__file__).parent.parent / "tests/dataset/stores/standin.py"
    command = [sys.executable, str(server), str(made.directory), str(latency_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            url = f"s3://bucket/{made.tomograms_star.relative_to(made.directory).as_posix()}"
            script = (
                "import json, time, tomoarrow as ta; t = time.perf_counter(); ta.convert({0!r}, {1!r}, force=True); "
                "t = time.perf_counter(); ta.convert({0!r}, {1!r}, force=True); print(time.perf_counter() - t)"
            ).format(url, str(folder / "remote"))
            keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
            environment = {**os.environ, **keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
            done = subprocess.run(
                [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
            )
            return float(done.stdout)
        finally:
            process.terminate()


def show_scale(console: Console, folder: Path, *, quick: bool) -> dict[str, float]:
    """Measure, fit, tell how well it fits, and predict; return the numbers."""
    sizes = (200, 400) if quick else (1000, 2000, 5000)
    steps = [steps_alone(folder, n) for n in sizes]
    counts = [each.tomograms for each in steps]
    planning = Line.through(counts, [each.plan_s for each in steps])
    parts = Line.through(counts, [each.parts_s for each in steps])
    finishing = Line.through(counts, [each.finalise_s for each in steps])
    memory = Line.through(counts, [each.finalise_mb for each in steps])
    part_s = float(np.median([each.part_s for each in steps]))
    n = sizes[-1]
    by_workers = {w: workers_s(folder / f"cluster{w}", n, w) for w in (_WORKERS[:2] if quick else _WORKERS)}
    spins = {w: spin_s(w) for w in by_workers}
    local = _timed(lambda: convert(folder / f"p{n}/Tomograms/job006/tomograms.star", folder / "local", force=True))[0]
    fetched = {latency: fetch_s(folder, n, latency) for latency in (_LATENCIES_S[:2] if quick else _LATENCIES_S)}
    in_flight = _in_flight(fetched, n)
    table = Table("what", "measured", "model", "off by")
    for each in steps:
        _row(table, f"plan, {each.tomograms} tomograms", each.plan_s, planning.at(each.tomograms))
        _row(table, f"all parts, one thread, {each.tomograms}", each.parts_s, parts.at(each.tomograms))
        _row(table, f"finalise, {each.tomograms}", each.finalise_s, finishing.at(each.tomograms))

    def by_so_many(w: int, speed: float) -> float:
        in_parts = (parts.at(n) + (PARTS_A_THREAD * w - _FEW) * part_s) / speed
        return planning.at(n) + in_parts + finishing.at(n)

    cluster = _compare_workers(table, n, by_workers, spins, by_so_many)
    least = min(fetched)
    for latency, seconds in fetched.items():
        modelled = fetched[least] + n * (latency - least) / in_flight
        _row(table, f"from a store, {latency * 1000:.0f} ms, {n}", seconds, modelled)
    console.print(table)
    gain = by_workers[1] / by_workers[2]
    console.print(f"2 workers: {gain:.2f} times as fast as one; a spin loop: {spins[1] / spins[2]:.2f} times")
    console.print(
        f"requests in flight, by the slope over latency: {in_flight:.0f}; files of this machine: {local:.2f} s"
    )
    predicted = {
        "plan_s": planning.at(_TOMOGRAMS),
        "parts_s": parts.each * _TOMOGRAMS / _WORKERS_IN_ALL + PARTS_A_THREAD * part_s,
        "fetch_s": _TOMOGRAMS * 0.02 / (in_flight * _NODES),
        "finalise_s": finishing.at(_TOMOGRAMS),
        "finalise_mb": memory.at(_TOMOGRAMS),
    }
    _predict(console, predicted)
    predicted |= {"part_s": part_s, "cluster_s": cluster}
    return predicted | {"gain_of_two": gain, "gain_of_spin": spins[1] / spins[2], "in_flight": in_flight}


def _compare_workers(
    table: Table, n: int, by_workers: dict[int, float], spins: dict[int, float], modelled: Callable[[int, float], float]
) -> float:
    """Show what several workers take beside the model; return what the cluster costs, by that of one worker."""
    cluster = 0.0
    for w, seconds in by_workers.items():
        speed = min(w, spins[1] / spins[w])
        expected = modelled(w, speed) + cluster
        _row(table, f"{w} workers ({speed:.2f} cores by a spin loop), {n}", seconds, expected)
        if w == 1:
            cluster = max(0.0, seconds - expected)
    return cluster


def _predict(console: Console, predicted: dict[str, float]) -> None:
    console.print(
        f"{_TOMOGRAMS:,} tomograms on {_NODES} nodes of {_CORES} cores ({_WORKERS_IN_ALL} workers), 20 ms of latency:"
    )
    for name in ("plan_s", "parts_s", "fetch_s", "finalise_s"):
        console.print(f"  {name.removesuffix('_s'):<9} {predicted[name]:8.0f} s")
    console.print(f"  memory of finalise: {predicted['finalise_mb'] / 1024:.1f} GB")
    times = {name: seconds for name, seconds in predicted.items() if name.endswith("_s")}
    worst = max(times, key=lambda name: times[name]).removesuffix("_s")
    serial = predicted["plan_s"] + predicted["finalise_s"]
    console.print(
        f"the first bottleneck: {worst}; what one process does is {serial / sum(times.values()):.0%} of the time"
    )


def _in_flight(fetched: dict[float, float], n: int) -> float:
    """How many requests wait at a time: from how the time grows with the latency."""
    latencies, seconds = np.array([*fetched]), np.array([*fetched.values()])
    slope = np.polyfit(latencies, seconds, 1)[0]
    return float(n / slope) if slope > 0 else float("inf")


def _row(table: Table, what: str, measured: float, modelled: float) -> None:
    table.add_row(what, f"{measured:.3f} s", f"{modelled:.3f} s", f"{modelled / measured - 1:+.0%}")


def _timed(work: Callable[[], object]) -> tuple[float, object]:
    started = time.perf_counter()
    made = work()
    return time.perf_counter() - started, made


def _spin(n: int) -> int:
    total = 0
    for i in range(n):
        total ^= i
    return total


def save_scale(numbers: dict[str, float], path: Path) -> None:
    """Keep the numbers."""
    path.write_text(json.dumps({name: round(value, 3) for name, value in numbers.items()}, indent=1) + "\n")
