"""Checks of a particle set, alone and against the tomogram set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..particle_set import PARTICLE_NAME, VISIBLE_FRAMES
from ..sets import Particles, Rows, Sets, tomogram_rows
from ..tomogram_set import NAME
from .finding import Check, Found, in_particles, named, on_particles
from .optics import are_stacks
from .tomograms import PIXEL_SIZE, SIZES

_CENTRED = tuple(f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ")
_PIXELS = tuple(f"rlnCoordinate{axis}" for axis in "XYZ")


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


def _block(sets: Sets) -> Iterator[Found]:
    """What an optimisation set names is read by RELION's programs; other files may be for people."""
    particles = sets.particles
    if particles is not None and sets.kind == "optimisation set" and particles.rows.block != "particles":
        what = f"the particles are in the block data_{particles.rows.block}: RELION looks for data_particles"
        yield Found(what, particles.rows.place())


def _unknown_tomograms(sets: Sets) -> Iterator[Found]:
    if sets.tomograms is None or sets.particles is None:
        return
    codes, names = sets.particles.tomograms
    known = set(sets.tomograms.names)
    unknown = [i for i, name in enumerate(names) if name not in known]
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


def _no_visible_frames(particles: Particles) -> Iterator[Found]:
    there = particles.rows.table.column_names
    if are_stacks(particles) and "rlnImageName" in there and VISIBLE_FRAMES not in there:
        yield Found(f"particles are stacks of tilts, but there is no {VISIBLE_FRAMES}", particles.rows.place())


def _names_twice(particles: Particles) -> Iterator[Found]:
    if PARTICLE_NAME in particles.rows.table.column_names:
        names = particles.rows.table.column(PARTICLE_NAME).combine_chunks()
        is_first = np.zeros(len(names), bool)
        is_first[np.unique(names.dictionary_encode().indices.to_numpy(zero_copy_only=False), return_index=True)[1]] = (
            True
        )
        yield from in_particles(particles, ~is_first, "particles whose name is used further up already", PARTICLE_NAME)


def _name_form(particles: Particles) -> Iterator[Found]:
    if PARTICLE_NAME in particles.rows.table.column_names:
        names = particles.rows.table.column(PARTICLE_NAME)
        is_good = pc.match_substring_regex(names, r"^.+/\d+$").fill_null(True).to_numpy()
        what = "particle names that are not of the form TOMOGRAM/NUMBER"
        yield from in_particles(particles, ~is_good, what, PARTICLE_NAME)


def _name_of_other(sets: Sets) -> Iterator[Found]:
    """Particles named after another tomogram that there is."""
    particles = sets.particles
    if particles is None or PARTICLE_NAME not in particles.rows.table.column_names:
        return
    codes, names = particles.tomograms
    there = pa.array(names if sets.tomograms is None else sets.tomograms.names, pa.string())
    own = pa.array(names, pa.string()).take(pa.array(codes, mask=codes < 0))
    stems = pc.replace_substring_regex(particles.rows.table.column(PARTICLE_NAME), r"/[^/]*$", "")
    is_other = pc.and_(pc.not_equal(stems, own), pc.is_in(stems, value_set=there))
    # Particles of tomograms that are not there are reported as such.
    is_other = pc.and_(is_other, pc.is_in(own, value_set=there)).fill_null(False)
    what = "particles that are named after another tomogram than theirs"
    yield from in_particles(particles, is_other.to_numpy(), what, PARTICLE_NAME)


def _outside(sets: Sets) -> Iterator[Found]:
    """Particles outside of their tomogram; one pixel is allowed for the ways to count."""
    tomograms, particles = sets.tomograms, sets.particles
    if tomograms is None or particles is None:
        return
    row = tomogram_rows(tomograms, particles)
    pixel = tomograms.rows.numbers(PIXEL_SIZE)
    is_bad = np.zeros(len(row), bool)
    for size_label, centred_label, pixel_label in zip(SIZES, _CENTRED, _PIXELS, strict=True):
        size, centred = tomograms.rows.numbers(size_label), particles.rows.numbers(centred_label)
        decentred = particles.rows.numbers(pixel_label)
        if size is None or pixel is None:
            continue
        of_particle = np.append(np.where(size > 0, size, np.nan), np.nan)[row]
        if centred is not None:
            most = (of_particle / 2 + 1) * np.append(pixel, np.nan)[row]
            is_bad |= (np.abs(centred) > most) & np.isfinite(centred)
        elif decentred is not None:
            is_bad |= ((decentred < -1) | (decentred > of_particle + 1)) & np.isfinite(decentred)
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
    values = column.flatten().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths)]), values


def _frame_lengths(sets: Sets) -> Iterator[Found]:
    tomograms, particles = sets.tomograms, sets.particles
    frames = None if particles is None else _frames(particles.rows)
    if tomograms is None or particles is None or frames is None:
        return
    counts = np.where(tomograms.tilts.is_read, tomograms.tilts.counts, -1)
    expected = np.append(counts, -1)[tomogram_rows(tomograms, particles)]
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
        yield from in_particles(particles, is_bad, "particles that no tilt shows", VISIBLE_FRAMES)


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
        "error",
        "particles in a block of another name than data_particles",
        "rename the block",
        _block,
    ),
    Check(
        "unknown-tomogram", "error", "particles of unknown tomograms: RELION drops them", _OTHER_SET, _unknown_tomograms
    ),
    Check(
        "no-particles-in",
        "note",
        "tomograms without particles",
        "nothing, if they really hold no particles",
        _empty_tomograms,
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
        "particle names that are used more than once",
        "remove the duplicates, or drop rlnTomoParticleName: RELION then names the particles itself",
        on_particles(_names_twice),
    ),
    Check(
        "particle-name",
        "warning",
        "particle names of another form than TOMOGRAM/NUMBER",
        "drop rlnTomoParticleName before extraction: RELION then names the particles itself",
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
        "check units and origin: centred coordinates are in Angstrom, others in unbinned pixels from the corner",
        _outside,
    ),
    Check(
        "random-subset",
        "warning",
        "particles in neither half set",
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
        "particles that no tilt shows",
        "remove these particles",
        on_particles(_no_frame_visible),
    ),
)
