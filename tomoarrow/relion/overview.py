"""The sets of a project: what each holds, and which other files it refers to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BlockNotFoundError, TomoarrowError
from ..star.reader import read_star
from ..star.scan import read_table
from ..star.source import read_text
from .kinds import Kind, kind_of
from .labels import LABELS
from .optimisation_set import optimisation_set
from .particle_set import OPTICS_GROUP
from .project import find_project, is_there, paths_outside
from .relion4 import split_set
from .tomogram_set import NAME, SERIES_FILE, global_table

#: STAR files of a project lie no deeper: ``Polish/job030/particles.star``. Tilt series do.
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Reference:
    """A file, or a number of files, that a set refers to.

    Attributes
    ----------
    label : str
        The label that names it.
    path : str
        As it stands in the STAR file; of several files that of the first.
    count, missing, outside : int
        How many files are named, how many of them are not there, and how many lead out of the project, and so are not
        looked for.
    """

    label: str
    path: str
    count: int = 1
    missing: int = 0
    outside: int = 0


@dataclass(frozen=True, slots=True)
class SetSummary:
    """One set.

    Attributes
    ----------
    path : str
        Relative to the project.
    kind : Kind
    counts : dict
        What it holds, such as tomograms or particles, and how many of each.
    refers : tuple of Reference
    problem : str
        Why it could not be read; empty where it could.
    """

    path: str
    kind: Kind
    counts: dict[str, int] = field(default_factory=dict)
    refers: tuple[Reference, ...] = ()
    problem: str = ""


def summarise(path: Path, project: Path | None = None, *, allow_outside: bool = False) -> list[SetSummary]:
    """Summarise the set in a file and those that it names; or, of a directory, all sets in the folders of its jobs.

    Parameters
    ----------
    path : Path
        A STAR file, or a project directory.
    project : Path, optional
        The project directory, where it cannot be found from the paths in the file.
    allow_outside : bool
        Whether files outside of the project may be looked at.
    """
    if path.is_dir():
        files = sorted(file for file in _star_files(path) if file.is_file())
        return _sets([_summarise(path, file, allow_outside=allow_outside) for file in files])
    kind = kind_of(path)
    named = [name for names in _contents(path, kind)[1].values() for name in names]
    found = find_project(path, named, project, allow_outside=allow_outside) if named or project else None
    home = path.resolve().parent if found is None else found.directory
    outside = () if found is None else found.outside
    inside = [home / name for i, name in enumerate(named) if i not in outside]
    members = inside if kind == "optimisation set" else []
    return _sets([_summarise(home, each, allow_outside=allow_outside) for each in (path, *members) if each.is_file()])


def _sets(found: list[SetSummary]) -> list[SetSummary]:
    """Those that are sets, or cannot be read."""
    return [each for each in found if each.kind != "STAR file" or each.problem]


def _star_files(directory: Path) -> Iterator[Path]:
    for depth in range(1, _DEPTH + 1):
        yield from directory.glob("/".join(["*"] * (depth - 1) + ["*.star"]))


def _summarise(home: Path, path: Path, *, allow_outside: bool) -> SetSummary:
    name = os.path.relpath(path, home)
    kind: Kind = "STAR file"
    try:
        kind = kind_of(path)
        counts, refers = _contents(path, kind)
    except (TomoarrowError, OSError) as error:
        return SetSummary(name, kind, problem=str(error).splitlines()[0])
    references = (_reference(home, label, paths, allow_outside=allow_outside) for label, paths in refers.items())
    return SetSummary(name, kind, counts, tuple(references))


def _reference(home: Path, label: str, paths: list[str], *, allow_outside: bool) -> Reference:
    outside = set(() if allow_outside else paths_outside(home.resolve(), paths))
    missing = sum(i not in outside and not is_there(os.fspath(home), path) for i, path in enumerate(paths))
    return Reference(label, paths[0], len(paths), missing, len(outside))


_Contents = tuple[dict[str, int], dict[str, list[str]]]


def _contents(path: Path, kind: Kind) -> _Contents:
    """How much a set holds, and the paths that it refers to, by label."""
    if kind == "optimisation set":
        found = optimisation_set(os.fspath(path), read_star(path, labels=LABELS))
        named = found.members | found.references
        return {"files": len(named)}, {label: [name] for label, name in named.items()}
    if kind == "tomogram set":
        table = global_table(path, read_star(path, labels=LABELS))
        return {"tomograms": len(table.names)}, {SERIES_FILE: list(table.paths)} if table.paths else {}
    if kind == "RELION 4 tomogram set":
        return {"tomograms": len(split_set(read_text(path), os.fspath(path)).series)}, {}
    if kind == "particle set":
        return _particles(path), {}
    if kind in ("trajectory set", "manifold set"):
        table = read_table(path, "*", labels=LABELS)
        blocks = len(table.column(0).unique())
        what = ("trajectories", "rows") if kind == "trajectory set" else ("tomograms", "manifolds")
        return dict(zip(what, (blocks, table.num_rows), strict=True)), {}
    return {}, {}


def _particles(path: Path) -> dict[str, int]:
    """How many particles, tomograms and optics groups there are."""
    counts: dict[str, int] = {}
    for block, what, label in (("particles", "tomograms", NAME), ("optics", "optics groups", OPTICS_GROUP)):
        with suppress(BlockNotFoundError):
            rows = read_table(path, block, labels=LABELS, on_bad_value="null")
            counts |= {"particles": rows.num_rows} if block == "particles" else {}
            counts |= {what: len(rows.column(label).unique())} if label in rows.column_names else {}
    if "particles" not in counts:
        rows = read_table(path, labels=LABELS, on_bad_value="null")
        counts |= {"particles": rows.num_rows, "tomograms": len(rows.column(NAME).unique())}
    return counts
