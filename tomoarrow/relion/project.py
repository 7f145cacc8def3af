"""The project directory, to which all paths in RELION's STAR files are relative, and out of which none should lead.

RELION opens the path that a STAR file names from the directory it was started in, the project directory, never
from the folder of the STAR file (``src/jaz/tomography/tomogram_set.cpp``: TomogramSet::read).

A STAR file that somebody sent must not make others read what is theirs: a path that leads out of the project is not
opened unless the caller allows it. The text of the path decides. Symbolic links are followed, wherever they lead:
RELION makes them itself, to the disks where the data is, and a STAR file cannot.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

from ..errors import MissingFileError, Place

#: What RELION's pipeline and its GUI leave in the directory that they are started in, and nowhere else.
_MARKS = ("default_pipeline.star", ".gui_projectdir")

#: What RELION calls the folder of a job, which lies in one for all jobs of a kind: ``Tomograms/job006``.
_JOB = re.compile(r"job\d{3,}")


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
    outside : tuple of int
        The positions of the paths that lead out, and are not to be opened.
    """

    directory: Path
    how: str
    missing: tuple[int, ...]
    tried: tuple[Path, ...]
    outside: tuple[int, ...] = ()


def find_project(
    star_file: Path, paths: Sequence[str], given: Path | None = None, *, allow_outside: bool = False
) -> Project:
    """Find the directory from which the paths that a STAR file names resolve.

    Parameters
    ----------
    star_file : Path
    paths : sequence of str
        As they stand in the file.
    given : Path, optional
        The directory, where the caller knows it.
    allow_outside : bool
        Whether paths may lead out of it.

    Returns
    -------
    Project
        The directory that was given. Otherwise, of the current directory and the folders above the STAR file, the
        first from which all relative paths resolve without leading out; else the one from which most of them do; among
        equals the one that has most of the folders they name. Absolute paths resolve from everywhere and so tell
        nothing. Where there are no others, it is the folder above the STAR file in which RELION has worked; else the
        current directory, if the STAR file is below it; else the STAR file's own folder.

    Raises
    ------
    MissingFileError
        The directory that was given does not exist, or is no directory.
    """
    if given is not None:
        if not given.is_dir():
            raise MissingFileError(
                "the project directory is not a directory",
                place=Place(str(given)),
                remedy="name the directory in which RELION was started",
            )
        directory = given.resolve()
        return _project(directory, "given", paths, (directory,), allow_outside=allow_outside)
    here = Path(os.path.abspath("."))
    relative = [path for path in paths if not os.path.isabs(path)]
    candidates = tuple(dict.fromkeys([here, *star_file.resolve().parents]))
    # One path that is not there tells most directories from the right one; all are counted only where none is.
    whole = (each for each in candidates if relative and not any(_absent(each, relative, allow_outside=allow_outside)))
    found = next(whole, None)
    if found is not None:
        directory = found
    elif relative:
        directory = min(candidates, key=lambda each: _lacking(each, relative, allow_outside=allow_outside))
    else:
        directory = _worked_in(star_file.resolve(), here)
    how = "current directory" if directory == here else "above the STAR file"
    there = frozenset(relative if found else ())
    return _project(directory, how, paths, candidates, allow_outside=allow_outside, there=there)


def _project(
    directory: Path,
    how: str,
    paths: Sequence[str],
    tried: tuple[Path, ...],
    *,
    allow_outside: bool,
    there: frozenset[str] = frozenset(),
) -> Project:
    """The project, of which some paths are known to be there."""
    outside = () if allow_outside else paths_outside(directory, paths)
    home, out = os.fspath(directory), set(outside)
    missing = tuple(
        i for i, path in enumerate(paths) if i not in out and path not in there and not is_there(home, path)
    )
    return Project(directory, how, missing, tried, outside)


