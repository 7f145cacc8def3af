"""What `inspect` tells of a STAR file, a project or a dataset, as plain values."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dataset.stores.urls import Remote, place_of
from ..dataset.versions.manifest import FILE_NAME, column_infos, read_manifest
from ..errors import DatasetError, Place

if TYPE_CHECKING:
    from ..star.document import Block
    from ..star.structure import Dialect


def describe(what: str, dialect: Dialect, *, allow_outside: bool = False) -> dict[str, Any]:
    """What a path or URL leads to, and what that holds.

    Raises
    ------
    TomoarrowError
        It is none of these, or cannot be read.
    """
    path = place_of(what)
    if isinstance(path, Remote):
        return _describe_remote(path, dialect)
    if not path.is_dir():
        return _describe_file(path, dialect, None, allow_outside=allow_outside)
    if (path / FILE_NAME).exists():
        return _describe_dataset(path)
    sets = _sets(path, allow_outside=allow_outside)
    if not sets:
        raise DatasetError(
            "neither a dataset nor a project: there is no manifest.json, and no set in folders of jobs",
            place=Place(str(path)),
            remedy="name a STAR file, or the folder that holds those of the jobs",
        )
    return {"path": str(path), "what": "RELION project", "sets": sets, "warnings": []}


def _sets(path: Path, project: Path | None = None, *, allow_outside: bool) -> list[dict[str, Any]]:
    from ..relion.overview import summarise

    return [asdict(each) for each in summarise(path, project, allow_outside=allow_outside)]


def _describe_file(path: Path, dialect: Dialect, project: Path | None, *, allow_outside: bool) -> dict[str, Any]:
    """What a STAR file holds, of a project whose directory may be known."""
    from ..relion.reading import read_star
    from ..star.source import reads_again

    is_set = dialect == "relion" and reads_again(path)
    sets = _sets(path, project, allow_outside=allow_outside) if is_set else []
    kind = sets[0]["kind"] if sets else "STAR file"
    if kind == "trajectory set":
        # A table for each of a million particles is nothing to look at.
        return {"path": str(path), "what": kind, "sets": sets, "warnings": []}
    document = read_star(path, dialect=dialect, on_bad_value="null")
    return {
        "path": str(path),
        "what": kind,
        "sets": sets,
        "warnings": [str(notice) for notice in document.warnings],
        "bad_values": [f"{reject.place}: {reject.text!r} is {reject.reason}" for reject in document.rejects],
        "blocks": [_describe_block(block) for block in document],
    }


def _describe_block(block: Block) -> dict[str, Any]:
    loops = [
        {
            "rows": loop.num_rows,
            "columns": [
                {"name": c.name, "type": c.type, "unit": c.unit, "description": c.description}
                for c in column_infos(loop.schema, {})
            ],
        }
        for loop in block.loops
    ]
    return {
        "name": block.name,
        "pairs": {label: _plain(value) for label, value in block.pairs.items()},
        "loops": loops,
        "frames": [frame.name for frame in block.frames],
    }


def _describe_dataset(path: Path | Remote) -> dict[str, Any]:
    manifest = read_manifest(path)
    tables = [
        {"name": name, "rows": table["rows"], "files": len(table["files"]), "columns": table["columns"]}
        for name, table in manifest["tables"].items()
    ]
    facts = {key: manifest[key] for key in ("kind", "input", "project", "created", "written_by", "warnings")}
    return {"path": str(path), "what": "dataset", **facts, "tables": tables}


def _describe_remote(path: Remote, dialect: Dialect) -> dict[str, Any]:
    """What a dataset, or else a STAR file, in an object store holds."""
    from ..dataset.origin import origin_of

    try:
        (path / FILE_NAME).read_bytes()
    except OSError:
        with origin_of(path, None, looks_only=True) as origin:
            described = _describe_file(origin.path, dialect, origin.project, allow_outside=False)
            found: dict[str, Any] = json.loads(origin.told(json.dumps(described, ensure_ascii=False)))
            return found
    return _describe_dataset(path)


def _plain(value: Any) -> Any:
    """A value that JSON has: not finite numbers as text."""
    if isinstance(value, list):
        return [_plain(element) for element in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
