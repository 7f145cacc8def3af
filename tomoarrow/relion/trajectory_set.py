"""Sets that have one block for each particle or tomogram, stacked: trajectories and manifolds.

A trajectory set begins with a list ``general``, which counts the particles; then comes a block for each, named as the
particle, with a row of shifts for each tilt (``src/jaz/tomography/motion/trajectory.cpp``: Trajectory::write). Older
ones number their blocks from 0: which particle is meant, only the order of the particle set says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemaError
from ..star.blocks import style_blocks
from ..star.faults import Notice
from ..star.pieces import Piece
from ..star.stack import Stack, as_files, block_begins, group_loops, read_stack, stack_evidence
from ..star.structure import Structure
from ..star.style import FileStyle, Pair
from ..star.tables import Findings, Options, check_pairs
from ..star.texts import FileText


@dataclass(frozen=True, slots=True)
class Blocks:
    """What a piece of a file holds.

    Attributes
    ----------
    names : list of str
        The names of the blocks that have rows.
    stack : Stack
        Their rows, and how each is written.
    front : FileText or None
        How the blocks are written that stand before the first with rows, where the piece is the first of its file or
        has none with rows.
    pairs : list of tuple
        The pairs of those: number and name of the block, and the pair.
    labels : tuple of str
        Of the first block with rows.
    found : Findings
    """

    names: list[str]
    stack: Stack
    front: FileText | None
    pairs: list[tuple[int, str, Pair]]
    labels: tuple[str, ...]
    found: Findings


def read_blocks(piece: Piece, options: Options, *, is_first: bool) -> Blocks:
    """Read the blocks of a piece that holds whole ones."""
    structure = piece.structure
    found = Findings(piece.notices)
    check_pairs(structure, 0, found)
    roots = np.flatnonzero(structure.parent < 0)
    loops = _loop_of_each(structure, roots, found)
    filled = np.flatnonzero(loops >= 0)
    begins = block_begins(structure)
    front_end = int(begins[filled[0]]) if len(filled) else int(structure.text.ends[0])
    begins = begins[filled]
    if len(begins) and not is_first:
        # Blocks without rows, of which there should be none, stay with those beside them.
        begins[0] = structure.text.begins[0]
    files = as_files(structure, begins)
    names = [structure.name(int(root)) for root in roots[filled].tolist()]
    groups = group_loops(structure, loops[filled], found)
    labels = next(iter(groups), ())
    for other, members in groups.items():
        if set(other) != set(labels):
            found.errors.append(_other_labels(structure, members[0], labels, other))
    stack, _ = read_stack(structure, files, {} if found.errors else groups, names, options, found)
    front, pairs = _front(structure, front_end) if is_first or not len(filled) else (None, [])
    return Blocks(names, stack, front, pairs, labels, found)


def blocks_evidence(piece: Piece, options: Options) -> dict[str, int]:
    """What the blocks of a piece hold that the types of their columns depend on."""
    structure = piece.structure
    loops = np.flatnonzero(structure.loop_width > 0)
    return stack_evidence(structure, group_loops(structure, loops, Findings()), options)


def _loop_of_each(structure: Structure, roots: NDArray[np.int64], found: Findings) -> NDArray[np.int64]:
    """For each block the number of its loop, -1 where it has no rows; blocks that hold more are errors."""
    is_filled = structure.loop_values > 0
    owners = np.searchsorted(roots, structure.loop_container[is_filled])
    counts = np.bincount(owners, minlength=len(roots))
    loops = np.full(len(roots), -1, np.int64)
    loops[owners] = np.flatnonzero(is_filled)
    with_pairs = np.bincount(np.searchsorted(roots, structure.pair_container), minlength=len(roots)) > 0
    for i in np.flatnonzero((counts > 1) | ((counts > 0) & with_pairs)).tolist():
        found.errors.append(
            SchemaError(
                f"the block has {counts[i]} loops" if counts[i] > 1 else "labels with one value each, beside a loop",
                place=structure.place_of_heading(int(roots[i])),
                expected="one loop, and nothing else",
            )
        )
    first = int(np.argmax(loops >= 0)) if (loops >= 0).any() else len(loops)
    for i in np.flatnonzero(loops[first:] < 0).tolist():
        message = "a block without rows among those that have some; it is kept as text only"
        found.notices.append(Notice("empty-block", message, structure.place_of_heading(int(roots[first + i]))))
    return loops


def _other_labels(structure: Structure, loop: int, labels: Sequence[str], other: Sequence[str]) -> SchemaError:
    differing = sorted(set(labels) ^ set(other))
    return SchemaError(
        f"the loop of this block has other labels than those before: {', '.join(differing[:10])}",
        place=structure.place_of_heading(int(structure.loop_container[loop])),
        expected=f"the same in all blocks: {', '.join(labels)}",
    )


def _front(structure: Structure, end: int) -> tuple[FileText | None, list[tuple[int, str, Pair]]]:
    """The text up to a position, and the pairs of the blocks in it."""
    if end == int(structure.text.begins[0]):
        return None, []
    blocks = style_blocks(as_files(structure, np.array([structure.text.begins[0], end])), 0, {})
    pairs = [(i, block.name, item) for i, block in enumerate(blocks) for item in block.items if isinstance(item, Pair)]
    return FileText(FileStyle(tuple(blocks)), ()), pairs
