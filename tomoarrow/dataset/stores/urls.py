"""URLs of object stores, used like paths."""

from __future__ import annotations

import io
import os
import re
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from ...errors import UsageError
from .objects import IN_FLIGHT, Entry, Store, native_store, other_store

_T = TypeVar("_T")
_R = TypeVar("_R")

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://([^/]*)/*(.*)\Z", re.DOTALL)

#: What obstore is for, by what it is called in a URL.
_NATIVE = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "abfs", "abfss": "abfss"}

#: Of these the part before an @ can only be a key.
_WITHOUT_USER = ("s3", "s3a", "gs", "gcs", "http", "https")


@dataclass(frozen=True, slots=True)
class Remote:
    """A place in a store, used like a path.

    Attributes
    ----------
    store : Store
    root : str
        Scheme and bucket: ``s3://bucket``.
    key : str
        The rest, without slashes at its ends.
    """

    store: Store = field(compare=False, repr=False)
    root: str
    key: str

    def __str__(self) -> str:
        return f"{self.root}/{self.key}" if self.key else self.root

    def __fspath__(self) -> str:
        return str(self)

    def __truediv__(self, other: str) -> Remote:
        return Remote(self.store, self.root, f"{self.key}/{other}".strip("/"))

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    @property
    def scheme(self) -> str:
        """The first part of its URL."""
        return self.root.partition(":")[0]

    @property
    def parents(self) -> list[Remote]:
        """The folders above, the nearest first."""
        parts = self.key.split("/")
        return [Remote(self.store, self.root, "/".join(parts[:n])) for n in range(len(parts) - 1, -1, -1)]

    def read_bytes(self) -> bytes:
        """The whole object."""
        return b"".join(self.store.get(self.key)[1])

    def files(self) -> dict[str, Entry]:
        """All objects below, by what their keys are from here."""
        skip = len(self.key) + 1 if self.key else 0
        return {key[skip:]: entry for key, entry in self.store.list(self.key).items()}

    def open(self, size: int) -> io.RawIOBase:
        """The object as a file, of which only what is read is fetched."""
        return _Ranged(self, size)


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether something is a URL, rather than a path."""
    return isinstance(path, Remote) or (isinstance(path, str) and _URL.match(path) is not None)


def place_of(path: str | os.PathLike[str]) -> Path | Remote:
    """What a path or a URL leads to. ``file://`` is a path.

    Raises
    ------
    UsageError
        The URL holds credentials, or what reads it is not installed.
    """
    if isinstance(path, Remote):
        return path
    found = _URL.match(path) if isinstance(path, str) else None
    if found is None:
        return Path(path)
    scheme, host, key = found[1].lower(), found[2], found[3]
    user, at, name = host.rpartition("@")
    # Azure names its container there.
    if at and (scheme in _WITHOUT_USER or ":" in user):
        raise UsageError(
            f"the URL {scheme}://...@{name}/ holds credentials", remedy="set them in the environment: see the README"
        )
    if "?" in key:
        raise UsageError(
            f"the URL {scheme}://{host}/{key.partition('?')[0]}?... has a query",
            expected="a URL without one: what signs a request must not be kept in a dataset",
            remedy="set credentials in the environment: see the README",
        )
    if scheme == "file":
        return Path(unquote(urlsplit(os.fspath(path)).path))
    root = f"{_NATIVE.get(scheme, scheme)}://{host}"
    return Remote(native_store(root) if scheme in _NATIVE else other_store(scheme, host), root, key.strip("/"))


def folder_of(path: str | os.PathLike[str], what: str) -> Path:
    """The folder that a path leads to.

    Raises
    ------
    UsageError
        It is a URL, and what is to be done takes a folder.
    """
    place = place_of(path)
    if isinstance(place, Remote):
        raise UsageError(f"{what} takes a folder, not {place}", remedy="copy it to a folder first")
    return place


def at_once(work: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    """Do something for each of many items, with many requests in flight."""
    with ThreadPoolExecutor(max(1, min(IN_FLIGHT, len(items)))) as pool:
        return list(pool.map(work, items))


class _Ranged(io.RawIOBase):
    """An object as a file that can be read anywhere."""

    def __init__(self, remote: Remote, size: int) -> None:
        self._remote, self._size, self._at = remote, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, room: Any, /) -> int:
        end = min(self._at + len(room), self._size)
        if end <= self._at:
            return 0
        data = self._remote.store.range(self._remote.key, self._at, end)
        room[: len(data)] = data
        self._at += len(data)
        return len(data)


def new_token() -> str:
    """What tells the objects of one run from those of all others."""
    return secrets.token_hex(4)
