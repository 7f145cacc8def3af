"""Where a conversion reads from: a folder, or a copy of what it needs of a project in an object store.

What is copied is what the STAR files name, nothing else; whatever is told of the copy is told by its URLs.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import MissingFileError, Place, SchemaError, TomoarrowError, UsageError, raise_gathered
from ..relion.kinds import kind_of
from ..relion.labels import LABELS
from ..relion.optimisation_set import TOMOGRAMS_FILE, optimisation_set
from ..relion.tomogram_set import global_table
from ..star.reader import read_star
from ..star.tables import Findings
from .paths import inside, told
from .stores import Remote, at_once, place_of

#: So many of the files that a project names are looked for before all are fetched.
_PROBES = 8


@dataclass(frozen=True, slots=True)
class Origin:
    """A STAR file on this machine.

    Attributes
    ----------
    path : Path
    project : Path or None
        The project directory, where it is known.
    how : str
        How it was found, if it was in a store.
    copy, root : str
        The folder that is a copy, and of what; empty where there is none.
    """

    path: Path
    project: Path | None
    how: str = ""
    copy: str = ""
    root: str = ""

    def told(self, text: str) -> str:
        """A text with the URLs of what was copied."""
        return text.replace(self.copy, self.root) if self.copy else text

    def found(self, found: Findings) -> Findings:
        """What was noticed, with the URLs of what was copied."""
        if not self.copy:
            return found
        notices = [
            replace(each, message=self.told(each.message), place=self._place(each.place)) for each in found.notices
        ]
        rejects = [
            replace(each, reason=self.told(each.reason), place=self._place(each.place)) for each in found.rejects
        ]
        return replace(found, notices=notices, rejects=rejects)

    def name(self, error: TomoarrowError) -> None:
        """Put the URLs of what was copied into an error."""
        for each in {id(each): each for each in (*error.errors, error)}.values():
            each.place = self._place(each.place)
            each.problem, each.expected = self.told(each.problem), self.told(each.expected)
            each.remedy = self.told(each.remedy)
            each.args = (each.problem,)

    def _place(self, place: Place) -> Place:
        return replace(place, path=self.told(place.path))


@contextmanager
def origin_of(source: str | os.PathLike[str], project: str | os.PathLike[str] | None) -> Iterator[Origin]:
    """A STAR file and, if it is in a store, a copy of all that it names, which is gone when the block ends.

    Parameters
    ----------
    source, project : path or URL
        In a store, the project directory is the nearest folder above the file from which all that it names is there.

    Raises
    ------
    MissingFileError
        The file is not there, or an object cannot be read.
    SchemaError
        A path leads out of the project.
    UsageError
        The project directory is elsewhere than the file.
    """
    file = place_of(source)
    home = None if project is None else place_of(project)
    if isinstance(file, Path) and not isinstance(home, Remote):
        yield Origin(file, home)
        return
    if not isinstance(file, Remote) or isinstance(home, Path) or (home and home not in file.parents):
        raise UsageError(
            f"the project directory {home} is not above {file}",
            expected="a URL that the one of the STAR file begins with",
        )
    with TemporaryDirectory(prefix="tomoarrow-") as name:
        copy = Path(name).resolve()
        origin = Origin(copy / file.key, None, copy=str(copy), root=file.root)
        try:
            yield _copied(origin, file, home)
        except TomoarrowError as error:
            origin.name(error)
            raise


@contextmanager
def copied(home: Remote, paths: Sequence[str]) -> Iterator[Path]:
    """A folder with the files of a project at some paths; not those that are not there."""
    with TemporaryDirectory(prefix="tomoarrow-") as folder:
        keys = {path: (home / str(inside(path))).key for path in paths}
        _fetch(home, Path(folder), list(keys.values()))
        yield Path(folder) / home.key


def _copied(origin: Origin, file: Remote, home: Remote | None) -> Origin:
    """Copy a file and all that it names, and find its project."""
    if _fetch(file, Path(origin.copy), [file.key]):
        raise MissingFileError("the file is not there", place=Place(str(file)), remedy="check the URL")
    kind = kind_of(origin.path)
    if kind == "tomogram set":
        names = _series(origin.path)
    elif kind == "optimisation set":
        sets = optimisation_set(str(origin.path), read_star(origin.path, labels=LABELS)).members
        names = list(sets.values())
    else:
        return origin if home is None else replace(origin, project=Path(origin.copy) / home.key, how="given")
    _check_inside(origin.path, names)
    candidates = file.parents if home is None else [home]
    found = _find(Path(origin.copy), candidates, names)
    project = Path(origin.copy) / found.key
    project.mkdir(parents=True, exist_ok=True)
    if kind == "optimisation set" and TOMOGRAMS_FILE in sets:
        tomograms = project / sets[TOMOGRAMS_FILE]
        if tomograms.exists() and kind_of(tomograms) == "tomogram set":
            names = _series(tomograms)
            _check_inside(tomograms, names)
            _fetch(found, Path(origin.copy), [(found / name).key for name in names])
    return replace(origin, project=project, how="above the STAR file" if home is None else "given")


def _series(path: Path) -> list[str]:
    """The tilt-series files that a tomogram set names."""
    table = global_table(path, read_star(path, labels=LABELS, on_bad_value="null"))
    return [name for name in table.paths if name]


def _check_inside(path: Path, names: Sequence[str]) -> None:
    errors = [
        SchemaError(
            "a path that leads out of the project",
            place=Place(str(path), text=name),
            expected="a path below the project directory: nothing else is read of a store",
            remedy="correct the path",
        )
        for name in names
        if posixpath.normpath(name).split("/")[0] in ("", "..")
    ]
    raise_gathered(errors, "{n} paths lead out of the project:")


def _find(copy: Path, candidates: Sequence[Remote], names: Sequence[str]) -> Remote:
    """The first folder from which all files are there, else the one from which most are; they are copied."""
    probes = names[:: -(-len(names) // _PROBES)] if names else []
    best, least = candidates[0], len(names) + 1
    for candidate in candidates:
        keys = [(candidate / posixpath.normpath(name)).key for name in names]
        looked = [(candidate / posixpath.normpath(name)).key for name in probes]
        # A few of them tell most folders from the right one.
        if len(_fetch(candidate, copy, looked)) < len(looked):
            _fetch(candidate, copy, [key for key in keys if key not in looked])
        missing = sum(not (copy / key).is_file() for key in keys)
        if missing < least:
            best, least = candidate, missing
        if not missing:
            break
    return best


def _fetch(place: Remote, copy: Path, keys: Sequence[str]) -> list[str]:
    """Copy objects of a store to the same paths below a folder; return the keys of those that are not there.

    Raises
    ------
    MissingFileError
        Some cannot be read, for another reason.
    """

    def fetch(key: str) -> TomoarrowError | str | None:
        url = f"{place.root}/{key}"
        path = copy / key
        try:
            entry, pieces = place.store.get(key)
            with told(path), path.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
            os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
        except FileNotFoundError:
            return key
        except OSError as error:
            return MissingFileError(f"the object cannot be read: {error}", place=Place(url), remedy="try again")
        except TomoarrowError as error:
            return error
        return None

    with told(copy):
        for folder in {os.path.dirname(copy / key) for key in keys}:
            os.makedirs(folder, exist_ok=True)
    results = at_once(fetch, keys)
    errors = [each for each in results if isinstance(each, TomoarrowError)]
    raise_gathered(errors, "{n} objects cannot be read:")
    return [each for each in results if isinstance(each, str)]
