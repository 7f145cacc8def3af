"""What is left of tomograms and their tilts, for the tables that refer to them: particles and their trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...errors import DatasetError
from ...relion.particle_set import VISIBLE_FRAMES
from ...relion.tomogram_set import NAME
from .rendering import Plan


@dataclass(frozen=True, slots=True)
class Left:
    """What was left out of a tomogram set.

    Attributes
    ----------
    gone : frozenset of str
        Tomograms that are not there any more.
    tilts : mapping
        For the tomograms that have lost tilts, which of them are left: bool[tilts that there were].
    """

    gone: frozenset[str] = frozenset()
    tilts: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.gone or self.tilts)

    def rows(self, table: pa.Table, position: str | None = None) -> NDArray[np.int64]:
        """The rows of a table that are of what is left; `position`: the column with the tilt of each row, if any."""
        if not self or NAME not in table.column_names:
            return np.arange(table.num_rows)
        names = _encoded(table.column(NAME))
        codes = np.asarray(names.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
        found = names.dictionary.to_pylist()
        is_left = np.array([name not in self.gone for name in found] + [True], bool)[codes]
        if position is not None and self.tilts:
            tilts, begins, sizes = self._flat(found)
            at = table.column(position).to_numpy().astype(np.int64)
            is_known = at < sizes[codes]
            is_left[is_known] &= tilts[begins[codes][is_known] + at[is_known]]
        return np.flatnonzero(is_left)

    def frames(self, table: pa.Table) -> pa.Table:
        """A table of particles whose visible frames are those of the tilts that are left."""
        if not self.tilts or not {NAME, VISIBLE_FRAMES} <= set(table.column_names):
            return table
        type_ = table.schema.field(VISIBLE_FRAMES).type
        if pa.types.is_null(type_):
            return table
        if not (pa.types.is_list(type_) or pa.types.is_large_list(type_)):
            raise DatasetError(f"{VISIBLE_FRAMES} is {type_}, of which no tilts can be taken out", expected="lists")
        names = _encoded(table.column(NAME))
        codes = np.asarray(names.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
        tilts, begins, sizes = self._flat(names.dictionary.to_pylist())
        frames = table.column(VISIBLE_FRAMES).combine_chunks()
        lengths = np.asarray(pc.list_value_length(frames).fill_null(0).to_numpy(zero_copy_only=False), np.int64)
        # Those of another length fit no tilts that there were.
        fits = np.repeat(lengths == sizes[codes], lengths)
        at = np.arange(len(fits)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        is_left = np.ones(len(fits), bool)
        is_left[fits] = tilts[np.repeat(begins[codes], lengths)[fits] + at[fits]]
        owner = np.repeat(np.arange(len(lengths)), lengths)
        counts = np.bincount(owner[is_left], minlength=len(lengths))
        offsets = pa.array(np.append(0, np.cumsum(counts)).astype(np.int32), mask=_mask(frames))
        shorter = type(frames).from_arrays(offsets, frames.flatten().filter(pa.array(is_left)), type=frames.type)
        at_column = table.column_names.index(VISIBLE_FRAMES)
        return table.set_column(at_column, table.schema.field(VISIBLE_FRAMES), shorter)

    def _flat(self, names: list[str]) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
        """Which tilts are left, of one tomogram after the other; where each begins, and its size, or -1 if all are."""
        own = [self.tilts.get(name, np.zeros(0, bool)) for name in names]
        sizes = np.array([len(tilts) or -1 for tilts in own] + [-1], np.int64)
        begins = np.cumsum([0, *(len(tilts) for tilts in own)])
        return np.concatenate([*own, np.zeros(1, bool)]), begins, sizes


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    found = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return found.unify_dictionaries().combine_chunks()


def _mask(frames: pa.ListArray) -> NDArray[np.bool_] | None:
    """Which offsets are null, as Arrow has lists that are null."""
    if not frames.null_count:
        return None
    return np.append(np.asarray(frames.is_null()), False)


def left_of(plan: Plan) -> Left:
    """What a plan leaves of a tomogram set."""
    lost = np.flatnonzero((plan.tilt_counts >= 0) & (plan.counts != plan.tilt_counts))
    ends = np.cumsum(plan.counts)
    names = plan.tomograms.column(NAME)
    tilts = {}
    for t in lost.tolist():
        is_left = np.zeros(int(plan.tilt_counts[t]), bool)
        index = plan.index[ends[t] - plan.counts[t] : ends[t]]
        is_left[index[index < len(is_left)]] = True
        if not is_left.all():
            tilts[names[t].as_py()] = is_left
    return Left(plan.gone, tilts)
