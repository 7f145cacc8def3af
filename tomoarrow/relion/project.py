"""The project directory, to which all paths in RELION's STAR files are relative.

RELION opens the path that a STAR file names from the directory it was started in, the project directory, never
from the folder of the STAR file (``src/jaz/tomography/tomogram_set.cpp``: TomogramSet::read).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
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
    tried : tuple of Path
        The directories looked at.
    """

    directory: Path
    how: str
    missing: tuple[int, ...]
    tried: tuple[Path, ...]


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
        all paths resolve; else the one from which most do; else the one that has most of the folders they name.

    Raises
    ------
    MissingFileError
        The directory given is none.
    """
    if given is not None:
        if not given.is_dir():
            raise MissingFileError("the project directory is not a directory", place=Place(str(given)))
        directory = given.resolve()
        return Project(directory, "given", _missing(directory, paths), (directory,))
    here = Path(os.path.abspath("."))
    candidates = tuple(dict.fromkeys([here, *star_file.resolve().parents]))
    # One path that is not there tells most directories from the right one; all are counted only where none is right.
    whole = next((candidate for candidate in candidates if not any(_absent(candidate, paths))), None)
    counted = [(_missing(candidate, paths), candidate) for candidate in candidates] if whole is None else [((), whole)]
    missing, directory = min(counted, key=lambda each: (len(each[0]), -_folders(each[1], paths, each[0])))
    how = "current directory" if directory == here else "above the STAR file"
    return Project(directory, how, missing, candidates)


def _missing(directory: Path, paths: Sequence[str]) -> tuple[int, ...]:
    return tuple(i for i, absent in enumerate(_absent(directory, paths)) if absent)


def _folders(directory: Path, paths: Sequence[str], missing: Sequence[int]) -> int:
    """How many folders there are on the way to paths that are not there."""
    folders = {parent for i in missing for parent in Path(paths[i]).parents if parent.name}
    return sum((directory / folder).is_dir() for folder in folders)


def _absent(directory: Path, paths: Sequence[str]) -> Iterator[bool]:
    """Whether each path is not there."""
    # As a string: to join objects of pathlib costs more than to look.
    home = os.fspath(directory)
    return (not path or not os.path.exists(os.path.join(home, path)) for path in paths)
