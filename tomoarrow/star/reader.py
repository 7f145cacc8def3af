"""STAR text to documents of Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import SchemaError, check_choice, raise_gathered
from .columns import Label, first_repeated
from .document import Block, Document, Origin
from .faults import Notice, refuse, repeated_block
from .source import Held, Source, read_text
from .structure import Dialect, Structure, analyse
from .tables import (
    Findings,
    OnBadValue,
    Options,
    check_loop,
    loop_cells,
    read_cells,
    read_loop,
    read_pairs,
)

#: Fewer loops than this are read one by one.
_FEW = 16

#: So many loops are read at once: where one of them gives a notice or an error, all are read one by one.
_MOST_AT_ONCE = 10_000


def read_star(
    source: Source | Held,
    *,
    dialect: Dialect = "relion",
    blocks: str | int | Sequence[str | int] | None = None,
    columns: str | Sequence[str] | None = None,
    strict: bool = False,
    on_bad_value: OnBadValue = "error",
    labels: Mapping[str, Label] | None = None,
) -> Document:
    """Read a STAR file.

    Parameters
    ----------
    source
        A path, bytes, or an open binary file; gzip and zstd are unpacked.
    dialect : "relion" or "star"
        RELION's, with one row a line; or the general language of Hall and CIF 1.1.
    blocks : name, position, or a sequence of these, optional
        Read only these blocks, and no values of the others.
    columns : str or sequence of str, optional
        Read only these labels of loops, in this order, and no values of the others.
    strict : bool
        Raise an error, instead of giving a warning, where RELION's own reader would read something else.
    on_bad_value : "error" or "null"
        What becomes of a value that does not fit its label's type: an error, or null, and a line in ``rejects``.
    labels : mapping, optional
        The labels that are known, with their types; the type of any other is inferred from its values.

    Raises
    ------
    MissingFileError
        The file cannot be read.
    StarSyntaxError
        The text is malformed.
    SchemaError
        A value does not fit its label's type, a label repeats, or a block or column is not there.
    """
    structure = _analysed(source, dialect, on_bad_value)
    return _document(structure, blocks, columns, strict, Options(labels or {}, {}, on_bad_value))


def _analysed(source: Source | Held, dialect: Dialect, on_bad_value: OnBadValue) -> Structure:
    """Read a source and take it apart."""
    check_choice("dialect", dialect, get_args(Dialect))
    check_choice("on_bad_value", on_bad_value, get_args(OnBadValue))
    structure = analyse(read_text(source), dialect)
    for fault in structure.faults:
        raise fault
    return structure


def _document(
    structure: Structure,
    blocks: str | int | Sequence[str | int] | None,
    columns: str | Sequence[str] | None,
    strict: bool,
    options: Options,
) -> Document:
    """Read the values of the blocks and columns asked for."""
    found = Findings([*structure.notices, *_repeated_names(structure)])
    columns = [columns] if isinstance(columns, str) else columns
    chosen = None if columns is None else frozenset(columns)
    origin = Origin(structure.text, structure.dialect, options)
    containers = _choose_blocks(structure, blocks)
    reading = _reading(structure, origin, chosen, found, containers)
    read = tuple(_read_block(reading, container) for container in containers)
    raise_gathered(found.errors, "{n} values or labels do not fit:")
    if columns is not None:
        _check_columns(read, columns, structure)
        read = tuple(_in_order(block, columns) for block in read)
    if strict:
        refuse(found.notices)
    return Document(read, tuple(found.notices), tuple(found.rejects), origin)


def _choose_blocks(structure: Structure, blocks: str | int | Sequence[str | int] | None) -> list[int]:
    """The numbers of the containers of the blocks asked for, in the order asked for."""
    roots = _roots(structure)
    if blocks is None:
        return [int(root) for root in roots]
    wanted = [blocks] if isinstance(blocks, str | int) else list(blocks)
    outline = Document(tuple(Block(structure.name(root)) for root in roots.tolist()))
    return [int(roots[outline.position(key)]) for key in wanted]


def _roots(structure: Structure) -> NDArray[np.int64]:
    return np.flatnonzero(structure.parent < 0)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What every block is read with.

    Attributes
    ----------
    loops, pairs, frames : dict of list of int
        For each container that has some, its loops, the label spans of its pairs, and its save frames.
    tables : dict
        The tables of loops that are read already, by their numbers.
    """

    structure: Structure
    origin: Origin
    chosen: frozenset[str] | None
    found: Findings
    loops: dict[int, list[int]]
    pairs: dict[int, list[int]]
    frames: dict[int, list[int]]
    tables: dict[int, pa.Table]


