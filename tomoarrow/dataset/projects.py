"""Many projects, one dataset: the tables of each in folders ``project=NAME``, as Hive has them.

Each project is converted as it would be alone. Its files lie beside those of the others, so that names of tomograms
may repeat; what the manifest would have said of it alone is in the manifest, so that it can be written back.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pyarrow as pa

from ..errors import DatasetError, Place, UsageError
from .layout import partition_folder
from .updating.making import Made
from .versions.manifest import ColumnInfo, Manifest, TableInfo
from .versions.snapshot import DataFile, Snapshot

PROJECT = "project"

NameBy = Literal["project", "path"]

KIND = "projects"


def names_of(directories: Sequence[Path], by: NameBy) -> list[str]:
    """A name for each project: that of its directory, or its path from the folder that is above all.

    Raises
    ------
    UsageError
        Two would have the same.
    """
    if by == "project":
        names = [directory.name or "root" for directory in directories]
    else:
        above = Path(os.path.commonpath(directories)) if len(directories) > 1 else directories[0].parent
        names = [directory.relative_to(above).as_posix() for directory in directories]
        names = [above.name if name == "." else name for name in names]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        where = ", ".join(str(d) for d, name in zip(directories, names, strict=True) if name == repeated[0])
        remedy = "name them by their paths: --name-by path" if by == "project" else "give each project once"
        raise UsageError(f"two projects are called {repeated[0]}: {where}", expected="a name of its own", remedy=remedy)
    return names


def part_of(staging: Path, number: int) -> Path:
    """Where one of several projects is written. No table is called so: their names do not begin with a point."""
    return staging / f".{number}"


def merged(manifests: Mapping[str, Manifest], staging: Path) -> Manifest:
    """One manifest for the projects that lie in folders of their own in a staging folder; their files move together.

    Parameters
    ----------
    manifests : mapping
        By the name of the project. The files of the one with the number ``i`` are in `part_of` that.
    staging : Path
    """
    moved: dict[str, Manifest] = {}
    for number, (name, manifest) in enumerate(manifests.items()):
        tables = {}
        for table, info in manifest.tables.items():
            files = [replace(part, path=_path(part.path, name)) for part in info.files]
            for part, now in zip(info.files, files, strict=True):
                (staging / now.path).parent.mkdir(parents=True, exist_ok=True)
                os.rename(part_of(staging, number) / part.path, staging / now.path)
            tables[table] = replace(info, files=files)
        moved[name] = replace(manifest, tables=tables)
        for folder, _, _ in os.walk(part_of(staging, number), topdown=False):
            os.rmdir(folder)
    every = dict.fromkeys(table for manifest in moved.values() for table in manifest.tables)
    first = next(iter(moved.values()))
    return replace(
        first,
        kind=KIND,
        input="; ".join(manifest.input for manifest in moved.values()),
        project="; ".join(manifest.project for manifest in moved.values()),
        tables={table: _union([m.tables[table] for m in moved.values() if table in m.tables]) for table in every},
        warnings=[warning for manifest in moved.values() for warning in manifest.warnings],
        rejects=sum(manifest.rejects for manifest in moved.values()),
        read_ns=min(manifest.read_ns for manifest in moved.values()),
        projects={name: asdict(manifest) for name, manifest in moved.items()},
    )


def _path(path: str, name: str) -> str:
    """The path of a file with the folder of its project."""
    table, *rest = PurePosixPath(path).parts
    return str(PurePosixPath(table, partition_folder(PROJECT, name), *rest))


def _union(tables: Sequence[TableInfo]) -> TableInfo:
    """All columns of a table of several projects."""
    columns = {column.name: column for table in reversed(tables) for column in reversed(table.columns)}
    ordered = dict.fromkeys(column.name for table in tables for column in table.columns)
    own = ColumnInfo(PROJECT, "string", "", "Name of the project", PROJECT)
    files = [part for table in tables for part in table.files]
    return TableInfo(sum(table.rows for table in tables), [own, *(columns[name] for name in ordered)], files, PROJECT)


def summed(parts: Sequence[Made]) -> Made:
    """What was made of all projects, for the report."""
    contents = parts[0].contents
    sources = pa.concat_tables([made.contents.sources for made in parts])
    missing = sum(made.contents.missing for made in parts)
    how = f"{len(parts)} projects"
    return replace(parts[0], contents=replace(contents, sources=sources, missing=missing, project_how=how))


def project_names(snapshot: Snapshot) -> list[str]:
    """The projects of a dataset of many; none of a dataset of one."""
    return [*snapshot.manifest["projects"]]


def of_project(snapshot: Snapshot, name: str) -> Snapshot:
    """A dataset of many projects as if it were of one.

    Raises
    ------
    UsageError
        There is no such project.
    """
    projects = snapshot.manifest["projects"]
    if name not in projects:
        there = ", ".join(projects) or "the dataset is of one project"
        raise UsageError(f"no project {name!r} in the dataset", expected=f"one of: {there}")
    own: dict[str, Any] = projects[name]
    tables: dict[str, tuple[DataFile, ...]] = {}
    for table, info in own["tables"].items():
        folder = _path(f"{table}/x", name).removesuffix("x")
        listed = {file["path"]: i for i, file in enumerate(info["files"])}
        there_now = [file for file in snapshot.tables[table] if file.path.startswith(folder)]
        tables[table] = tuple(sorted(there_now, key=lambda file: listed.get(file.path, len(listed))))
        if not tables[table]:
            raise DatasetError(f"the files of the table {table} are gone", place=Place(str(snapshot.folder / folder)))
    return Snapshot(snapshot.folder, own | {"version": snapshot.manifest["version"]}, tables)
