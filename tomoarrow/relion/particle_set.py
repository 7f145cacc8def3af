"""A particle set: a row a particle, the optics group of each, and what must fit a tomogram set.

Its file has a list ``general``, a table ``optics`` and a table ``particles``
(``src/jaz/tomography/particle_set.cpp``: ParticleSet::read); what a picking job writes has no more than the last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import Place
from ..star.faults import Notice
from .tomogram_set import NAME

OPTICS_GROUP = "rlnOpticsGroup"
PARTICLE_NAME = "rlnTomoParticleName"
VISIBLE_FRAMES = "rlnTomoVisibleFrames"

#: So many names are given of each kind of mismatch.
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Joined:
    """Particles, joined with what is known of their optics groups.

    Attributes
    ----------
    table : pyarrow.Table
        The columns of the particles, then those of the optics table but for the group itself; null where there is no
        such group.
    labels : dict
        For the columns of the optics table their labels.
    """

    table: pa.Table
    labels: dict[str, str]


def join_optics(particles: pa.Table, optics: pa.Table) -> Joined:
    """Join particles with their optics groups, by `OPTICS_GROUP`, which both have.

    A label of both tables keeps its name for the particle's value; that of the group becomes ``<label>_optics``.
    """
    wanted, known = _groups(particles, optics)
    rows = pc.index_in(wanted, value_set=known, skip_nulls=True)
    labels = {}
    table = particles
    for column in optics.schema:
        if column.name != OPTICS_GROUP:
            name = column.name
            while name in table.column_names or (name != column.name and name in optics.column_names):
                name += "_optics"
            labels[name] = column.name
            values = optics.column(column.name).combine_chunks().take(rows)
            table = table.append_column(column.with_name(name), values)
    return Joined(table, labels)


def _groups(particles: pa.Table, optics: pa.Table) -> tuple[pa.Array, pa.Array]:
    """The groups of particles, and those that there are, of one type."""
    wanted, known = (table.column(OPTICS_GROUP).combine_chunks() for table in (particles, optics))
    if wanted.type != known.type:
        # One of the two columns has fractions. Integers that no double holds are rounded: no group has such a number.
        return wanted.cast(pa.float64(), safe=False), known.cast(pa.float64(), safe=False)
    return wanted, known


@dataclass(slots=True)
class Mismatches:
    """Counts particles that do not fit the other sets, of each kind, by name.

    Attributes
    ----------
    tilt_counts : mapping or None
        How many tilts each tomogram has; None for one whose tilt series is missing. None where no tomogram set is
        known.
    """

    tilt_counts: Mapping[str, int | None] | None
    _tomograms: Counter[str] = field(default_factory=Counter)
    _groups: Counter[str] = field(default_factory=Counter)
    _frames: list[str] = field(default_factory=list)
    _rows: int = 0

    def look(self, particles: pa.Table, optics: pa.Table | None) -> None:
        """Look at the next particles of the set."""
        if optics is not None and OPTICS_GROUP in particles.column_names:
            groups, known = _groups(particles, optics)
            self._groups.update(map(str, groups.filter(pc.invert(pc.is_in(groups, value_set=known))).to_pylist()))
        if self.tilt_counts is not None and NAME in particles.column_names:
            names = particles.column(NAME).combine_chunks()
            codes = names if pa.types.is_dictionary(names.type) else names.dictionary_encode()
            found = codes.dictionary.to_pylist()
            unknown = pa.array([name not in self.tilt_counts for name in found], pa.bool_())
            strangers = unknown.take(codes.indices).fill_null(True)
            self._tomograms.update(map(str, names.filter(strangers).to_pylist()))
            if VISIBLE_FRAMES in particles.column_names:
                counts = pa.array([self.tilt_counts.get(name) for name in found], pa.int64()).take(codes.indices)
                lengths = pc.list_value_length(particles.column(VISIBLE_FRAMES)).combine_chunks()
                unlike = pc.not_equal(lengths, counts).fill_null(False)
                self._frames += self._names(particles, np.flatnonzero(unlike.to_numpy(zero_copy_only=False)).tolist())
        self._rows += particles.num_rows

    def _names(self, particles: pa.Table, rows: list[int]) -> list[str]:
        if PARTICLE_NAME in particles.column_names:
            return [str(name) for name in particles.column(PARTICLE_NAME).take(pa.array(rows, pa.int64())).to_pylist()]
        return [f"row {self._rows + row}" for row in rows]

    def notices(self, path: str) -> Iterator[Notice]:
        """The warnings about the particles of a file."""
        if self._tomograms:
            what = "particles of tomograms that are not in the tomogram set"
            yield _notice("particle-tomogram", what, self._tomograms, self._tomograms.total(), path, NAME)
        if self._groups:
            what = "particles of optics groups that the optics table does not have"
            yield _notice("particle-optics", what, self._groups, self._groups.total(), path, OPTICS_GROUP)
        if self._frames:
            what = "particles whose visible frames are not as many as the tilts of their tomogram"
            yield _notice("visible-frames", what, self._frames, len(self._frames), path, VISIBLE_FRAMES)


def _notice(code: str, what: str, names: Collection[str], count: int, path: str, label: str) -> Notice:
    return Notice(code, f"{what} ({shown(names)})", Place(path, label=label), count)


def shown(names: Collection[str]) -> str:
    """The first few of some names."""
    first = [name for name, _ in zip(names, range(_MOST_NAMED), strict=False)]
    return ", ".join(first) + (f", ... {len(names)} in all" if len(names) > len(first) else "")
