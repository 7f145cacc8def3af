"""One tomogram among thousands: where its rows are, found from the statistics of row groups and names alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...errors import DatasetError, Place
from ...relion.tomogram_set import NAME
from ..layout import TILT_INDEX
from ..versions.snapshot import DataFile


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group, the row of its file that it begins with, and between which names its tomograms are, if known."""

    file: DataFile
    footer: pq.FileMetaData
    number: int
    first: int
    low: str | None
    high: str | None

    def may_hold(self, name: str) -> bool:
        """Whether the tomogram can be in it."""
        return self.low is None or self.high is None or self.low <= name <= self.high


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of a file that stand together."""

    file: DataFile
    first: int
    rows: int


def row_groups(files: Iterable[DataFile]) -> Iterator[RowGroup]:
    """The row groups of the files of a table, in order.

    Raises
    ------
    DatasetError
        A file does not say which tilts its rows are.
    """
    for file in files:
        footer = pq.read_metadata(file.source)
        missing = [name for name in (NAME, TILT_INDEX) if name not in footer.schema.names]
        if missing:
            raise DatasetError(
                f"the file has no column {missing[0]}",
                place=Place(str(file.place)),
                remedy="write the table with that column, or convert again",
            )
        at = footer.schema.names.index(NAME)
        first = 0
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            low, high = _bounds(group.column(at).statistics)
            yield RowGroup(file, footer, number, first, low, high)
            first += group.num_rows


def _bounds(found: pq.Statistics | None) -> tuple[str, str] | tuple[None, None]:
    """The first and last of the names in a row group, if known; other tools may have made numbers of them."""
    if found is None or not found.has_min_max or not isinstance(found.min, str) or not isinstance(found.max, str):
        return None, None
    return found.min, found.max


def find_tomogram(groups: Iterable[RowGroup], name: str) -> list[Run]:
    """Where the rows of a tomogram are; no other column than that of names is read."""
    runs = []
    for group in groups:
        if group.may_hold(name):
            file = pq.ParquetFile(group.file.source, metadata=group.footer)
            names = file.read_row_group(group.number, columns=[NAME], use_threads=False).column(0)
            rows = np.flatnonzero(pc.equal(names.cast(pa.string()), name).fill_null(False).to_numpy())
            for own in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
                if len(own):
                    runs.append(Run(group.file, group.first + int(own[0]), len(own)))
    return runs