def _reading(
    structure: Structure, origin: Origin, chosen: frozenset[str] | None, found: Findings, containers: Sequence[int]
) -> _Reading:
    loops = _by_owner(structure.loop_container, range(len(structure.loop_container)))
    pairs = _by_owner(structure.pair_container, structure.pair_tag.tolist())
    frames = _by_owner(structure.parent, range(len(structure.heading)))
    own = [loop for container in containers for loop in loops.get(container, ())]
    tables = _read_alike(structure, own, origin.options, chosen) if structure.dialect == "relion" else {}
    return _Reading(structure, origin, chosen, found, loops, pairs, frames, tables)


def _read_alike(
    structure: Structure, loops: Sequence[int], options: Options, chosen: frozenset[str] | None
) -> dict[int, pa.Table]:
    """The tables of loops whose labels many others have, by their numbers: read alone, each would cost a hundredfold.

    Only loops of numbers of known labels; those that give a notice or an error are left out, to be read one by one.
    """
    alike: dict[bytes, list[int]] = {}
    if len(loops) >= _FEW:
        for loop, header in zip(loops, structure.headers(loops), strict=True):
            alike.setdefault(header, []).append(loop)
    tables: dict[int, pa.Table] = {}
    for members in (members for members in alike.values() if len(members) >= _FEW):
        labels = structure.labels(members[0])
        wanted = labels if chosen is None else chosen.intersection(labels)
        if first_repeated(labels) or not all(options.type_of(label) in ("float64", "int64") for label in wanted):
            continue
        for begin in range(0, len(members), _MOST_AT_ONCE):
            some = members[begin : begin + _MOST_AT_ONCE]
            rows, rest = np.divmod(structure.loop_values[some], len(labels))
            own = Findings()
            if rest.any():
                continue
            table = read_cells(structure, loop_cells(structure, some), labels, options, chosen, own)
            if not (own.notices or own.rejects or own.errors):
                ends = np.cumsum(rows)
                slices = zip(some, (ends - rows).tolist(), rows.tolist(), strict=True)
                tables |= {loop: table.slice(first, n) for loop, first, n in slices}
    return tables


def _by_owner(owners: NDArray[np.int64], items: Sequence[int]) -> dict[int, list[int]]:
    owned: dict[int, list[int]] = {}
    for owner, item in zip(owners.tolist(), items, strict=True):
        if owner >= 0:
            owned.setdefault(owner, []).append(item)
    return owned


def _read_block(reading: _Reading, container: int) -> Block:
    structure, found = reading.structure, reading.found
    loops = tuple(
        reading.tables[loop]
        if loop in reading.tables
        else read_loop(structure, loop, reading.origin.options, reading.chosen, found)
        for loop in reading.loops.get(container, ())
        if loop in reading.tables or check_loop(structure, loop, structure.labels(loop), found)
    )
    frames = tuple(_read_block(reading, frame) for frame in reading.frames.get(container, ()))
    pairs = read_pairs(structure, container, reading.pairs.get(container, ()), reading.origin.options, found)
    return Block(structure.name(container), pairs, loops, frames, (reading.origin, container), loops)


def _check_columns(blocks: Sequence[Block], columns: Sequence[str], structure: Structure) -> None:
    there = {name for block in blocks for loop in block.loops for name in loop.column_names}
    missing = sorted(set(columns) - there)
    if missing:
        raise SchemaError(
            f"{structure.text.names[0]}: no column {', '.join(missing)} in the blocks that were read",
            remedy="read without columns= to see which there are",
        )


def _in_order(block: Block, columns: Sequence[str]) -> Block:
    """A block whose loops have their columns in the order asked for."""
    loops = [
        loop.select([name for name in dict.fromkeys(columns) if name in loop.column_names]) for loop in block.loops
    ]
    return replace(block, loops=tuple(loops), _read=tuple(loops))


def _repeated_names(structure: Structure) -> list[Notice]:
    """A notice for each name of several blocks, at the second of them."""
    seen: dict[str, list[int]] = {}
    for root in _roots(structure).tolist():
        seen.setdefault(structure.name(root), []).append(root)
    repeated = sorted((roots[1], len(roots) - 1, name) for name, roots in seen.items() if len(roots) > 1)
    return [
        replace(repeated_block(name, structure.place_of_heading(second)), count=count)
        for second, count, name in repeated
    ]
