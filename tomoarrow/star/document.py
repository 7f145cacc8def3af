"""What a STAR file is: an ordered list of blocks, each with pairs, tables and save frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ..errors import BlockNotFoundError, Place, SchemaError
from .faults import Notice

#: What the value of a pair may be.
Value = str | int | float | bool | list[int] | list[float] | None


@dataclass(frozen=True, slots=True)
class Reject:
    """A value that was left out, because it does not fit its label's type."""

    place: Place
    label: str
    text: str
    reason: str
    #: Where it is null now: the number of its row in its table, -1 for a pair.
    row: int = -1


@dataclass(frozen=True, slots=True)
class Block:
    """A data block, or a save frame.

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

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The one loop, for any library that takes Arrow data (the Arrow PyCapsule interface)."""
        if self.table is None:
            raise SchemaError(f"block 'data_{self.name}' has no loop", remedy="its values are in .pairs")
        return self.table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        loops = "".join(f", loop of {loop.num_rows} rows x {loop.num_columns} columns" for loop in self.loops)
        pairs = f", {len(self.pairs)} pairs" if self.pairs else ""
        frames = f", {len(self.frames)} save frames" if self.frames else ""
        return f"<Block 'data_{self.name}'{pairs}{loops}{frames}>"


@dataclass(frozen=True, slots=True)
class Document:
    """A STAR file: its blocks in order.

    Look a block up by name or by position: ``doc["particles"]``, ``doc[0]``.

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
    _positions: dict[str, list[int]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for position, block in enumerate(self.blocks):
            self._positions.setdefault(block.name, []).append(position)

    @property
    def names(self) -> list[str]:
        """The names of the blocks, in order; a name may repeat."""
        return [block.name for block in self.blocks]

    def __getitem__(self, key: str | int) -> Block:
        if isinstance(key, int):
            return self.blocks[key]
        return self.blocks[self.position(key)]

    def position(self, name: str) -> int:
        """The position of the one block of a name.

        Raises
        ------
        BlockNotFoundError
            There is none.
        SchemaError
            There are several.
        """
        positions = self._positions.get(name, [])
        if len(positions) > 1:
            raise SchemaError(
                f"{len(positions)} blocks are named 'data_{name}'", remedy=f"look them up by position: {positions[:20]}"
            )
        if not positions:
            there = ", ".join(f"'data_{block.name}'" for block in self.blocks[:20]) or "none at all"
            more = f" and {len(self.blocks) - 20} more" if len(self.blocks) > 20 else ""
            raise BlockNotFoundError(f"no block 'data_{name}'", expected=f"one that is there: {there}{more}")
        return positions[0]

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    def __contains__(self, name: Any) -> bool:
        return name in self._positions

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The one loop of the document (the Arrow PyCapsule interface)."""
        loops = [loop for block in self.blocks for loop in block.loops]
        if len(loops) != 1:
            raise SchemaError(f"the document has {len(loops)} loops, not one", remedy="hand over one of its blocks")
        return loops[0].__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        lines = [f"<Document of {len(self.blocks)} block{'s' * (len(self.blocks) != 1)}"]
        lines += [f"  {block!r}" for block in self.blocks[:20]]
        if len(self.blocks) > 20:
            lines.append(f"  ... and {len(self.blocks) - 20} more")
        return "\n".join(lines) + ">"
