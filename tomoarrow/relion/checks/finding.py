"""What a check is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import Place
from ..particle_set import shown
from ..sets import Particles, Rows, Sets, Tomograms, Trajectories

#: An error stops RELION or makes it read something wrong; a warning is suspicious; a note is good to know.
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found: all of one kind together, at the first place."""

    message: str
    place: Place
    count: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a project, or worth knowing.

    Attributes
    ----------
    code : str
        Of the check.
    severity : "error", "warning" or "note"
    message : str
    place : Place
        The first place.
    count : int
        How many there are.
    remedy : str
        What to do.
    """

    code: str
    severity: Severity
    message: str
    place: Place
    count: int
    remedy: str


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked for.

    Attributes
    ----------
    code : str
    severity : "error", "warning" or "note"
    looks_for : str
        What it finds, in a few words.
    remedy : str
    run : callable
    """

    code: str
    severity: Severity
    looks_for: str
    remedy: str
    run: Callable[[Sets], Iterator[Found]]

    def __call__(self, sets: Sets) -> Iterator[Finding]:
        for found in self.run(sets):
            yield Finding(self.code, self.severity, found.message, found.place, found.count, self.remedy)


def on_tomograms(look: Callable[[Tomograms], Iterator[Found]]) -> Callable[[Sets], Iterator[Found]]:
    """A check of the tomogram set, where there is one."""
    return lambda sets: iter(()) if sets.tomograms is None else look(sets.tomograms)


def on_particles(look: Callable[[Particles], Iterator[Found]]) -> Callable[[Sets], Iterator[Found]]:
    """A check of the particle set, where there is one."""
    return lambda sets: iter(()) if sets.particles is None else look(sets.particles)


def on_trajectories(look: Callable[[Trajectories], Iterator[Found]]) -> Callable[[Sets], Iterator[Found]]:
    """A check of the trajectory set, where there is one."""
    return lambda sets: iter(()) if sets.trajectories is None else look(sets.trajectories)


Mask = NDArray[np.bool_]


def named(what: str, names: Collection[str], place: Place) -> Found:
    """What was found, with the names of the first few."""
    return Found(f"{what} ({shown(names)})", place, len(names))


def in_rows(rows: Rows, is_bad: Mask, what: str, label: str, name: str | None = None) -> Iterator[Found]:
    """Rows of a table in which something is wrong, named by a column or by their number."""
    bad = np.flatnonzero(is_bad).tolist()
    if bad:
        texts = (rows.texts(name) if name else None) or []
        names = [str(texts[row]) if texts else f"row {row + 1}" for row in bad]
        values = rows.table.column(label)[bad[0]].as_py() if label in rows.table.column_names else None
        yield named(f"{what}{_value(label, values)}", names, rows.place(bad[0], label))


def in_tilts(tomograms: Tomograms, is_bad: Mask, what: str, label: str) -> Iterator[Found]:
    """Tilts with which something is wrong."""
    bad = np.flatnonzero(is_bad).tolist()
    if bad:
        table = tomograms.tilts.table
        value = table.column(label)[bad[0]].as_py() if label in table.column_names else None
        names = [tomograms.tilt_name(row) for row in bad]
        yield named(f"{what}{_value(label, value)}", names, tomograms.tilt_place(bad[0], label))


def in_particles(particles: Particles, is_bad: Mask, what: str, label: str) -> Iterator[Found]:
    """Particles with which something is wrong."""
    bad = np.flatnonzero(is_bad).tolist()
    if bad:
        names = [particles.name(row) for row in bad[:_MOST_NAMES]]
        names += [""] * (len(bad) - len(names))
        yield named(what, names, particles.rows.place(bad[0], label))


#: Names of more particles than are shown are not looked up.
_MOST_NAMES = 20


def _value(label: str, value: object) -> str:
    return "" if value is None or isinstance(value, list) else f"; the first {label} is {value}"


__all__ = [
    "Check",
    "Finding",
    "Found",
    "Mask",
    "Severity",
    "in_particles",
    "in_rows",
    "in_tilts",
    "named",
    "on_particles",
    "on_tomograms",
    "on_trajectories",
]
