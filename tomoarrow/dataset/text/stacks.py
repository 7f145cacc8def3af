"""The text of a file of stacked blocks: trajectories, manifolds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import DatasetError, Place
from ...relion.labels import LABELS
from ...relion.particle_set import PARTICLE_NAME
from ...relion.series import text_of_series
from ...relion.tomogram_set import NAME
from ...star.columns import evidence_for
from ...star.convention import check_name
from ...star.files import Leaf, render_tables
from ...star.tables import Options
from ...star.texts import FileText
from ..layout import TILT_INDEX
from ..reading.stored import Stored, integers, open_table
from ..tables.particles import PARTICLES
from ..tables.stacks import BLOCK, ROW_INDEX, TRAJECTORIES
from ..tables.texts import KeptText
from ..versions.snapshot import Snapshot
from .left import Left
from .plain import pairs_of, values_by_block, with_values
from .rendering import Rendered, check_new_labels, render_part

#: The list in front of trajectories says how many there are.
_PARTICLE_NUMBER = "rlnParticleNumber"

#: Blocks are rendered so many rows at a time.
_ROWS_AT_A_TIME = 1 << 17


@dataclass(frozen=True, slots=True)
class _Keys:
    """The columns that say which block a row is of, and which row of it."""

    name: str
    position: str


def render_stack(snapshot: Snapshot, texts: Sequence[KeptText], left: Left) -> Rendered:
    """One file, given what is kept of its text, and what is left of tomograms.

    Raises
    ------
    DatasetError
        The rows of a block do not stand together, or nothing says which they are.
    """
    name = next((kept.tables[0] for kept in texts if kept.tables), None)
    if name is None:
        return Rendered(texts[0].file, _front(snapshot, texts, None), {})
    stored = open_table(snapshot, name)
    check_new_labels(stored, name)
    keys = _keys_of(stored, name)
    labels = {
        column: label
        for column, label in stored.labels(name).items()
        if column not in (BLOCK, PARTICLE_NAME, NAME, keys.position)
    }
    new = {label for column, label in labels.items() if column not in stored.origins}
    is_changed = stored.is_changed
    texts_of = _texts_by_key(texts, by_name=bool(left) or is_changed)
    is_renumbered = _is_renumbered(snapshot, stored, keys, left)
    names: list[str] = []
    data, tables = [], []
    for part in _parts(stored, [*labels], keys, left):
        rows = part.select(list(labels)).rename_columns(list(labels.values()))
        leaves = list(_leaves(part, rows.schema, keys, texts_of, len(names)))
        if is_renumbered:
            leaves = [replace(leaf, name=str(i)) for i, leaf in enumerate(leaves, len(names))]
        texts_of_part = {i: text for i, text, _ in render_part(leaves, rows, new)}
        data += [texts_of_part[i] for i in range(len(leaves))]
        tables.append(rows)
        names += [leaf.name for leaf in leaves]
    if is_changed:
        _check_names(names, stored)
    for kept in reversed(texts):
        if not kept.tables and kept.rows:
            data.insert(len(names) if left or is_changed else kept.rows[0], render_tables(kept.text, [], [], LABELS))
    front = _front(snapshot, texts, len(names) if is_changed or left else None)
    nothing = stored.read(list(labels), 0, 0).rename_columns(list(labels.values()))
    return Rendered(texts[0].file, b"".join([front, *data]), {name: pa.concat_tables(tables or [nothing])})


def _keys_of(stored: Stored, table: str) -> _Keys:
    names = (BLOCK, PARTICLE_NAME) if table == TRAJECTORIES else (NAME,)
    position = TILT_INDEX if table == TRAJECTORIES else ROW_INDEX
    name = next((column for column in names if column in stored.columns), None)
    if name is None or position not in stored.columns:
        raise DatasetError(
            f"the table {table} does not say which block and row each of its rows is",
            place=Place(str(stored.folder)),
            expected=f"the columns {names[-1]} and {position}",
        )
    return _Keys(name, position)


def _is_renumbered(snapshot: Snapshot, stored: Stored, keys: _Keys, left: Left) -> bool:
    """Whether numbered trajectories are to be numbered again, as some may be gone.

    Raises
    ------
    DatasetError
        They are not in the order of the particles any more, which alone links them
        (``src/jaz/tomography/motion/trajectory.cpp``: Trajectory::read).
    """
    if keys.name != BLOCK or PARTICLES not in snapshot.tables:
        return False
    particles = open_table(snapshot, PARTICLES)
    if not left and not stored.is_changed and not particles.is_changed:
        return False
    table = particles.read([PARTICLE_NAME, NAME])
    blocks = [
        name
        for part in _parts(stored, [PARTICLE_NAME], keys, left)
        for name in part.column(PARTICLE_NAME).take(pa.array(_starts(part, keys))).to_pylist()
    ]
    known = table.column(PARTICLE_NAME).to_pylist() if PARTICLE_NAME in table.column_names else [None] * table.num_rows
    names = [known[row] for row in left.rows(table).tolist()]
    if any(name is None or name != block for name, block in zip(names, blocks, strict=False)):
        raise DatasetError(
            f"numbered trajectories are not in the order of the particles, which have other rows or no {PARTICLE_NAME}",
            place=Place(str(stored.folder)),
            remedy=f"change both tables alike; or drop the column {BLOCK}, and blocks are named as their particles",
        )
    return True


def _parts(stored: Stored, columns: list[str], keys: _Keys, left: Left) -> Iterator[pa.Table]:
    """The rows of whole blocks that are left, many blocks at a time."""
    of_tilts = keys.position if keys.position == TILT_INDEX else None
    wanted = list(dict.fromkeys([NAME, keys.name, keys.position, *columns]))
    begin, most = 0, _ROWS_AT_A_TIME
    while begin < stored.rows:
        table = _with_keys(stored.read(wanted, begin, min(begin + most, stored.rows)), keys, stored)
        if begin + table.num_rows < stored.rows:
            last = int(_starts(table, keys)[-1])
            if not last:
                most *= 2
                continue
            table = table.slice(0, last)
        begin += table.num_rows
        yield table.take(pa.array(left.rows(table, of_tilts))) if left else table


def _with_keys(table: pa.Table, keys: _Keys, stored: Stored) -> pa.Table:
    """Rows whose keys are as they must be, whatever other tools made of them."""
    place = Place(str(stored.folder))
    names = table.column(keys.name)
    text = names.type.value_type if pa.types.is_dictionary(names.type) else names.type
    if not (pa.types.is_string(text) or pa.types.is_large_string(text) or pa.types.is_null(text)):
        raise DatasetError(f"{keys.name} is {text}, which cannot name blocks", place=place, expected="text")
    positions = integers(table.column(keys.position), keys.position, stored.folder)
    if names.null_count or positions.null_count:
        raise DatasetError(f"rows without {keys.name} or {keys.position}", place=place)
    return table.set_column(table.column_names.index(keys.position), keys.position, positions)


def _starts(table: pa.Table, keys: _Keys) -> NDArray[np.int64]:
    """The rows at which blocks begin: where the name is another, or the position goes back."""
    names = table.column(keys.name)
    names = names if pa.types.is_dictionary(names.type) else names.dictionary_encode()
    code = names.unify_dictionaries().combine_chunks().indices.to_numpy()
    position = table.column(keys.position).to_numpy()
    is_start = np.ones(table.num_rows, bool)
    is_start[1:] = (code[1:] != code[:-1]) | (position[1:] <= position[:-1])
    return np.flatnonzero(is_start)


def _texts_by_key(texts: Sequence[KeptText], *, by_name: bool) -> dict[str | int | None, FileText]:
    """How blocks are written, by number or, where some may be gone, by name; under None the usual way."""
    found: dict[str | int | None, FileText] = {}
    for kept in texts:
        if kept.tables:
            for key in (kept.names if by_name else kept.rows) or (None,):
                found.setdefault(key, kept.text)
    return found


def _leaves(
    part: pa.Table, schema: pa.Schema, keys: _Keys, texts_of: dict[str | int | None, FileText], first: int
) -> Iterator[Leaf]:
    """The blocks of a part, of which the first has a number, and how each is written."""
    starts = _starts(part, keys)
    names = part.column(keys.name).take(pa.array(starts)).to_pylist()
    positions = part.column(keys.position).to_numpy()
    evidence = {field.name: evidence_for(field.type) for field in schema}
    usual = texts_of.get(None)
    bounds = pairwise([*starts.tolist(), part.num_rows])
    for i, (name, (begin, end)) in enumerate(zip(names, bounds, strict=True), first):
        text = texts_of.get(i) or texts_of.get(name) or usual
        if text is not None and text.raw:
            text = text_of_series(text.raw.encode(), name, Options(LABELS, evidence, "null"))
        yield Leaf(name, text, positions[begin:end])


def _check_names(names: Sequence[str], stored: Stored) -> None:
    """Refuse names that would not read back, and blocks that are scattered."""
    for name in names:
        check_name(name)
    if len(set(names)) < len(names):
        raise DatasetError(
            "the rows of a block do not stand together, or two blocks have the same name",
            place=Place(str(stored.folder)),
            remedy="sort the table by its blocks, and by position in each",
        )


def _front(snapshot: Snapshot, texts: Sequence[KeptText], n_blocks: int | None) -> bytes:
    """What stands before the first block with rows; `n_blocks`: how many of those there are now, where that is new."""
    fronts = [kept.text for kept in texts if not kept.tables and not kept.rows]
    pairs = pairs_of(snapshot, texts[0].file) if fronts else None
    if pairs is not None and n_blocks is not None:
        is_number = np.array([label == _PARTICLE_NUMBER for label in pairs.column("label").to_pylist()], bool)
        values = np.where(is_number, str(n_blocks), np.array(pairs.column("value").to_pylist(), object))
        at = pairs.column_names.index("value")
        pairs = pairs.set_column(at, "value", pa.array(values.tolist(), pa.string()))
    by_block = None if pairs is None else values_by_block(pairs)
    data, first = b"", 0
    for text in fronts:
        style = text.style if by_block is None else with_values(text.style, by_block, first)
        data += render_tables(replace(text, style=style), [], [], LABELS)
        first += len(style.blocks)
    return data
