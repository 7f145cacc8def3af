"""Checks of the files that sets name: a question to the disk for each, asked only where it is wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from ...errors import Place
from ..labels import LABELS
from ..project import file_of, is_there, paths_outside
from ..sets import Sets
from ..tomogram_set import SERIES_FILE
from .finding import Check, Found

#: Without these a job stops; what other labels name is for people, or for going back.
_NEEDED = frozenset(
    [
        "rlnMicrographName",
        "rlnMicrographNameEven",
        "rlnMicrographNameOdd",
        "rlnTomoTiltSeriesName",
        "rlnImageName",
        "rlnTomoReconstructedTomogram",
        "rlnTomoReconstructedTomogramHalf1",
        "rlnTomoReconstructedTomogramHalf2",
        "rlnTomoReferenceMap1File",
        "rlnTomoReferenceMap2File",
        "rlnTomoReferenceMaskFile",
        "rlnTomoReferenceFscFile",
    ]
)

#: What writers put where there is no file.
_NO_FILE = frozenset(["", "N/A", "None", "<NA>", "NA", "null"])


#: Rows and files, each file once.
_Files = list[tuple[int, str]]


def _firsts(paths: Sequence[str | None]) -> _Files:
    """The files that paths name, each in the first row that does."""
    firsts: dict[str, int] = {}
    for row, path in enumerate(paths):
        if path is not None and path not in _NO_FILE:
            firsts.setdefault(file_of(path), row)
    return [(row, file) for file, row in firsts.items()]


def _outside(sets: Sets, paths: Sequence[str | None]) -> _Files:
    """Those that lead out of the project."""
    files = _firsts(paths)
    return [] if sets.allow_outside else [files[i] for i in paths_outside(sets.project, [file for _, file in files])]


def _absent(sets: Sets, paths: Sequence[str | None]) -> _Files:
    """Those that are not there; those that lead out are not looked for."""
    home = os.fspath(sets.project)
    outside = set(_outside(sets, paths))
    inside = [each for each in _firsts(paths) if each not in outside]
    return [(row, file) for row, file in inside if not is_there(home, file)]


def _columns(sets: Sets) -> Iterator[tuple[str, list[str | None], int]]:
    """Labels that name files, their values, and which table they are of: 0 tomograms, 1 tilts, 2 particles."""
    tables = (
        None if sets.tomograms is None else sets.tomograms.rows,
        None if sets.tomograms is None else sets.tomograms.tilts,
        None if sets.particles is None else sets.particles.rows,
    )
    for number, table in enumerate(tables):
        for label in [] if table is None else table.table.column_names:
            if label in LABELS and LABELS[label].type == "path" and label != SERIES_FILE and table is not None:
                yield label, table.texts(label) or [], number


def _place(sets: Sets, table: int, row: int, label: str) -> Place:
    if table == 2 and sets.particles is not None:
        return sets.particles.rows.place(row, label)
    assert sets.tomograms is not None
    return sets.tomograms.tilt_place(row, label) if table == 1 else sets.tomograms.rows.place(row, label)


def _found(
    sets: Sets, pick: Callable[[Sets, Sequence[str | None]], _Files], labels: Callable[[str], bool], what: str
) -> Iterator[Found]:
    """What is picked of the files that each of some labels names."""
    if not sets.looks_at_files:
        return
    for label, paths, table in _columns(sets):
        picked = pick(sets, paths) if labels(label) else []
        if picked:
            yield _told(what, label, [file for _, file in picked], _place(sets, table, picked[0][0], label))
    for each in sets.named:
        if labels(each.label) and pick(sets, [each.path]):
            yield _told(what, each.label, [each.path], each.place)


def _told(what: str, label: str, files: Sequence[str], place: Place) -> Found:
    more = f", the first of {len(files)}" if len(files) > 1 else ""
    return Found(f"{what}: {files[0]}, which {label} names{more}", place, len(files))


def _needed(sets: Sets) -> Iterator[Found]:
    yield from _found(sets, _absent, lambda label: label in _NEEDED, "not there")


def _others(sets: Sets) -> Iterator[Found]:
    yield from _found(sets, _absent, lambda label: label not in _NEEDED, "not there")


def _not_looked_for(sets: Sets) -> Iterator[Found]:
    yield from _found(sets, _outside, lambda _: True, "not looked for, as it leads out of the project")


CHECKS = (
    Check(
        "missing-image",
        "error",
        "with --files: images, particles and tomograms that are not there",
        "copy them to where the STAR files expect them, or name the project directory with --project DIR",
        _needed,
    ),
    Check(
        "missing-file",
        "warning",
        "with --files: movies, power spectra, alignment files and the like that are not there",
        "nothing, if they were moved on purpose; but jobs that start from them cannot be run again",
        _others,
    ),
    Check(
        "outside-file",
        "warning",
        "with --files: paths of images and the like that lead out of the project, and are not looked for",
        "name the project directory with --project DIR, or look for them anyway with --allow-outside",
        _not_looked_for,
    ),
)
