"""Checks of the global table of a tomogram set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from ...errors import Place
from ..sets import Rows, Tomograms
from ..tomogram_set import NAME, SERIES_FILE
from .finding import Check, Found, in_rows, named, on_tomograms

PIXEL_SIZE = "rlnTomoTiltSeriesPixelSize"
ORIGINAL_PIXEL_SIZE = "rlnMicrographOriginalPixelSize"
BINNING = "rlnTomoTomogramBinning"
HAND = "rlnTomoHand"
SIZES = ("rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")

#: What TomogramSet::loadTomogram cannot do without.
_NEEDED = (HAND, "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")

#: What microscopes have: label, least, most, unit.
OPTICS_RANGES = (
    ("rlnVoltage", 80.0, 400.0, "kV"),
    ("rlnSphericalAberration", 0.0, 10.0, "mm"),
    ("rlnAmplitudeContrast", 0.0, 1.0, ""),
)

#: Letters that a name may have without breaking a path, a STAR file or a shell command.
_SAFE_NAME = re.compile(r"[\w.+\-]+")

#: How far a ratio of pixel sizes may be from a multiple of a half.
_RATIO_TOLERANCE = 0.01


def _no_tomograms(tomograms: Tomograms) -> Iterator[Found]:
    if not tomograms.names:
        yield Found("the tomogram set has no tomogram", tomograms.rows.place())


def _names_twice(tomograms: Tomograms) -> Iterator[Found]:
    twice = [name for name, count in Counter(tomograms.names).items() if count > 1]
    if twice:
        row = len(tomograms.names) - 1 - tomograms.names[::-1].index(twice[0])
        yield named("tomogram names that are used more than once", twice, tomograms.rows.place(row, NAME))


def _unsafe_names(tomograms: Tomograms) -> Iterator[Found]:
    is_unsafe = np.array([not _SAFE_NAME.fullmatch(name) for name in tomograms.names], bool)
    yield from in_rows(tomograms.rows, is_unsafe, "tomogram names with characters that break paths", NAME, NAME)


def _columns(tomograms: Tomograms) -> Iterator[Found]:
    missing = [label for label in _NEEDED if label not in tomograms.rows.table.column_names]
    if missing and tomograms.names:
        yield named("the global table lacks labels that RELION needs", missing, tomograms.rows.place())


def _hand(tomograms: Tomograms) -> Iterator[Found]:
    hand = tomograms.rows.numbers(HAND)
    if hand is not None:
        yield from in_rows(
            tomograms.rows,
            ~np.isin(hand, (1.0, -1.0)) & ~np.isnan(hand),
            "tomograms whose hand is neither 1 nor -1",
            HAND,
            NAME,
        )


def _pixel_size(tomograms: Tomograms) -> Iterator[Found]:
    for label in (PIXEL_SIZE, ORIGINAL_PIXEL_SIZE):
        sizes = tomograms.rows.numbers(label)
        if sizes is not None:
            yield from in_rows(tomograms.rows, sizes <= 0, "tomograms whose pixel size is not positive", label, NAME)


def _no_pixel_size(tomograms: Tomograms) -> Iterator[Found]:
    is_corrected = any("rlnMicrographName" in labels for labels in tomograms.tilts.labels)
    if PIXEL_SIZE not in tomograms.rows.table.column_names and (is_corrected or tomograms.is_relion4):
        yield Found(f"no {PIXEL_SIZE}, although the tilt images are there", tomograms.rows.place())


def _pixel_ratio(tomograms: Tomograms) -> Iterator[Found]:
    sizes, originals = (tomograms.rows.numbers(label) for label in (PIXEL_SIZE, ORIGINAL_PIXEL_SIZE))
    if sizes is not None and originals is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where((sizes > 0) & (originals > 0), sizes / originals, 1.0)
        is_odd = (ratio < 1 - _RATIO_TOLERANCE) | (np.abs(2 * ratio - np.round(2 * ratio)) > 2 * _RATIO_TOLERANCE)
        what = "tilt series whose pixel size is no multiple of that of their movies"
        yield from in_rows(tomograms.rows, is_odd, what, PIXEL_SIZE, NAME)


def _binning(tomograms: Tomograms) -> Iterator[Found]:
    binning = tomograms.rows.numbers(BINNING)
    if binning is not None:
        what = "tomograms whose binning is not positive"
        yield from in_rows(tomograms.rows, binning <= 0, what, BINNING, NAME)


def _binned_sizes(tomograms: Tomograms) -> Iterator[Found]:
    binning, sizes = tomograms.rows.numbers(BINNING), tomograms.rows.numbers(PIXEL_SIZE)
    if binning is not None and sizes is not None:
        binned = np.unique(np.round((binning * sizes)[(binning > 0) & (sizes > 0)], 2))
        if len(binned) > 1:
            texts = [f"{size:g} A" for size in binned.tolist()]
            yield named("tomograms with more than one pixel size", texts, tomograms.rows.place(None, BINNING))


def _size(tomograms: Tomograms) -> Iterator[Found]:
    columns = [tomograms.rows.numbers(label) for label in SIZES]
    there = [label for label, column in zip(SIZES, columns, strict=True) if column is not None]
    if 0 < len(there) < len(SIZES):
        yield named(
            "the tomograms lack some of their three sizes; there is only", there, tomograms.rows.place(None, there[0])
        )
    for label, column in zip(SIZES, columns, strict=True):
        if column is not None:
            what = "tomograms with a size that is not positive"
            yield from in_rows(tomograms.rows, column <= 0, what, label, NAME)


def out_of_range(rows: Rows, label: str, least: float, most: float, unit: str, name: str | None) -> Iterator[Found]:
    """Rows in which a number is not what a microscope has."""
    values = rows.numbers(label)
    if values is not None:
        what = f"{label} outside {least:g} to {most:g} {unit}".rstrip()
        yield from in_rows(rows, (values < least) | (values > most), what, label, name)


def _optics_ranges(tomograms: Tomograms) -> Iterator[Found]:
    for label, least, most, unit in OPTICS_RANGES:
        yield from out_of_range(tomograms.rows, label, least, most, unit, NAME)


def _optics_of_group(tomograms: Tomograms) -> Iterator[Found]:
    groups = tomograms.rows.texts("rlnOpticsGroupName")
    for label in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", PIXEL_SIZE):
        values = tomograms.rows.numbers(label)
        if groups is None or values is None:
            continue
        first: dict[str | None, float] = {}
        for group, value in zip(groups, values.tolist(), strict=True):
            if not np.isnan(value):
                first.setdefault(group, value)
        expected = np.array([first.get(group, np.nan) for group in groups])
        is_other = np.abs(values - expected) > 1e-4 * np.abs(expected)
        yield from in_rows(
            tomograms.rows,
            is_other,
            f"tomograms whose {label} differs from the first of their optics group",
            label,
            NAME,
        )


def _series_twice(tomograms: Tomograms) -> Iterator[Found]:
    paths = tomograms.rows.texts(SERIES_FILE) or []
    twice = [path for path, count in Counter(paths).items() if count > 1 and path]
    if twice:
        row = len(paths) - 1 - paths[::-1].index(twice[0])
        place = tomograms.rows.place(row, SERIES_FILE)
        yield named("tilt-series files that more than one tomogram points to", twice, place)


def _absolute_paths(tomograms: Tomograms) -> Iterator[Found]:
    paths = tomograms.rows.texts(SERIES_FILE) or []
    absolute = [path for path in paths if path and path.startswith("/")]
    if absolute:
        row = paths.index(absolute[0])
        place = tomograms.rows.place(row, SERIES_FILE)
        yield named("absolute paths of tilt-series files: the project cannot be moved", absolute, place)


def _relion4(tomograms: Tomograms) -> Iterator[Found]:
    if tomograms.is_relion4:
        yield Found(
            "the layout of RELION 4: RELION 5 reads its matrices, but leaves them out when it writes the set again",
            Place(tomograms.rows.path),
        )


def _relion4_order(tomograms: Tomograms) -> Iterator[Found]:
    order = list(tomograms.block_order)
    expected = [name for name in tomograms.names if name in set(order)]
    if tomograms.is_relion4 and order != expected:
        first = next((a for a, b in zip(order, expected, strict=False) if a != b), order[-1])
        yield Found("tilt series in another order than the global table", Place(tomograms.rows.path, block=first))


def _relion4_blocks(tomograms: Tomograms) -> Iterator[Found]:
    absent = [name for name in tomograms.names if name not in set(tomograms.block_order)]
    if tomograms.is_relion4 and absent:
        yield named("tomograms without a block of tilts", absent, tomograms.rows.place(None, NAME))


def _frame_count(tomograms: Tomograms) -> Iterator[Found]:
    counts = tomograms.rows.numbers("rlnTomoFrameCount")
    if counts is not None:
        is_other = tomograms.tilts.is_read & (counts != tomograms.tilts.counts) & ~np.isnan(counts)
        what = "tomograms whose rlnTomoFrameCount is not the number of their tilts"
        yield from in_rows(tomograms.rows, is_other, what, "rlnTomoFrameCount", NAME)


CHECKS = (
    Check(
        "no-tomograms",
        "error",
        "a tomogram set without tomograms",
        "look at the job that wrote it: none of its tilt series succeeded",
        on_tomograms(_no_tomograms),
    ),
    Check(
        "tomogram-twice",
        "error",
        "tomogram names that are used more than once",
        "rename or remove the rows that repeat; particles are found by this name",
        on_tomograms(_names_twice),
    ),
    Check(
        "tomogram-name",
        "warning",
        "tomogram names with blanks, slashes, quotes or #",
        "use only letters, digits, _ - + and . : names become parts of paths, and names of blocks",
        on_tomograms(_unsafe_names),
    ),
    Check(
        "global-columns",
        "error",
        "labels that RELION needs in the global table",
        "add the columns; they are the same for all tilt series of a session",
        on_tomograms(_columns),
    ),
    Check(
        "hand",
        "error",
        "rlnTomoHand that is not 1 or -1",
        "set it to 1, or to -1 where the defocus handedness is inverted",
        on_tomograms(_hand),
    ),
    Check(
        "pixel-size",
        "error",
        "pixel sizes that are not positive",
        "set the pixel size in Angstrom",
        on_tomograms(_pixel_size),
    ),
    Check(
        "no-pixel-size",
        "error",
        "motion-corrected tilt series without rlnTomoTiltSeriesPixelSize",
        "add the pixel size of the motion-corrected images, in Angstrom",
        on_tomograms(_no_pixel_size),
    ),
    Check(
        "pixel-ratio",
        "warning",
        "pixel sizes of tilt series that no binning of the movies gives",
        "compare rlnTomoTiltSeriesPixelSize with rlnMicrographOriginalPixelSize: one of the two may be wrong",
        on_tomograms(_pixel_ratio),
    ),
    Check("binning", "error", "binning that is not positive", "set rlnTomoTomogramBinning", on_tomograms(_binning)),
    Check(
        "binned-sizes",
        "note",
        "tomograms that were reconstructed at more than one pixel size",
        "nothing, if this was intended; but picks in different tomograms have different scales",
        on_tomograms(_binned_sizes),
    ),
    Check(
        "tomogram-size",
        "error",
        "sizes of tomograms that are not positive, or not all three",
        "set rlnTomoSizeX, Y and Z in unbinned pixels",
        on_tomograms(_size),
    ),
    Check(
        "optics-range",
        "error",
        "voltages, spherical aberrations and amplitude contrasts that no microscope has",
        "set the voltage in kV (300, not 300000), the aberration in mm, the contrast as a fraction (0.1, not 10)",
        on_tomograms(_optics_ranges),
    ),
    Check(
        "optics-of-group",
        "warning",
        "tomograms of one optics group with different optics: RELION takes those of the first for all",
        "give tilt series of another microscope setting an optics group of their own",
        on_tomograms(_optics_of_group),
    ),
    Check(
        "series-twice",
        "error",
        "tilt-series files that more than one tomogram points to",
        "correct rlnTomoTiltSeriesStarFile: each tomogram has a file of its own",
        on_tomograms(_series_twice),
    ),
    Check(
        "absolute-path",
        "note",
        "absolute paths of tilt-series files",
        "use paths from the project directory",
        on_tomograms(_absolute_paths),
    ),
    Check(
        "relion4",
        "note",
        "the layout of RELION 4, whose alignment RELION 5 does not write",
        "align again in RELION 5, or convert the matrices to angles, before jobs that write tomogram sets",
        on_tomograms(_relion4),
    ),
    Check(
        "relion4-order",
        "error",
        "RELION 4: blocks in another order than the global table",
        "bring the blocks into the order of data_global",
        on_tomograms(_relion4_order),
    ),
    Check(
        "relion4-blocks",
        "error",
        "RELION 4: tomograms without a block of tilts",
        "add the block, or remove the tomogram from data_global",
        on_tomograms(_relion4_blocks),
    ),
    Check(
        "frame-count",
        "error",
        "rlnTomoFrameCount that is not the number of tilts",
        "set it to the number of rows of the tilt series",
        on_tomograms(_frame_count),
    ),
)
