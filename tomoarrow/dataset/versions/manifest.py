"""``manifest.json``: what a dataset holds, where it came from, and what was noticed on the way.

Its last line has the SHA-256 of all that stands before.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...errors import DatasetError, Place
from ..layout import Part
from ..stores.urls import Remote

FILE_NAME = "manifest.json"
FORMAT = "tomoarrow dataset"
FORMAT_VERSION = 2

#: What datasets of version 1 do not say.
_SINCE_2: dict[str, Any] = {"version": 1, "retired": [], "asked": {}, "read_ns": 0, "projects": {}}


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """One column: its Arrow type, unit, meaning, and the table and label that it came from."""

    name: str
    type: str
    unit: str = ""
    description: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class TableInfo:
    """One table of a dataset."""

    rows: int
    columns: list[ColumnInfo]
    files: list[Part]
    partition_by: str | None = None


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """One STAR file that was read; its checksum is not known of datasets of version 1."""

    path: str
    bytes: int
    mtime_ns: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``manifest.json`` holds.

    `version` counts how often the dataset was written; `retired` are the files of versions before that are not of
    this one. `asked` are the options of the conversion, `read_ns` is when it began to read. `projects` are the
    manifests that each of many projects would have alone.
    """

    written_by: str
    created: str
    kind: str
    input: str
    project: str
    tables: dict[str, TableInfo]
    warnings: list[dict[str, Any]] = field(default_factory=list)
    rejects: int = 0
    version: int = 1
    retired: list[str] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)
    projects: dict[str, Any] = field(default_factory=dict)
    read_ns: int = 0
    format: str = FORMAT
    format_version: int = FORMAT_VERSION


def manifest_of(plain: dict[str, Any]) -> Manifest:
    """The manifest as it was before it was written."""
    known = {each.name: plain[each.name] for each in fields(Manifest)}
    return Manifest(**known | {"tables": {name: table_info(table) for name, table in plain["tables"].items()}})


def table_info(described: dict[str, Any]) -> TableInfo:
    """What the manifest says of a table."""
    columns = [ColumnInfo(**column) for column in described["columns"]]
    return TableInfo(
        described["rows"], columns, [Part(**file) for file in described["files"]], described["partition_by"]
    )


def column_infos(schema: pa.Schema, origins: dict[str, str]) -> list[ColumnInfo]:
    """What the manifest says of columns."""
    infos = []
    for column in schema:
        metadata = {key.decode(): value.decode() for key, value in (column.metadata or {}).items()}
        infos.append(
            ColumnInfo(
                column.name,
                str(column.type),
                metadata.get("unit", ""),
                metadata.get("description", ""),
                origins.get(column.name, ""),
            )
        )
    return infos


def renamed_projects(projects: dict[str, Any], moves: dict[str, str]) -> dict[str, Any]:
    """The manifests of projects whose files have other paths now."""
    found = {}
    for name, plain in projects.items():
        tables = {
            table: info | {"files": [file | {"path": moves.get(file["path"], file["path"])} for file in info["files"]]}
            for table, info in plain["tables"].items()
        }
        found[name] = plain | {"tables": tables}
    return found


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the manifest and flush it to disk."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, default=_plain)}"
        for key, value in _plain(manifest).items()
    ]
    # Paths may hold bytes that are no UTF-8, which Python has as lone surrogates: written as JSON escapes.
    text = ("{\n" + ",\n".join(lines) + ",\n").encode("utf-8", "backslashreplace")
    with (folder / FILE_NAME).open("wb") as file:
        file.write(text + f'"sha256": "{hashlib.sha256(text).hexdigest()}"\n}}\n'.encode())
        file.flush()
        os.fsync(file.fileno())


def _plain(record: Any) -> dict[str, Any]:
    return {each.name: getattr(record, each.name) for each in fields(record)}


def is_sound(data: bytes) -> bool:
    """Whether the bytes of a manifest are those that were written."""
    text, _, last = data.rpartition(b'"sha256": ')
    return last == f'"{hashlib.sha256(text).hexdigest()}"\n}}\n'.encode()


def read_manifest(folder: Path | Remote) -> dict[str, Any]:
    """Read the manifest of a dataset.

    Raises
    ------
    DatasetError
        There is none, it is damaged, leads out of the dataset, or a newer version of tomoarrow wrote it.
    """
    path = folder / FILE_NAME
    data = _read(folder)
    try:
        manifest = json.loads(data.decode("utf-8"))
    except ValueError as error:
        raise DatasetError(
            f"the manifest cannot be read: {error}",
            place=Place(str(path)),
            remedy="choose another folder, or restore the manifest from a backup",
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DatasetError(
            "not the manifest of a tomoarrow dataset", place=Place(str(path)), remedy="choose another folder"
        )
    version = manifest.get("format_version")
    if not isinstance(version, int) or version < 1 or (version == FORMAT_VERSION and not is_sound(data)):
        raise _damaged(path, "its checksum differs")
    if version == 1:
        manifest |= _SINCE_2
    missing = {field.name for field in fields(Manifest)} - set(manifest)
    if missing and version <= FORMAT_VERSION:
        raise _damaged(path, "parts of it are missing")
    if version > FORMAT_VERSION:
        raise DatasetError(
            f"the dataset has format version {version}",
            place=Place(str(path)),
            expected=f"version {FORMAT_VERSION} or older",
            remedy="update tomoarrow",
        )
    _check_paths(manifest, path)
    return manifest


def _read(folder: Path | Remote) -> bytes:
    """The bytes of a manifest."""
    path = folder / FILE_NAME
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        if isinstance(folder, Path) and not folder.is_dir():
            is_file = folder.exists()
            raise DatasetError(
                "a file, not the folder of a dataset" if is_file else "there is no such folder",
                place=Place(str(folder)),
                remedy="name the folder that convert made" if is_file else "check the path, or convert first",
            ) from error
        raise DatasetError(
            "the folder is not a tomoarrow dataset: it has no manifest.json",
            place=Place(str(folder)),
            remedy="choose another folder",
        ) from error
    except OSError as error:
        raise DatasetError(
            f"the manifest cannot be read: {error}",
            place=Place(str(path)),
            remedy="check the permissions and the disk there",
        ) from error


def _damaged(path: Path | Remote, why: str) -> DatasetError:
    return DatasetError(
        f"the manifest is damaged: {why}",
        place=Place(str(path)),
        remedy="restore it from a backup, or remove the dataset and convert again",
    )


def _check_paths(manifest: dict[str, Any], path: Path | Remote) -> None:
    """Refuse a manifest that names files outside of its dataset."""
    out = next((each for each in _paths(manifest) if _leads_out(each)), None)
    if out is not None:
        raise DatasetError(
            f"the manifest names {out!r}, which leads out of the dataset",
            place=Place(str(path)),
            expected="names of tables, and paths of files below the folder of the dataset",
            remedy="find out where the dataset comes from; tomoarrow wrote no such thing",
        )


def _paths(manifest: dict[str, Any]) -> Iterator[str]:
    """All that is a path below the folder of a dataset: of files, and of the folders of tables."""
    yield from manifest["retired"]
    for tables in (manifest["tables"], *(project["tables"] for project in manifest["projects"].values())):
        for name, info in tables.items():
            yield name
            yield from (file["path"] for file in info["files"])


def _leads_out(path: str) -> bool:
    return "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/"))
