"""``sources/``: the STAR files that a dataset was made from, as they were then."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import DatasetError, Place
from ..layout import write_table
from ..versions.manifest import SourceInfo, TableInfo, column_infos
from ..versions.snapshot import Snapshot
from .texts import portable

SOURCES = "sources"

_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), metadata={"description": "Path of the STAR file, as the project has it"}),
        pa.field("bytes", pa.int64(), metadata={"description": "Its size", "unit": "byte"}),
        pa.field("mtime_ns", pa.int64(), metadata={"description": "When it was last changed", "unit": "ns"}),
        pa.field("sha256", pa.binary(32), metadata={"description": "SHA-256 of its text, unpacked"}),
    ]
)


def source_info(name: str, path: str | Path, sha256: str = "") -> SourceInfo:
    """What is kept of a file."""
    status = os.stat(path)
    return SourceInfo(name, status.st_size, status.st_mtime_ns, sha256)


@dataclass(frozen=True, slots=True)
class Known:
    """A tilt-series file that has been looked at already; its bytes, where it is held."""

    info: SourceInfo
    data: memoryview | None = None


def with_digests(sources: Sequence[SourceInfo], digests: Mapping[str, str]) -> list[SourceInfo]:
    """Files with the checksums that were found, by path, while they were read."""
    # For tens of thousands: to replace a field of each costs five times as much.
    return [SourceInfo(s.path, s.bytes, s.mtime_ns, digests.get(s.path, s.sha256)) for s in sources]


def as_table(sources: Sequence[SourceInfo]) -> pa.Table:
    """The rows of ``sources/``."""
    return pa.table(
        [
            pa.array([portable(source.path) for source in sources], pa.string()),
            pa.array([source.bytes for source in sources], pa.int64()),
            pa.array([source.mtime_ns for source in sources], pa.int64()),
            pa.array([bytes.fromhex(source.sha256) or None for source in sources], pa.binary(32)),
        ],
        schema=_SCHEMA,
    )


def write_sources(table: pa.Table, staging: Path) -> TableInfo:
    """Write ``sources/``."""
    parts = write_table(table, staging / SOURCES, staging)
    return TableInfo(table.num_rows, column_infos(_SCHEMA, {}), parts)


def sources_table(snapshot: Snapshot) -> pa.Table:
    """The rows of ``sources/``, as they are stored.

    Raises
    ------
    DatasetError
        The table is damaged.
    """
    if SOURCES not in snapshot.tables:
        return as_table([SourceInfo(**source) for source in snapshot.manifest.get(SOURCES, [])])
    found = []
    for file in snapshot.tables[SOURCES]:
        try:
            found.append(pq.read_table(file.source, schema=_SCHEMA))
        except (OSError, pa.ArrowException, ValueError) as error:
            raise DatasetError(f"the file cannot be read: {error}", place=Place(str(file.place))) from error
    return pa.concat_tables(found)


def read_sources(snapshot: Snapshot) -> list[SourceInfo]:
    """The STAR files that a dataset was made from.

    Raises
    ------
    DatasetError
        The table is damaged.
    """
    return as_infos(sources_table(snapshot))


def as_infos(table: pa.Table) -> list[SourceInfo]:
    """What rows of ``sources/`` say."""
    columns = table.to_pydict()
    sums = [value.hex() if value else "" for value in columns["sha256"]]
    return [*map(SourceInfo, columns["path"], columns["bytes"], columns["mtime_ns"], sums)]
