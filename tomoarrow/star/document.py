"""What a STAR file is: an ordered list of blocks, each with pairs, tables and save frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..errors import BlockNotFoundError, Place, SchemaError, UsageError, counted
from .buffers import Text
from .faults import Notice

if TYPE_CHECKING:
    from .structure import Dialect
    from .tables import Options

#: What the value of a pair may be.
Value = str | int | float | bool | list[int] | list[float] | None


@dataclass(frozen=True, slots=True)
class Reject:
    """A value that was read as null because it does not fit its label's type."""

    place: Place
    label: str
    text: str
    reason: str
    #: The row of its table in which it is null now, from 0; -1 for a pair.
    row: int = -1


@dataclass(frozen=True, slots=True)
class Origin:
    """The text that a document was read from, and how it was read: what it takes to write the same bytes again."""

    text: Text
    dialect: Dialect
    options: Options


@dataclass(frozen=True, slots=True)
class Block:
    """A data block, or a save frame.

    The methods that edit give a new block; written in a document, it keeps the layout of the one that was read.

    Attributes
    ----------
    name : str
        Without ``data_``.
    pairs : dict
        Values by label (without the underscore), in order.
    loops : tuple of pyarrow.Table
        In order; columns are named by label.
    frames : tuple of Block
        Save frames (`star` dialect).
    """

    name: str
    pairs: Mapping[str, Value] = field(default_factory=dict)
    loops: tuple[pa.Table, ...] = ()
    frames: tuple[Block, ...] = ()
    #: What it was read from, and which of its containers it is.
    _origin: tuple[Origin, int] | None = field(default=None, repr=False, compare=False)
    #: Its loops as they were read.
    _read: tuple[pa.Table, ...] = field(default=(), repr=False, compare=False)

    @property
    def table(self) -> pa.Table | None:
        """The one loop, or None where there is none.

        Raises
        ------
        SchemaError
            There are several: take one from `loops`.
        """
        if len(self.loops) > 1:
            raise SchemaError(
                f"block 'data_{self.name}' has {len(self.loops)} loops", remedy="take one from .loops, by position"
            )
        return self.loops[0] if self.loops else None

    def with_table(self, table: Any, loop: int | None = None) -> Block:
        """The block with another table in place of its loop; in a block without one, the table becomes its loop.

        Parameters
        ----------
        table : pyarrow.Table, or a frame of Polars or pandas
        loop : int, optional
            Which loop to replace, where the block has several.

        Raises
        ------
        UsageError
            There are several loops and `loop` is not given, there is no such loop, or the table is none.
        """
        if loop is None and len(self.loops) > 1:
            raise UsageError(f"block 'data_{self.name}' has {len(self.loops)} loops", remedy="say which: loop=0, ...")
        at = loop or 0
        if not 0 <= at < max(1, len(self.loops)):
            raise UsageError(f"block 'data_{self.name}' has no loop {loop}", expected=f"0 to {len(self.loops) - 1}")
        return replace(self, loops=(*self.loops[:at], as_table(table), *self.loops[at + 1 :]))

    def with_column(self, label: str, values: Any) -> Block:
        """The block with one column of its loop replaced, or added as the last.

        Raises
        ------
        UsageError
            There is no loop, or there are not as many values as it has rows.
        SchemaError
            There are several loops.
        """
        table = self.table
        if table is None:
            raise UsageError(f"block 'data_{self.name}' has no loop", remedy="give it one with with_table")
        column = values if isinstance(values, pa.Array | pa.ChunkedArray) else _as_array(label, values)
        if len(column) != table.num_rows:
            raise UsageError(f"{len(column)} values for the {table.num_rows} rows of block 'data_{self.name}'")
        if label in table.column_names:
            return self.with_table(table.set_column(table.column_names.index(label), label, column))
        return self.with_table(table.append_column(label, column))

    def without_column(self, *labels: str) -> Block:
        """The block without some columns of its loop.

        Raises
        ------
        SchemaError
            There is no such column.
        """
        there = [] if self.table is None else self.table.column_names
        for label in labels:
            if label not in there:
                raise SchemaError(f"no column {label} in block 'data_{self.name}'", expected=f"one of {there}")
        return self.with_table(self.table.drop_columns(list(labels))) if labels and self.table is not None else self

    def with_pairs(self, pairs: Mapping[str, Value]) -> Block:
        """The block with these pairs instead of its own."""
        return replace(self, pairs=dict(pairs))

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The one loop, for any library that takes Arrow data (the Arrow PyCapsule interface)."""
        if self.table is None:
            raise SchemaError(f"block 'data_{self.name}' has no loop", remedy="its values are in .pairs")
        return self.table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        loops = "".join(
            f", loop of {counted(loop.num_rows, 'row')} x {counted(loop.num_columns, 'column')}" for loop in self.loops
        )
        pairs = f", {counted(len(self.pairs), 'pair')}" if self.pairs else ""
        frames = f", {len(self.frames)} save frames" if self.frames else ""
        return f"<Block 'data_{self.name}'{pairs}{loops}{frames}>"


@dataclass(frozen=True, slots=True)
class Document:
    """A STAR file: its blocks in order.

    Look a block up by name or by position: ``doc["particles"]``, ``doc[0]``. The methods that edit give a new
    document; `write_star` writes all that was not changed as it was read, byte for byte.

    Attributes
    ----------
    blocks : tuple of Block
    warnings : tuple of Notice
        Where RELION's own reader would have read something else.
    rejects : tuple of Reject
        Values left out with ``on_bad_value="null"``.
    """

    blocks: tuple[Block, ...]
    warnings: tuple[Notice, ...] = ()
    rejects: tuple[Reject, ...] = ()
    _origin: Origin | None = field(default=None, repr=False, compare=False)
    #: Filled at the first look-up: editing block after block needs no table of them all.
    _positions: dict[str, list[int]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def _by_name(self) -> dict[str, list[int]]:
        if not self._positions:
            # Made whole before it is kept: another thread may look up meanwhile.
            positions: dict[str, list[int]] = {}
            for position, block in enumerate(self.blocks):
                positions.setdefault(block.name, []).append(position)
            self._positions.update(positions)
        return self._positions

    @property
    def origin_bytes(self) -> bytes:
        """The bytes that it was read from, unpacked; empty for a document that was not read."""
        text = None if self._origin is None else self._origin.text
        return b"" if text is None else text.buffer[text.begins[0] : text.ends[0]].tobytes()

    @property
    def names(self) -> list[str]:
        """The names of the blocks, in order; a name may repeat."""
        return [block.name for block in self.blocks]

    def __getitem__(self, key: str | int) -> Block:
        if isinstance(key, int):
            return self.blocks[key]
        return self.blocks[self.position(key)]

    def position(self, name: str | int) -> int:
        """The position of the one block of a name, or a position itself, from the front also where it is negative.

        Raises
        ------
        BlockNotFoundError
            There is none.
        SchemaError
            There are several.
        """
        if isinstance(name, int):
            if not -len(self.blocks) <= name < len(self.blocks):
                raise BlockNotFoundError(f"no block at position {name}", expected=counted(len(self.blocks), "block"))
            return range(len(self.blocks))[name]
        positions = self._by_name().get(name, [])
        if len(positions) > 1:
            raise SchemaError(
                f"{len(positions)} blocks are named 'data_{name}'", remedy=f"look them up by position: {positions[:20]}"
            )
        if not positions:
            there = ", ".join(f"'data_{block.name}'" for block in self.blocks[:20]) or "none at all"
            more = f" and {len(self.blocks) - 20} more" if len(self.blocks) > 20 else ""
            raise BlockNotFoundError(f"no block 'data_{name}'", expected=f"one that is there: {there}{more}")
        return positions[0]

    def replace(self, key: str | int, content: Any) -> Document:
        """The document with one block replaced, or with the table or the pairs of that block replaced.

        Parameters
        ----------
        key : str or int
            Name or position of the block.
        content : Block, table, or mapping of pairs
        """
        at = self.position(key)
        old = self.blocks[at]
        if isinstance(content, Block):
            block = content
        elif isinstance(content, Mapping):
            block = old.with_pairs(content)
        else:
            block = old.with_table(content)
        return replace(self, blocks=(*self.blocks[:at], block, *self.blocks[at + 1 :]))

    def add(self, name: str, content: Any, position: int | None = None) -> Document:
        """The document with one more block: the last, or the one at a position.

        Parameters
        ----------
        name : str
        content : Block, table, or mapping of pairs
        position : int, optional
        """
        block = as_block(name, content)
        at = len(self.blocks) if position is None else position
        if not 0 <= at <= len(self.blocks):
            raise UsageError(f"position={position}", expected=f"0 to {len(self.blocks)}")
        return replace(self, blocks=(*self.blocks[:at], block, *self.blocks[at:]))

    def drop(self, key: str | int) -> Document:
        """The document without a block, given by name or position."""
        at = self.position(key)
        return replace(self, blocks=(*self.blocks[:at], *self.blocks[at + 1 :]))

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    def __contains__(self, name: Any) -> bool:
        return name in self._by_name()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The one loop of the document (the Arrow PyCapsule interface)."""
        loops = [loop for block in self.blocks for loop in block.loops]
        if len(loops) != 1:
            raise SchemaError(f"the document has {len(loops)} loops, not one", remedy="hand over one of its blocks")
        return loops[0].__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        lines = [f"<Document of {counted(len(self.blocks), 'block')}"]
        lines += [f"  {block!r}" for block in self.blocks[:20]]
        if len(self.blocks) > 20:
            lines.append(f"  ... and {len(self.blocks) - 20} more")
        return "\n".join(lines) + ">"


def as_table(content: Any) -> pa.Table:
    """A table of pyarrow, whatever library a table comes from."""
    if isinstance(content, pa.Table):
        return content
    if hasattr(content, "collect") and not hasattr(content, "__arrow_c_stream__"):
        content = content.collect()
    if isinstance(content, pa.RecordBatch) or hasattr(content, "__arrow_c_stream__"):
        with suppress(pa.ArrowException):
            return pa.table(content)
    raise UsageError(
        f"not a table: {type(content).__name__}", expected="a table of pyarrow, Polars, pandas or DuckDB, or a Block"
    )


def _as_array(label: str, values: Any) -> pa.Array | pa.ChunkedArray:
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"no values for the column {label}: {error}", expected="a sequence of values") from error


def as_block(name: str, content: Any) -> Block:
    """A block of a name: from a block, a table, a sequence of tables, or a mapping of pairs."""
    if isinstance(content, Block):
        return replace(content, name=name)
    if isinstance(content, Mapping):
        return Block(name, dict(content))
    if isinstance(content, Sequence) and not isinstance(content, str | bytes):
        return Block(name, {}, tuple(as_table(table) for table in content))
    return Block(name, {}, (as_table(content),))
