"""The works on whole projects and whole processes: converting, its memory, its growth, and how soon it starts."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from tomoarrow import convert
from tomoarrow.example import Example

from . import data, peers
from .contest import Contest, hold
from .measure import ROOT, Child, Contestant, in_turns, python, run_child
from .results import Figure, Result
from .works import Settings

#: Rows of the block that is repeated into the pipe.
_REPEATED = 100_000


def _read_dataset(path: Path) -> pa.Table:
    return pads.dataset(path).to_table()


def _described(made: Example) -> str:
    return f"{made.tomograms:,} tomograms x {made.tilts // made.tomograms} tilts"


def _sources(made: Example) -> list[Path]:
    return sorted((made.directory / "Tomograms").rglob("*.star"))


def convert_in_process(settings: Settings) -> Iterator[Result]:
    """W1: a project to a committed dataset, in this process, kernels warm."""
    made = data.project(settings.folder, 200 if settings.quick else 5_000)
    dataset, target = settings.folder / "dataset", settings.folder / "joined.parquet"
    convert(made.tomograms_star, dataset, force=True)
    table = _read_dataset(dataset / "tilts")
    new = partial(shutil.rmtree, dataset, ignore_errors=True)
    part = 1 if settings.full else 10

    def read_target(_: object) -> pa.Table:
        return pq.read_table(target)

    others = (
        Contestant(
            "starfile-rs + polars",
            partial(peers.convert_with_starfile_rs, made.tomograms_star, made.directory, target),
            read_target,
            needs=("starfile_rs",),
            aim=8,
        ),
        Contestant(
            "starfile + pandas",
            partial(peers.convert_with_starfile, made.tomograms_star, made.directory, target, made.tomograms // part),
            read_target,
            needs=("starfile", "pandas"),
            aim=60,
            rounds=1,
            scale=part,
        ),
    )
    ours = Contestant(
        "tomoarrow", partial(convert, made.tomograms_star, dataset), lambda _: _read_dataset(dataset / "tilts"), new
    )
    floor = Contestant(
        "read the bytes, write the finished table",
        partial(peers.read_bytes_and_write_table, _sources(made), table, target),
        aim=1 / 1.6,
    )
    yield hold(Contest("W1", "a project to a dataset", _described(made), ours, others, floor), settings.rounds)
    new()


def convert_as_process(settings: Settings) -> Iterator[Result]:
    """W2: the same as a whole process, with its imports."""
    made = data.project(settings.folder, 200 if settings.quick else 5_000)
    dataset, target = settings.folder / "dataset", settings.folder / "joined.parquet"
    ours_command = python("-m", "tomoarrow", "convert", str(made.tomograms_star), str(dataset))
    peer_command = python(
        *("-m", "benchmarks.peers", "starfile-rs", str(made.tomograms_star), str(made.directory), str(target))
    )
    new = partial(shutil.rmtree, dataset, ignore_errors=True)
    peaks_mb = []

    def run_ours() -> None:
        peaks_mb.append(_run(ours_command).peak_mb)

    ours = Contestant("tomoarrow", run_ours, lambda _: _read_dataset(dataset / "tilts"), before=new)
    peer = Contestant(
        "starfile-rs + polars, a script",
        partial(_run, peer_command),
        lambda _: pq.read_table(target),
        needs=("starfile_rs",),
        aim=4,
    )
    contest = Contest("W2", "tomoarrow convert, whole process", _described(made), ours, (peer,))
    result = hold(contest, settings.rounds)
    yield replace(result, figures=(Figure("peak memory of tomoarrow", max(peaks_mb), "MB"),))
    new()


class ProcessError(Exception):
    """A process that is measured did not do its work."""


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> Child:
    child = run_child(command, environment=environment)
    if child.code:
        raise ProcessError(f"{' '.join(command[1:4])} left with {child.code}: {child.said[-400:]}")
    return child


def memory_of_streaming(settings: Settings) -> Iterator[Result]:
    """W6: particles from a pipe to Parquet: the memory of the process, however long the pipe is."""
    block = _REPEATED // 50 if settings.quick else _REPEATED
    star = data.particles_star(settings.folder / f"particles-{block}.star", block)
    head, rows = data.split_particles(star)
    # Compiling takes memory of its own.
    if not settings.quick:
        _run(python("-m", "tomoarrow", "warmup"))
    short, long = (_convert_pipe(settings.folder, head, rows, times) for times in (10, 100))
    size = f"{10 * block:,} and {100 * block:,} rows ({100 * rows.stat().st_size / 1e9:.1f} GB)"
    figures = (
        Figure("peak memory of the short one", short.peak_mb, "MB", at_most=600),
        Figure("peak memory of the long one", long.peak_mb, "MB", at_most=600),
        Figure("long over short", long.peak_mb / short.peak_mb, "", at_most=1.15),
        Figure("time of the long one", long.seconds, "s"),
    )
    yield Result("W6", "memory of converting a pipe", size, figures=figures)


def _convert_pipe(folder: Path, head: Path, rows: Path, times: int) -> Child:
    dataset = folder / "from-pipe"
    shutil.rmtree(dataset, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder) as here:
        pipe = Path(here) / "particles.star"
        os.mkfifo(pipe)
        writer = subprocess.Popen(
            python("-m", "benchmarks.data", str(pipe), str(head), str(rows), str(times)),
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        try:
            child = _run(python("-m", "tomoarrow", "convert", str(pipe), str(dataset)))
        finally:
            writer.kill()
            writer.wait()
    found = pads.dataset(dataset / "particles").count_rows()
    with rows.open("rb") as lines:
        expected = times * sum(1 for _ in lines)
    shutil.rmtree(dataset)
    if found != expected:
        raise ProcessError(f"{found} rows of {expected} came through the pipe")
    return child


def growth_of_converting(settings: Settings) -> Iterator[Result]:
    """W7: what a tomogram costs, however many there are."""
    sizes = (100, 400) if settings.quick else (1_000, 5_000, 20_000, *([50_000] if settings.full else []))
    dataset = settings.folder / "dataset"
    contestants = []
    for tomograms in sizes:
        star = data.project(settings.folder, tomograms).tomograms_star
        contestants.append(
            Contestant(
                f"{tomograms:,} tomograms",
                partial(convert, star, dataset),
                before=partial(shutil.rmtree, dataset, ignore_errors=True),
                rounds=3 if tomograms >= 20_000 else None,
            )
        )
    for contestant in contestants:
        contestant.run()
        shutil.rmtree(dataset)
    times = in_turns(contestants, settings.rounds)
    each_us = [1e6 * taken.median_s / tomograms for taken, tomograms in zip(times, sizes, strict=True)]
    figures = [
        Figure(f"{contestant.name}, each", cost, "us") for contestant, cost in zip(contestants, each_us, strict=True)
    ]
    # What a conversion costs once weighs more on small projects: only more dear by size would be growth.
    figures.append(
        Figure("dearest over cheapest", max(each_us) / min(each_us), "", at_most=None if settings.quick else 1.2)
    )
    yield Result("W7", "what a tomogram costs", f"x {data.TILTS} tilts", figures=tuple(figures))
    shutil.rmtree(dataset, ignore_errors=True)


def start_of_processes(settings: Settings) -> Iterator[Result]:
    """W8: how soon the command line answers, and a small project is converted, also for the first time ever."""
    made = data.project(settings.folder, 5)
    dataset = settings.folder / "dataset"
    small = ("convert", str(made.tomograms_star), str(dataset))

    def median_s(*arguments: str, environment: dict[str, str] | None = None, rounds: int = settings.rounds) -> float:
        taken = []
        for _ in range(rounds):
            shutil.rmtree(dataset, ignore_errors=True)
            taken.append(_run(python(*arguments), environment).seconds)
        return statistics.median(taken)

    with tempfile.TemporaryDirectory(dir=settings.folder) as cache:
        empty = {"NUMBA_CACHE_DIR": cache}
        first_s = median_s("-m", "tomoarrow", *small, environment=empty, rounds=1)
        next_s = median_s("-m", "tomoarrow", *small, environment=empty)
    figures = (
        Figure("python -c pass", median_s("-c", "pass"), "s"),
        Figure("tomoarrow --version", median_s("-m", "tomoarrow", "--version"), "s", at_most=0.15),
        Figure("tomoarrow --help", median_s("-m", "tomoarrow", "--help"), "s", at_most=0.15),
        Figure("convert, the first ever", first_s, "s", at_most=5),
        Figure("convert, kernels cached", next_s, "s", at_most=1),
    )
    yield Result("W8", "starting", "5 tomograms", figures=figures)
    shutil.rmtree(dataset, ignore_errors=True)
