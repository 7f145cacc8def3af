"""Which table of a source is read, and the errors where there is no such table, or more than one."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import translate

from ..errors import Place, SchemaError
from .document import Block, Document
from .source import Held, Source, name_of
from .structure import Dialect
from .tables import Options


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


def missing_columns(request: Request, labels: Collection[str]) -> SchemaError | None:
    """What is wrong with the columns asked for, given those that the table has."""
    missing = sorted(set(request.columns or ()) - set(labels))
    if not missing:
        return None
    return SchemaError(
        f"{name_of(request.source)}: no column {', '.join(missing)} in the blocks that were read",
        remedy="read without columns= to see which there are",
    )


def other_labels(request: Request, first: Collection[str], other: Collection[str], block: str) -> SchemaError | None:
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


def check_found(request: Request, names: list[str], loops: list[int], begun: int) -> None:
    """Refuse what is not one table, or no table at all.

    Raises
    ------
    SchemaError
    """
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
    at = Document(tuple(map(Block, names))).position(request.block)
    if loops[at] != 1:
        raise _several_loops(path, names, loops, at)


def _several_loops(path: str, names: Sequence[str], loops: Sequence[int], at: int) -> SchemaError:
    return SchemaError(
        f"{path}: block 'data_{names[at]}' has {loops[at] or 'no'} loop{'s' * (loops[at] > 1)}",
        remedy="read it with read_star" + " and take one from .loops" * (loops[at] > 1),
    )
