"""``trajectories/`` and ``manifolds/``: the blocks of one file, however many, as one long table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from ...errors import Place, SchemaError, raise_gathered
from ...relion.tomogram_set import NAME
from ...relion.trajectory_set import Blocks, blocks_evidence, read_blocks
from ...star.faults import merged
from ...star.pieces import Piece, never, read_pieces
from ...star.source import reads_again
from ...star.style import FileStyle
from ...star.tables import Findings, Options, add_evidence, few_of_each_label
from ...star.texts import FileText, style_json
from ..layout import PartWriter
from .plain import StarFile, TypeGrew, Written
from .texts import KeptText

TRAJECTORIES, MANIFOLDS = "trajectories", "manifolds"

#: The tables that hold stacked blocks.
STACKED = (TRAJECTORIES, MANIFOLDS)

#: The position of a row in its block, where it is no tilt.
ROW_INDEX = "row_index"

#: The name of the block of each row, where that is no name of a particle.
BLOCK = "block"


class Keys(Protocol):
    """What stands beside the rows of blocks: which particle or tomogram each is of."""

    table: str
    position: str

    def columns(self, names: Sequence[str], counts: Sequence[int]) -> dict[str, pa.Array]:
        """The columns that say so, given the names of blocks, in their order, and how many rows each has."""
        ...

    def tell(self, path: str, found: Findings) -> None:
        """Add what is to be told when all blocks have been seen."""
        ...


@dataclass(slots=True)
class TomogramKeys:
    """Blocks that are named as their tomogram."""

    table: str = MANIFOLDS
    position: str = ROW_INDEX

    def columns(self, names: Sequence[str], counts: Sequence[int]) -> dict[str, pa.Array]:
        return {NAME: repeated(pa.array(names, pa.string()).dictionary_encode(), counts)}

    def tell(self, path: str, found: Findings) -> None:
        pass


def repeated(values: pa.Array, counts: Sequence[int]) -> pa.Array:
    """Each value as often as its block has rows."""
    return values.take(pa.array(np.repeat(np.arange(len(values)), counts)))


@dataclass(slots=True)
class _Styles:
    """How the blocks are written: nearly always all alike. The usual style is kept once, others with their blocks."""

    usual: str | None = None
    others: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    styles: dict[str, FileStyle] = field(default_factory=dict)
    departing: list[tuple[int, str, FileText]] = field(default_factory=list)
    n_blocks: int = 0

    def add(self, names: Sequence[str], texts: Sequence[FileText | None]) -> None:
        """Add blocks; the first ones settle which style is the usual one."""
        by_style: dict[int, tuple[FileStyle, list[tuple[int, str]]]] = {}
        for i, (name, text) in enumerate(zip(names, texts, strict=True), self.n_blocks):
            if text is None:
                continue
            if text.raw or any(text.departures):
                self.departing.append((i, name, text))
            else:
                by_style.setdefault(id(text.style), (text.style, []))[1].append((i, name))
        self.n_blocks += len(names)
        found: dict[str, tuple[FileStyle, list[tuple[int, str]]]] = {}
        for style, own in by_style.values():
            found.setdefault(style_json(style), (style, []))[1].extend(own)
        if self.usual is None and found:
            self.usual = max(found, key=lambda each: len(found[each][1]))
        for key, (style, own) in found.items():
            self.styles[key] = style
            if key != self.usual:
                self.others.setdefault(key, []).extend(own)

    def texts(self, file: str, table: str) -> Iterator[KeptText]:
        """What is kept of them."""

        def kept(text: FileText, blocks: Sequence[tuple[int, str]]) -> KeptText:
            numbers = tuple(i for i, _ in blocks) if blocks else None
            return KeptText(file, None, (table,), text, tuple(name for _, name in blocks), numbers)

        usual: list[tuple[str, list[tuple[int, str]]]] = [] if self.usual is None else [(self.usual, [])]
        for key, blocks in [*usual, *self.others.items()]:
            style = self.styles[key]
            yield kept(FileText(style, tuple(loop.departures for loop in style.loops)), blocks)
        for i, name, text in self.departing:
            yield kept(text, [(i, name)])


def write_stack(
    file: StarFile, keys: Keys, staging: Path, written: Written, *, options: Options, threads: int, found: Findings
) -> Iterator[KeptText]:
    """Write the one table of a file into a folder, then give what is kept of its text.

    Where no block has rows there is no table.

    Raises
    ------
    TypeGrew
        A later piece asks for other types than the first: see `stack_file_evidence`.
    """
    options = replace(options, is_settled=not reads_again(file.source))
    own, styles = Findings(), _Styles()
    labels: tuple[str, ...] = ()
    n_front = rows_seen = 0
    with ExitStack() as stack:
        writer: PartWriter | None = None
        for blocks in _blocks(file, options, threads, stack):
            own.add(_moved(blocks.found, rows_seen))
            if blocks.front is not None:
                n = styles.n_blocks
                # The pairs of what stands between blocks with rows are no more than text.
                pairs = blocks.pairs if not n else []
                written.pairs += [(file.name, n_front + i, block, pair.label, pair.text) for i, block, pair in pairs]
                n_front += len(blocks.front.style.blocks)
                yield KeptText(file.name, None, (), blocks.front, rows=(n,) if n else None)
            if not blocks.names or own.errors:
                continue
            labels = labels or blocks.labels
            _check_labels(file, labels, blocks, keys)
            rows = _rows(blocks, labels, keys)
            if writer is None:
                writer = stack.enter_context(PartWriter(staging / keys.table, staging, rows.schema))
            if not writer.schema.equals(rows.schema):
                raise TypeGrew(file)
            writer.write(rows, keys.position)
            styles.add(blocks.names, blocks.stack.texts)
            rows_seen += rows.num_rows
        raise_gathered(few_of_each_label(own.errors), "{n} values or labels do not fit:")
        found.notices += merged(own.notices)
        found.rejects += own.rejects
    if not n_front and writer is None:
        raise SchemaError(
            "the file holds no block", place=Place(os.fspath(file.path)), expected="a STAR file with data"
        )
    keys.tell(os.fspath(file.path), found)
    if writer is None:
        return
    origins = {label: f"{keys.table}/{label}" for label in labels} | {keys.position: "position"}
    written.add(keys.table, writer.schema, writer.parts, origins | dict.fromkeys(_key_names(writer, origins), BLOCK))
    yield from styles.texts(file.name, keys.table)


def _key_names(writer: PartWriter, origins: dict[str, str]) -> list[str]:
    return [name for name in writer.schema.names if name not in origins]


def _blocks(file: StarFile, options: Options, threads: int, stack: ExitStack) -> Iterator[Blocks]:
    """What each piece of the file holds."""

    def work(piece: Piece) -> Blocks:
        # The first piece alone begins with the first line.
        return read_blocks(piece, options, is_first=piece.structure.text.first_line == 1)

    pieces = read_pieces(file.source, "relion", work, stands=never, threads=threads, whole_blocks=True)
    for read in stack.enter_context(closing(pieces)):
        yield read.result


def _moved(found: Findings, rows: int) -> Findings:
    """Findings with the rows of rejects counted from the first of the file."""
    return replace(found, rejects=[replace(each, row=each.row + rows) for each in found.rejects])


def _check_labels(file: StarFile, labels: Sequence[str], blocks: Blocks, keys: Keys) -> None:
    differing = sorted(set(labels) ^ set(blocks.labels))
    if differing:
        raise SchemaError(
            f"blocks with other labels than those before: {', '.join(differing[:10])}",
            place=Place(os.fspath(file.path), block=blocks.names[0]),
            expected=f"the same in all blocks: {', '.join(labels)}",
        )
    taken = {NAME, keys.position, BLOCK} & set(labels)
    if taken:
        raise SchemaError(
            f"the label {min(taken)} among the rows, which are told apart by their block",
            place=Place(os.fspath(file.path), block=blocks.names[0]),
        )


def _rows(blocks: Blocks, labels: Sequence[str], keys: Keys) -> pa.Table:
    """The rows of a piece, behind the columns that say which block and which row of it they are."""
    counts = blocks.stack.counts
    table = blocks.stack.table.select(list(labels))
    columns = keys.columns(blocks.names, counts.tolist())
    index = np.arange(table.num_rows) - np.repeat(np.cumsum(counts) - counts, counts)
    front = pa.table({**columns, keys.position: pa.array(index.astype(np.int32))})
    schema = pa.schema([*front.schema, *table.schema])
    return pa.Table.from_arrays([*front.columns, *table.columns], schema=schema)


def stack_file_evidence(file: StarFile, options: Options, threads: int) -> dict[str, int]:
    """What the blocks of a file hold that the types of their columns depend on."""
    evidence: dict[str, int] = {}
    work = partial(blocks_evidence, options=options)
    for read in read_pieces(file.source, "relion", work, stands=never, threads=threads, whole_blocks=True):
        add_evidence(evidence, read.result)
    return evidence
