"""The commands that are harmed, and what there must be before and after them."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

import tomoarrow as ta
from tests.dataset.projects import loop, tilts, write_project
from tomoarrow.example import make_project

from .harness import Harm, Outcome, Warm, listing

#: What is found where a command writes: nothing, what was there before, or what the command makes.
Found = Literal["nothing", "old", "new"]

#: Where an export has files that are complete, and not at their places yet.
READY = ".export.ready"


@dataclass(frozen=True, slots=True)
class Ground:
    """Where commands run.

    Attributes
    ----------
    warm : Warm
    folder : Path
        All that the commands touch is below it, and may be harmed.
    project : Path
        The project, as it is now.
    star : Path
        Its file that is converted.
    kept : Path
        What is never harmed: the project as it was (``before``) and is (``after``), and the datasets of both
        (``old``, ``new``).
    """

    warm: Warm
    folder: Path
    project: Path
    star: Path
    kept: Path

    @property
    def work(self) -> Path:
        """What commands write into."""
        return self.folder / "work"

    @property
    def dataset(self) -> Path:
        """A dataset to export."""
        return self.folder / "dataset"


def small_ground(warm: Warm, folder: Path) -> Ground:
    """A tomogram set: of its three series one was changed since the first conversion, one came, one went."""
    base = folder / "base"
    extra = loop("optics", ["rlnOpticsGroup", "rlnVoltage"], [[1, 300]])
    before = {name: tilts(name, 3) for name in ("a", "b", "c")}
    after = {"a": before["a"], "b": tilts("b", 4), "d": tilts("d", 2)}
    write_project(folder / "kept" / "before", before, extra=extra)
    write_project(folder / "kept" / "after", after, extra=extra)
    return _ground(warm, folder, Path("tomograms.star"), base)


def large_ground(warm: Warm, folder: Path) -> Ground:
    """An optimisation set with particles and trajectories: all of it was changed since."""
    for name, seed, tomograms in (("before", 1, 2), ("after", 2, 3)):
        made = make_project(folder / "kept" / name, tomograms=tomograms, tilts=3, particles=2, seed=seed)
    assert made.optimisation_set_star is not None
    return _ground(warm, folder, made.optimisation_set_star.relative_to(folder / "kept" / "after"), folder / "base")


def _ground(warm: Warm, folder: Path, star: Path, base: Path) -> Ground:
    kept, project = folder / "kept", base / "project"
    for was, dataset in (("before", "old"), ("after", "new")):
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(kept / was, project)
        ta.convert(project / star, kept / dataset)
    shutil.copytree(kept / "new", base / "dataset")
    ta.export(kept / "old", kept / "exported")
    return Ground(warm, base, project, project / star, kept)


@dataclass(frozen=True, slots=True)
class Case:
    """One command.

    Attributes
    ----------
    name : str
    arguments : callable
        The command line.
    prepare : callable
        Makes what is there before.
    found : callable
        Looks at what is there after; an assertion fails where that is not whole.
    again : callable
        The command line where it was done already.
    refusal : str
        What is said then of the first one, if that is refused.
    """

    name: str
    arguments: Callable[[Ground], list[str]]
    prepare: Callable[[Path, Ground], object]
    found: Callable[[Ground], Found]
    again: Callable[[Ground], list[str]]
    refusal: str = "--force"

    def begin(self, ground: Ground) -> None:
        """Make what is there before."""
        shutil.rmtree(ground.work, ignore_errors=True)
        ground.work.mkdir()
        self.prepare(ground.work, ground)

    def run(self, ground: Ground, harm: Harm | None = None) -> Outcome:
        return ground.warm.run(self.arguments(ground), harm)

    def run_again(self, ground: Ground, found: Found) -> Outcome:
        """Run it as a user would who does not know how far it came the first time."""
        outcome = self.run(ground)
        if outcome.code == 3 and found == "new" and self.refusal in outcome.stderr:
            outcome = ground.warm.run(self.again(ground))
        return outcome


def nothing(work: Path, ground: Ground) -> None:
    pass


def convert(*options: str, place: str = "ds") -> Callable[[Ground], list[str]]:
    return lambda ground: ["convert", str(ground.star), str(ground.work / place), "--threads", "1", *options]


def _export(*options: str) -> Callable[[Ground], list[str]]:
    return lambda ground: ["export", str(ground.dataset), str(ground.work / "out"), *options]


def old_dataset(work: Path, ground: Ground) -> None:
    shutil.copytree(ground.kept / "old", work / "ds")


def _old_export(work: Path, ground: Ground) -> None:
    shutil.copytree(ground.kept / "exported", work / "out")
    (work / "out" / "notes.txt").write_text("mine")


def find_dataset(place: str = "ds") -> Callable[[Ground], Found]:
    def found(ground: Ground) -> Found:
        folder = ground.work / place
        if not folder.exists() or not any(folder.iterdir()):
            return "nothing"
        tables = {name: table.collect() for name, table in ta.Dataset(folder).tables.items()}
        version: Found = "new" if _equal(tables, ground.kept / "new") else "old"
        assert version == "new" or _equal(tables, ground.kept / "old"), "the dataset is neither the old one nor the new"
        sources = ground.kept / ("after" if version == "new" else "before")
        assert ta.verify(folder, against=sources).differences == []
        return version

    return found


def _equal(tables: dict[str, pl.DataFrame], dataset: Path) -> bool:
    others = ta.Dataset(dataset).tables
    return tables.keys() == others.keys() and all(
        table.equals(others[name].collect()) for name, table in tables.items()
    )


def _texts(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _exported(folder: Path) -> tuple[dict[str, bytes], bool]:
    """The files of an export, those too that the next run moves to their places; and whether there are such."""
    ready = _texts(folder / READY)
    own = _texts(folder)
    return {name: text for name, text in own.items() if not name.startswith(".export.")} | ready, bool(ready)


def _find_export(ground: Ground) -> Found:
    """All files or none."""
    there, _ = _exported(ground.work / "out")
    if not there:
        return "nothing"
    assert there == _texts(ground.kept / "after")
    return "new"


def _find_export_among_others(ground: Ground) -> Found:
    """Each file as it was or as it will be, and none lost."""
    there, is_ready = _exported(ground.work / "out")
    old, new = _texts(ground.kept / "exported"), _texts(ground.kept / "after")
    assert there.pop("notes.txt") == b"mine"
    assert there in (old, old | new)
    assert there == old | new or not is_ready
    return "new" if there == old | new else "old"


_FORCED, _TO_EXPORT = convert("--force"), _export("--force")
_NEW, _DATASET = find_dataset("new/ds"), find_dataset()
CASES = {
    case.name: case
    for case in (
        Case("convert", convert(place="new/ds"), nothing, _NEW, convert("--force", place="new/ds")),
        Case("convert, empty folder", convert(), lambda work, _: (work / "ds").mkdir(), _DATASET, _FORCED),
        Case("convert, replace", _FORCED, old_dataset, _DATASET, _FORCED),
        Case("convert, update", convert("--update"), old_dataset, _DATASET, _FORCED),
        Case("export", _export(), nothing, _find_export, _TO_EXPORT),
        Case("export, empty folder", _export(), lambda work, _: (work / "out").mkdir(), _find_export, _TO_EXPORT),
        Case("export, among others", _TO_EXPORT, _old_export, _find_export_among_others, _TO_EXPORT),
    )
}


@functools.cache
def without_harm(case: Case, ground: Ground, harm: Harm) -> tuple[Outcome, list[str], list[str]]:
    """Run a command only to count its calls, once; return what was there before and what is there after, too."""
    case.begin(ground)
    before = listing(ground.work)
    outcome = case.run(ground, harm)
    assert outcome.code == 0, outcome.stderr
    assert case.found(ground) == "new"
    return outcome, before, listing(ground.work)


def look(case: Case, ground: Ground, where: str) -> Found:
    """What is there, which must be whole; `where` says what was done."""
    try:
        return case.found(ground)
    except Exception as error:
        raise AssertionError(f"{where}: not whole: {listing(ground.work)}") from error


def recover(case: Case, ground: Ground, found: Found, where: str, after: list[str]) -> None:
    """One more run comes to the same end as one that was not harmed."""
    left = listing(ground.work)
    again = case.run_again(ground, found)
    assert again.code == 0, (where, left, again.stderr)
    assert case.found(ground) == "new", where
    assert listing(ground.work) == after, (where, left)
