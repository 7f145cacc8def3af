"""All files of a dataset as text, each by what its tables are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from ...errors import DatasetError, Place
from ...relion.particle_set import OPTICS_GROUP, join_optics
from ...relion.tomogram_set import NAME
from ..reading.stored import Stored, open_table
from ..tables.particles import OPTICS
from ..tables.stacks import STACKED
from ..tables.texts import KeptText, kept_texts
from ..versions.snapshot import Snapshot
from .left import Left, left_of
from .plain import render_plain
from .rendering import Plan, Rendered, Selection, count_unlike, plan, render
from .stacks import render_stack


@dataclass(frozen=True, slots=True)
class Files:
    """What is to be rendered.

    Attributes
    ----------
    snapshot : Snapshot
    plan : Plan or None
        Of the tomogram set, where there is one.
    left : Left
        What that leaves of tomograms and tilts.
    others : dict
        What is kept of the texts of the other files, by path.
    """

    snapshot: Snapshot
    plan: Plan | None
    left: Left
    others: dict[str, list[KeptText]]

    @property
    def texts(self) -> list[KeptText]:
        """What is kept of all files."""
        own = [] if self.plan is None else self.plan.texts
        return [*own, *(kept for texts in self.others.values() for kept in texts)]

    def orphans(self) -> dict[str, int]:
        """How many rows are left out of each table because their tomogram was taken out of the table tomograms."""
        removed = frozenset() if self.plan is None else self.plan.removed
        if not removed:
            return {}
        tables = dict.fromkeys(name for texts in self.others.values() for kept in texts for name in kept.tables)
        counts = {}
        for name in tables:
            names = open_table(self.snapshot, name).read([NAME])
            counts[name] = names.num_rows - len(Left(removed).rows(names))
        return {name: count for name, count in counts.items() if count}

    def differing_optics(self) -> dict[str, int]:
        """For labels of the optics table how many particles, of those that were edited, have another value there."""
        tables = self.snapshot.tables
        found: dict[str, int] = {}
        for name in tables if OPTICS in tables else ():
            particles = open_table(self.snapshot, name)
            labels = particles.labels(OPTICS)
            copies = {column: labels[column] for column in labels if column in particles.origins}
            if name == OPTICS or not copies or not particles.is_changed:
                continue
            table = particles.read([OPTICS_GROUP, *copies])
            for label, count in _differing(table, open_table(self.snapshot, OPTICS), copies).items():
                found[label] = found.get(label, 0) + count
        return found

    def render(self) -> Iterator[Rendered]:
        """One file after the other."""
        if self.plan is not None:
            yield from render(self.plan)
        for texts in self.others.values():
            tables = {name for kept in texts for name in kept.tables}
            # Of a file of other tables each piece has rows.
            is_stacked = not tables.isdisjoint(STACKED) or (not tables and len(texts) > 1)
            yield (render_stack if is_stacked else render_plain)(self.snapshot, texts, self.left)


def _differing(table: pa.Table, stored: Stored, copies: dict[str, str]) -> dict[str, int]:
    """For the labels of which particles have copies, how many of those are not what the optics table has."""
    optics = stored.read(stored.columns)
    if OPTICS_GROUP not in table.column_names or OPTICS_GROUP not in optics.column_names:
        return {}
    try:
        joined = join_optics(table.select([OPTICS_GROUP]), optics)
    except pa.ArrowException:
        # Groups that are no numbers any more: of which group a copy is, nothing tells.
        return {OPTICS_GROUP: table.num_rows}
    found = {}
    for column, label in joined.labels.items():
        for copy in (copy for copy, own in copies.items() if own == label):
            n = count_unlike(table.column(copy).combine_chunks(), joined.table.column(column).combine_chunks())
            if n:
                found[label] = n
    return found


def open_files(snapshot: Snapshot, selection: Selection) -> Files:
    """Look at what a dataset keeps, and at what of it is selected.

    Raises
    ------
    DatasetError
        It is damaged, or an older version made it.
    """
    if "star" not in snapshot.tables:
        raise DatasetError(
            "the dataset keeps no text of its STAR files: an older version made it",
            place=Place(str(snapshot.folder)),
            remedy="convert again",
        )
    of_set: list[KeptText] = []
    others: dict[str, list[KeptText]] = {}
    for kept in kept_texts(snapshot):
        if kept.tomogram is not None or "tomograms" in kept.tables:
            of_set.append(kept)
        else:
            others.setdefault(kept.file, []).append(kept)
    planned = plan(snapshot, of_set, selection) if of_set else None
    return Files(snapshot, planned, Left() if planned is None else left_of(planned), others)
