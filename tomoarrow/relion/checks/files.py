"""Checks of the files that sets name: a question to the disk for each, asked only where it is wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import Place
from ..labels import LABELS
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


def file_of(path: str) -> str:
    """The file of an image path: without the position in a stack, ``3@a.mrcs``, and without a format, ``a.ctf:mrc``."""
    behind = path.rpartition("@")[2]
    return behind.rpartition(":")[0] or behind if ":" in behind.rpartition("/")[2] else behind


def _absent(project: Path, paths: Sequence[str | None]) -> list[tuple[int, str]]:
    """Rows and files of those that are not there, each file once."""
    home = os.fspath(project)
    firsts: dict[str, int] = {}
    for row, path in enumerate(paths):
        if path is not None and path not in _NO_FILE:
            firsts.setdefault(file_of(path), row)
    return [(row, file) for file, row in firsts.items() if not os.path.exists(os.path.join(home, file))]


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


def _missing(sets: Sets, *, is_needed: bool) -> Iterator[Found]:
    if not sets.looks_at_files:
        return
    for label, paths, table in _columns(sets):
        if (label in _NEEDED) == is_needed:
            absent = _absent(sets.project, paths)
            if absent:
                yield _told(label, [file for _, file in absent], _place(sets, table, absent[0][0], label))
    for each in sets.named:
        if (each.label in _NEEDED) == is_needed and _absent(sets.project, [each.path]):
            yield _told(each.label, [each.path], each.place)


def _told(label: str, files: Sequence[str], place: Place) -> Found:
    more = f", the first of {len(files)}" if len(files) > 1 else ""
    return Found(f"not there: {files[0]}, which {label} names{more}", place, len(files))


def _needed(sets: Sets) -> Iterator[Found]:
    yield from _missing(sets, is_needed=True)


def _others(sets: Sets) -> Iterator[Found]:
    yield from _missing(sets, is_needed=False)


CHECKS = (
    Check(
        "missing-image",
        "error",
        "with --files: images, particles and tomograms that are not there",
        "copy them to where the project has them, or name the project directory with --project DIR",
        _needed,
    ),
    Check(
        "missing-file",
        "warning",
        "with --files: movies, power spectra, alignment files and the like that are not there",
        "nothing, if they were moved away on purpose; jobs that begin with them cannot be run again",
        _others,
    ),
)
