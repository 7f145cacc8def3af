"""One table of a source, read in pieces: whichever block it is in, or stacked from many blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import SchemaError, StarSyntaxError
from .cells import Cells
from .columns import read_strings
from .faults import Notice, repeated_block
from .pieces import OpenLoop, Piece, Read, always, read_pieces
from .request import Request, check_found, missing_columns, other_labels
from .stack import group_loops
from .structure import Structure
from .tables import Findings, add_evidence, evidence_of, loop_cells, read_cells

#: The column with the name of the block that each row of stacked tables comes from.
BLOCK = "block"


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a piece holds of the table.

    Attributes
    ----------
    names : list of str
        The blocks of the piece, the first of which may have begun before it.
    loops : list of int
        How many loops begin in each.
    begun : int
        How many loops of the table begin in the piece.
    labels : tuple of str
        Of the first of its loops; empty where it holds none.
    table : pyarrow.Table or None
    block_of_loop : int64[loops]
        For each loop of the table the number of its block in the piece.
    rows : int64[loops]
        How many rows each has.
    evidence : dict
        What the columns hold, where that is what is wanted.
    found : Findings
    other_labels : SchemaError or None
        What is wrong where its loops cannot be stacked.
    """

    names: list[str]
    loops: list[int]
    begun: int
    labels: tuple[str, ...]
    table: pa.Table | None
    block_of_loop: NDArray[np.int64]
    rows: NDArray[np.int64]
    evidence: dict[str, int]
    found: Findings
    other_labels: SchemaError | None = None

    @property
    def first_block(self) -> str:
        """The block of its first loop."""
        return self.names[int(self.block_of_loop[0])] if len(self.block_of_loop) else ""


def read_batches(request: Request, found: Findings) -> Generator[pa.Table, None, None]:
    """Read a table, a piece after the other.

    Each piece has the types that its own values ask for, where `request.options` does not settle them.

    Parameters
    ----------
    request : Request
    found : Findings
        Notices, rejects and errors of values are added as they come.

    Raises
    ------
    SchemaError
        There is not one such table.
    StarSyntaxError
        The text is malformed.
    """
    with closing(_gathered(request, found)) as pieces:
        for taken in pieces:
            if taken.table is not None:
                yield taken.table


def count_rows(request: Request, found: Findings) -> tuple[list[str], list[int]]:
    """The blocks whose rows make a table, and how many each has: also where several that follow have one name.

    Values are read for what is wrong with them, and not kept; parameters and errors are those of `read_batches`.
    """
    names: list[str] = []
    counts: list[int] = []
    with closing(_gathered(request, found)) as pieces:
        for taken in pieces:
            blocks, rows = taken.block_of_loop.tolist(), taken.rows.tolist()
            if len(blocks) > taken.begun:
                # The first loop has begun in a piece before.
                counts[-1] += rows.pop(0)
                blocks.pop(0)
            filled = [(taken.names[block], n) for block, n in zip(blocks, rows, strict=True) if n]
            names += [name for name, _ in filled]
            counts += [n for _, n in filled]
    return names, counts


def _gathered(request: Request, found: Findings) -> Generator[_Taken, None, None]:
    """What each piece holds of the table; what it came upon is added to `found`."""
    rows = 0
    with closing(_taken(request)) as pieces:
        for taken in pieces:
            found.notices += taken.found.notices
            found.rejects += [replace(each, row=each.row + rows) for each in taken.found.rejects]
            found.errors += taken.found.errors
            rows += 0 if taken.table is None else taken.table.num_rows
            yield taken


def read_evidence(request: Request) -> dict[str, int]:
    """What the columns of a table hold that their types depend on: see `tomoarrow.star.columns.gather_evidence`."""
    evidence: dict[str, int] = {}
    for taken in _taken(replace(request, gathers=True)):
        add_evidence(evidence, taken.evidence)
    return evidence


