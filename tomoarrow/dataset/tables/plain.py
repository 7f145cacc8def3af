"""A STAR file as it stands: each loop a table; the pairs of all files make one more.

The file is read in pieces, however long it is; its text is kept piece by piece too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from ...errors import Place, SchemaError, UsageError, raise_gathered
from ...star.blocks import learn_tables
from ...star.faults import merged
from ...star.pieces import Piece, never, read_pieces
from ...star.reread import read_texts
from ...star.source import Held, Source, Stream, reads_again
from ...star.style import BlockStyle, Loop, Pair
from ...star.tables import (
    Findings,
    Options,
    add_evidence,
    check_loop,
    check_pairs,
    evidence_of,
    few_of_each_label,
    label_twice,
    loop_cells,
    read_cells,
)
from ...star.texts import FileText, file_text, shorter
from ..layout import Part, PartWriter, write_table
from ..report import INNER_TABLES
from ..versions.manifest import FILE_NAME, TableInfo, column_infos
from .texts import KeptText, portable

PAIRS = "pairs"

PAIR_COLUMNS = ("file", "block_index", "label", "value")

#: More tables than this are refused: a folder and a file each make a slow dataset.
_MOST_TABLES = 200

#: Names of tables that mean something else in a dataset.
_RESERVED = {*INNER_TABLES, PAIRS, "tilts", "tomograms", "trajectories", "manifolds", FILE_NAME}


@dataclass(frozen=True, slots=True)
class _Loop:
    """The rows of a loop in a piece; `block` is the number of its block there."""

    block: int
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class _Part:
    """What a piece holds: its blocks, its loops, its pairs by the number of their block, its text."""

    blocks: list[str]
    loops: list[_Loop]
    pairs: list[tuple[int, Pair]]
    text: FileText
    found: Findings


@dataclass(frozen=True, slots=True)
class StarFile:
    """A file to be written into a dataset.

    Attributes
    ----------
    name : str
        Its path as the project has it.
    path : Path
        Where it is.
    source : Source, Held or Stream
        What to read it from.
    """

    name: str
    path: Path
    source: Source | Held | Stream


@dataclass(slots=True)
class Written:
    """What has been written of a dataset so far.

    Attributes
    ----------
    tables : dict
        The tables by name.
    taken : set of str
        Their names and others that are not free, in lower case.
    pairs : list of tuple
        The rows of the table of pairs.
    digests : dict of str
        The SHA-256 of tilt-series files, by path.
    evidence : mapping
        What is known of the columns of tilt series.
    """

    tables: dict[str, TableInfo] = field(default_factory=dict)
    taken: set[str] = field(default_factory=lambda: {name.lower() for name in _RESERVED})
    pairs: list[tuple[str, int, str, str, str]] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    evidence: Mapping[str, int] = field(default_factory=dict)

    def add(self, name: str, schema: pa.Schema, parts: list[Part], origins: dict[str, str]) -> None:
        """Add a table that is complete."""
        rows = sum(part.rows for part in parts)
        self.tables[name] = TableInfo(rows, column_infos(schema, origins), parts)


@dataclass(frozen=True, slots=True)
class Shaped:
    """The rows of a loop as they go into the dataset: the name of their table, and where each column came from."""

    name: str
    rows: pa.Table
    origins: dict[str, str] | None = None


#: What becomes of rows of a loop, given the name of its block, and whether the loop has begun in an earlier piece.
Shape = Callable[[str, pa.Table, bool], Shaped]


def as_it_stands(block: str, rows: pa.Table, _goes_on: bool) -> Shaped:
    """Rows that make a table of the name of their block."""
    return Shaped(block, rows)


#: What is known of the columns of each loop of a file, by the name of its block and its labels.
Evidence = dict[tuple[str, ...], dict[str, int]]


class TypeGrew(Exception):
    """A piece of a file has a column of a type that earlier pieces did not have."""

    def __init__(self, file: StarFile) -> None:
        super().__init__(file)
        self.file = file


def write_plain(
    file: StarFile,
    staging: Path,
    written: Written,
    *,
    options: Options,
    evidence: Evidence,
    threads: int,
    found: Findings,
    shape: Shape,
) -> Iterator[KeptText]:
    """Write the tables of a file into a folder, and give the text of each piece once its rows are written.

    Columns have the types that the first piece asks for; `file_evidence` gives those that fit all of them.

    Raises
    ------
    TypeGrew
        A later piece asks for other types.
    """
    options = replace(options, is_settled=not reads_again(file.source))
    own = Findings()
    n_blocks, n_pairs = 0, len(written.pairs)
    with ExitStack() as stack:
        pieces = read_pieces(file.source, "relion", partial(_take, options, evidence), stands=never, threads=threads)
        stack.enter_context(closing(pieces))
        table = _OpenTable(file, staging, written, shape)
        stack.callback(table.leave)
        for read in pieces:
            part, goes_on = read.result, read.within is not None
            own.add(part.found)
            names = [
                table.write(part.blocks[loop.block], loop.rows, goes_on=goes_on and i == 0)
                for i, loop in enumerate(part.loops if not own.errors else ())
            ]
            first = n_blocks - int(goes_on)
            seen = {label for _, n, _, label, _ in written.pairs[n_pairs:] if n == first} if part.pairs else set()
            own.errors += [
                label_twice(Place(str(file.path), block=part.blocks[0], label=pair.label))
                for i, pair in part.pairs
                if i == 0 and pair.label in seen
            ]
            written.pairs += [(file.name, first + i, part.blocks[i], pair.label, pair.text) for i, pair in part.pairs]
            n_blocks = first + len(part.blocks)
            rows = None if read.piece.is_last and not goes_on else tuple(loop.rows.num_rows for loop in part.loops)
            yield KeptText(file.name, None, tuple(names), part.text, rows=rows)
        table.finish()
    found.notices += merged(own.notices)
    found.rejects += own.rejects
    raise_gathered(few_of_each_label(own.errors), "{n} values or labels do not fit:")
    if not n_blocks:
        raise SchemaError("the file holds no block", place=Place(str(file.path)), expected="a STAR file with data")


class _OpenTable:
    """The table that is being written; each loop begins another."""

    def __init__(self, file: StarFile, staging: Path, written: Written, shape: Shape) -> None:
        self._file, self._staging, self._written, self._shape = file, staging, written, shape
        self._writer: PartWriter | None = None
        self._origins: dict[str, str] = {}
        self._name = ""

    def write(self, block: str, rows: pa.Table, *, goes_on: bool) -> str:
        """Write rows of a loop, that goes on with what was written last or not; return the name of its table."""
        shaped = self._shape(block, rows, goes_on)
        if self._writer is None or not goes_on:
            self.finish()
            self._name = _free_name(shaped.name, self._written.taken, self._file.path)
            own = {label: f"{self._name}/{label}" for label in rows.column_names}
            self._origins = own | (shaped.origins or {})
            self._writer = PartWriter(self._staging / self._name, self._staging, shaped.rows.schema)
        if not self._writer.schema.equals(shaped.rows.schema):
            raise TypeGrew(self._file)
        self._writer.write_group(shaped.rows)
        return self._name

    def finish(self) -> None:
        """Complete the table."""
        if self._writer is not None:
            with self._writer as writer:
                pass
            self._written.add(self._name, writer.schema, writer.parts, self._origins)
            self._writer = None

    def leave(self) -> None:
        """Close the file of a table that was not completed."""
        if self._writer is not None:
            self._writer.abandon()


def write_pairs(written: Written, staging: Path) -> None:
    """Write the table of the pairs of all files, if there are any."""
    if written.pairs:
        pairs = _pairs_table(written.pairs)
        written.add(PAIRS, pairs.schema, write_table(pairs, staging / PAIRS, staging), {})


def file_evidence(file: StarFile, options: Options, threads: int) -> Evidence:
    """What the loops of a file hold that the types of their columns depend on."""
    evidence: Evidence = {}
    for read in read_pieces(file.source, "relion", partial(_evidence, options), stands=never, threads=threads):
        for loop, more in read.result:
            add_evidence(evidence.setdefault(loop, {}), more)
    return evidence


def _take(options: Options, evidence: Evidence, piece: Piece) -> _Part:
    """Read all loops and pairs of a piece, and learn its text."""
    structure = piece.structure
    found = Findings(piece.notices)
    check_pairs(structure, piece.begin if piece.within else 0, found)
    roots = np.flatnonzero(structure.parent < 0).tolist()
    tables: dict[int, pa.Table] = {}
    loops = []
    for loop, container in enumerate(structure.loop_container.tolist()):
        labels = structure.labels(loop)
        if container in roots and check_loop(structure, loop, labels, found):
            cells = loop_cells(structure, [loop])
            own = replace(options, evidence=evidence.get((structure.name(container), *labels), {}))
            tables[loop] = read_cells(structure, cells, labels, own, None, found, container)
            if tables[loop].num_columns:
                loops.append(_Loop(roots.index(container), tables[loop]))
    text = file_text(structure, learn_tables(structure, tables), whole=False)
    pairs = [(i, pair) for i, block in enumerate(text.style.blocks) for pair in _pairs_of(block, piece, i)]
    begin, end = int(structure.text.begins[0]), int(structure.text.ends[0])
    raw = structure.text.buffer[begin:end].tobytes()
    return _Part([structure.name(root) for root in roots], loops, pairs, shorter(text, raw), found)


def _pairs_of(block: BlockStyle, piece: Piece, i: int) -> list[Pair]:
    """The pairs of a block: not what the text in front of a piece repeats."""
    items = own_items(block.items) if piece.within and i == 0 else block.items
    return [item for item in items if isinstance(item, Pair)]


def own_items(items: Sequence[str | Pair | Loop]) -> Sequence[str | Pair | Loop]:
    """The items of the first block of a piece that begins in a loop, from that loop on."""
    return items[next(i for i, item in enumerate(items) if isinstance(item, Loop)) :]


def _evidence(options: Options, piece: Piece) -> list[tuple[tuple[str, ...], dict[str, int]]]:
    structure = piece.structure
    found = []
    for loop, container in enumerate(structure.loop_container.tolist()):
        labels = structure.labels(loop)
        if labels:
            more = evidence_of([(labels, loop_cells(structure, [loop]))], options)
            found.append(((structure.name(container), *labels), more))
    return found


def _free_name(block: str, taken: set[str], path: Path) -> str:
    """A name for the table of a loop: that of its block, made fit for a folder, and distinct. It is taken then.

    Raises
    ------
    UsageError
        There are too many.
    """
    if len(taken) >= len(_RESERVED) + _MOST_TABLES:
        raise UsageError(
            f"{path}: more than {_MOST_TABLES} tables",
            expected=f"at most {_MOST_TABLES}, or the global file of a tomogram set",
            remedy='read it with read_table(path, block="*"), or with read_star',
        )
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", block).strip(".") or "data"
    name, n = plain[:100], 1
    while name.lower() in taken:
        n += 1
        name = f"{plain[:100]}_{n}"
    taken.add(name.lower())
    return name


def _pairs_table(pairs: Sequence[tuple[str, int, str, str, str]]) -> pa.Table:
    """The pairs of all blocks, in order; their values as text."""
    files, numbers, blocks, labels, texts = zip(*pairs, strict=True)
    return pa.table(
        {
            "file": pa.array([portable(file) for file in files], pa.string()),
            "block_index": pa.array(numbers, pa.int32()),
            "block": pa.array(blocks, pa.string()),
            "label": pa.array(labels, pa.string()),
            "value": pair_values(texts),
        }
    )


def pair_values(texts: Sequence[str]) -> pa.Array:
    """The values of pairs, without quotes."""
    return read_texts(list(texts), "string", star=False).array
