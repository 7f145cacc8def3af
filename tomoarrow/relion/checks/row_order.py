"""Checks of what belongs together in a row of a tilt series.

Motion correction and CTF estimation give their results back in the order of the dose, but RELION writes them to the
rows in the order in which these stood (``src/jaz/tomography/tomogram_set.cpp``:
TomogramSet::convertBackFromSingleMetaDataTable). Where rows were sorted by angle, as excluding tilts does, images,
dose and CTF come to stand beside another tilt's movie, angle and alignment; nothing in RELION warns of it. The names
of files show it: they hold the number of the tilt and its angle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..sets import Tilts, Tomograms
from .finding import Check, Found, Mask, in_tilts, on_tomograms
from .tilts import DOSE, MOVIE, NOMINAL

#: What jobs name after the movie of a tilt.
_IMAGES = (
    "rlnMicrographName",
    "rlnMicrographNameEven",
    "rlnMicrographNameOdd",
    "rlnMicrographNameNoDW",
    "rlnMicrographMetadata",
    "rlnCtfPowerSpectrum",
    "rlnCtfImage",
)

#: What of a path is not the name that its movie gave it: the folder, what jobs add, the extension.
_NOT_STEM = (
    (r"^(?:[^/]*/)*", ""),
    (r":mrcs?$", ""),
    (r"\.ctf$", ""),
    (r"\.(mrcs?|tiff?|eer|star|st|dm4)$", ""),
    (r"(_PS|_EVN|_ODD|_noDW|_DW|_EER|_fractions|_Fractions|_avrot)+$", ""),
    (r"[^A-Za-z0-9]", "_"),
)

#: A number in a name; the minus of an angle is not that between two words.
_NUMBER = re.compile(r"(?<![\d.])(?:(?<![A-Za-z\d])-)?\d+(?:\.\d+)?")

#: How far an angle in a name may be from the nominal one: names are rounded.
_ANGLE_TOLERANCE_DEG = 1.0

#: So much of a series must agree before the rest is taken for mixed up.
_MAJORITY = 0.6


def _stems(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """What paths have in common that come from one movie."""
    for pattern, instead in _NOT_STEM:
        column = pc.replace_substring_regex(column, pattern, instead)
    return column


def _base(tilts: Tilts) -> str | None:
    """The column whose names say which tilt a row is."""
    return next((label for label in (MOVIE, "rlnTomoTiltMovieFile") if label in tilts.table.column_names), None)


def _share(tilts: Tilts, is_true: Mask) -> NDArray[np.float64]:
    """For each row in which part of its series something is true."""
    counts = tilts.counts
    own = np.bincount(tilts.tomogram, weights=is_true, minlength=len(counts)) / np.maximum(counts, 1)
    share: NDArray[np.float64] = np.repeat(own, counts)
    return share


def _images_of_others(tomograms: Tomograms) -> Iterator[Found]:
    """Images that are named after the movie of another row, or unlike all others of their series."""
    tilts = tomograms.tilts
    base = _base(tilts)
    labels = [label for label in _IMAGES if label in tilts.table.column_names]
    if base is None or not labels:
        return
    stems = _stems(tilts.table.column(base))
    is_bad, bad_labels = np.zeros(tilts.table.num_rows, bool), []
    for label in labels:
        own = _stems(tilts.table.column(label))
        differs = pc.not_equal(own, stems).fill_null(False).to_numpy()
        if not differs.any():
            continue
        elsewhere = pc.is_in(own, value_set=stems.unique()).to_numpy()
        bad = differs & (elsewhere | (_share(tilts, ~differs) >= _MAJORITY))
        if bad.any():
            is_bad |= bad
            bad_labels.append(label)
    what = f"tilts whose {', '.join(bad_labels)} is of another tilt than their {base}"
    yield from in_tilts(tomograms, is_bad, what, bad_labels[0] if bad_labels else base)


def _numbers_in(names: Sequence[str | None]) -> NDArray[np.float64] | None:
    """float64[names, numbers]: the numbers in names; None where not all names have as many."""
    found = [_NUMBER.findall((name or "").rsplit("/", 1)[-1]) for name in names]
    if not found or not found[0] or len({len(each) for each in found}) > 1:
        return None
    return np.array(found, np.float64)


def _angle_mixed(numbers: NDArray[np.float64], angles: NDArray[np.float64]) -> Mask | None:
    """Where the angle in names is not that of the row; None where names have no angle."""
    if np.isnan(angles).any() or np.ptp(angles) < 2 * _ANGLE_TOLERANCE_DEG:
        return None
    for column in numbers.T:
        is_off = np.abs(column - angles) > _ANGLE_TOLERANCE_DEG
        is_sorted_same = (np.abs(np.sort(column) - np.sort(angles)) <= _ANGLE_TOLERANCE_DEG).all()
        if is_sorted_same or is_off.mean() <= 1 - _MAJORITY:
            found: Mask = is_off
            return found
    return None


def _names_and_angles(tomograms: Tomograms) -> Iterator[Found]:
    tilts = tomograms.tilts
    base = _base(tilts) or "rlnMicrographName"
    names, angles = tilts.texts(base), tilts.numbers(NOMINAL)
    if names is None or angles is None:
        return
    is_bad = np.zeros(len(angles), bool)
    for rows in tilts.series():
        numbers = _numbers_in(names[rows])
        mixed = None if numbers is None else _angle_mixed(numbers, angles[rows])
        if mixed is not None:
            is_bad[rows] = mixed
    yield from in_tilts(
        tomograms, is_bad, f"tilts whose nominal angle differs from the angle in the name of their {base}", NOMINAL
    )


def _acquisition(numbers: NDArray[np.float64], angles: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """The number of each tilt in the order of acquisition, where names have one: distinct, close, from near 0."""
    n = len(numbers)
    for column in numbers.T:
        is_angle = angles is not None and np.mean(np.abs(column - angles) <= _ANGLE_TOLERANCE_DEG) > 1 - _MAJORITY
        is_whole = (column == np.floor(column)).all() and column.min() >= 0
        is_close = np.ptp(column) < 2 * n and column.min() < 2 * n
        if is_whole and is_close and not is_angle and len(np.unique(column)) == n:
            order: NDArray[np.float64] = column
            return order
    return None


def _ascends(names: Sequence[str | None], dose: NDArray[np.float64]) -> bool:
    """Whether names are in the order of the dose as they stand: numbers in most have the same width."""
    ordered = [names[i] or "" for i in np.argsort(dose).tolist()]
    return all(a < b for a, b in pairwise(ordered))


def _dose_order(tomograms: Tomograms) -> Iterator[Found]:
    """Tilts whose place in the order of the dose is not that in the order of acquisition."""
    tilts = tomograms.tilts
    dose, index = tilts.numbers(DOSE), tilts.numbers("rlnTomoTiltMovieIndex")
    names, angles = tilts.texts(_base(tilts) or "rlnMicrographName"), tilts.numbers(NOMINAL)
    if dose is None or (index is None and names is None):
        return
    is_bad = np.zeros(len(dose), bool)
    for rows in tilts.series():
        if np.isnan(dose[rows]).any() or len(np.unique(dose[rows])) < rows.stop - rows.start:
            continue
        order = None if index is None or np.isnan(index[rows]).any() else index[rows]
        if order is None and names is not None and not _ascends(names[rows], dose[rows]):
            numbers = _numbers_in(names[rows])
            order = None if numbers is None else _acquisition(numbers, None if angles is None else angles[rows])
        if order is not None and len(np.unique(order)) == len(order):
            is_bad[rows] = np.argsort(np.argsort(order)) != np.argsort(np.argsort(dose[rows]))
    yield from in_tilts(tomograms, is_bad, "tilts whose dose does not follow the order in which they were taken", DOSE)


CHECKS = (
    Check(
        "row-mixed",
        "error",
        "rows in which images or CTF are of another tilt than the movie",
        "the rows were in another order than the dose when motion correction or CTF estimation ran: run these jobs "
        "again from the import, and exclude tilts only after them",
        on_tomograms(_images_of_others),
    ),
    Check(
        "angle-mixed",
        "error",
        "nominal angles that differ from the angles in the names of files",
        "check the mdoc file, and that no column was sorted without the others",
        on_tomograms(_names_and_angles),
    ),
    Check(
        "dose-order",
        "warning",
        "doses that do not grow in the order in which tilts were taken",
        "correct rlnMicrographPreExposure, or import again; dose weighting is wrong otherwise",
        on_tomograms(_dose_order),
    ),
)
