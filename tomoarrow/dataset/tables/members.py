"""Which files make a dataset: one set, or all that an optimisation set names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import MissingFileError, Place, SchemaError, TomoarrowError, UsageError, raise_gathered
from ...relion.kinds import Kind, kind_of
from ...relion.labels import LABELS
from ...relion.optimisation_set import (
    MANIFOLDS_FILE,
    PARTICLES_FILE,
    TOMOGRAMS_FILE,
    TRAJECTORIES_FILE,
    optimisation_set,
)
from ...relion.project import Project, find_project, outside_error
from ...relion.tomogram_set import MOST_HELD
from ...star.document import Reject
from ...star.faults import Notice
from ...star.reader import read_star
from ...star.source import Held, Stream, reads_again
from ...star.tables import Findings, Options
from ..asked import Asked, OnBadFile
from .plain import StarFile
from .sources import Known
from .tilts import Job
from .tomogram_sets import check_partition, home_of, prepare

_TOMOGRAM_SETS = ("tomogram set", "RELION 4 tomogram set")

#: The sets that are written behind the tomogram set, in this order.
_KINDS: dict[str, Kind] = {
    PARTICLES_FILE: "particle set",
    TRAJECTORIES_FILE: "trajectory set",
    MANIFOLDS_FILE: "manifold set",
}

_ABSENT = "{n} of the files that the optimisation set names are not there, or outside of the project:"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be converted, and how.

    Attributes
    ----------
    path : Path
        The file that was given.
    source : Path, Held or Stream
        What to read it from.
    project : Path or None
        The project directory, where the caller knows it.
    asked : Asked
    threads : int
    series : mapping of str to Known, or None
        The tilt-series files that are there, by their paths, where the project is given and they were looked for.
    tried : tuple of Path
        The directories from which they were looked for, besides the project.
    """

    path: Path
    source: Path | Held | Stream
    project: Path | None
    asked: Asked
    threads: int
    series: Mapping[str, Known] | None = None
    tried: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Members:
    """The files of a dataset.

    Attributes
    ----------
    kind : str
        Of the file that was given.
    project : Project
    job : Job or None
        The tomogram set.
    files : tuple of tuple
        The other files: what each is, and where. In the order in which they are written: what one needs of another
        comes before.
    options : Options
    threads : int
    on_bad_file : "error" or "skip"
        What to do about one of `files` that cannot be read.
    """

    kind: Kind
    project: Project
    job: Job | None
    files: tuple[tuple[Kind, StarFile], ...]
    options: Options
    threads: int
    on_bad_file: OnBadFile


def find_members(request: Request, found: Findings) -> Members:
    """Find out what a file is, and which files belong to it.

    Raises
    ------
    UsageError
        There are no tilts to partition, or not by the label that was asked for; or the file is of a kind that must be
        read again, and cannot.
    TomoarrowError
        A file is missing or malformed, or its tomogram set is no such thing.
    """
    members, label = _members_of(request, found), request.asked.partition_by
    if label is not None and members.job is None:
        raise UsageError("only the tilts of a tomogram set can be partitioned", remedy="leave --partition-by out")
    if members.job is not None:
        check_partition(members.job.table, label)
    return members


def _members_of(request: Request, found: Findings) -> Members:
    path, source = request.path, request.source
    kind = kind_of(source.front if isinstance(source, Stream) else source)
    given = StarFile(path.name, path, source)
    if isinstance(source, Stream) and kind in ("optimisation set", *_TOMOGRAM_SETS):
        article = "an" if kind == "optimisation set" else "a"
        raise UsageError(
            f"{path}: {article} {kind} of more than {MOST_HELD >> 20} MB that can be read only once",
            expected="a file, or less of it",
            remedy="write it to a file first",
        )
    if kind == "optimisation set":
        return _of_optimisation_set(request, found)
    if kind in _TOMOGRAM_SETS:
        job = prepare(given, kind, request.project, request.asked, found, known=request.series, tried=request.tried)
        named = replace(job, file=replace(given, name=name_in(job.project.directory, path)))
        return _members(request, kind, job.project, named, ())
    return _members(request, kind, home_of(given, None), None, ((kind, given),))


