"""Whether the files of a dataset are those that were written, byte for byte: no STAR file is looked at."""

from __future__ import annotations

import hashlib
import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ...star.threads import cores
from ..stores.urls import place_of
from .snapshot import DataFile, Snapshot, open_snapshot

#: Of a file in a store so much is fetched at a time.
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what was written.

    Attributes
    ----------
    file : str
        Its path in the dataset.
    kind : "missing", "changed", "unreadable" or "extra"
    what : str
    """

    file: str
    kind: Literal["missing", "changed", "unreadable", "extra"]
    what: str


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """What a comparison with the manifest found.

    Attributes
    ----------
    dataset : str
    version : int
    files, bytes : int
        How much was read.
    damages : list of Damage
    seconds : float
    """

    dataset: str
    version: int
    files: int
    bytes: int
    seconds: float
    damages: list[Damage] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or 1 where anything differs."""
        return 1 if self.damages else 0

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)


def verify_files(dataset: str | os.PathLike[str]) -> IntegrityReport:
    """Compare all files of a dataset with the checksums in its manifest, and the manifest with its own.

    Raises
    ------
    DatasetError
        The folder is no dataset, or its manifest is damaged.
    """
    return check_files(open_snapshot(place_of(dataset), is_checked=False))


def check_files(snapshot: Snapshot) -> IntegrityReport:
    """Compare the files of a dataset that is open with the checksums in its manifest."""
    started = time.perf_counter()
    there = {file.path: file for files in snapshot.tables.values() for file in files}
    listed = {each["path"]: each for table in snapshot.manifest["tables"].values() for each in table["files"]}
    with ThreadPoolExecutor(cores()) as pool:
        found = pool.map(lambda path: _damage(there.get(path), listed[path]), listed)
        damages = [each for each in found if each is not None]
    damages += [Damage(path, "extra", "the manifest does not know it") for path in there if path not in listed]
    n_bytes = sum(there[path].bytes for path in listed if path in there)
    seconds = round(time.perf_counter() - started, 3)
    return IntegrityReport(
        os.fspath(snapshot.folder), snapshot.manifest["version"], len(listed), n_bytes, seconds, damages
    )


def _damage(file: DataFile | None, listed: dict[str, Any]) -> Damage | None:
    if file is None:
        return Damage(listed["path"], "missing", "it is gone")
    if file.bytes != listed["bytes"]:
        return Damage(listed["path"], "changed", f"{file.bytes} bytes, {listed['bytes']} were written")
    source = file.source
    try:
        with open(source, "rb") if isinstance(source, str) else io.BufferedReader(source, _CHUNK_BYTES) as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        return Damage(listed["path"], "unreadable", error.strerror or str(error))
    return None if digest == listed["sha256"] else Damage(listed["path"], "changed", "its checksum differs")
