"""The trajectories of particles, read as they are asked for, in pieces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...errors import DatasetError, Place, SchemaError
from ...relion.geometry import Floats
from ...relion.particle_set import PARTICLE_NAME
from ..layout import TILT_INDEX
from ..reading.stored import Stored

Ints = NDArray[np.int64]

_SHIFTS = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")

#: So many rows are looked at together.
_ROWS_AT_ONCE = 1 << 16


@dataclass(slots=True)
class Shifts:
    """The trajectories of the particles of a particle set.

    Attributes
    ----------
    stored : Stored
    columns : tuple of str
        Those of the shifts along X, Y and Z.
    starts, counts : int64[particles]
        At which row the trajectory of each particle begins, and how many rows it has; -1 where there is none.
    """

    stored: Stored
    columns: tuple[str, ...]
    starts: Ints
    counts: Ints
    _bounds: Ints
    _held: dict[int, Floats] = field(default_factory=dict)

    def of(self, particles: slice, particle: Ints, tilt_index: Ints) -> Floats:
        """The shifts of some particles.

        Row groups are kept from one call to the next as far as both need them: where trajectories are in about the
        order of the particles, each is read once.

        Parameters
        ----------
        particles : slice
            The particles that are asked for; each has a trajectory.
        particle, tilt_index : int64[n]
            For each row of the answer, which of those, and which row of its trajectory.

        Returns
        -------
        float64[3, n]
            In Angstrom.
        """
        starts, counts = self.starts[particles], self.counts[particles]
        first, last = (np.searchsorted(self._bounds, at, side="right") - 1 for at in (starts, starts + counts - 1))
        groups = np.unique(np.concatenate([first, *(first + more for more in range(1, int((last - first).max()) + 1))]))
        groups = groups[groups <= last.max()]
        self._held = {group: self._held[group] for group in groups.tolist() if group in self._held}
        self._read([group for group in groups.tolist() if group not in self._held])
        pieces = [self._held[group] for group in groups.tolist()]
        lengths = np.array([piece.shape[1] for piece in pieces])
        # The groups of a trajectory follow each other here too, so that its first says where it is.
        moved = np.zeros(len(self._bounds), np.int64)
        moved[groups] = np.cumsum(lengths) - lengths - self._bounds[groups]
        rows = (starts + moved[first])[particle] + tilt_index
        return np.concatenate(pieces, axis=1).take(rows, axis=1)

    def _read(self, groups: Sequence[int]) -> None:
        """Read row groups, numbered through all files."""
        first = 0
        for file, bounds in zip(self.stored.files, self.stored.bounds, strict=True):
            inside = [group - first for group in groups if first <= group < first + len(bounds) - 1]
            if inside:
                table = pq.ParquetFile(file.source).read_row_groups(
                    inside, columns=list(self.columns), use_threads=False
                )
                read = np.stack([table.column(name).to_numpy() for name in self.columns])
                ends = np.cumsum([0, *(bounds[group + 1] - bounds[group] for group in inside)])
                for group, (begin, end) in zip(inside, pairwise(ends.tolist()), strict=True):
                    self._held[first + group] = read[:, begin:end]
            first += len(bounds) - 1


def find_shifts(stored: Stored, names: pa.Array) -> Shifts:
    """Find the trajectory of each particle, by its name.

    Parameters
    ----------
    stored : Stored
        The table of trajectories.
    names : pyarrow.Array
        ``rlnTomoParticleName`` of all particles.

    Raises
    ------
    SchemaError
        The table lacks a column.
    DatasetError
        The rows of a particle do not stand together; or trajectories are numbered only, and are not as many as
        particles.
    """
    columns = _columns(stored)
    begins, owners = _begins(stored)
    ends = np.append(begins[1:], stored.rows)
    if owners.null_count and len(owners) != len(names):
        raise DatasetError(
            f"{len(owners)} numbered trajectories for {len(names)} particles: only their order could link them",
            place=Place(os.fspath(stored.folder)),
        )
    if owners.null_count or owners.equals(names):
        found = np.arange(len(names))
    else:
        found = pc.index_in(names, value_set=owners).fill_null(-1).to_numpy().astype(np.int64)
    is_there = found >= 0
    starts, counts = np.full(len(names), -1, np.int64), np.full(len(names), -1, np.int64)
    starts[is_there], counts[is_there] = begins[found[is_there]], (ends - begins)[found[is_there]]
    bounds = np.concatenate([bounds[:-1] for bounds in stored.bounds]).astype(np.int64)
    return Shifts(stored, columns, starts, counts, bounds)


def _columns(stored: Stored) -> tuple[str, ...]:
    by_label = {label: column for column, label in stored.labels(stored.folder.name).items()}
    there = {*by_label, *stored.columns}
    absent = [label for label in (*_SHIFTS, PARTICLE_NAME, TILT_INDEX) if label not in there]
    if absent:
        raise SchemaError(f"the trajectories have no {', '.join(absent)}", place=Place(os.fspath(stored.folder)))
    return tuple(by_label[label] for label in _SHIFTS)


def _begins(stored: Stored) -> tuple[Ints, pa.Array]:
    """The rows at which trajectories begin, and whose they are."""
    begins, owners = [], []
    row, before = 0, -2
    for file in stored.files:
        for batch in pq.ParquetFile(file.source).iter_batches(
            _ROWS_AT_ONCE, columns=[PARTICLE_NAME, TILT_INDEX], use_threads=False
        ):
            index = batch.column(TILT_INDEX).to_numpy()
            if not len(index):
                continue
            is_first = index == 0
            follows = np.diff(index, prepend=np.int32(before)) == 1
            if not (is_first | follows).all():
                raise DatasetError(
                    "the rows of a trajectory do not stand together, in the order of the tilts",
                    place=Place(os.fspath(file.place), label=TILT_INDEX),
                    remedy="convert again, or keep the order of the rows",
                )
            at = np.flatnonzero(is_first)
            begins.append(row + at)
            owners.append(batch.column(PARTICLE_NAME).take(pa.array(at)).cast(pa.string()))
            row, before = row + len(index), int(index[-1])
    if not row:
        return np.zeros(0, np.int64), pa.array([], pa.string())
    return np.concatenate(begins), pa.concat_arrays(owners)
