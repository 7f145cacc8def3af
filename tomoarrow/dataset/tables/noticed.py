"""``notices/`` and ``rejects/``: what reading came upon, a row each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import DatasetError, Place
from ...star.document import Reject
from ...star.faults import Notice
from ..layout import write_table
from ..versions.manifest import TableInfo, column_infos
from ..versions.snapshot import Snapshot
from .texts import portable

NOTICES, REJECTS = "notices", "rejects"

_T = TypeVar("_T", Notice, Reject)

_PLACE = [
    ("file", pa.string()),
    ("line", pa.int64()),
    ("column", pa.int64()),
    ("block", pa.string()),
    ("label", pa.string()),
    ("text", pa.string()),
]
_NOTICES = pa.schema([*_PLACE, ("code", pa.string()), ("message", pa.string()), ("count", pa.int64())])
_REJECTS = pa.schema([*_PLACE, ("reason", pa.string())])


def write_notices(notices: Sequence[Notice], staging: Path) -> TableInfo:
    """Write ``notices/``."""
    columns = _places([notice.place for notice in notices])
    columns["code"] = [notice.code for notice in notices]
    columns["message"] = [portable(notice.message) for notice in notices]
    columns["count"] = [notice.count for notice in notices]
    return _write(pa.table(columns, schema=_NOTICES), staging, NOTICES)


def write_rejects(rejects: Sequence[Reject], staging: Path) -> TableInfo:
    """Write ``rejects/``."""
    columns = _places([reject.place for reject in rejects])
    columns["label"] = [reject.label or None for reject in rejects]
    columns["text"] = [portable(reject.text) for reject in rejects]
    columns["reason"] = [portable(reject.reason) for reject in rejects]
    return _write(pa.table(columns, schema=_REJECTS), staging, REJECTS)


def by_series(found: Sequence[_T], paths: Sequence[str]) -> list[_T]:
    """Notices or rejects in the order of the tilt-series files, given their paths; before them those of other files."""
    at = {path: i for i, path in enumerate(paths)} if found else {}
    return sorted(found, key=lambda each: at.get(each.place.path, -1))


def read_notices(snapshot: Snapshot) -> list[Notice]:
    """The notices of a conversion."""
    rows = _read(snapshot, NOTICES, _NOTICES)
    return [Notice(row["code"], row["message"], _place(row), row["count"]) for row in rows]


def read_rejects(snapshot: Snapshot) -> list[Reject]:
    """The rejects of a conversion; not where they are null."""
    rows = _read(snapshot, REJECTS, _REJECTS)
    return [Reject(_place(row), row["label"] or "", row["text"] or "", row["reason"]) for row in rows]


def _places(places: Sequence[Place]) -> dict[str, list[str | int | None]]:
    return {
        "file": [portable(place.path) for place in places],
        "line": [place.line or None for place in places],
        "column": [place.column or None for place in places],
        "block": [place.block for place in places],
        "label": [place.label for place in places],
        "text": [portable(place.text) for place in places],
    }


def _place(row: dict[str, Any]) -> Place:
    return Place(row["file"], row["line"] or 0, row["column"] or 0, row["block"], row["label"], row["text"] or "")


def _write(table: pa.Table, staging: Path, name: str) -> TableInfo:
    return TableInfo(table.num_rows, column_infos(table.schema, {}), write_table(table, staging / name, staging))


def _read(snapshot: Snapshot, name: str, schema: pa.Schema) -> list[dict[str, Any]]:
    try:
        return [row for file in snapshot.tables.get(name, ()) for row in pq.read_table(file.source).to_pylist()]
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"the table {name} cannot be read: {error}", place=Place(str(snapshot.folder))) from error
