"""Splits of a dataset by group, for training: no group is in two parts, and new groups move no other."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ...errors import UsageError
from ...relion.tomogram_set import NAME
from ..stores.urls import folder_of
from ..versions.snapshot import Snapshot, open_snapshot
from .row_groups import groups_of

#: Where a group is looked for, if no table is named.
_TABLES = ("tomograms", "tilts", "particles")


@dataclass(frozen=True, slots=True)
class Split:
    """One part of a split.

    Attributes
    ----------
    by : str
        The column that says the group.
    names : tuple of str
        The groups of this part, in the order of the table; numbers as text.
    """

    by: str
    names: tuple[str, ...]

    @property
    def filter(self) -> pl.Expr:
        """The rows of this part, in any table that has the column."""
        return pl.col(self.by).cast(pl.String).is_in(list(self.names))


def split_groups(
    dataset: str | os.PathLike[str] | Snapshot,
    *,
    by: str = NAME,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    table: str | None = None,
) -> tuple[Split, ...]:
    """Split the groups of a dataset, such as its tomograms.

    The part of a group follows from its name and the seed alone (by a hash, BLAKE2b): in another dataset, or in this
    one with more tomograms, it is in the same part. Of few groups the parts have therefore only about these fractions.

    Parameters
    ----------
    dataset : str, path or Snapshot
        A dataset that `convert` made, or one that is open.
    by : str
        The column whose values are the groups. Rows without a value are in no part.
    fractions : sequence of float
        The share of each part; they add up to 1.
    seed : int
        Another seed gives another split.
    table : str, optional
        The table in which to look for groups. By default the first of tomograms, tilts, particles with the column.

    Returns
    -------
    tuple of Split

    Raises
    ------
    DatasetError
        The folder is no dataset, or damaged.
    UsageError
        No table has the column, or the fractions do not add up to 1.
    """
    if min(fractions, default=-1.0) < 0 or not math.isclose(sum(fractions), 1.0, abs_tol=1e-9):
        raise UsageError(f"fractions={tuple(fractions)}", expected="shares that add up to 1, none of them negative")
    snapshot = dataset
    if not isinstance(snapshot, Snapshot):
        snapshot = open_snapshot(folder_of(snapshot, "training"), hold=False)
    ends = np.cumsum(fractions)[:-1]
    parts: list[list[str]] = [[] for _ in fractions]
    for name in _groups(snapshot, by, (table,) if table else _TABLES):
        parts[int(np.searchsorted(ends, _place(name, seed), side="right"))].append(name)
    return tuple(Split(by, tuple(part)) for part in parts)


def _place(name: str, seed: int) -> float:
    """A number from 0 to 1, evenly spread, that follows from a name and a seed."""
    digest = hashlib.blake2b(f"{seed}\0{name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _groups(snapshot: Snapshot, by: str, tables: Sequence[str]) -> list[str]:
    for name in tables:
        if name not in snapshot.manifest["tables"]:
            continue
        table = groups_of(snapshot, name)
        if by in table.schema.names:
            found: dict[str, None] = {}
            for group in table.groups:
                values = pl.Series(table.read(group, [by]).column(0)).cast(pl.String)
                found |= dict.fromkeys(values.unique(maintain_order=True).drop_nulls().to_list())
            return list(found)
    raise UsageError(f"there is no column {by}", expected=f"a column of {', '.join(tables)}")
