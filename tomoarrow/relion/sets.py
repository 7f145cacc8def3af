"""The sets of a project as tables side by side: what checks look at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import Place, TomoarrowError
from ..star.document import Reject, Value
from ..star.faults import Notice
from ..star.source import read_slab
from ..star.structure import analyse
from .kinds import Kind
from .tomogram_set import MOST_HELD, NAME


@dataclass(frozen=True, slots=True)
class Rows:
    """A table, and where it stands.

    Attributes
    ----------
    path : str
        What the project calls its file.
    file : str
        Where that is.
    block : str
    table : pyarrow.Table
    """

    path: str
    file: str
    block: str
    table: pa.Table

    def place(self, row: int | None = None, label: str | None = None) -> Place:
        """The place of a value, of a row, or of the whole block."""
        return locate(self.file, self.path, self.block, row, label)

    def numbers(self, label: str) -> NDArray[np.float64] | None:
        """A column of numbers, nan where there is none; None where there is no such column."""
        return column_of_numbers(self.table, label)

    def texts(self, label: str) -> list[str | None] | None:
        """A column as text; None where there is no such column."""
        return column_of_texts(self.table, label)


@dataclass(frozen=True, slots=True)
class Tilts:
    """The rows of all tilt series, tomogram after tomogram.

    Attributes
    ----------
    table : pyarrow.Table
        A label that a series lacks is null there.
    begins : int64[tomograms + 1]
        The rows of tomogram ``t`` are ``begins[t]:begins[t + 1]``.
    is_read : bool[tomograms]
        Whether its tilt series could be read, if without rows.
    labels : tuple of frozenset of str
        For each tomogram the labels of its series; empty where it was not read.
    paths, files : tuple of str
        What the project calls the file of each, and where that is.
    """

    table: pa.Table
    begins: NDArray[np.int64]
    is_read: NDArray[np.bool_]
    labels: tuple[frozenset[str], ...]
    paths: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many tilts each tomogram has."""
        return np.diff(self.begins)

    @property
    def tomogram(self) -> NDArray[np.int64]:
        """The tomogram of each row."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def series(self) -> Iterator[slice]:
        """The rows of each tomogram that has some."""
        for begin, end in pairwise(self.begins.tolist()):
            if begin < end:
                yield slice(begin, end)

    def numbers(self, label: str) -> NDArray[np.float64] | None:
        """As `Rows.numbers`."""
        return column_of_numbers(self.table, label)

    def texts(self, label: str) -> list[str | None] | None:
        """As `Rows.texts`."""
        return column_of_texts(self.table, label)


@dataclass(frozen=True, slots=True)
class Tomograms:
    """A tomogram set.

    Attributes
    ----------
    rows : Rows
        The global table.
    names : tuple of str
        Names of tomograms, a row each; they may repeat.
    is_relion4 : bool
    block_order : tuple of str
        For a set of RELION 4 the names of the blocks behind ``data_global``.
    optics : Rows or None
        The optics groups that older imports keep in the same file.
    tilts : Tilts
    """

    rows: Rows
    names: tuple[str, ...]
    is_relion4: bool
    block_order: tuple[str, ...]
    optics: Rows | None
    tilts: Tilts

    def tilt_place(self, row: int, label: str | None = None) -> Place:
        """The place of a value of a tilt, given by its row among all tilts."""
        tomogram = int(np.searchsorted(self.tilts.begins, row, side="right")) - 1
        return self.series_place(tomogram, row - int(self.tilts.begins[tomogram]), label)

    def series_place(self, tomogram: int, row: int | None = None, label: str | None = None) -> Place:
        """The place of a tilt series, or of a value in one of its rows."""
        name = self.names[tomogram]
        return locate(self.tilts.files[tomogram], self.tilts.paths[tomogram], name, row, label)

    def tilt_name(self, row: int) -> str:
        """What a tilt is called in messages: its tomogram, and its place among the tilts of that, from 1."""
        tomogram = int(np.searchsorted(self.tilts.begins, row, side="right")) - 1
        return f"{self.names[tomogram]} row {row - int(self.tilts.begins[tomogram]) + 1}"


@dataclass(frozen=True, slots=True)
class Particles:
    """A particle set.

    Attributes
    ----------
    rows : Rows
    optics : Rows or None
    general : dict or None
        The pairs of the block ``general``; None where there is none.
    """

    rows: Rows
    optics: Rows | None
    general: dict[str, Value] | None

    @property
    def tomograms(self) -> tuple[NDArray[np.int64], list[str]]:
        """For each particle the position of its tomogram in a list of names, -1 where it has none; and that list."""
        if NAME not in self.rows.table.column_names:
            return np.full(self.rows.table.num_rows, -1, np.int64), []
        names = self.rows.table.column(NAME).combine_chunks()
        codes = names if pa.types.is_dictionary(names.type) else names.dictionary_encode()
        return codes.indices.fill_null(-1).to_numpy().astype(np.int64), codes.dictionary.to_pylist()

    def name(self, row: int) -> str:
        """What a particle is called in messages."""
        names = self.rows.table.column_names
        own = self.rows.table.column("rlnTomoParticleName")[row].as_py() if "rlnTomoParticleName" in names else None
        return str(own or f"row {row + 1}")


@dataclass(frozen=True, slots=True)
class Trajectories:
    """A trajectory set.

    Attributes
    ----------
    path, file : str
    names : list of str
        The blocks with rows, in their order.
    counts : int64[blocks]
        How many rows each has.
    general : dict or None
    """

    path: str
    file: str
    names: list[str]
    counts: NDArray[np.int64]
    general: dict[str, Value] | None

    @property
    def is_numbered(self) -> bool:
        """Whether blocks have numbers instead of the names of particles, as older versions wrote them."""
        return bool(self.names) and self.names[0] == "0"

    def place(self, block: str | None = None) -> Place:
        """The place of a block, or of the file."""
        return locate(self.file, self.path, block) if block is not None else Place(self.path)


@dataclass(frozen=True, slots=True)
class Named:
    """A file that a set names."""

    place: Place
    label: str
    path: str


@dataclass(frozen=True, slots=True)
class Sets:
    """What could be read of a project.

    Attributes
    ----------
    kind : Kind
        What the file is that was given.
    project : Path
        The project directory.
    tomograms, particles, trajectories, manifolds
        None where there is no such set, or it could not be read.
    named : tuple of Named
        Files that an optimisation set names beside its sets.
    seen : tuple of tuple
        Path and kind of each file that was read, tilt series left out.
    notices, rejects, errors
        What reading came upon.
    missing : tuple of Named
        STAR files that are not there.
    outside : tuple of Named
        STAR files outside of the project, which were not read.
    looks_at_files : bool
        Whether the images that sets name are to be looked for.
    allow_outside : bool
        Whether those may lie outside of the project.
    """

    kind: Kind
    project: Path
    tomograms: Tomograms | None = None
    particles: Particles | None = None
    trajectories: Trajectories | None = None
    manifolds: Rows | None = None
    named: tuple[Named, ...] = ()
    seen: tuple[tuple[str, Kind], ...] = ()
    notices: tuple[Notice, ...] = ()
    rejects: tuple[Reject, ...] = ()
    errors: tuple[TomoarrowError, ...] = ()
    missing: tuple[Named, ...] = ()
    outside: tuple[Named, ...] = ()
    looks_at_files: bool = False
    allow_outside: bool = False


def tomogram_rows(tomograms: Tomograms, particles: Particles) -> NDArray[np.int64]:
    """For each particle the row of its tomogram in the global table; -1 where there is none."""
    codes, names = particles.tomograms
    known = {name: row for row, name in reversed([*enumerate(tomograms.names)])}
    return np.array([*(known.get(name, -1) for name in names), -1], np.int64)[codes]


def column_of_numbers(table: pa.Table, label: str) -> NDArray[np.float64] | None:
    """A column of numbers, nan where there is none; None where there is no such column."""
    if label not in table.column_names:
        return None
    column = table.column(label)
    if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
        return np.full(len(column), np.nan)
    # Integers that no double holds are rounded: they are far out of any range that is looked for.
    values: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    return values


def column_of_texts(table: pa.Table, label: str) -> list[str | None] | None:
    """A column as text; None where there is no such column."""
    if label not in table.column_names:
        return None
    column = table.column(label)
    texts: list[str | None] = (column if pa.types.is_string(column.type) else column.cast(pa.string())).to_pylist()
    return texts


def locate(file: str, path: str, block: str, row: int | None = None, label: str | None = None) -> Place:
    """Line and column of a value, a row, a label or a block; without them where the file is long or cannot be read.

    Parameters
    ----------
    file : str
    path : str
        What the place calls it.
    block : str
    row : int, optional
        Of the loop in that block.
    label : str, optional
    """
    bare = Place(path, block=block, label=label)
    if not os.path.isfile(file) or os.path.getsize(file) > MOST_HELD:
        return bare
    structure = analyse(read_slab([file], [path])[0], "relion", hint=False)
    container = next((c for c in range(len(structure.heading)) if structure.name(c) == block), None)
    if container is None:
        return bare
    for tag in structure.pair_tag[structure.pair_container == container].tolist():
        if structure.string(tag) == label:
            return replace(structure.place_of_label(tag, container), text="")
    for loop in np.flatnonzero(structure.loop_container == container).tolist():
        labels = structure.labels(loop)
        index = labels.index(label) if label in labels else None
        if label is None or index is not None:
            if row is None and index is not None:
                return replace(structure.place_of_label(int(structure.loop_tags[loop]) + index, container), text="")
            span = int(structure.loop_cells[loop]) + (row or 0) * len(labels) + (index or 0)
            if row is not None and span < len(structure.spans):
                return replace(structure.place(span, container, label), text="")
    return replace(structure.place_of_heading(container), label=label, text="")
