"""Checks of trajectories and manifolds against the sets that they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from ...errors import Place
from ...star.batches import BLOCK
from ..kinds import MANIFOLD_TYPE
from ..particle_set import PARTICLE_NAME
from ..sets import Particles, Sets, Trajectories
from .finding import Check, Found, named, on_trajectories

NUMBER = "rlnParticleNumber"

#: What RELION can make of a manifold (``manifold_loader.cpp``).
_MANIFOLDS = ("sphere", "spheroid")


def _particle_names(particles: Particles) -> list[str]:
    """The names of particles; those that RELION would give them where they have none (ParticleSet::read)."""
    own = particles.rows.texts(PARTICLE_NAME)
    if own is not None:
        return [name or "" for name in own]
    codes, tomograms = particles.tomograms
    counts: Counter[int] = Counter()
    names = []
    for code in codes.tolist():
        counts[code] += 1
        names.append(f"{tomograms[code] if code >= 0 else ''}/{counts[code]}")
    return names


def _without(sets: Sets) -> Iterator[Found]:
    if sets.trajectories is None or sets.particles is None:
        return
    names = _particle_names(sets.particles)
    if sets.trajectories.is_numbered:
        lacking = names[len(sets.trajectories.names) :]
    else:
        there = set(sets.trajectories.names)
        lacking = [name for name in names if name not in there]
    if lacking:
        row = names.index(lacking[0])
        label = PARTICLE_NAME if PARTICLE_NAME in sets.particles.rows.table.column_names else None
        yield named("particles without a trajectory", lacking, sets.particles.rows.place(row, label))


def _tomogram_of_each(sets: Sets, trajectories: Trajectories) -> list[str]:
    """The name of the tomogram of each trajectory; empty where that is not known."""
    if sets.particles is None:
        return [name.rpartition("/")[0] for name in trajectories.names]
    codes, tomograms = sets.particles.tomograms
    own = [tomograms[code] if code >= 0 else "" for code in codes.tolist()]
    if trajectories.is_numbered:
        return (own + [""] * len(trajectories.names))[: len(trajectories.names)]
    by_name = dict(zip(_particle_names(sets.particles), own, strict=True))
    return [by_name.get(name, "") for name in trajectories.names]


def _lengths(sets: Sets) -> Iterator[Found]:
    if sets.trajectories is None or sets.tomograms is None:
        return
    tilts = sets.tomograms.tilts
    counts = {name: int(tilts.counts[t]) for t, name in enumerate(sets.tomograms.names) if tilts.is_read[t]}
    owners = _tomogram_of_each(sets, sets.trajectories)
    expected = np.array([counts.get(name, -1) for name in owners], np.int64)
    bad = np.flatnonzero((expected >= 0) & (expected != sets.trajectories.counts)).tolist()
    if bad:
        names = [sets.trajectories.names[i] for i in bad]
        rows, tilts_there = int(sets.trajectories.counts[bad[0]]), int(expected[bad[0]])
        what = f"trajectories that do not fit their tilt series: the first has {rows} rows for {tilts_there} tilts"
        yield named(what, names, sets.trajectories.place(names[0]))


def _count(sets: Sets) -> Iterator[Found]:
    trajectories = sets.trajectories
    if trajectories is None:
        return
    if NUMBER not in (trajectories.general or {}):
        yield Found(f"there is no {NUMBER} in data_general", Place(trajectories.path))
        return
    number = _number(trajectories)
    if number is not None and sets.particles is not None and number < sets.particles.rows.table.num_rows:
        what = f"{NUMBER} is {number}, for {sets.particles.rows.table.num_rows} particles"
        yield Found(what, trajectories.place("general"))


def _number(trajectories: Trajectories) -> int | None:
    """How many particles the file says that it has; None where that is no integer, which another check reports."""
    number = (trajectories.general or {}).get(NUMBER)
    return number if isinstance(number, int) else None


def _cut_short(trajectories: Trajectories) -> Iterator[Found]:
    number = _number(trajectories)
    if number is not None and number > len(trajectories.names):
        what = f"{NUMBER} is {number}, but there are {len(trajectories.names)} trajectories: the end may be missing"
        yield Found(what, trajectories.place("general"))


def _twice(trajectories: Trajectories) -> Iterator[Found]:
    if len(set(trajectories.names)) < len(trajectories.names):
        twice = [name for name, count in Counter(trajectories.names).items() if count > 1]
        yield named("particles with more than one trajectory", twice, trajectories.place(twice[0]))


def _numbered(trajectories: Trajectories) -> Iterator[Found]:
    if trajectories.is_numbered:
        yield Found(
            "trajectories have numbers for names: only their order links them to particles", Place(trajectories.path)
        )


def _of_manifolds(sets: Sets) -> Iterator[Found]:
    if sets.manifolds is not None and sets.tomograms is not None:
        known = set(sets.tomograms.names)
        unknown = [name for name in dict.fromkeys(sets.manifolds.texts(BLOCK) or []) if name and name not in known]
        if unknown:
            place = Place(sets.manifolds.path, block=unknown[0])
            yield named("manifolds of tomograms that are not in the tomogram set", unknown, place)


def _manifold_types(sets: Sets) -> Iterator[Found]:
    if sets.manifolds is not None:
        types = sets.manifolds.texts(MANIFOLD_TYPE) or []
        blocks = sets.manifolds.texts(BLOCK) or []
        bad = [i for i, kind in enumerate(types) if kind not in _MANIFOLDS]
        if bad:
            place = Place(sets.manifolds.path, block=blocks[bad[0]], label=MANIFOLD_TYPE)
            yield named("manifolds of a type that RELION does not know", [str(types[i]) for i in bad], place)


CHECKS = (
    Check(
        "no-trajectory",
        "error",
        "particles without a trajectory, at which RELION stops",
        "use the motion.star that was made with these particles, or leave rlnTomoTrajectoriesFile empty",
        _without,
    ),
    Check(
        "trajectory-length",
        "error",
        "trajectories that are not as long as their tilt series",
        "use the tomogram set with which the motion was estimated, or estimate it again",
        _lengths,
    ),
    Check(
        "trajectory-count",
        "error",
        "rlnParticleNumber that is missing, or less than there are particles",
        "set rlnParticleNumber in data_general to the number of trajectories",
        _count,
    ),
    Check(
        "trajectories-cut",
        "warning",
        "fewer trajectories than rlnParticleNumber says",
        "copy the file again; it may have been cut short",
        on_trajectories(_cut_short),
    ),
    Check(
        "trajectory-twice",
        "error",
        "particles with more than one trajectory: RELION takes the last",
        "remove the blocks that repeat",
        on_trajectories(_twice),
    ),
    Check(
        "numbered-trajectories",
        "note",
        "trajectories with numbers for names, as older versions wrote them",
        "do not remove or sort particles while this file is in use",
        on_trajectories(_numbered),
    ),
    Check(
        "manifold-of-unknown",
        "error",
        "manifolds of unknown tomograms",
        "rename the block, or use the manifolds that were made with these tomograms",
        _of_manifolds,
    ),
    Check(
        "manifold-type",
        "error",
        "manifolds of a type that RELION does not know",
        "use sphere or spheroid",
        _manifold_types,
    ),
)
