"""Where a conversion reads from: a folder, or a copy of what it needs of a project in an object store.

Only what the STAR files name is copied. Messages speak of the URLs, never of the copies. The tilt-series files, of
which there are thousands, are kept together in one file.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import MissingFileError, Place, SchemaError, StarSyntaxError, TomoarrowError, UsageError, raise_gathered
from ..relion.kinds import kind_of
from ..relion.labels import LABELS
from ..relion.optimisation_set import TOMOGRAMS_FILE, optimisation_set
from ..relion.tomogram_set import global_table
from ..star.reader import read_star
from ..star.tables import Findings
from .paths import inside, told
from .stores.objects import Entry
from .stores.pack import Pack, new_pack
from .stores.urls import Remote, at_once, place_of
from .tables.sources import Known
from .versions.manifest import SourceInfo

#: What keeps an object: given its key and what it is, in pieces.
_Keep = Callable[[str, Entry, Iterator[bytes]], None]

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
    series : mapping of str to Known, or None
        The files of tilt series that are there, by their paths, where they are not files of this machine.
    tried : tuple of Path
        The directories from which they were looked for.
    """

    path: Path
    project: Path | None
    how: str = ""
    copy: str = ""
    root: str = ""
    series: Mapping[str, Known] | None = None
    tried: tuple[Path, ...] = ()

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
def origin_of(
    source: str | os.PathLike[str], project: str | os.PathLike[str] | None, *, looks_only: bool = False
) -> Iterator[Origin]:
    """A STAR file and, if it is in a store, a copy of all that it names, which is gone when the block ends.

    Parameters
    ----------
    source, project : path or URL
        In a store, the project directory is the nearest folder above the file from which all that it names is there.
    looks_only : bool
        Whether this is to look at the file, not to convert it: each object is copied to a file of its own, which takes
        longer, and what is wrong with the file or its paths is left for the caller to find.

    Raises
    ------
    MissingFileError
        The file is not there, an object cannot be read, or a path leads out of the project.
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
    with TemporaryDirectory(prefix="tomoarrow-") as name, new_pack() as pack:
        copy = Path(name).resolve()
        origin = Origin(copy / file.key, None, copy=str(copy), root=file.root)
        try:
            yield _copied(origin, file, home, None if looks_only else pack)
        except TomoarrowError as error:
            origin.name(error)
            raise


@contextmanager
def copied(home: Remote, paths: Sequence[str]) -> Iterator[Path]:
    """A folder with the files of a project at some paths; not those that are not there."""
    with TemporaryDirectory(prefix="tomoarrow-") as folder:
        keys = [(home / str(inside(path))).key for path in paths]
        _fetch(home, keys, _into(Path(folder)))
        yield Path(folder) / home.key


def _copied(origin: Origin, file: Remote, home: Remote | None, pack: Pack | None) -> Origin:
    """Copy a file and all that it names, and find its project."""
    # What has no key is a bucket, which a store describes as if it were an object.
    if not file.key or _fetch(file, [file.key], _into(Path(origin.copy))):
        raise MissingFileError("the file is not there", place=Place(str(file)), remedy="check the URL")
    try:
        return _with_members(origin, file, home, pack)
    except (StarSyntaxError, SchemaError):
        if pack is not None:
            raise
        # Whether that is wrong is up to who looks at it: it may be a file of the general language.
        return origin


def _with_members(origin: Origin, file: Remote, home: Remote | None, pack: Pack | None) -> Origin:
    """Copy all that a file names that is copied already, and find its project."""
    copy, refuse = Path(origin.copy), pack is not None
    into = _into(copy)
    keep = into if pack is None else pack.add
    candidates = file.parents if home is None else [home]
    how = "above the STAR file" if home is None else "given"
    kind = kind_of(origin.path)
    if kind == "tomogram set":
        series = _series(origin.path, refuse=refuse)
        found = _find(file, candidates, series, keep)
    elif kind == "optimisation set":
        whole = optimisation_set(str(origin.path), read_star(origin.path, labels=LABELS))
        sets = whole.members
        named = _inside(origin.path, [*sets.values()], refuse=refuse)
        found = _find(file, candidates, named, into)
        _make_folders(copy / found.key, named)
        is_inside = sets.get(TOMOGRAMS_FILE, "") in named
        tomograms = copy / found.key / sets.get(TOMOGRAMS_FILE, "")
        series = _series(tomograms, refuse=refuse) if is_inside and tomograms.is_file() else []
        _fetch(found, [_key(found, path) for path in series], keep)
        if pack is None:
            _mark(found, copy / found.key, _inside(origin.path, [*whole.references.values()], refuse=False))
    else:
        return origin if home is None else replace(origin, project=copy / home.key, how=how)
    project = copy / found.key
    project.mkdir(parents=True, exist_ok=True)
    if pack is None:
        _make_folders(project, series)
        return replace(origin, project=project, how=how)
    there = pack.copies()
    held = {path: kept for path in series if (kept := there.get(_key(found, path))) is not None}
    known = {path: Known(SourceInfo(path, len(kept.data), kept.mtime_ns), kept.data) for path, kept in held.items()}
    tried = tuple(copy / candidate.key for candidate in candidates)
    return replace(origin, project=project, how=how, series=known, tried=tried)


def _mark(found: Remote, project: Path, paths: Sequence[str]) -> None:
    """Make empty files where there are objects that are not copied: maps are large, and only looked for."""
    for path in paths:
        try:
            found.store.range(_key(found, path), 0, 1)
        except FileNotFoundError:
            continue
        except OSError:
            # What is empty has no bytes; and what may not be read counts as there, as files do.
            pass
        with told(project / path):
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).touch()


def _make_folders(project: Path, paths: Sequence[str]) -> None:
    """Make the folders that paths go into and out of again: a store has none, but the system looks for them."""
    for path in paths:
        if ".." in path.split("/"):
            # Where a file is in the way, there is nothing at the path.
            with suppress(OSError):
                (project / path).parent.mkdir(parents=True, exist_ok=True)


def _key(project: Remote, path: str) -> str:
    """The key of a file of a project."""
    return (project / posixpath.normpath(path)).key


def _series(path: Path, *, refuse: bool) -> list[str]:
    """The tilt-series files that a file names, if it is a set of them.

    `refuse`: raise what is wrong with it, rather than leave that out.
    """
    try:
        if kind_of(path) != "tomogram set":
            return []
        table = global_table(path, read_star(path, labels=LABELS, on_bad_value="null"))
    except TomoarrowError:
        if refuse:
            raise
        return []
    return _inside(path, [name for name in table.paths if name], refuse=refuse)


def _inside(path: Path, names: Sequence[str], *, refuse: bool) -> list[str]:
    """Paths without those that lead out of the project, which are refused or left out."""
    outside = {name for name in names if posixpath.normpath(name).split("/")[0] in ("", "..")}
    errors = [
        MissingFileError(
            "the path leads out of the project directory, and was not opened",
            place=Place(str(path), text=name),
            expected="a path below the project directory: nothing else is read from a store",
            remedy="correct the path",
        )
        for name in names
        if name in outside
    ]
    raise_gathered(errors if refuse else [], "{n} paths lead out of the project:")
    return [name for name in names if name not in outside]


def _find(file: Remote, candidates: Sequence[Remote], paths: Sequence[str], keep: _Keep) -> Remote:
    """The first folder from which all files are there, else the one from which most are; they are copied.

    Of several from which as many are, it is the first that has the STAR file itself in a folder that paths name.
    """
    probes = paths[:: -(-len(paths) // _PROBES)] if paths else []
    best, least = candidates[0], (len(paths) + 1, True)
    tops = {posixpath.normpath(path).partition("/")[0] for path in paths}
    for candidate in candidates:
        # A few of them tell most folders from the right one.
        looked = dict.fromkeys(_key(candidate, path) for path in probes)
        absent = _fetch(candidate, [*looked], keep)
        others = dict.fromkeys(key for path in paths if (key := _key(candidate, path)) not in looked)
        absent += _fetch(candidate, [*others], keep) if len(absent) < len(looked) else [*others]
        lacking = len(absent), not any(file.key.startswith(f"{_key(candidate, top)}/") for top in tops)
        if lacking < least:
            best, least = candidate, lacking
        if not absent:
            break
    return best


def _into(copy: Path) -> _Keep:
    """What keeps objects at the same paths below a folder."""

    def keep(key: str, entry: Entry, pieces: Iterator[bytes]) -> None:
        path = copy / key
        with told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("wb")
        with file:
            for piece in pieces:
                with told(path):
                    file.write(piece)
        os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))

    return keep


def _fetch(place: Remote, keys: Sequence[str], keep: _Keep) -> list[str]:
    """Keep objects of a store; return the keys of those that are not there.

    Raises
    ------
    MissingFileError
        Some cannot be read, for another reason.
    """
    results = at_once(lambda key: _fetch_one(place, key, keep), keys)
    raise_gathered([each for each in results if isinstance(each, TomoarrowError)], "{n} objects cannot be read:")
    return [each for each in results if isinstance(each, str)]


def _fetch_one(place: Remote, key: str, keep: _Keep) -> TomoarrowError | str | None:
    """Keep one object; return its key where it is not there, and what is wrong with it where it cannot be read."""
    try:
        keep(key, *place.store.get(key))
    except FileNotFoundError:
        return key
    except OSError as error:
        url = Place(f"{place.root}/{key}")
        remedy = "check the credentials and the connection, and try again"
        return MissingFileError(f"the object cannot be read: {error}", place=url, remedy=remedy)
    except TomoarrowError as error:
        return error
    return None
