"""Checks of tilt series: their columns, doses, angles and defoci."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from ..sets import Sets, Tilts, Tomograms
from .finding import Check, Found, Mask, in_tilts, named, on_tomograms
from .tomograms import SIZES

DOSE = "rlnMicrographPreExposure"
NOMINAL = "rlnTomoNominalStageTiltAngle"
Y_TILT = "rlnTomoYTilt"
MOVIE = "rlnMicrographMovieName"

#: There are matrices only if all of these are there (TomogramSet::loadTomogram).
_ALIGNMENT = frozenset([Y_TILT, "rlnTomoZRot", "rlnTomoXShiftAngst", "rlnTomoYShiftAngst"])
_MATRICES = frozenset(f"rlnTomoProj{row}" for row in "XYZW")
_DEFOCUS = frozenset(["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"])
_IMAGES = frozenset(["rlnMicrographName", "rlnMicrographNameEven", "rlnMicrographNameOdd"])

#: An alignment may turn a tilt so far from where the stage was, beside what it turns the whole series.
_MOST_TURNED_DEG = 5.0

#: A step between neighbours of so many times the usual step is a gap.
_GAP = 1.75

#: Less than this is no defocus in Angstrom, but one in micrometres.
_LEAST_DEFOCUS_ANGST = 100.0
_MOST_DEFOCUS_ANGST = 200_000.0

#: The nominal defocus of a microscope is in micrometres.
_MOST_NOMINAL_UM = 50.0


def _series_with(tomograms: Tomograms, is_bad: Collection[int], what: str, label: str | None) -> Iterator[Found]:
    """Tilt series with which something is wrong."""
    if is_bad:
        names = [tomograms.names[t] for t in is_bad]
        yield named(what, names, tomograms.series_place(next(iter(is_bad)), None, label))


def _no_dose(tomograms: Tomograms) -> Iterator[Found]:
    bad = [t for t, labels in enumerate(tomograms.tilts.labels) if labels and DOSE not in labels]
    yield from _series_with(tomograms, bad, f"tilt series without {DOSE}, which RELION refuses", None)


def _alignment(tomograms: Tomograms) -> Iterator[Found]:
    for wanted in (_ALIGNMENT, _MATRICES):
        bad = [t for t, labels in enumerate(tomograms.tilts.labels) if labels & wanted and not wanted <= labels]
        if bad:
            lacking = sorted(wanted - tomograms.tilts.labels[bad[0]])
            what = f"tilt series whose alignment is incomplete, without {', '.join(lacking)}: RELION uses none of it"
            yield from _series_with(tomograms, bad, what, None)


def _aligned(labels: frozenset[str]) -> bool:
    return labels >= _ALIGNMENT or labels >= _MATRICES


def _some_aligned(tomograms: Tomograms) -> Iterator[Found]:
    aligned = [_aligned(labels) for labels in tomograms.tilts.labels if labels]
    if any(aligned) and not all(aligned):
        bad = [t for t, labels in enumerate(tomograms.tilts.labels) if labels and not labels & (_ALIGNMENT | _MATRICES)]
        yield from _series_with(tomograms, bad, "tilt series that are not aligned, where others are", None)


def _no_defocus(sets: Sets) -> Iterator[Found]:
    """Needed once tomograms were reconstructed, or particles are taken; each of the three, where there is one."""
    if sets.tomograms is None:
        return
    is_needed = sets.particles is not None or SIZES[0] in sets.tomograms.rows.table.column_names
    bad = [
        t
        for t, labels in enumerate(sets.tomograms.tilts.labels)
        if labels and not labels >= _DEFOCUS and (labels & _DEFOCUS or is_needed)
    ]
    if bad:
        lacking = ", ".join(sorted(_DEFOCUS - sets.tomograms.tilts.labels[bad[0]]))
        yield from _series_with(sets.tomograms, bad, f"tilt series without {lacking}", None)


def _no_images(tomograms: Tomograms) -> Iterator[Found]:
    if "rlnTomoTiltSeriesName" not in tomograms.rows.table.column_names:
        later = _DEFOCUS | _ALIGNMENT
        bad = [t for t, own in enumerate(tomograms.tilts.labels) if own & later and not own & _IMAGES]
        yield from _series_with(tomograms, bad, "tilt series that do not name their images", None)


def _columns_differ(tomograms: Tomograms) -> Iterator[Found]:
    own = {t: labels for t, labels in enumerate(tomograms.tilts.labels) if labels}
    kinds = list(own.values())
    usual = max(set(kinds), key=kinds.count) if kinds else frozenset()
    # What lacks a part of the alignment or of the defocus has checks of its own.
    usual_rest = usual - _ALIGNMENT - _MATRICES - _DEFOCUS - {DOSE}
    bad = [t for t, labels in own.items() if labels - _ALIGNMENT - _MATRICES - _DEFOCUS - {DOSE} != usual_rest]
    if bad:
        differing = ", ".join(sorted(own[bad[0]] ^ usual)[:5])
        yield from _series_with(tomograms, bad, f"tilt series with other labels than most ({differing})", None)


def _one_tilt(tomograms: Tomograms) -> Iterator[Found]:
    if "rlnTomoImportFractionalDose" not in tomograms.rows.table.column_names:
        bad = np.flatnonzero(tomograms.tilts.counts == 1).tolist()
        what = "tilt series of a single tilt, without rlnTomoImportFractionalDose: RELION cannot tell its dose"
        yield from _series_with(tomograms, bad, what, None)


def _negative_dose(tomograms: Tomograms) -> Iterator[Found]:
    dose = tomograms.tilts.numbers(DOSE)
    if dose is not None:
        yield from in_tilts(tomograms, dose < 0, "tilts with a dose below 0", DOSE)


def _repeats(tilts: Tilts, *values: NDArray[np.float64]) -> Mask:
    """Whether a tilt of the same series further up has the same values."""
    keys = (*values, tilts.tomogram)
    order = np.lexsort((np.arange(len(keys[0])), *keys))
    is_same = np.logical_and.reduce([np.diff(key[order]) == 0 for key in keys])
    found = np.zeros(len(order), bool)
    found[order[1:][is_same]] = True
    return found


def _same_dose(tomograms: Tomograms) -> Iterator[Found]:
    dose = tomograms.tilts.numbers(DOSE)
    if dose is not None and len(dose):
        is_twice = _repeats(tomograms.tilts, dose) & ~_same_tilt(tomograms.tilts)
        yield from in_tilts(tomograms, is_twice, "tilts with the dose of another tilt of their series", DOSE)


def _same_tilt(tilts: Tilts) -> Mask:
    """Whether a tilt of the same series further up has the same movie, or the same angle and dose."""
    found = np.zeros(tilts.table.num_rows, bool)
    movies = tilts.texts(MOVIE)
    if movies is not None:
        numbers: dict[str, int] = {}
        of_movie = [np.nan if movie is None else numbers.setdefault(movie, len(numbers)) for movie in movies]
        found |= _repeats(tilts, np.array(of_movie, np.float64))
    angle, dose = tilts.numbers(NOMINAL), tilts.numbers(DOSE)
    if angle is not None and dose is not None:
        found |= _repeats(tilts, angle, dose)
    return found


def _tilts_twice(tomograms: Tomograms) -> Iterator[Found]:
    if tomograms.tilts.table.num_rows:
        label = MOVIE if MOVIE in tomograms.tilts.table.column_names else NOMINAL
        yield from in_tilts(tomograms, _same_tilt(tomograms.tilts), "tilts that are in their series twice", label)


def _movie_of_two_series(tomograms: Tomograms) -> Iterator[Found]:
    movies = tomograms.tilts.texts(MOVIE)
    if movies is None:
        return
    # Tomograms that share a file are reported as such.
    owner_of = tomograms.names if tomograms.is_relion4 else tomograms.tilts.paths
    owners = [owner_of[t] for t in tomograms.tilts.tomogram.tolist()]
    first: dict[str, str] = {}
    pairs = zip(movies, owners, strict=True)
    is_bad = np.array([movie is not None and first.setdefault(movie, own) != own for movie, own in pairs], bool)
    yield from in_tilts(tomograms, is_bad, "tilts whose movie is also in an earlier tilt series", MOVIE)


def _middle(values: NDArray[np.float64]) -> float:
    """The value in the middle, or one of the two; nan where there is none."""
    # numpy.median takes ten times as long.
    there = np.sort(values[~np.isnan(values)])
    return float(there[len(there) // 2]) if len(there) else np.nan


def _gaps(tomograms: Tomograms) -> Iterator[Found]:
    angles = tomograms.tilts.numbers(NOMINAL)
    if angles is None:
        return
    bad: dict[int, int] = {}
    for rows in tomograms.tilts.series():
        steps = np.diff(np.sort(angles[rows]))
        steps = steps[steps > 0.1]
        if len(steps) >= 4 and not np.isnan(steps).any():
            n = int((steps > _GAP * _middle(steps)).sum())
            if n:
                bad[int(np.searchsorted(tomograms.tilts.begins, rows.start, side="right")) - 1] = n
    if bad:
        what = f"{sum(bad.values())} gaps between tilt angles, where tilts were excluded or are missing"
        yield from _series_with(tomograms, bad, what, NOMINAL)


def _angle_range(tomograms: Tomograms) -> Iterator[Found]:
    for label in (NOMINAL, Y_TILT):
        angle = tomograms.tilts.numbers(label)
        if angle is not None:
            yield from in_tilts(tomograms, np.abs(angle) > 90, "tilt angles of more than 90 degrees", label)


def _turned(tomograms: Tomograms) -> Iterator[Found]:
    nominal, angle = tomograms.tilts.numbers(NOMINAL), tomograms.tilts.numbers(Y_TILT)
    if nominal is None or angle is None:
        return
    is_bad = np.zeros(len(angle), bool)
    for rows in tomograms.tilts.series():
        off = angle[rows] - nominal[rows]
        is_bad[rows] = np.abs(off - _middle(off)) > _MOST_TURNED_DEG
    what = f"tilts whose aligned angle is more than {_MOST_TURNED_DEG:g} degrees off their nominal angle"
    yield from in_tilts(tomograms, is_bad, what, Y_TILT)


def _defocus_unit(tomograms: Tomograms) -> Iterator[Found]:
    for label in ("rlnDefocusU", "rlnDefocusV"):
        defocus = tomograms.tilts.numbers(label)
        if defocus is not None:
            is_bad = (np.abs(defocus) < _LEAST_DEFOCUS_ANGST) & (defocus != 0)
            yield from in_tilts(tomograms, is_bad, "tilts whose defocus seems to be in micrometres", label)


def _defocus(tomograms: Tomograms) -> Iterator[Found]:
    for label in ("rlnDefocusU", "rlnDefocusV"):
        defocus = tomograms.tilts.numbers(label)
        if defocus is not None:
            is_bad = (defocus == 0) | (defocus <= -_LEAST_DEFOCUS_ANGST) | (defocus > _MOST_DEFOCUS_ANGST)
            yield from in_tilts(tomograms, is_bad, "tilts whose defocus is not plausible", label)


def _astigmatism(tomograms: Tomograms) -> Iterator[Found]:
    u, v = (tomograms.tilts.numbers(label) for label in ("rlnDefocusU", "rlnDefocusV"))
    if u is not None and v is not None:
        is_bad = (np.abs(u - v) > 0.5 * np.maximum(u, v)) & (np.minimum(u, v) >= _LEAST_DEFOCUS_ANGST)
        is_bad &= np.maximum(u, v) <= _MOST_DEFOCUS_ANGST
        what = "tilts whose rlnDefocusU and rlnDefocusV differ by more than half"
        yield from in_tilts(tomograms, is_bad, what, "rlnDefocusU")


def _nominal_defocus(tomograms: Tomograms) -> Iterator[Found]:
    defocus = tomograms.tilts.numbers("rlnTomoNominalDefocus")
    if defocus is not None:
        is_bad = (defocus > 0) | (defocus < -_MOST_NOMINAL_UM)
        what = "tilts whose nominal defocus is not in negative micrometres"
        yield from in_tilts(tomograms, is_bad, what, "rlnTomoNominalDefocus")


CHECKS = (
    Check(
        "dose-column",
        "error",
        "tilt series without rlnMicrographPreExposure",
        "add the column: the dose before each tilt, in electrons per square Angstrom",
        on_tomograms(_no_dose),
    ),
    Check(
        "alignment-columns",
        "error",
        "tilt series whose alignment is incomplete",
        "align again, or add what is missing of rlnTomoYTilt, rlnTomoZRot, rlnTomoXShiftAngst and rlnTomoYShiftAngst",
        on_tomograms(_alignment),
    ),
    Check(
        "some-aligned",
        "error",
        "tilt series that are not aligned, where others are",
        "align them, or leave them out of the tomogram set",
        on_tomograms(_some_aligned),
    ),
    Check(
        "defocus-columns",
        "error",
        "tilt series without rlnDefocusU, rlnDefocusV or rlnDefocusAngle, where they are needed",
        "run CTF estimation on the tilt series before tomograms are reconstructed",
        _no_defocus,
    ),
    Check(
        "image-columns",
        "error",
        "tilt series that do not name their images",
        "add rlnMicrographName, or its even and odd halves: motion correction writes them",
        on_tomograms(_no_images),
    ),
    Check(
        "columns-differ",
        "note",
        "tilt series with other labels than most: motion correction and CTF estimation refuse such sets",
        "run the same jobs on all tilt series",
        on_tomograms(_columns_differ),
    ),
    Check(
        "one-tilt",
        "warning",
        "tilt series of a single tilt, whose dose RELION cannot tell",
        "add rlnTomoImportFractionalDose to the global table, or leave the tomogram out",
        on_tomograms(_one_tilt),
    ),
    Check("negative-dose", "error", "doses below 0", "correct the dose at import", on_tomograms(_negative_dose)),
    Check(
        "same-dose",
        "warning",
        "tilts of a series with the same dose: RELION orders tilts by dose",
        "correct rlnMicrographPreExposure, which must grow with each tilt; check the dose given at import",
        on_tomograms(_same_dose),
    ),
    Check(
        "tilt-twice",
        "error",
        "tilts that are in their series twice: the same movie, or the same angle and dose",
        "remove one of the two rows, and re-extract particles",
        on_tomograms(_tilts_twice),
    ),
    Check(
        "movie-of-two-series",
        "warning",
        "movies that are in more than one tilt series",
        "check the mdoc files: two of one name mix up the series at import",
        on_tomograms(_movie_of_two_series),
    ),
    Check(
        "tilt-gaps",
        "note",
        "gaps between tilt angles",
        "nothing, if these tilts were excluded on purpose",
        on_tomograms(_gaps),
    ),
    Check(
        "tilt-range",
        "error",
        "tilt angles of more than 90 degrees",
        "correct the angles: they are in degrees",
        on_tomograms(_angle_range),
    ),
    Check(
        "tilt-turned",
        "warning",
        "aligned angles far from nominal angles, apart from an offset of the whole series",
        "check that alignment and tilt-series table have the same rows in the same order",
        on_tomograms(_turned),
    ),
    Check(
        "defocus-unit",
        "error",
        "defoci in micrometres",
        "write rlnDefocusU and rlnDefocusV in Angstrom: 4 micrometres are 40000",
        on_tomograms(_defocus_unit),
    ),
    Check(
        "defocus",
        "warning",
        "defoci that are 0, negative, or more than 20 micrometres",
        "look at the CTF fits of these tilts; exclude them, or estimate again",
        on_tomograms(_defocus),
    ),
    Check(
        "astigmatism",
        "warning",
        "defoci in two directions that differ by more than half",
        "look at the CTF fits of these tilts",
        on_tomograms(_astigmatism),
    ),
    Check(
        "nominal-defocus",
        "warning",
        "nominal defoci that are not negative micrometres: CTF estimation begins its search there",
        "write the target defocus of the mdoc: -4, not 4 and not -40000",
        on_tomograms(_nominal_defocus),
    ),
)
