"""Checks of a particle set, alone and against the tomogram set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..particle_set import OPTICS_GROUP, PARTICLE_NAME, VISIBLE_FRAMES
from ..sets import Particles, Rows, Sets, Tomograms
from ..tomogram_set import NAME
from .finding import Check, Found, Mask, in_particles, in_rows, named, on_particles
from .tomograms import OPTICS_RANGES, PIXEL_SIZE, SIZES, out_of_range

_CENTRED = tuple(f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ")
_PIXELS = tuple(f"rlnCoordinate{axis}" for axis in "XYZ")
_STACKS = "rlnTomoSubTomosAre2DStacks"
_DIMENSIONS = "rlnImageDimensionality"
_GROUP_NAME = "rlnOpticsGroupName"

#: How far two pixel sizes may be apart that mean the same: five digits are written of some.
_RELATIVE = 1e-3


def _no_particles(particles: Particles) -> Iterator[Found]:
    if not particles.rows.table.num_rows:
        yield Found("the particle set has no particle", particles.rows.place())


def _columns(particles: Particles) -> Iterator[Found]:
    there = set(particles.rows.table.column_names)
    lacking = [] if NAME in there else [NAME]
    if not (set(_CENTRED) <= there or set(_PIXELS) <= there):
        lacking += [label for label in _CENTRED if label not in there]
    if lacking:
        yield named("the particles lack labels that RELION needs", lacking, particles.rows.place())
    if particles.optics is not None and PIXEL_SIZE not in particles.optics.table.column_names:
        yield named("the optics table lacks a label that RELION needs", [PIXEL_SIZE], particles.optics.place())


def _block(particles: Particles) -> Iterator[Found]:
    if particles.rows.block != "particles":
        what = f"the particles are in the block data_{particles.rows.block}: RELION looks for data_particles"
        yield Found(what, particles.rows.place())


def _unknown_tomograms(sets: Sets) -> Iterator[Found]:
    if sets.tomograms is None or sets.particles is None:
        return
    codes, names = sets.particles.tomograms
    unknown = [i for i, name in enumerate(names) if name not in set(sets.tomograms.names)]
    is_bad = np.isin(codes, unknown)
    if is_bad.any():
        count = int(is_bad.sum())
        what = f"{count} particles of tomograms that are not in the tomogram set"
        row = int(np.argmax(is_bad))
        found = named(what, [names[i] for i in unknown], sets.particles.rows.place(row, NAME))
        yield Found(found.message, found.place, count)


def _empty_tomograms(sets: Sets) -> Iterator[Found]:
    if sets.tomograms is None or sets.particles is None or not sets.particles.rows.table.num_rows:
        return
    used = set(sets.particles.tomograms[1])
    empty = [name for name in sets.tomograms.names if name not in used]
    if empty:
        row = sets.tomograms.names.index(empty[0])
        yield named("tomograms without particles", empty, sets.tomograms.rows.place(row, NAME))


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
            yield named("optics groups that stand more than once", twice, place)


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
    codes, names = particles.tomograms
    rows = np.array([tomograms.names.index(n) if n in tomograms.names else -1 for n in names], np.int64)
    pairs = np.unique(np.stack([_groups(particles), np.append(rows, -1)[codes]]), axis=1)
    groups, tomogram = pairs[:, (pairs >= 0).all(axis=0)]
    is_unlike = np.zeros(len(ours), bool)
    both = ~np.isnan(ours[groups] + theirs[tomogram])
    is_unlike[groups[both & ~np.isclose(ours[groups], theirs[tomogram], rtol=_RELATIVE)]] = True
    return is_unlike


def _other_pixel_size(sets: Sets) -> Iterator[Found]:
    if sets.tomograms is not None and sets.particles is not None and sets.particles.optics is not None:
        is_bad = _groups_unlike(sets.tomograms, sets.particles, PIXEL_SIZE)
        if is_bad is not None:
            what = "optics groups with another pixel size than the tilt series of their particles"
            yield from in_rows(sets.particles.optics, is_bad, what, PIXEL_SIZE, _GROUP_NAME)


def _other_optics(sets: Sets) -> Iterator[Found]:
    if sets.tomograms is None or sets.particles is None or sets.particles.optics is None:
        return
    for label, *_ in OPTICS_RANGES:
        is_bad = _groups_unlike(sets.tomograms, sets.particles, label)
        if is_bad is not None:
            what = f"optics groups with another {label} than the tilt series of their particles"
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
    """Whether particles are stacks is said in the block ``general``; without it RELION takes them for volumes."""
    optics = particles.optics
    dimensions = None if optics is None else optics.numbers(_DIMENSIONS)
    if optics is None or dimensions is None:
        return
    is_stack = particles.general is not None and particles.general.get(_STACKS, "0") not in ("0", "")
    says = "says" if particles.general is not None else "is missing, and so says"
    what = f"optics groups of {2 if not is_stack else 3} dimensions, where data_general {says} {3 - is_stack}"
    is_bad = (dimensions != 3 - is_stack) & ~np.isnan(dimensions)
    yield from in_rows(optics, is_bad, what, _DIMENSIONS, _GROUP_NAME)


def _no_visible_frames(particles: Particles) -> Iterator[Found]:
    is_stack = particles.general is not None and particles.general.get(_STACKS, "0") not in ("0", "")
    there = particles.rows.table.column_names
    if is_stack and "rlnImageName" in there and VISIBLE_FRAMES not in there:
        yield Found(f"particles are stacks of tilts, but there is no {VISIBLE_FRAMES}", particles.rows.place())


def _names_twice(particles: Particles) -> Iterator[Found]:
    if PARTICLE_NAME in particles.rows.table.column_names:
        names = particles.rows.table.column(PARTICLE_NAME).combine_chunks()
        is_first = np.zeros(len(names), bool)
        is_first[np.unique(names.dictionary_encode().indices.to_numpy(zero_copy_only=False), return_index=True)[1]] = (
            True
        )
        yield from in_particles(particles, ~is_first, "particles whose name stands further up already", PARTICLE_NAME)


def _name_form(particles: Particles) -> Iterator[Found]:
    if PARTICLE_NAME in particles.rows.table.column_names:
        names = particles.rows.table.column(PARTICLE_NAME)
        is_good = pc.match_substring_regex(names, r"^.+/\d+$").fill_null(True).to_numpy()
        what = "particle names that are not the name of a tomogram, a slash and a number"
        yield from in_particles(particles, ~is_good, what, PARTICLE_NAME)


def _name_of_other(sets: Sets) -> Iterator[Found]:
    """Particles named after another tomogram that there is."""
    particles = sets.particles
    if particles is None or PARTICLE_NAME not in particles.rows.table.column_names:
        return
    codes, names = particles.tomograms
    stems = pc.replace_substring_regex(particles.rows.table.column(PARTICLE_NAME), r"/[^/]*$", "")
    known = pa.array([*names, *(sets.tomograms.names if sets.tomograms else ())], pa.string()).unique()
    own = pa.array(names, pa.string()).take(pa.array(codes, mask=codes < 0))
    is_other = pc.and_(pc.not_equal(stems, own), pc.is_in(stems, value_set=known)).fill_null(False)
    what = "particles that are named after another tomogram than theirs"
    yield from in_particles(particles, is_other.to_numpy(), what, PARTICLE_NAME)


def _outside(sets: Sets) -> Iterator[Found]:
    """Particles outside of their tomogram; one pixel is allowed for the ways to count."""
    tomograms, particles = sets.tomograms, sets.particles
    if tomograms is None or particles is None:
        return
    codes, names = particles.tomograms
    rows = np.array([tomograms.names.index(n) if n in tomograms.names else -1 for n in names], np.int64)
    row = np.append(rows, -1)[codes]
    pixel = tomograms.rows.numbers(PIXEL_SIZE)
    is_bad = np.zeros(len(codes), bool)
    for size_label, centred_label, pixel_label in zip(SIZES, _CENTRED, _PIXELS, strict=True):
        size, centred = tomograms.rows.numbers(size_label), particles.rows.numbers(centred_label)
        decentred = particles.rows.numbers(pixel_label)
        if size is None or pixel is None:
            continue
        of_particle = np.append(size, np.nan)[row]
        if centred is not None:
            is_bad |= np.abs(centred) > (of_particle / 2 + 1) * np.append(pixel, np.nan)[row]
        elif decentred is not None:
            is_bad |= (decentred < -1) | (decentred > of_particle + 1)
    label = next((label for label in (_CENTRED[0], _PIXELS[0]) if label in particles.rows.table.column_names), NAME)
    yield from in_particles(particles, is_bad, "particles outside of their tomogram", label)


def _random_subset(particles: Particles) -> Iterator[Found]:
    subset = particles.rows.numbers("rlnRandomSubset")
    if subset is not None and (subset != 0).any():
        is_bad = ~np.isin(subset, (1.0, 2.0)) & ~np.isnan(subset)
        yield from in_particles(particles, is_bad, "particles in neither half 1 nor half 2", "rlnRandomSubset")


def _frames(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Offsets and values of the visible frames of all particles; None where there are none."""
    if VISIBLE_FRAMES not in rows.table.column_names:
        return None
    column = rows.table.column(VISIBLE_FRAMES).combine_chunks()
    lengths = pc.list_value_length(column).fill_null(0).to_numpy().astype(np.int64)
    values = column.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths)]), values