def count_blocks(request: Request) -> int:
    """Count the blocks of a file."""

    def begun(piece: Piece) -> int:
        return int((piece.structure.parent < 0).sum()) - int(piece.within is not None)

    pieces = read_pieces(request.source, request.dialect, begun, stands=always, threads=request.threads)
    return sum(read.result for read in pieces)


def _taken(request: Request) -> Generator[_Taken, None, None]:
    """What each piece holds of the one table, its columns as asked for.

    What is wrong with the table as a whole is raised at the end: malformed text, wherever it is, comes first.
    """
    names: list[str] = []
    loops: list[int] = []
    labels: tuple[str, ...] = ()
    begun = 0
    wrong: SchemaError | None = None
    is_sound = True
    seen: Counter[str] = Counter()
    pieces = read_pieces(
        request.source,
        request.dialect,
        partial(_take, request),
        stands=partial(_stands, request),
        threads=request.threads,
        piece_bytes=request.piece_bytes,
    )
    with closing(pieces):
        for read in pieces:
            taken, goes_on = read.result, int(read.within is not None)
            is_sound &= not any(isinstance(error, StarSyntaxError) for error in taken.found.errors)
            if read.within is not None:
                loops[-1] += taken.loops[0]
                # It was taken to begin in a block that may have had another name.
                taken = replace(taken, names=[read.within.block, *taken.names[1:]])
            if request.strict:
                taken.found.notices.extend(_repeated_names(read, seen, goes_on))
            names += taken.names[goes_on:]
            loops += taken.loops[goes_on:]
            begun += taken.begun
            labels = labels or taken.labels
            wrong = wrong or taken.other_labels or other_labels(request, labels, taken.labels, taken.first_block)
            if taken.labels:
                wrong = wrong or missing_columns(request, labels)
            if wrong or (begun > 1 and not request.stacks):
                # Not one table: what is still to be seen is only which there are.
                taken = replace(taken, table=None, evidence={})
            yield _as_asked(request, taken, labels)
    check_found(request, names, loops, begun)
    if wrong and is_sound:
        raise wrong


def _as_asked(request: Request, taken: _Taken, labels: Collection[str]) -> _Taken:
    """What a piece holds, with the columns asked for; behind the names of their blocks, where several are stacked."""
    if taken.table is None:
        return taken
    table = taken.table.select(list(dict.fromkeys(labels if request.columns is None else request.columns)))
    return replace(taken, table=_with_blocks(table, taken, labels) if request.stacks else table)


def _stands(request: Request, taken: _Taken, one: OpenLoop | None, other: OpenLoop | None) -> bool:
    if one == other:
        return True
    found = taken.found
    if one is None or other is None or one.labels != other.labels or one.has_pairs != other.has_pairs:
        return False
    if found.notices or found.errors or found.rejects or taken.other_labels:
        # They name the block.
        return False
    if isinstance(request.block, int):
        return one.position == other.position
    return request.wants(one.block, one.position) == request.wants(other.block, other.position)


def _take(request: Request, piece: Piece) -> _Taken:
    """Read the rows of a piece that belong to the table."""
    structure = piece.structure
    found = Findings(piece.notices)
    goes_on = int(piece.within is not None)
    first = piece.within.position if piece.within else 0
    roots = np.flatnonzero(structure.parent < 0)
    names = names_of(structure, roots)
    # Loops of save frames are none of their blocks.
    loops = np.flatnonzero(structure.parent[structure.loop_container] < 0)
    block_of_loop = np.searchsorted(roots, structure.loop_container[loops])
    begun_in_block = np.bincount(block_of_loop[goes_on:], minlength=len(roots)).tolist()
    if request.block not in (None, "*"):
        wanted = np.array([request.wants(name, first + i) for i, name in enumerate(names)], bool)
        is_wanted = wanted[block_of_loop]
        loops, block_of_loop = loops[is_wanted], block_of_loop[is_wanted]
    begun = len(loops) - int(goes_on and len(loops) and loops[0] == 0)
    rows = structure.loop_values[loops] // np.maximum(structure.loop_width[loops], 1)
    taken = _Taken(names, begun_in_block, begun, (), None, block_of_loop, rows, {}, found)
    return _with_loops(request, taken, structure, loops) if len(loops) else taken


