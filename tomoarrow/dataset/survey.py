"""Which STAR files of a dataset have changed since: by size and time, then by checksum."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .manifest import SourceInfo

#: File systems keep times as coarsely as this: what was changed so shortly before it was read may change once more
#: without another time.
_COARSEST_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Survey:
    """What has become of the files that a dataset was made from.

    Attributes
    ----------
    sources : list of SourceInfo
        As they are now; those that have changed without a checksum.
    changed : frozenset of str
        Their paths.
    gone : frozenset of str
        The paths of those that are not there any more.
    is_same : bool
        Whether nothing is to be written, not even times.
    """

    sources: list[SourceInfo]
    changed: frozenset[str]
    gone: frozenset[str]
    is_same: bool


def survey(sources: Sequence[SourceInfo], project: Path, read_ns: int) -> Survey:
    """Look at the files again.

    Parameters
    ----------
    sources : sequence of SourceInfo
        As they were.
    project : Path
        What their paths are relative to.
    read_ns : int
        When reading them began.
    """
    home = os.fspath(project)
    now: list[SourceInfo] = []
    changed, gone = set(), set()
    is_same = True
    for source in sources:
        file = os.path.join(home, source.path)
        try:
            status = os.stat(file)
        except OSError:
            gone.add(source.path)
            continue
        is_alike = status.st_size == source.bytes and status.st_mtime_ns == source.mtime_ns
        if is_alike and source.mtime_ns < read_ns - _COARSEST_NS:
            now.append(source)
            continue
        is_same = is_same and is_alike
        new = replace(source, bytes=status.st_size, mtime_ns=status.st_mtime_ns)
        if status.st_size != source.bytes or not source.sha256 or _digest(file) != source.sha256:
            changed.add(source.path)
            new = replace(new, sha256="")
        now.append(new)
    return Survey(now, frozenset(changed), frozenset(gone), is_same and not changed and not gone)


def _digest(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        # What is wrong with it now is told by who reads it for its values.
        return ""


def changed_since(sources: Sequence[SourceInfo], project: Path) -> list[str]:
    """The paths of files that have another size or time than they had."""
    home = os.fspath(project)
    return [source.path for source in sources if not _is_alike(source, os.path.join(home, source.path))]


def _is_alike(source: SourceInfo, file: str) -> bool:
    try:
        status = os.stat(file)
    except OSError:
        # Nor could it be looked at then, where no time is known.
        return not source.mtime_ns
    # Of a pipe these say only when it was last written to.
    is_pipe = not stat.S_ISREG(status.st_mode)
    return is_pipe or (status.st_size == source.bytes and status.st_mtime_ns == source.mtime_ns)
