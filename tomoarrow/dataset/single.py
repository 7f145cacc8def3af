"""One STAR file that is no tomogram set: each loop a table, and the pairs of all blocks in one more.

The file is read in pieces, however long it is; its text is kept piece by piece too.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..errors import DatasetError, Place, SchemaError, UsageError, raise_gathered
from ..star.blocks import learn_tables
from ..star.faults import merged
from ..star.pieces import Piece, Read, never, read_pieces
from ..star.reread import read_texts
from ..star.source import Held, Source, Stream, reads_again
from ..star.style import BlockStyle, Loop, Pair
from ..star.tables import Findings, Options, check_loop, evidence_of, loop_cells, read_cells, told
from ..star.texts import FileText, file_text, shorter
from .contents import Contents, source_info
from .layout import PartWriter, write_table
from .manifest import FILE_NAME, TableInfo, column_infos
from .texts import KeptText, write_texts

KIND = "STAR file"

PAIRS = "pairs"

PAIR_COLUMNS = ("block_index", "label", "value")

#: More tables than this are refused: a folder and a file each make a slow dataset.
_MOST_TABLES = 200

#: Names of tables that mean something else in a dataset.
_RESERVED = {"star", "rejects", PAIRS, "tilts", "tomograms", FILE_NAME}


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


@dataclass(slots=True)
class _Written:
    """What has been written so far.

    Attributes
    ----------
    tables : dict
        The tables by name.
    taken : set of str
        Their names and others that are not free, in lower case.
    pairs : list of tuple
        The rows of the table of pairs.
    n_blocks : int
    """

    tables: dict[str, TableInfo] = field(default_factory=dict)
    taken: set[str] = field(default_factory=lambda: {name.lower() for name in _RESERVED})
    pairs: list[tuple[int, str, str, str]] = field(default_factory=list)
    n_blocks: int = 0


class _TypeGrew(Exception):
    """A piece has a column of a type that earlier pieces did not have."""


def write_single(
    path: Path, source: Source | Held | Stream, staging: Path, *, options: Options, threads: int, found: Findings
) -> Contents:
    """Write the tables of a file into a folder.

    Columns have the types that the first piece asks for. Where a later one asks for others, the file is looked
    through for the evidence, without keeping values, and the work begins again; what can be read only once has the
    types of its labels, and text where these are not known.
    """
    again = reads_again(source)
    try:
        written = _write(path, source, staging, replace(options, is_settled=not again), threads, found)
    except _TypeGrew:
        for folder in staging.iterdir():
            shutil.rmtree(folder)
        evidence: dict[str, int] = {}
        for read in read_pieces(source, "relion", partial(_evidence, options), stands=never, threads=threads):
            for label, bits in read.result.items():
                evidence[label] = evidence.get(label, 0) | bits
        found.notices, found.rejects, found.errors = [], [], []
        try:
            written = _write(path, source, staging, replace(options, evidence=evidence), threads, found)
        except _TypeGrew as error:
            raise DatasetError("the file changed while it was read", place=Place(str(path))) from error
    home = Path(os.path.abspath(path)).parent
    return Contents(KIND, home, "the folder of the file", written, [source_info(os.path.abspath(path), path)])


def _write(
    path: Path, source: Source | Held | Stream, staging: Path, options: Options, threads: int, found: Findings
) -> dict[str, TableInfo]:
    written = _Written()
    with closing(read_pieces(source, "relion", partial(_take, options), stands=never, threads=threads)) as pieces:
        texts = write_texts(_texts(path, pieces, written, staging, found), staging)
    found.notices[:] = merged(found.notices)
    raise_gathered(told(found.errors), "{n} values or labels do not fit:")
    if not written.n_blocks:
        raise SchemaError("the file holds no block", place=Place(str(path)), expected="a STAR file with data")
    if written.pairs:
        pairs = _pairs_table(written.pairs)
        parts = write_table(pairs, staging / PAIRS, staging)
        written.tables[PAIRS] = TableInfo(pairs.num_rows, column_infos(pairs.schema, {}), parts)
    return written.tables | {"star": texts}


def _texts(
    path: Path, pieces: Iterator[Read[_Part]], written: _Written, staging: Path, found: Findings
) -> Iterator[KeptText]:
    """The text of each piece, once its rows are written."""
    with ExitStack() as stack:
        name, writer = "", None
        for read in pieces:
            part, goes_on = read.result, read.within is not None
            found.add(part.found)
            names: list[str] = []
            for loop in part.loops if not found.errors else ():
                if writer is None or names or not goes_on:
                    _finish(stack, written, name, writer)
                    name = _free_name(part.blocks[loop.block], written.taken, path)
                    writer = stack.enter_context(PartWriter(staging / name, staging, loop.rows.schema))
                if not writer.schema.equals(loop.rows.schema):
                    raise _TypeGrew
                writer.write_group(loop.rows)
                names.append(name)
            first = written.n_blocks - int(goes_on)
            written.pairs += [(first + i, part.blocks[i], pair.label, pair.text) for i, pair in part.pairs]
            written.n_blocks = first + len(part.blocks)
            rows = None if read.piece.is_last and not goes_on else tuple(loop.rows.num_rows for loop in part.loops)
            yield KeptText(path.name, None, tuple(names), part.text, rows=rows)
        _finish(stack, written, name, writer)


def _finish(stack: ExitStack, written: _Written, name: str, writer: PartWriter | None) -> None:
    """Close the files of a table."""
    if writer is None:
        return
    stack.pop_all().close()
    origins = {label: f"{name}/{label}" for label in writer.schema.names}
    rows = sum(part.rows for part in writer.parts)
    written.tables[name] = TableInfo(rows, column_infos(writer.schema, origins), writer.parts)


def _take(options: Options, piece: Piece) -> _Part:
    """Read all loops and pairs of a piece, and learn its text."""
    structure = piece.structure
    found = Findings(piece.notices)
    roots = np.flatnonzero(structure.parent < 0).tolist()
    tables: dict[int, pa.Table] = {}
    loops = []
    for loop, container in enumerate(structure.loop_container.tolist()):
        labels = structure.labels(loop)
        if container in roots and check_loop(structure, loop, labels, found):
            cells = loop_cells(structure, [loop])
            tables[loop] = read_cells(structure, cells, labels, options, None, found, container)
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


def _evidence(options: Options, piece: Piece) -> dict[str, int]:
    structure = piece.structure
    loops = np.flatnonzero(structure.loop_width).tolist()
    return evidence_of([(structure.labels(loop), loop_cells(structure, [loop])) for loop in loops], options)


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


def _pairs_table(pairs: Sequence[tuple[int, str, str, str]]) -> pa.Table:
    """The pairs of all blocks, in order; their values as text."""
    return pa.table(
        {
            "block_index": pa.array([i for i, _, _, _ in pairs], pa.int32()),
            "block": pa.array([name for _, name, _, _ in pairs], pa.string()),
            "label": pa.array([label for _, _, label, _ in pairs], pa.string()),
            "value": pair_values([text for _, _, _, text in pairs]),
        }
    )


def pair_values(texts: Sequence[str]) -> pa.Array:
    """The values of pairs, without quotes."""
    return read_texts(list(texts), "string", star=False).array