def _frame_lengths(sets: Sets) -> Iterator[Found]:
    tomograms, particles = sets.tomograms, sets.particles
    frames = None if particles is None else _frames(particles.rows)
    if tomograms is None or particles is None or frames is None:
        return
    codes, names = particles.tomograms
    known = {name: t for t, name in enumerate(tomograms.names) if tomograms.tilts.is_read[t]}
    counts = np.array([tomograms.tilts.counts[known[n]] if n in known else -1 for n in names], np.int64)
    expected = np.append(counts, -1)[codes]
    lengths = np.diff(frames[0])
    is_null = particles.rows.table.column(VISIBLE_FRAMES).is_null().to_numpy()
    is_bad = (expected >= 0) & (lengths != expected) & ~is_null
    what = "particles whose visible frames are not as many as the tilts of their tomogram"
    yield from in_particles(particles, is_bad, what, VISIBLE_FRAMES)


def _frame_values(particles: Particles) -> Iterator[Found]:
    frames = _frames(particles.rows)
    if frames is not None:
        bad = np.flatnonzero(~np.isin(frames[1], (0.0, 1.0)) & ~np.isnan(frames[1]))
        is_bad = np.zeros(particles.rows.table.num_rows, bool)
        is_bad[np.searchsorted(frames[0], bad, side="right") - 1] = True
        yield from in_particles(particles, is_bad, "particles with visible frames that are not 0 or 1", VISIBLE_FRAMES)


