"""Checks of the optics groups of a particle set, alone and against the tomogram set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..particle_set import OPTICS_GROUP
from ..sets import Particles, Sets, Tomograms, tomogram_rows
from .finding import Check, Found, Mask, in_particles, in_rows, named, on_particles
from .tomograms import OPTICS_RANGES, PIXEL_SIZE, out_of_range

_STACKS = "rlnTomoSubTomosAre2DStacks"
_DIMENSIONS = "rlnImageDimensionality"
_GROUP_NAME = "rlnOpticsGroupName"

#: How far two pixel sizes may be apart that mean the same: five digits are written of some.
_RELATIVE = 1e-3


def are_stacks(particles: Particles) -> bool:
    """Whether particles are stacks of tilts, as the block ``general`` says; without it they are volumes to RELION."""
    return particles.general is not None and bool(particles.general.get(_STACKS))


def _groups(particles: Particles) -> NDArray[np.int64]:
    """For each particle the row of its group in the optics table; -1 where there is none, -2 where it names none."""
    wanted = particles.rows.numbers(OPTICS_GROUP)
    known = None if particles.optics is None else particles.optics.numbers(OPTICS_GROUP)
    if wanted is None or known is None:
        return np.full(particles.rows.table.num_rows, -2, np.int64)
    rows = pc.index_in(pa.array(wanted), value_set=pa.array(known)).fill_null(-1)
    return np.where(np.isnan(wanted), -2, rows.to_numpy()).astype(np.int64)


def _unknown_groups(particles: Particles) -> Iterator[Found]:
    what = "particles of optics groups that are not in the optics table"
    yield from in_particles(particles, _groups(particles) == -1, what, OPTICS_GROUP)


def _groups_twice(particles: Particles) -> Iterator[Found]:
    optics = particles.optics
    for label in (OPTICS_GROUP, _GROUP_NAME):
        values = (optics.texts(label) if optics is not None else None) or []
        twice = [str(value) for value, count in Counter(values).items() if count > 1]
        if twice and optics is not None:
            place = optics.place(len(values) - 1 - values[::-1].index(twice[0]), label)
            yield named("optics groups that are listed more than once", twice, place)
            return


def _optics_ranges(particles: Particles) -> Iterator[Found]:
    if particles.optics is not None:
        for label, least, most, unit in OPTICS_RANGES:
            yield from out_of_range(particles.optics, label, least, most, unit, _GROUP_NAME)


def _groups_unlike(tomograms: Tomograms, particles: Particles, label: str) -> Mask | None:
    """Which optics groups have another value than a tomogram of their particles; None where there is none."""
    optics = particles.optics
    ours, theirs = (None if optics is None else optics.numbers(label)), tomograms.rows.numbers(label)
    if optics is None or ours is None or theirs is None:
        return None
    groups, rows = _groups(particles), tomogram_rows(tomograms, particles)
    is_known = (groups >= 0) & (rows >= 0)
    pairs = np.unique(groups[is_known] * len(tomograms.names) + rows[is_known])
    groups, tomogram = np.divmod(pairs, len(tomograms.names))
    is_unlike = np.zeros(len(ours), bool)
    both = ~np.isnan(ours[groups] + theirs[tomogram])
    is_unlike[groups[both & ~np.isclose(ours[groups], theirs[tomogram], rtol=_RELATIVE)]] = True
    return is_unlike


def _other_pixel_size(sets: Sets) -> Iterator[Found]:
    if sets.tomograms is not None and sets.particles is not None and sets.particles.optics is not None:
        is_bad = _groups_unlike(sets.tomograms, sets.particles, PIXEL_SIZE)
        if is_bad is not None:
            what = "optics groups whose pixel size differs from that of the tilt series of their particles"
            yield from in_rows(sets.particles.optics, is_bad, what, PIXEL_SIZE, _GROUP_NAME)


def _other_optics(sets: Sets) -> Iterator[Found]:
    if sets.tomograms is None or sets.particles is None or sets.particles.optics is None:
        return
    for label, *_ in OPTICS_RANGES:
        is_bad = _groups_unlike(sets.tomograms, sets.particles, label)
        if is_bad is not None:
            what = f"optics groups whose {label} differs from that of the tilt series of their particles"
            yield from in_rows(sets.particles.optics, is_bad, what, label, _GROUP_NAME)


def _image_pixel_size(particles: Particles) -> Iterator[Found]:
    optics = particles.optics
    if optics is None:
        return
    size, binning, image = (
        optics.numbers(label) for label in (PIXEL_SIZE, "rlnTomoSubtomogramBinning", "rlnImagePixelSize")
    )
    if size is not None and binning is not None and image is not None:
        is_bad = ~np.isclose(size * binning, image, rtol=_RELATIVE) & ~np.isnan(size * binning * image)
        what = "optics groups whose image pixel size is not that of the tilt series times the binning"
        yield from in_rows(optics, is_bad, what, "rlnImagePixelSize", _GROUP_NAME)


def _stack_kind(particles: Particles) -> Iterator[Found]:
    optics = particles.optics
    dimensions = None if optics is None else optics.numbers(_DIMENSIONS)
    if optics is None or dimensions is None:
        return
    expected = 2 if are_stacks(particles) else 3
    why = f"{_STACKS} says" if particles.general is not None else "RELION expects without a block data_general"
    what = f"optics groups whose images do not have the {expected} dimensions that {why}"
    is_bad = (dimensions != expected) & ~np.isnan(dimensions)
    yield from in_rows(optics, is_bad, what, _DIMENSIONS, _GROUP_NAME)


CHECKS = (
    Check(
        "unknown-optics",
        "error",
        "particles of optics groups that are not in the optics table",
        "correct rlnOpticsGroup, or add the group to data_optics",
        on_particles(_unknown_groups),
    ),
    Check(
        "optics-twice",
        "error",
        "optics groups that are listed more than once",
        "remove or rename the rows of data_optics that repeat",
        on_particles(_groups_twice),
    ),
    Check(
        "particle-optics-range",
        "error",
        "optics groups with a voltage, aberration or amplitude contrast that no microscope has",
        "set the voltage in kV (300, not 300000), the aberration in mm, the contrast as a fraction (0.1, not 10)",
        on_particles(_optics_ranges),
    ),
    Check(
        "other-pixel-size",
        "error",
        "optics groups whose pixel size differs from that of the tilt series of their particles",
        "use the rlnTomoTiltSeriesPixelSize of the tomogram set, or give these particles an optics group of their own",
        _other_pixel_size,
    ),
    Check(
        "other-optics",
        "warning",
        "optics groups whose optics differ from those of the tilt series of their particles",
        "copy voltage, aberration and contrast from the tomogram set",
        _other_optics,
    ),
    Check(
        "image-pixel-size",
        "error",
        "image pixel sizes that are not the pixel size of the tilt series times the binning",
        "correct rlnImagePixelSize or rlnTomoSubtomogramBinning in data_optics",
        on_particles(_image_pixel_size),
    ),
    Check(
        "stack-kind",
        "error",
        "an rlnImageDimensionality that contradicts rlnTomoSubTomosAre2DStacks",
        "set rlnTomoSubTomosAre2DStacks in data_general: 1 for stacks of tilts, 0 for volumes",
        on_particles(_stack_kind),
    ),
)
