"""``particles/``: the particles of a particle set, each beside its optics group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from ...errors import BlockNotFoundError, Place, SchemaError
from ...relion.particle_set import OPTICS_GROUP, PARTICLE_NAME, Mismatches, join_optics
from ...relion.tomogram_set import NAME
from ...star.faults import Notice
from ...star.scan import new_request, table_of
from ...star.source import Stream, reads_again
from ...star.tables import Findings, Options
from .plain import Shaped, StarFile

PARTICLES, OPTICS = "particles", "optics"


@dataclass(slots=True)
class Particles:
    """What becomes of the loops of a particle set, one after the other, and what they hold that other sets need.

    Attributes
    ----------
    file : StarFile
    options : Options
    mismatches : Mismatches
    keeps_names : bool
        Whether another set asks for the names of all particles, which take more memory than all else.
    names, tomograms : list of pyarrow.Array
        `PARTICLE_NAME` and the tomogram's `NAME` of the particles, where both are there and they are kept.
    """

    file: StarFile
    options: Options
    mismatches: Mismatches
    keeps_names: bool
    names: list[pa.ChunkedArray] = field(default_factory=list)
    tomograms: list[pa.ChunkedArray] = field(default_factory=list)
    _optics: list[pa.Table] = field(default_factory=list)
    _is_whole: bool = False
    _is_alone: bool = False

    @staticmethod
    def of(
        file: StarFile, options: Options, tilt_counts: Mapping[str, int | None] | None, *, keeps_names: bool
    ) -> Particles:
        """Those of a file, beside a tomogram set if there is one."""
        return Particles(file, options, Mismatches(tilt_counts), keeps_names)

    def shape(self, block: str, rows: pa.Table, goes_on: bool) -> Shaped:
        """The rows of a loop as they go into the dataset."""
        if block == OPTICS and OPTICS_GROUP in rows.column_names:
            self._add_optics(rows, goes_on)
        elif self._are_particles(block, rows.column_names):
            optics = self._groups_for(rows)
            self.mismatches.look(rows, optics)
            if self.keeps_names and {NAME, PARTICLE_NAME} <= set(rows.column_names):
                self.names.append(rows.column(PARTICLE_NAME))
                self.tomograms.append(rows.column(NAME))
            if optics is None:
                return Shaped(PARTICLES, rows)
            joined = join_optics(rows, optics)
            return Shaped(PARTICLES, joined.table, {name: f"{OPTICS}/{label}" for name, label in joined.labels.items()})
        return Shaped(block, rows)

    def _are_particles(self, block: str, labels: Sequence[str]) -> bool:
        return block == PARTICLES or (block != OPTICS and NAME in labels)

    def _add_optics(self, rows: pa.Table, goes_on: bool) -> None:
        """Keep the first optics table, that may come in several pieces."""
        self._is_whole |= bool(self._optics) and not goes_on
        if not self._is_whole:
            self._optics.append(rows)

    def _groups_for(self, rows: pa.Table) -> pa.Table | None:
        """The optics table, looked for once behind the first particles where it was not before them."""
        if OPTICS_GROUP not in rows.column_names:
            return None
        if not self._optics and not self._is_whole:
            self._optics += self._read_optics()
            self._is_alone = not self._optics and not reads_again(self.file.source)
        self._is_whole = True
        return pa.concat_tables(self._optics, promote_options="permissive") if self._optics else None

    def _read_optics(self) -> list[pa.Table]:
        if not reads_again(self.file.source) or isinstance(self.file.source, Stream):
            return []
        try:
            request = new_request(self.file.source, OPTICS, "relion", None, False, "null", self.options.labels, None)
            table = table_of(request)
        except (BlockNotFoundError, SchemaError):
            # Without such a table, or with one that is told of when it is read, there is nothing to join.
            return []
        return [table] if OPTICS_GROUP in table.column_names else []

    def tell(self, found: Findings) -> None:
        """Add what is to be told of the particles, when all are written."""
        place = str(self.file.path)
        found.notices += self.mismatches.notices(place)
        if self._is_alone:
            message = "no optics table before the particles of a source that is read once: they are not joined with one"
            found.notices.append(Notice("no-optics", message, Place(place, block=PARTICLES)))