def _no_frame_visible(particles: Particles) -> Iterator[Found]:
    frames = _frames(particles.rows)
    if frames is not None:
        offsets, values = frames
        sums = np.diff(np.concatenate([[0.0], np.cumsum(np.nan_to_num(values, nan=1.0) != 0)])[offsets])
        is_bad = (sums == 0) & (np.diff(offsets) > 0)
        yield from in_particles(particles, is_bad, "particles that are visible in no tilt", VISIBLE_FRAMES)


_OTHER_SET = "check that particles and tomograms belong together: an optimisation set names the right pair"

CHECKS = (
    Check("no-particles", "error", "a particle set without particles", "pick particles", on_particles(_no_particles)),
    Check(
        "particle-columns",
        "error",
        "labels that RELION needs of particles: the tomogram, three coordinates, the pixel size of the optics group",
        "add the columns: rlnTomoName, and rlnCenteredCoordinateXAngst, Y and Z or rlnCoordinateX, Y and Z",
        on_particles(_columns),
    ),
    Check(
        "particle-block",
        "warning",
        "particles in a block of another name than data_particles",
        "rename the block, if the file is to be used as a particle set",
        on_particles(_block),
    ),
    Check(
        "unknown-tomogram", "error", "particles of unknown tomograms: RELION drops them", _OTHER_SET, _unknown_tomograms
    ),
    Check(
        "no-particles-in",
        "note",
        "tomograms without particles",
        "nothing, if no particle was found in them",
        _empty_tomograms,
    ),
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
        "optics groups that stand more than once",
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
        "optics groups with another pixel size than the tilt series of their particles",
        "take the rlnTomoTiltSeriesPixelSize of the tomogram set, or give these particles a group of their own",
        _other_pixel_size,
    ),
    Check(
        "other-optics",
        "warning",
        "optics groups with other optics than the tilt series of their particles",
        "take voltage, aberration and contrast from the tomogram set",
        _other_optics,
    ),
    Check(
        "image-pixel-size",
        "error",
        "image pixel sizes that are not the pixel size times the binning",
        "correct rlnImagePixelSize or rlnTomoSubtomogramBinning in data_optics",
        on_particles(_image_pixel_size),
    ),
    Check(
        "stack-kind",
        "error",
        "rlnImageDimensionality that is not what rlnTomoSubTomosAre2DStacks says",
        "set rlnTomoSubTomosAre2DStacks in data_general: 1 for stacks of tilts, 0 for volumes",
        on_particles(_stack_kind),
    ),
    Check(
        "no-visible-frames",
        "error",
        "stacks of tilts without rlnTomoVisibleFrames",
        "extract the particles again",
        on_particles(_no_visible_frames),
    ),
    Check(
        "particle-twice",
        "error",
        "particle names that stand more than once",
        "remove the duplicates, or leave rlnTomoParticleName out: RELION then names particles itself",
        on_particles(_names_twice),
    ),
    Check(
        "particle-name",
        "warning",
        "particle names of another form than TOMOGRAM/NUMBER",
        "leave rlnTomoParticleName out before extraction: RELION then names particles itself",
        on_particles(_name_form),
    ),
    Check(
        "particle-of-other",
        "warning",
        "particles that are named after another tomogram than theirs",
        "check rlnTomoName and rlnTomoParticleName: one of the columns was sorted or copied without the other",
        _name_of_other,
    ),
    Check(
        "outside-tomogram",
        "warning",
        "particles outside of their tomogram",
        "check units and origin: rlnCenteredCoordinate is in Angstrom from the centre, rlnCoordinate in unbinned pixels",
        _outside,
    ),
    Check(
        "random-subset",
        "warning",
        "particles in neither half",
        "set rlnRandomSubset to 1 or 2",
        on_particles(_random_subset),
    ),
    Check(
        "frames-length",
        "error",
        "visible frames that are not as many as the tilts",
        "extract the particles again: the tilt series has other tilts than when they were extracted",
        _frame_lengths,
    ),
    Check(
        "frames-values",
        "error",
        "visible frames that are not 0 or 1",
        "extract the particles again",
        on_particles(_frame_values),
    ),
    Check(
        "frames-none",
        "warning",
        "particles that are visible in no tilt",
        "remove these particles",
        on_particles(_no_frame_visible),
    ),
)