def paths_outside(directory: Path, paths: Sequence[str]) -> tuple[int, ...]:
    """The positions of the paths that lead out of a directory, which has no links in its own path.

    ``..`` may stand in a path that stays inside, and an absolute path may name the directory itself, also by a link
    to it. The root of the file system is no project: all paths lead out of it.
    """
    home = os.fspath(directory)
    # Most sets have tens of thousands of paths, and none that may.
    together = "\n" + "\n".join(paths)
    if home != os.sep and not any(each in together for each in (f"\n{os.sep}", os.pardir, "\0")):
        return ()
    is_home: dict[str, bool] = {}
    return tuple(
        i for i, path in enumerate(paths) if home == os.sep or (_may_lead_out(path) and _leads_out(home, path, is_home))
    )


def outside_error(place: Place, directory: Path) -> MissingFileError:
    """The error for a path that leads out of the project."""
    is_root = directory == Path(os.sep)
    return MissingFileError(
        "the path leads out of the project directory, and was not opened",
        place=place,
        expected="a project directory that is not the whole file system" if is_root else f"a path below {directory}",
        remedy="correct the path, name the project with --project DIR, or read the file anyway with --allow-outside",
    )


def _may_lead_out(path: str) -> bool:
    return path.startswith(os.sep) or os.pardir in path or "\0" in path


def _leads_out(home: str, path: str, is_home: dict[str, bool]) -> bool:
    if "\0" in path:
        return True
    whole = joined(home, path)
    normal = os.path.normpath(whole)
    is_below = normal == home or normal.startswith(home + os.sep)
    if not is_below and not (os.path.isabs(path) and any(_same(each, home, is_home) for each in _parents(normal))):
        return True
    # Behind a link, ``..`` is not what its text says: the system goes to where the link leads, and up from there.
    return os.pardir in path.split(os.sep) and os.path.realpath(whole) != os.path.realpath(normal)


def _same(folder: str, home: str, known: dict[str, bool]) -> bool:
    if folder not in known:
        known[folder] = os.path.realpath(folder) == home
    return known[folder]


def _parents(path: str) -> Iterator[str]:
    while path != (path := os.path.dirname(path)):
        yield path


def joined(home: str, path: str) -> str:
    """Where a file is, given its path from the project directory."""
    # By hand: `os.path.join` takes a third of the time of a look at the file.
    return path if path.startswith(os.sep) else f"{home}{os.sep}{path}"


def file_of(path: str) -> str:
    """The file of an image path: without the position in a stack, ``3@a.mrcs``, and without a format, ``a.ctf:mrc``.

    The first ``@`` and the last ``:`` count (``src/filename.cpp``: FileName::decompose, removeFileFormat).
    """
    behind = path[path.find("@") + 1 :]
    return behind.rpartition(":")[0] or behind if ":" in behind.rpartition("/")[2] else behind


def is_there(home: str, path: str) -> bool:
    """Whether a file is there, given its path from the project directory.

    Where the system cannot say, because a folder may not be looked into or a disk fails, the file counts as there:
    whoever reads it reports why it cannot be read, and nobody leaves it out as missing.
    """
    try:
        os.stat(joined(home, path))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return bool(path)


def _absent(directory: Path, paths: Sequence[str], *, allow_outside: bool) -> Iterator[bool]:
    """Whether each path is not there, or leads out."""
    home = os.fspath(directory)
    outside = set(() if allow_outside else paths_outside(directory, paths))
    return (i in outside or not is_there(home, path) for i, path in enumerate(paths))


def _lacking(directory: Path, paths: Sequence[str], *, allow_outside: bool) -> tuple[int, int]:
    """How little of paths a directory has: how many are not there, then minus how many of the folders they are in."""
    absent = list(_absent(directory, paths, allow_outside=allow_outside))
    folders = {parent for path in compress(paths, absent) for parent in Path(path).parents if parent.name}
    inside = [folder for folder in folders if os.pardir not in folder.parts]
    return sum(absent), -sum((directory / folder).is_dir() for folder in inside)


def _worked_in(star_file: Path, here: Path) -> Path:
    """The directory above a STAR file that shows that RELION has worked in it; else here, or that of the file."""
    for folder in star_file.parents:
        if any((folder / mark).exists() for mark in _MARKS):
            return folder
        if _JOB.fullmatch(folder.name) and folder.parent != folder.parent.parent:
            return folder.parent.parent
    return here if here in star_file.parents and here != here.parent else star_file.parent
