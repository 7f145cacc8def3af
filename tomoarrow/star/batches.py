"""One table of a source, read in pieces: whichever block it is in, or stacked from many blocks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import Place, SchemaError, StarSyntaxError
from .cells import Cells
from .columns import read_strings
from .document import Block, Document
from .faults import Notice, repeated_block
from .pieces import OpenLoop, Piece, Read, always, read_pieces
from .source import Held, Source, name_of
from .stack import group_loops
from .structure import Dialect, Structure
from .tables import Findings, Options, add_evidence, evidence_of, loop_cells, read_cells

#: The column with the name of the block that each row of stacked tables comes from.
BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Request:
    """Which table to read, and how.

    Attributes
    ----------
    source : Source
    block : str, int or None
        The name or position of its block; a pattern with ``*`` for all blocks that fit, stacked; None for the only
        loop there is.
    dialect : "relion" or "star"
    columns : tuple of str or None
        Labels, in the order asked for.
    strict : bool
    options : Options
    threads : int
    gathers : bool
        Whether only the evidence for the types of columns is wanted, no values.
    piece_bytes : int or None
    """

    source: Source | Held
    block: str | int | None
    dialect: Dialect
    columns: tuple[str, ...] | None
    strict: bool
    options: Options
    threads: int
    gathers: bool = False
    piece_bytes: int | None = None

    @property
    def stacks(self) -> bool:
        """Whether several blocks may be read."""
        return isinstance(self.block, str) and "*" in self.block

    def wants(self, name: str, position: int) -> bool:
        """Whether a block is read."""
        if isinstance(self.block, int):
            return position == self.block
        if self.block is None or not self.stacks:
            return self.block in (None, name)
        return re.match(translate(self.block), name) is not None


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
    rows = 0
    with closing(_taken(request)) as pieces:
        for taken in pieces:
            found.notices += taken.found.notices
            found.rejects += [replace(each, row=each.row + rows) for each in taken.found.rejects]
            found.errors += taken.found.errors
            if taken.table is not None:
                rows += taken.table.num_rows
                yield taken.table


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

    What is wrong with the table as a whole is told at the end: what is malformed, wherever it is, comes first.
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
            if goes_on:
                loops[-1] += taken.loops[0]
            if request.strict:
                taken.found.notices.extend(_repeated_names(read, seen, goes_on))
            names += taken.names[goes_on:]
            loops += taken.loops[goes_on:]
            begun += taken.begun
            labels = labels or taken.labels
            wrong = wrong or taken.other_labels or _other_labels(request, labels, taken.labels, taken.first_block)
            if taken.labels:
                wrong = wrong or _missing_columns(request, labels)
            if wrong or (begun > 1 and not request.stacks):
                # Not one table: what is still to be seen is only which there are.
                taken = replace(taken, table=None, evidence={})
            if taken.table is not None:
                columns = dict.fromkeys(labels if request.columns is None else request.columns)
                table = taken.table.select(list(columns))
                taken = replace(taken, table=_with_blocks(table, taken, read, labels) if request.stacks else table)
            yield taken
    _check_found(request, names, loops, begun)
    if wrong and is_sound:
        raise wrong


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
        # Some are no tables: here, or in the piece before, it is told of.
        return taken
    first = next(iter(groups))
    taken = replace(taken, labels=first)
    for names, members in groups.items():
        block = structure.name(int(structure.loop_container[members[0]]))
        other = _other_labels(request, first, names, block)
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


def _missing_columns(request: Request, labels: Collection[str]) -> SchemaError | None:
    missing = sorted(set(request.columns or ()) - set(labels))
    if not missing:
        return None
    return SchemaError(
        f"{name_of(request.source)}: no column {', '.join(missing)} in the blocks that were read",
        remedy="read without columns= to see which there are",
    )


def _with_blocks(table: pa.Table, taken: _Taken, read: Read[_Taken], labels: Collection[str]) -> pa.Table:
    """The table, behind a column with the name of the block of each row."""
    names = list(taken.names)
    if read.within:
        names[0] = read.within.block
    used, codes = np.unique(taken.block_of_loop, return_inverse=True)
    # Blocks may have the same name.
    values = pa.array([names[i] for i in used.tolist()], pa.string()).dictionary_encode()
    indices = np.asarray(values.indices)[np.repeat(codes, taken.rows)]
    column = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), values.dictionary)
    return table.add_column(0, pa.field(block_column(labels), column.type), column)


def block_column(labels: Collection[str]) -> str:
    """What the column with the names of blocks is called beside others."""
    name = BLOCK
    while name in labels:
        name += "_"
    return name


def _other_labels(request: Request, first: Collection[str], other: Collection[str], block: str) -> SchemaError | None:
    """What is wrong with stacking a loop on the first one, given the labels of both."""
    differing = sorted(set(first) ^ set(other))
    if not differing or not other or not request.stacks:
        return None
    return SchemaError(
        f"the loop of this block has other labels than the one before: {', '.join(differing[:10])}",
        place=Place(name_of(request.source), block=block),
        expected="the same labels in all blocks that are stacked",
        remedy='name blocks that have the same with a pattern, such as block="TS_01/*"; or read them with read_star',
    )


def _check_found(request: Request, names: list[str], loops: list[int], begun: int) -> None:
    """Refuse what is not one table, or no table at all.

    Raises
    ------
    SchemaError
    """
    outline = Document(tuple(Block(name) for name in names))
    path = name_of(request.source)
    if request.block is None and begun != 1:
        there = ", ".join(f"'data_{name}'" for name, n in zip(names, loops, strict=True) if n) or "none"
        if sum(n > 0 for n in loops) == 1:
            raise _several_loops(path, names, loops, next(i for i, n in enumerate(loops) if n))
        raise SchemaError(
            f"{path}: {sum(n > 0 for n in loops)} blocks with a loop, not one",
            expected="a file with one table, or the name of a block",
            remedy=f"name one of the blocks with a loop: {there}",
        )
    if request.stacks and not begun:
        there = ", ".join(f"'data_{name}'" for name in names[:20]) or "none at all"
        raise SchemaError(f"{path}: no block fits {request.block!r}, or none has a loop", expected=f"one of {there}")
    if request.block is None or request.stacks:
        return
    at = outline.position(request.block)
    if loops[at] != 1:
        raise _several_loops(path, names, loops, at)


def _several_loops(path: str, names: Sequence[str], loops: Sequence[int], at: int) -> SchemaError:
    return SchemaError(
        f"{path}: block 'data_{names[at]}' has {loops[at] or 'no'} loop{'s' * (loops[at] > 1)}",
        remedy="read it with read_star" + " and take one from .loops" * (loops[at] > 1),
    )
