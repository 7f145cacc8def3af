"""Which STAR files of a dataset have changed since: by size and time, then by checksum."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .manifest import SourceInfo

#: File systems keep times as coarsely as this: what was changed so shortly before it was read may change once more
#: without another time.
_COARSEST_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Survey:
    """What has become of the files that a dataset was made from.

    Attributes
    ----------
    sources : pyarrow.Table
        The rows of ``sources/`` as they are now; those of files that have changed without a checksum.
    changed : frozenset of str
        Their paths.
    gone : frozenset of str
        The paths of those that are not there any more.
    is_same : bool
        Whether nothing is to be written, not even times.
    """

    sources: pa.Table
    changed: frozenset[str]
    gone: frozenset[str]
    is_same: bool


def survey(sources: pa.Table, project: Path, read_ns: int) -> Survey:
    """Look at the files again.

    Parameters
    ----------
    sources : pyarrow.Table
        The rows of ``sources/`` as they were.
    project : Path
        What their paths are relative to.
    read_ns : int
        When reading them began.
    """
    paths = sources.column("path").to_pylist()
    files = _files(paths, project)
    then = np.stack([sources.column(name).to_numpy() for name in ("bytes", "mtime_ns")], axis=1)
    now = np.array([_size_and_time(file) for file in files], np.int64).reshape(-1, 2)
    is_there = now[:, 0] >= 0
    is_alike = (now == then).all(axis=1)
    is_changed = np.zeros(len(paths), bool)
    for i in np.flatnonzero(is_there & ~(is_alike & (then[:, 1] < read_ns - _COARSEST_NS))).tolist():
        known = sources.column("sha256")[i].as_py()
        is_changed[i] = now[i, 0] != then[i, 0] or not known or _digest(files[i]) != known.hex()
    sums = pc.if_else(pa.array(is_changed), None, sources.column("sha256"))
    columns = [sources.column("path"), pa.array(now[:, 0]), pa.array(now[:, 1]), sums]
    seen = pa.table(columns, schema=sources.schema).filter(pa.array(is_there))
    changed, gone = (frozenset(paths[i] for i in np.flatnonzero(which).tolist()) for which in (is_changed, ~is_there))
    return Survey(seen, changed, gone, bool(is_alike.all()) and not changed)


def _files(paths: Sequence[str], project: Path) -> list[str]:
    """Where the files of a project are; joined by hand, because `os.path.join` takes a third of a look at a file."""
    home = os.path.join(project, "")
    return [path if path.startswith("/") else home + path for path in paths]


def _size_and_time(file: str) -> tuple[int, int]:
    try:
        status = os.stat(file)
    except OSError:
        return -1, 0
    return status.st_size, status.st_mtime_ns


def _digest(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        # What is wrong with it now is told by who reads it for its values.
        return ""


def changed_since(sources: Sequence[SourceInfo], project: Path) -> list[str]:
    """The paths of files that have another size or time than they had."""
    files = _files([source.path for source in sources], project)
    return [source.path for source, file in zip(sources, files, strict=True) if not _is_alike(source, file)]


def _is_alike(source: SourceInfo, file: str) -> bool:
    try:
        status = os.stat(file)
    except OSError:
        return False
    # Of a pipe these say only when it was last written to.
    is_pipe = not stat.S_ISREG(status.st_mode)
    return is_pipe or (status.st_size == source.bytes and status.st_mtime_ns == source.mtime_ns)