def _members(
    request: Request, kind: Kind, home: Project, job: Job | None, files: tuple[tuple[Kind, StarFile], ...]
) -> Members:
    return Members(kind, home, job, files, request.asked.options, request.threads, request.asked.on_bad_file)


def name_in(directory: Path, path: Path) -> str:
    """The path of a file as a project has it; its bare name where it is outside."""
    real = os.path.realpath(path)
    inside = os.path.relpath(real, os.path.realpath(directory))
    return os.path.basename(real) if inside.split(os.sep)[0] == os.pardir else inside


def _of_optimisation_set(request: Request, found: Findings) -> Members:
    path, source, asked = request.path, request.source, request.asked
    assert not isinstance(source, Stream)
    named = optimisation_set(os.fspath(path), read_star(source, labels=LABELS)).members
    home = find_project(path, list(named.values()), request.project, allow_outside=asked.allow_outside)
    labels = [*named]
    outside = {labels[i]: outside_error(_place(path, labels[i], named), home.directory) for i in home.outside}
    inside = {label: name for label, name in named.items() if label not in outside}
    _check_files(path, home, inside)
    absent = {labels[i]: _absent(path, home, labels[i], named) for i in home.missing}
    files = {
        label: StarFile(name, home.directory / name, home.directory / name)
        for label, name in inside.items()
        if label not in absent
    }
    errors = [*outside.values(), *(absent.values() if asked.missing == "error" else [])]
    job = None
    try:
        if TOMOGRAMS_FILE in files:
            kind = kind_of(files[TOMOGRAMS_FILE].path)
            kind = kind if kind in _TOMOGRAM_SETS else "tomogram set"
            file = files.pop(TOMOGRAMS_FILE)
            job = prepare(file, kind, home.directory, asked, found, known=request.series, tried=request.tried)
    except MissingFileError as error:
        raise_gathered([*errors, *error.errors], _ABSENT)
    raise_gathered(errors, _ABSENT)
    for label, each in absent.items():
        found.rejects.append(Reject(Place(os.fspath(path), label=label), label, named[label], each.problem))
    given = StarFile(name_in(home.directory, path), path, source)
    others = [(kind, files[label]) for label, kind in _KINDS.items() if label in files]
    for label in _KINDS.keys() & files.keys():
        try:
            _check_kind(label, _KINDS[label], files[label], found)
        except TomoarrowError:
            # What is wrong with it is told when it is read, and left out then.
            if asked.on_bad_file == "error":
                raise
    return _members(request, "optimisation set", home, job, (("STAR file", given), *others))


def _check_files(path: Path, home: Project, named: dict[str, str]) -> None:
    """Refuse a file that would be two sets at once, and what cannot be looked at before it is read."""
    own = os.path.realpath(path)
    seen: set[str] = set()
    for label, name in named.items():
        place = _place(path, label, named)
        file = os.path.realpath(home.directory / name)
        if file == own or file in seen:
            problem = "an optimisation set that names itself" if file == own else "a file that is named twice"
            raise SchemaError(problem, place=place, expected="a file of its own for each set")
        if not reads_again(file):
            raise SchemaError("what is named is no regular file", place=place, expected="a STAR file")
        seen.add(file)


def _check_kind(label: str, kind: Kind, file: StarFile, found: Findings) -> None:
    """Tell of a file that is another set than the label says."""
    assert isinstance(file.source, Path)
    other = kind_of(file.source)
    if other != kind:
        article = "an" if other.startswith("o") else "a"
        message = f"_{label} names a file that is no {kind} but {article} {other}"
        found.notices.append(Notice("other-kind", message, Place(os.fspath(file.path))))


def _absent(path: Path, home: Project, label: str, named: dict[str, str]) -> MissingFileError:
    return MissingFileError(
        f"the file that _{label} names is not there",
        place=_place(path, label, named),
        expected=os.fspath(home.directory / named[label]),
        remedy="correct the path, name the project with --project DIR, or leave it out with --missing skip",
    )


def _place(path: Path, label: str, named: dict[str, str]) -> Place:
    return Place(os.fspath(path), label=label, text=named[label])