def names_of(structure: Structure, containers: NDArray[np.int64]) -> list[str]:
    """The names of blocks, given by their numbers."""
    spans = structure.heading[containers]
    cells = Cells(structure.text.buffer, structure.spans, spans, np.ones(len(spans), np.int64), 1, False, False)
    names: list[str] = read_strings(cells, 0).to_pylist()
    return names


def _with_loops(request: Request, taken: _Taken, structure: Structure, loops: NDArray[np.int64]) -> _Taken:
    """What a piece holds, with the rows of its loops, one loop after the other, or the evidence in them."""
    groups = group_loops(structure, loops, taken.found)
    if sum(map(len, groups.values())) < len(loops):
        # Some are no tables, which is reported here or in the piece before.
        return taken
    first = next(iter(groups))
    taken = replace(taken, labels=first)
    for names, members in groups.items():
        block = structure.name(int(structure.loop_container[members[0]]))
        other = other_labels(request, first, names, block)
        if other:
            return replace(taken, other_labels=other)
    cells = {names: loop_cells(structure, members) for names, members in groups.items()}
    chosen = None if request.columns is None else frozenset(request.columns)
    if request.gathers:
        return replace(taken, evidence=evidence_of(cells.items(), request.options, chosen))
    if len(groups) > 1 and not request.stacks:
        return taken
    options = request.options
    if len(groups) > 1 and not options.is_settled:
        options = replace(options, evidence={**evidence_of(cells.items(), options, chosen), **options.evidence})
    found = [Findings() for _ in cells]
    tables = [
        read_cells(structure, each, names, options, chosen, own)
        for (names, each), own in zip(cells.items(), found, strict=True)
    ]
    owners = [np.repeat(np.array(groups[names]), each.rows) for names, each in cells.items()]
    order = np.argsort(np.concatenate(owners), kind="stable")
    row_of = np.argsort(order)
    begin = 0
    for table, own in zip(tables, found, strict=True):
        own.rejects = [replace(each, row=int(row_of[begin + each.row])) for each in own.rejects]
        taken.found.add(own)
        begin += table.num_rows
    if len(tables) == 1:
        return replace(taken, table=tables[0])
    joined = pa.concat_tables([table.select(tables[0].column_names) for table in tables])
    return replace(taken, table=joined.take(pa.array(order)))


def _repeated_names(read: Read[_Taken], seen: Counter[str], goes_on: int) -> Iterator[Notice]:
    """A notice for each block of a piece that is the second one of its name."""
    structure = read.piece.structure
    roots = np.flatnonzero(structure.parent < 0).tolist()
    for root, name in list(zip(roots, read.result.names, strict=True))[goes_on:]:
        seen[name] += 1
        if seen[name] == 2:
            yield repeated_block(name, structure.place_of_heading(root))


def _with_blocks(table: pa.Table, taken: _Taken, labels: Collection[str]) -> pa.Table:
    """The table, behind a column with the name of the block of each row."""
    used, codes = np.unique(taken.block_of_loop, return_inverse=True)
    # Blocks may have the same name.
    values = pa.array([taken.names[i] for i in used.tolist()], pa.string()).dictionary_encode()
    indices = np.asarray(values.indices)[np.repeat(codes, taken.rows)]
    column = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), values.dictionary)
    return table.add_column(0, pa.field(block_column(labels), column.type), column)


def block_column(labels: Collection[str]) -> str:
    """What the column with the names of blocks is called beside others."""
    name = BLOCK
    while name in labels:
        name += "_"
    return name
