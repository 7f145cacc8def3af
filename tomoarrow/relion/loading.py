"""All sets of a project in memory, whatever is wrong with some: what cannot be read is reported, the rest is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from ..errors import BlockNotFoundError, MissingFileError, Place, StarSyntaxError, TomoarrowError, raise_gathered
from ..star.batches import count_rows, read_batches
from ..star.document import Block, Value
from ..star.faults import merged
from ..star.pieces import always, read_pieces
from ..star.reader import read_star
from ..star.scan import new_request
from ..star.source import Held, hold, read_text
from ..star.structure import Structure
from ..star.tables import Findings, Options, read_pairs
from .kinds import Kind, kind_of
from .labels import LABELS
from .optimisation_set import MANIFOLDS_FILE, PARTICLES_FILE, TOMOGRAMS_FILE, TRAJECTORIES_FILE, optimisation_set
from .particle_set import OPTICS_GROUP, PARTICLE_NAME, VISIBLE_FRAMES
from .project import file_of, find_project, paths_outside
from .relion4 import split_set
from .series import SeriesFile
from .sets import Named, Particles, Rows, Sets, Tomograms, Trajectories, locate
from .tilt_tables import read_tilts
from .tomogram_set import NAME, SERIES_FILE, global_block, optics_block

T = TypeVar("T")

#: The columns of a particle set that checks look at.
_OF_PARTICLES = frozenset(
    [NAME, PARTICLE_NAME, OPTICS_GROUP, VISIBLE_FRAMES, "rlnRandomSubset", "rlnImageName", "rlnCtfImage"]
    + [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
    + [f"rlnCoordinate{axis}" for axis in "XYZ"]
)

#: One of these makes particles those of tomograms.
_OF_TOMOGRAMS = frozenset([NAME, PARTICLE_NAME, VISIBLE_FRAMES, "rlnCenteredCoordinateXAngst"])

#: So many of the images that particles name tell the project directory.
_MOST_TRIED = 20


@dataclass(slots=True)
class _Found:
    """What is read, as it goes."""

    allow_outside: bool = False
    findings: Findings = field(default_factory=Findings)
    missing: list[Named] = field(default_factory=list)
    outside: list[Named] = field(default_factory=list)
    seen: list[tuple[str, Kind]] = field(default_factory=list)
    #: What the project calls each file.
    names: dict[str, str] = field(default_factory=dict)

    def lead_out(self, home: Path, paths: Sequence[str]) -> frozenset[int]:
        """The positions of paths that are not to be opened."""
        return frozenset(() if self.allow_outside else paths_outside(home, paths))


@dataclass(frozen=True, slots=True)
class _File:
    """A file, and what the project calls it."""

    name: str
    path: str


def load_sets(
    path: Path, project: Path | None = None, *, looks_at_files: bool = False, allow_outside: bool = False
) -> Sets:
    """Read a set, and those that it names.

    Parameters
    ----------
    path : Path
        Any STAR file of a project.
    project : Path, optional
        The project directory, where it cannot be found from the paths in the files.
    looks_at_files : bool
        Whether checks are to look for the images that sets name.
    allow_outside : bool
        Whether files outside of the project may be looked at.

    Raises
    ------
    MissingFileError
        The file itself, or the project directory that was given, is not there.
    """
    found = _Found(allow_outside)
    kind = _kind(path, found)
    if kind == "optimisation set":
        sets = _optimisation(path, project, found)
    elif kind is None:
        sets = Sets("STAR file", path.resolve().parent)
    else:
        home = _home(path, kind, project, found)
        sets = _member(_file(home, path), kind, Sets(kind, home), found)
    findings = found.findings
    return replace(
        sets,
        looks_at_files=looks_at_files,
        allow_outside=allow_outside,
        seen=tuple(found.seen),
        missing=tuple(found.missing),
        outside=tuple(found.outside),
        notices=tuple(merged([replace(each, place=_named(each.place, found)) for each in findings.notices])),
        rejects=tuple(replace(each, place=_named(each.place, found)) for each in findings.rejects),
        errors=tuple(findings.errors),
    )


def _kind(path: Path, found: _Found) -> Kind | None:
    """What a file is; None where its text is malformed. Particles of single-particle work count as any STAR file."""
    try:
        kind = kind_of(path)
    except StarSyntaxError as error:
        found.findings.errors += error.errors
        return None
    if kind == "particle set":
        structure = _front(os.fspath(path))
        labels = {label for loop in range(len(structure.loop_width)) for label in structure.labels(loop)}
        return kind if labels & _OF_TOMOGRAMS else "STAR file"
    return kind


def _file(home: Path, path: Path) -> _File:
    """A file by its path from the project directory; by its bare path where it is outside."""
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(home))
    return _File(os.fspath(path) if inside.split(os.sep)[0] == os.pardir else inside, os.fspath(path))


def _named(place: Place, found: _Found) -> Place:
    return replace(place, path=found.names.get(place.path, place.path))


def _home(path: Path, kind: Kind, project: Path | None, found: _Found) -> Path:
    """The project directory of a file that is no optimisation set."""
    named: Sequence[str] = ()
    with suppress(TomoarrowError):
        if kind == "tomogram set":
            block = global_block(str(path), read_star(path, labels=LABELS, on_bad_value="null"), has_series=False)
            named = block.loops[0].column(SERIES_FILE).to_pylist()
        elif kind == "particle set":
            structure = _front(os.fspath(path))
            images = _read(os.fspath(path), _particle_block(structure), {"rlnImageName"}, Findings())
            if "rlnImageName" in images.column_names:
                images = images.column("rlnImageName").slice(0, _MOST_TRIED)
                named = [file_of(name) for name in images.to_pylist()]
    if project is None and not named:
        return path.resolve().parent
    return find_project(path, named, project, allow_outside=found.allow_outside).directory


def _optimisation(path: Path, project: Path | None, found: _Found) -> Sets:
    """The sets that an optimisation set names, as far as they are there."""
    document = _attempt(found, lambda: read_star(path, labels=LABELS, on_bad_value="null"))
    named = None if document is None else _attempt(found, lambda: optimisation_set(os.fspath(path), document))
    if document is None or named is None:
        return Sets("optimisation set", path.resolve().parent)
    members = [*named.members.values()]
    home = find_project(path, members, project, allow_outside=found.allow_outside).directory
    outside = {members[i] for i in found.lead_out(home, members)}
    file = _file(home, path)
    found.names[file.path] = file.name
    found.seen.append((file.name, "optimisation set"))
    found.findings.notices += document.warnings
    found.findings.rejects += document.rejects
    sets = Sets("optimisation set", home)
    kinds: dict[str, Kind] = {
        TOMOGRAMS_FILE: "tomogram set",
        PARTICLES_FILE: "particle set",
        TRAJECTORIES_FILE: "trajectory set",
        MANIFOLDS_FILE: "manifold set",
    }
    for label, kind in kinds.items():
        if label not in named.members:
            continue
        member = _File(named.members[label], os.fspath(home / named.members[label]))
        place = locate(file.path, file.name, document[0].name, label=label)
        if member.name in outside or not os.path.isfile(member.path):
            (found.outside if member.name in outside else found.missing).append(Named(place, label, member.name))
            continue
        own = _kind_of_set(member.path) if kind == "tomogram set" else kind
        sets = _member(member, own, sets, found)
    references = [
        Named(locate(file.path, file.name, document[0].name, label=label), label, text)
        for label, text in named.references.items()
    ]
    return replace(sets, named=tuple(references))


def _kind_of_set(path: str) -> Kind:
    """Which of the two layouts a tomogram set has; what is wrong with it is reported when it is read."""
    with suppress(TomoarrowError):
        if kind_of(path) == "RELION 4 tomogram set":
            return "RELION 4 tomogram set"
    return "tomogram set"


def _member(file: _File, kind: Kind, sets: Sets, found: _Found) -> Sets:
    """The sets with that of one file."""
    found.names[file.path] = file.name
    found.seen.append((file.name, kind))
    if kind in ("tomogram set", "RELION 4 tomogram set"):
        return replace(sets, tomograms=_attempt(found, lambda: _tomograms(file, kind, sets.project, found)))
    if kind == "particle set":
        return replace(sets, particles=_attempt(found, lambda: _particles(file, found)))
    if kind == "trajectory set":
        return replace(sets, trajectories=_attempt(found, lambda: _trajectories(file, found)))
    if kind == "manifold set":
        manifolds = _attempt(found, lambda: _read(file.path, "*", None, found.findings))
        return replace(sets, manifolds=None if manifolds is None else Rows(file.name, file.path, "", manifolds))
    document = _attempt(found, lambda: read_star(file.path, labels=LABELS, on_bad_value="null"))
    if document is not None:
        found.findings.notices += document.warnings
        found.findings.rejects += document.rejects
    return sets


def _attempt(found: _Found, function: Callable[[], T]) -> T | None:
    """What a function returns; None where it fails, which is added to the findings."""
    try:
        return function()
    except TomoarrowError as error:
        for each in error.errors:
            each.place = _named(each.place, found)
            found.findings.errors.append(each)
    except OSError as error:
        place = Place(found.names.get(str(error.filename), str(error.filename or "")))
        found.findings.errors.append(MissingFileError(f"cannot be read: {error.strerror or error}", place=place))
    return None


def _read(file: str, block: str | None, columns: Iterable[str] | None, found: Findings) -> pa.Table:
    """One table, or those of all blocks, with only some columns; values that do not fit are null.

    Raises
    ------
    TomoarrowError
        There is no such table, or no loop of it can be read.
    """
    request = new_request(file, block, "relion", None, False, "null", LABELS, None)
    kept = None if columns is None else frozenset(columns)
    own = Findings()
    tables = [
        table if kept is None else table.select([name for name in table.column_names if name in kept])
        for table in read_batches(request, own)
    ]
    if not tables:
        found.notices += own.notices
        raise_gathered(own.errors, "{n} loops cannot be read:")
    found.add(own)
    return pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()


def _front(file: str) -> Structure:
    """The structure of the first piece of a file."""
    with closing(read_pieces(file, "relion", lambda piece: piece.structure, stands=always, threads=1)) as pieces:
        return next(pieces).result


def _general(structure: Structure, found: Findings) -> dict[str, Value] | None:
    """The pairs of the block ``general``; None where there is no such block."""
    container = next((c for c in range(len(structure.heading)) if structure.name(c) == "general"), None)
    if container is None:
        return None
    tags = structure.pair_tag[structure.pair_container == container].tolist()
    return read_pairs(structure, container, tags, Options(LABELS, {}, "null"), found)


def _tomograms(file: _File, kind: Kind, home: Path, found: _Found) -> Tomograms:
    is_relion4 = kind == "RELION 4 tomogram set"
    text = read_text(Held(file.name, hold(file.path).data))
    head = text.buffer[: int(text.ends[0])].tobytes()
    parts: dict[str, SeriesFile] = {}
    if is_relion4:
        split = split_set(text, file.name)
        head, parts = split.head, split.series
    document = read_star(Held(file.name, head), labels=LABELS, on_bad_value="null")
    found.findings.notices += document.warnings
    found.findings.rejects += document.rejects
    block = global_block(file.name, document, has_series=is_relion4)
    rows = _rows(file, block)
    names = tuple(str(name or "") for name in rows.texts(NAME) or ())
    optics = optics_block(document)
    series = [parts.get(name) for name in names] if is_relion4 else _series_files(rows, names, home, found)
    tilts = read_tilts(series, file.path if is_relion4 else None, found.findings)
    return Tomograms(rows, names, is_relion4, tuple(parts), None if optics is None else _rows(file, optics), tilts)


def _rows(file: _File, block: Block) -> Rows:
    return Rows(file.name, file.path, block.name, block.loops[0])


def _series_files(rows: Rows, names: Sequence[str], home: Path, found: _Found) -> list[SeriesFile | None]:
    """The tilt-series file of each tomogram; None where it is not there."""
    paths = [path or "" for path in rows.texts(SERIES_FILE) or ()]
    outside = found.lead_out(home, paths)
    files: list[SeriesFile | None] = []
    for row, (name, path) in enumerate(zip(names, paths, strict=True)):
        file = os.path.join(home, path)
        is_there = row not in outside and bool(path) and os.path.isfile(file)
        files.append(SeriesFile(name, path, file) if is_there else None)
        if not is_there:
            lacking = found.outside if row in outside else found.missing
            lacking.append(Named(rows.place(row, SERIES_FILE), SERIES_FILE, path))
    return files


def _particle_block(structure: Structure) -> str | None:
    """The name of the block with a row a particle: ``particles``, else that which has names of tomograms."""
    names = [structure.name(int(c)) for c in structure.loop_container.tolist()]
    if "particles" in names:
        return "particles"
    own = (name for loop, name in enumerate(names) if NAME in structure.labels(loop))
    return next(own, None)


def _particles(file: _File, found: _Found) -> Particles:
    structure = _front(file.path)
    block = _particle_block(structure)
    table = _read(file.path, block, _OF_PARTICLES, found.findings)
    optics = None
    of_optics = Findings()
    with suppress(BlockNotFoundError):
        optics = Rows(file.name, file.path, "optics", _read(file.path, "optics", None, of_optics))
    # The text of the whole file was looked at with the particles.
    of_optics.notices = [each for each in of_optics.notices if each.place.label]
    found.findings.add(of_optics)
    return Particles(Rows(file.name, file.path, block or "", table), optics, _general(structure, found.findings))


def _trajectories(file: _File, found: _Found) -> Trajectories:
    """The names of blocks and how many rows each has, a piece after the other; no shift is kept."""
    request = new_request(file.path, "*", "relion", None, False, "null", LABELS, None)
    names, counts = count_rows(request, found.findings)
    general = _general(_front(file.path), found.findings)
    return Trajectories(file.name, file.path, names, np.array(counts, np.int64), general)
