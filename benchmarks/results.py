"""What was measured: as JSON, as a table, and beside what was measured before."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.table import Table

#: Packages whose versions decide the figures.
_PACKAGES = ("tomoarrow", "numba", "polars", "pyarrow", "duckdb", "starfile-rs", "starfile", "pandas", "gemmi")


@dataclass(frozen=True, slots=True)
class Row:
    """A peer, or the floor, beside tomoarrow: `ratio` is its seconds over those of tomoarrow.

    `cpu_ratio` is the same of the seconds that processors worked, which other work on the machine moves less.
    """

    name: str
    is_floor: bool
    median_s: float
    best_s: float
    rounds: int
    scale: int
    ratio: float
    best_ratio: float
    cpu_ratio: float
    aim: float | None

    @property
    def steady_ratio(self) -> float:
        """The better of the ratios of the best runs and of the processors: other work on the machine spares one."""
        return max(self.best_ratio, self.cpu_ratio)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that stands alone, and what it should not pass."""

    name: str
    value: float
    unit: str
    at_most: float | None = None

    @property
    def is_past_limit(self) -> bool:
        return self.at_most is not None and self.value > self.at_most

    def __str__(self) -> str:
        limit = "" if self.at_most is None else f", at most {self.at_most:g}"
        return f"{self.name}: {self.value:.3g} {self.unit}{limit}".replace(" ,", ",").rstrip()


@dataclass(frozen=True, slots=True)
class Result:
    """A work, measured. Without `ours_s` it has figures only."""

    work: str
    title: str
    size: str
    ours_s: float | None = None
    ours_best_s: float | None = None
    ours_cpu_s: float | None = None
    rounds: int = 0
    rows: tuple[Row, ...] = ()
    figures: tuple[Figure, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def peers(self) -> list[Row]:
        return [row for row in self.rows if not row.is_floor]

    @property
    def floor(self) -> Row | None:
        return next((row for row in self.rows if row.is_floor), None)


@dataclass(frozen=True, slots=True)
class Run:
    """The results of one run, and where it ran."""

    machine: str
    versions: dict[str, str]
    results: list[Result] = field(default_factory=list)


def describe_machine() -> str:
    """Cores, processor, memory, system, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores} cores of {_processor()}, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def installed_versions() -> dict[str, str]:
    """Of the packages that decide the figures."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def save(run: Run, path: Path) -> None:
    """Write the results; those of other works that stand there from the same machine and versions stay."""
    if path.exists():
        before = load(path)
        if (before.machine, before.versions) == (run.machine, run.versions):
            works = {result.work for result in run.results}
            kept = [result for result in before.results if result.work not in works]
            results = sorted([*kept, *run.results], key=lambda result: result.work)
            run = Run(run.machine, run.versions, results)
    path.write_text(json.dumps(_rounded(asdict(run)), indent=1) + "\n")


def load(path: Path) -> Run:
    """Read what `save` wrote."""
    stored = json.loads(path.read_text())
    results = [
        Result(
            **{key: value for key, value in result.items() if key not in ("rows", "figures", "left_out")},
            rows=tuple(Row(**row) for row in result["rows"]),
            figures=tuple(Figure(**figure) for figure in result["figures"]),
            left_out=tuple(result["left_out"]),
        )
        for result in stored["results"]
    ]
    return Run(stored["machine"], stored["versions"], results)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def summarise(result: Result) -> str:
    """A result on one line."""
    rows = [f"{row.name} takes {row.ratio:.2f} times as long ({row.cpu_ratio:.2f} of CPU)" for row in result.rows]
    ours = [] if result.ours_s is None else [f"tomoarrow {result.ours_s:.3g} s"]
    return f"{result.work} {result.title}: {'; '.join([*ours, *rows, *map(str, result.figures)])}"


_HEADER = ("work", "tomoarrow", "against", "takes", "times as long", "aim", "CPU", "of the floor")


def _cells(result: Result) -> Iterator[tuple[str, ...]]:
    """The lines of a result in the table; the floor is a column."""
    floor = "" if result.floor is None else f"{1 / result.floor.ratio:.2f}"
    if result.floor is not None and result.floor.aim is not None:
        floor += f" (at most {1 / result.floor.aim:.2g})"
    first = [f"{result.work} {result.title}, {result.size}", f"{result.ours_s:.3g} s" if result.ours_s else ""]
    for row in result.peers:
        scaled = f" ({row.scale} x one part in {row.scale})" if row.scale > 1 else ""
        aim = "" if row.aim is None else f"{row.aim:.2g}"
        yield (
            *first,
            row.name,
            f"{row.median_s:.3g} s{scaled}",
            f"{row.ratio:.2f}",
            aim,
            f"{row.cpu_ratio:.2f}",
            floor,
        )
        first, floor = ["", ""], ""
    for figure in result.figures:
        yield (*first, str(figure), "", "", "", "", floor)
        first, floor = ["", ""], ""


def as_table(run: Run) -> Table:
    """The table for a terminal."""
    table = Table(title=run.machine, caption=_list_versions(run))
    for name in _HEADER:
        table.add_column(
            name, justify="right" if name in ("tomoarrow", "takes", "times as long", "aim", "CPU") else "left"
        )
    for result in run.results:
        for cells in _cells(result):
            table.add_row(*cells)
        table.add_section()
    return table


def as_markdown(run: Run) -> str:
    """The table for the README."""
    lines = [f"| {' | '.join(_HEADER)} |", f"|{'---|' * len(_HEADER)}"]
    lines += [f"| {' | '.join(cells)} |" for result in run.results for cells in _cells(result)]
    return "\n".join([*lines, "", f"Measured on {run.machine}, with {_list_versions(run)}.", ""])


def _list_versions(run: Run) -> str:
    return ", ".join(f"{package} {number}" for package, number in run.versions.items())


#: What is kept of a quick run: for each result the ratios of its rows and the values of its limited figures.
Kept = dict[str, dict[str, float]]


def to_keep(results: Iterable[Result]) -> Kept:
    """The ratios that noise moves least, and the figures that have a limit.

    Floors are left out: a faster disk is no regression.
    """
    return {
        _key(result): {row.name: float(f"{row.steady_ratio:.2g}") for row in result.peers}
        | {figure.name: float(f"{figure.value:.2g}") for figure in result.figures if figure.at_most is not None}
        for result in results
        if result.rows or any(figure.at_most is not None for figure in result.figures)
    }


def with_kept_aims(result: Result, kept: Kept, margin: float) -> Result:
    """The result with the aims of a quick run: what was kept, less a margin.

    A figure may pass both its limit and what was kept by as much.
    """
    before = kept.get(_key(result), {})
    rows = (replace(row, aim=before[row.name] / margin if row.name in before else None) for row in result.rows)
    figures = (
        figure if figure.at_most is None else replace(figure, at_most=margin * max(figure.at_most, before[figure.name]))
        for figure in (replace(f, at_most=f.at_most if f.name in before else None) for f in result.figures)
    )
    return replace(result, rows=tuple(rows), figures=tuple(figures))


def shortfalls(result: Result, *, steady: bool) -> list[str]:
    """Which aims are missed, by the medians or by the ratios that noise moves least, and which limits are passed."""
    short = []
    for row in result.rows:
        ratio = row.steady_ratio if steady else row.ratio
        if row.aim is not None and ratio < row.aim:
            short.append(f"{_key(result)}: {row.name} takes {ratio:.2f} times as long, the aim is {row.aim:.2g}")
    return short + [f"{_key(result)}: {figure}" for figure in result.figures if figure.is_past_limit]


def _key(result: Result) -> str:
    return f"{result.work} {result.title}"
