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
from numpy.typing import NDArray
from pyarrow.fs import LocalFileSystem

from ...errors import MissingFileError, Place
from ...relion.project import joined
from ...star.threads import cores, workers
from ..versions.manifest import SourceInfo

#: So many files are looked at by one thread before another may go on.
_LOOKED_AT = 256

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
    home = os.fspath(project)
    files = [joined(home, path) for path in paths]
    sizes, times = (sources.column(name).to_numpy().copy() for name in ("bytes", "mtime_ns"))
    is_same, is_changed, is_gone = True, np.zeros(len(files), bool), np.zeros(len(files), bool)
    is_sure = _are_alike(files, sizes, times, cores()) & (times < read_ns - _COARSEST_NS)
    for i in np.flatnonzero(~is_sure).tolist():
        try:
            status = os.stat(files[i])
        except (FileNotFoundError, NotADirectoryError):
            is_gone[i] = True
            continue
        except OSError:
            # Why it cannot be looked at is told by who reads it.
            is_changed[i] = True
            continue
        is_same = is_same and (status.st_size, status.st_mtime_ns) == (sizes[i], times[i])
        sha256 = sources.column("sha256")[i].as_py()
        is_changed[i] = status.st_size != sizes[i] or sha256 is None or _digest(files[i]) != sha256.hex()
        sizes[i], times[i] = status.st_size, status.st_mtime_ns
    sums = pc.if_else(pa.array(is_changed), None, sources.column("sha256"))
    columns = [sources.column("path"), pa.array(sizes), pa.array(times), sums]
    there = pa.table(columns, schema=sources.schema).filter(pa.array(~is_gone))
    changed, gone = (frozenset(paths[i] for i in np.flatnonzero(which).tolist()) for which in (is_changed, is_gone))
    return Survey(there, changed, gone, is_same and not changed and not gone)


def _are_alike(
    files: Sequence[str], sizes: NDArray[np.int64], times: NDArray[np.int64], threads: int
) -> NDArray[np.bool_]:
    """Which files surely have these sizes and times: Arrow looks at several at once, Python at one after the other."""
    pieces = [files[i : i + _LOOKED_AT] for i in range(0, len(files), _LOOKED_AT)]
    try:
        with workers(threads) as pool:
            infos = [info for found in pool.map(LocalFileSystem().get_file_info, pieces) for info in found]
    except (OSError, UnicodeEncodeError):
        # Arrow takes no path that is not UTF-8.
        return np.zeros(len(files), bool)
    # Of what is not there, or no file, Arrow knows no size.
    now_sizes = np.array([info.size for info in infos], np.float64)
    now_times = np.array([info.mtime_ns or 0 for info in infos], np.int64)
    return np.asarray((now_sizes == sizes) & (now_times == times))


def _digest(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        # What is wrong with it now is told by who reads it for its values.
        return ""


def changed_since(sources: Sequence[SourceInfo], project: Path, threads: int) -> list[str]:
    """The paths of files that have another size or time than they had.

    Raises
    ------
    MissingFileError
        The system does not say of one.
    """
    home = os.fspath(project)
    files = [joined(home, source.path) for source in sources]
    sizes = np.array([source.bytes for source in sources], np.int64)
    times = np.array([source.mtime_ns for source in sources], np.int64)
    unsure = np.flatnonzero(~_are_alike(files, sizes, times, threads)).tolist()
    return [sources[i].path for i in unsure if not _is_alike(sources[i], files[i])]


def _is_alike(source: SourceInfo, file: str) -> bool:
    try:
        status = os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if source.mtime_ns:
            raise MissingFileError(f"cannot look at the file: {error.strerror}", place=Place(file)) from error
        # Nor could it be looked at then.
        return True
    # Of a pipe these say only when it was last written to.
    is_pipe = not stat.S_ISREG(status.st_mode)
    return is_pipe or (status.st_size == source.bytes and status.st_mtime_ns == source.mtime_ns)
