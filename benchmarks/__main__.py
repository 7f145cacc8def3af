"""``python -m benchmarks``: tomoarrow beside its peers on the same work, as one table of ratios.

All that run a work are checked to find the same before anything is timed; then they take turns. Ratios of one run can
be compared, times of two runs cannot.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tomoarrow import TomoarrowError

from . import jobs, questions, works
from .agree import DisagreementError
from .measure import ROOT
from .picture import draw
from .results import (
    Kept,
    Result,
    Run,
    as_markdown,
    as_table,
    describe_machine,
    installed_versions,
    load,
    save,
    shortfalls,
    summarise,
    to_keep,
    with_kept_aims,
)
from .works import Settings

WORKS: dict[str, Callable[[Settings], Iterator[Result]]] = {
    "W1": jobs.convert_in_process,
    "W2": jobs.convert_as_process,
    "W3": works.read_particles,
    "W4": works.write_particles,
    "W5": works.read_motion,
    "W6": jobs.memory_of_streaming,
    "W7": jobs.growth_of_converting,
    "W8": jobs.start_of_processes,
    "W9": questions.ask,
}
_HERE = Path(__file__).parent
#: The ratios of a quick run, and by how much a later one may fall short of them.
_KEPT = _HERE / "quick.json"
_MARGIN = 2.0
_README = ROOT / "README.md"
_console = Console(width=150)


def main() -> int:
    """Run what the command line asks for."""
    chosen = _arguments()
    if chosen.readme:
        _fill_readme(chosen.output or _HERE)
        return 0
    if chosen.kernels:
        from .kernels import show_kernels

        show_kernels(_console, quick=chosen.quick)
        return 0
    if chosen.scale:
        from .scale import save_scale, show_scale

        with tempfile.TemporaryDirectory(prefix="tomoarrow-scale-") as temporary:
            numbers = show_scale(_console, Path(temporary), quick=chosen.quick)
        if not chosen.quick:
            save_scale(numbers, (chosen.output or _HERE) / "scale.json")
        return 0
    names = chosen.only.split(",") if chosen.only else list(WORKS)
    if unknown := set(names) - set(WORKS):
        raise SystemExit(f"no such work: {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
    with tempfile.TemporaryDirectory(prefix="tomoarrow-benchmarks-") as temporary:
        folder = chosen.data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        settings = Settings(folder, chosen.rounds or (3 if chosen.quick else 5), chosen.quick, chosen.full)
        return _measure(settings, names, chosen)


def _measure(settings: Settings, names: list[str], chosen: argparse.Namespace) -> int:
    kept: Kept = json.loads(_KEPT.read_text()) if chosen.quick and _KEPT.exists() else {}
    run = Run(describe_machine(), installed_versions())
    output = chosen.output or (None if chosen.quick else _HERE)
    failures, short = [], []
    for name in names:
        results, failed = _work(name, settings, kept)
        if chosen.quick and not chosen.keep and any(shortfalls(result, steady=True) for result in results):
            # Once more: what falls short twice was not a disturbance.
            results, failed = _work(name, settings, kept)
        for result in results:
            _console.print(summarise(result), soft_wrap=True, highlight=False)
        run.results.extend(results)
        failures += failed
        if output is not None:
            _store(run, output)
        short += [line for result in results for line in shortfalls(result, steady=chosen.quick)]
    _tell(run, failures, short)
    if chosen.keep:
        _KEPT.write_text(json.dumps(kept | to_keep(run.results), indent=1) + "\n")
    return 1 if failures or (short and chosen.quick and not chosen.keep) else 0


def _work(name: str, settings: Settings, kept: Kept) -> tuple[list[Result], list[str]]:
    results: list[Result] = []
    failed = []
    with _console.status(f"{name}: {(WORKS[name].__doc__ or '').partition(': ')[2]}"):
        try:
            results.extend(WORKS[name](settings))
        except (TomoarrowError, DisagreementError, jobs.ProcessError) as error:
            failed.append(f"{name}: {error}")
    if settings.quick:
        results = [with_kept_aims(result, kept, _MARGIN) for result in results]
    return results, failed


def _tell(run: Run, failures: list[str], short: list[str]) -> None:
    _console.print(as_table(run))
    if find_spec("matplotlib") is None:
        _console.print("left out: the picture, matplotlib is not installed")
    for line in sorted({line for result in run.results for line in result.left_out}):
        _console.print(f"left out: {line}")
    for line in short:
        _console.print(f"[yellow]short of its aim: {escape(line)}[/yellow]")
    for line in failures:
        _console.print(f"[red]failed: {escape(line)}[/red]")


def _store(run: Run, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    save(run, output / "results.json")
    if find_spec("matplotlib") is not None:
        draw(load(output / "results.json"), output / "results.svg")


def _fill_readme(output: Path) -> None:
    """Put the stored table between the two marks in the README."""
    table = as_markdown(load(output / "results.json"))
    text = _README.read_text()
    begin, end = "<!-- python -m benchmarks --readme -->\n", "<!-- end -->"
    filled = re.sub(f"({begin}).*?({end})", lambda marks: f"{marks[1]}{table}{marks[2]}", text, flags=re.DOTALL)
    _README.write_text(filled)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes; fails where a ratio fell by half")
    parser.add_argument("--full", action="store_true", help="the largest sizes, and slow peers on all of the data")
    parser.add_argument("--only", metavar="W3,W5", help="these works")
    parser.add_argument("--rounds", type=int, help="how often each runs (5, or 3 of the quick ones)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep the data there for the next run")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where results.json and results.svg go")
    parser.add_argument("--keep", action="store_true", help="keep the ratios of a quick run, for later ones")
    parser.add_argument("--readme", action="store_true", help="put the stored results into the README")
    parser.add_argument("--kernels", action="store_true", help="what each kernel costs, instead")
    parser.add_argument("--scale", action="store_true", help="what many machines would do, by a fitted model, instead")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
