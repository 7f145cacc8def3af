"""The project directory, to which all paths in RELION's STAR files are relative.

RELION opens the path that a STAR file names from the directory it was started in, the project directory, never
from the folder of the STAR file (``src/jaz/tomography/tomogram_set.cpp``: TomogramSet::read).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import MissingFileError, Place


@dataclass(frozen=True, slots=True)
class Project:
    """A project directory.

    Attributes
    ----------
    directory : Path
    how : str
        How it was found: "given", "current directory", or "above the STAR file".
    missing : tuple of int
        The positions of the paths that are not there.
    """

    directory: Path
    how: str
    missing: tuple[int, ...] = ()


def find_project(star_file: Path, paths: Sequence[str], given: Path | None = None) -> Project:
    """Find the directory from which the paths that a STAR file names resolve.

    Parameters
    ----------
    star_file : Path
    paths : sequence of str
        As they stand in the file.
    given : Path, optional
        The directory, where the caller knows it.

    Returns
    -------
    Project
        The one given; else the first of the current directory and the ancestors of the STAR file from which
        all paths resolve; else the one from which most do.

    Raises
    ------
    MissingFileError
        The directory given is none, or no path resolves from anywhere.
    """
    if given is not None:
        if not given.is_dir():
            raise MissingFileError("the project directory is not a directory", place=Place(str(given)))
        return Project(given.resolve(), "given", _missing(given, paths))
    best: Project | None = None
    candidates = dict.fromkeys([Path.cwd(), *star_file.resolve().parents])
    for candidate in candidates:
        how = "current directory" if candidate == Path.cwd() else "above the STAR file"
        project = Project(candidate, how, _missing(candidate, paths))
        if not project.missing:
            return project
        if best is None or len(project.missing) < len(best.missing):
            best = project
    assert best is not None
    if len(best.missing) == len(paths):
        raise MissingFileError(
            f"none of the {len(paths)} files that it names can be found",
            place=Place(str(star_file), text=paths[0]),
            expected="paths relative to the project directory; tried: " + ", ".join(map(str, candidates)),
            remedy="run tomoarrow in the project directory, or name it with --project DIR",
        )
    return best


def _missing(directory: Path, paths: Sequence[str]) -> tuple[int, ...]:
    return tuple(i for i, path in enumerate(paths) if not path or not os.path.exists(directory / path))
