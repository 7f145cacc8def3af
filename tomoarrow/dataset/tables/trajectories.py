"""Which particle each block of a trajectory set is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import Place
from ...relion.particle_set import PARTICLE_NAME, shown
from ...relion.tomogram_set import NAME
from ...star.faults import Notice
from ...star.tables import Findings
from ..layout import TILT_INDEX
from .stacks import BLOCK, TRAJECTORIES, repeated


@dataclass(slots=True)
class ParticleKeys:
    """Blocks that are named as their particle, or numbered in the order of the particle set.

    Attributes
    ----------
    names, tomograms : pyarrow.Array or None
        Of the particles of the particle set, where one is known.
    tilt_counts : mapping
        How many tilts each tomogram has, as far as is known.
    """

    names: pa.Array | None
    tomograms: pa.Array | None
    tilt_counts: Mapping[str, int | None]
    table: str = TRAJECTORIES
    position: str = TILT_INDEX
    _seen: int = 0
    _is_numbered: bool = False
    _rows: dict[str, int] = field(default_factory=dict)
    _found: NDArray[np.bool_] = field(init=False)
    _odd: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._found = np.zeros(0 if self.names is None else len(self.names), bool)

    def columns(self, names: Sequence[str], counts: Sequence[int]) -> dict[str, pa.Array]:
        if not self._seen:
            self._is_numbered = names[0] == "0"
        blocks = pa.array(names, pa.string())
        rows = self._rows_of(blocks)
        particles, tomograms = self._particles_of(blocks, rows)
        self._seen += len(names)
        self._found[rows[rows >= 0]] = True
        self._check(particles, tomograms, counts)
        columns = {NAME: repeated(tomograms.dictionary_encode(), counts), PARTICLE_NAME: repeated(particles, counts)}
        return columns | ({BLOCK: repeated(blocks, counts)} if self._is_numbered else {})

    def _rows_of(self, blocks: pa.Array) -> NDArray[np.int64]:
        """The row of the particle set for each block; -1 where there is none."""
        n = len(blocks)
        if self.names is None:
            return np.full(n, -1, np.int64)
        here = np.arange(self._seen, self._seen + n)
        if self._is_numbered or self.names.slice(self._seen, n).equals(blocks):
            return np.where(here < len(self.names), here, -1)
        if not self._rows:
            self._rows = {name: row for row, name in enumerate(self.names.to_pylist())}
        return np.array([self._rows.get(name, -1) for name in blocks.to_pylist()], np.int64)

    def _particles_of(self, blocks: pa.Array, rows: NDArray[np.int64]) -> tuple[pa.Array, pa.Array]:
        """The names of the particles, and of their tomograms."""
        if self._is_numbered and self.names is None:
            return pa.nulls(len(blocks), pa.string()), pa.nulls(len(blocks), pa.string())
        taken = pa.array(rows, mask=rows < 0)
        particles = self.names.take(taken) if self._is_numbered and self.names is not None else blocks
        if self.tomograms is not None and (rows >= 0).all():
            return particles, self.tomograms.take(taken)
        # RELION names a particle <tomogram>/<number> (ParticleSet::read).
        named = [name.rpartition("/")[0] or None if name else None for name in particles.to_pylist()]
        if self.tomograms is not None:
            known = self.tomograms.take(taken).to_pylist()
            named = [own or other for own, other in zip(known, named, strict=True)]
        return particles, pa.array(named, pa.string())

    def _check(self, particles: pa.Array, tomograms: pa.Array, counts: Sequence[int]) -> None:
        expected = [self.tilt_counts.get(name) for name in tomograms.to_pylist()]
        for i, (count, wanted) in enumerate(zip(counts, expected, strict=True)):
            if wanted is not None and count != wanted:
                self._odd.append(str(particles[i].as_py()))

    def tell(self, path: str, found: Findings) -> None:
        place = Place(path)
        if self._odd:
            message = f"trajectories with another number of rows than their tomogram has tilts ({shown(self._odd)})"
            found.notices.append(Notice("trajectory-length", message, place, len(self._odd)))
        if self.names is None:
            return
        without = self.names.filter(pa.array(~self._found))
        if len(without):
            names = [str(name) for name in without.slice(0, 10).to_pylist()]
            more = f", ... {len(without)} in all" if len(without) > len(names) else ""
            message = f"particles without a trajectory, which RELION refuses ({', '.join(names)}{more})"
            found.notices.append(Notice("particle-trajectory", message, place, len(without)))
        if self._is_numbered and self._seen != len(self.names):
            message = f"{self._seen} numbered trajectories for {len(self.names)} particles: only their order links them"
            found.notices.append(Notice("trajectory-order", message, place))
