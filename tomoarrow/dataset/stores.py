"""Object stores: what a URL leads to, read and written a whole object at a time, or by ranges.

S3, Google Cloud Storage and Azure go through obstore, which holds hundreds of requests in flight in native threads,
retries what failed, and uploads large objects in parts; all other URLs through fsspec. Credentials come from the
environment, as the libraries have it: never from the URL.
"""

from __future__ import annotations

import io
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from ..errors import UsageError
from .signing import s3_options

_T = TypeVar("_T")
_R = TypeVar("_R")

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://([^/]*)/*(.*)\Z", re.DOTALL)

#: What obstore is for, by what it is called in a URL.
_NATIVE = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "abfs", "abfss": "abfss"}

#: Of these the part before an @ can only be a key.
_WITHOUT_USER = ("s3", "s3a", "gs", "gcs", "http", "https")

#: So many requests are in flight at a time.
IN_FLIGHT = 192

#: Where a machine in a cloud asks for its role, when no other credentials are found.
_ROLES = "169.254.169.254"

#: An answer that stands still for so long is asked for again.
_STILL_S = 30

_CONNECT_S = 10

#: What has failed is tried again, after longer and longer breaks, for so long.
_RETRY_S = 180

#: Objects are written to disk in pieces of this size.
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """An object: its size, when it was written, and what its version is called, where that is known."""

    bytes: int
    mtime_ns: int
    etag: str | None


class Store(Protocol):
    """All objects below the root of a URL. Missing ones raise FileNotFoundError, all other failures OSError."""

    def get(self, key: str) -> tuple[Entry, Iterator[bytes]]:
        """An object in pieces."""

    def range(self, key: str, begin: int, end: int) -> bytes:
        """Some bytes of an object."""

    def list(self, prefix: str) -> dict[str, Entry]:
        """All objects below a prefix."""

    def put(self, key: str, data: bytes | Path, then: Literal["any"] | str | None) -> None:
        """Write an object, in parts where it is large.

        `then`: "any" to replace what is there, None where nothing may be there, else the etag that it must have.

        Raises
        ------
        FileExistsError
            What is there is another.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A place in a store, used as paths are.

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
    return Remote(_native(root) if scheme in _NATIVE else _other(scheme, host), root, key.strip("/"))


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


def _native(root: str) -> Store:
    try:
        import obstore.store  # noqa: PLC0415  (takes an extra)
    except ImportError as error:
        raise _absent(root) from error
    # Whoever names an endpoint without TLS means it.
    options: Any = {
        "allow_http": True,
        "timeout": timedelta(hours=1),
        "read_timeout": timedelta(seconds=_STILL_S),
        "connect_timeout": timedelta(seconds=_CONNECT_S),
        "pool_max_idle_per_host": str(IN_FLIGHT),
    }
    retries: Any = {"max_retries": 10, "retry_timeout": timedelta(seconds=_RETRY_S)}
    own = s3_options() if root.startswith("s3:") else {}
    try:
        with _told():
            return _Native(obstore.store.from_url(root, client_options=options, retry_config=retries, **own))
    except OSError as error:
        raise UsageError(
            f"{root} leads to no store: {error}",
            expected="the name of a bucket behind ://",
            remedy="correct it, or see the README for what to set in the environment",
        ) from error


def _other(scheme: str, host: str) -> Store:
    try:
        import fsspec  # noqa: PLC0415  (takes an extra)

        with _told():
            return _Other(fsspec.filesystem(scheme), scheme, host)
    except ImportError as error:
        raise _absent(f"{scheme}://") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"no store is known for {scheme}://: {error}", expected="s3://, gs://, az://") from error


def _absent(root: str) -> UsageError:
    return UsageError(f"what reads {root} is not installed", remedy="pip install 'tomoarrow[remote]'")


class _Native:
    """A store of obstore."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def get(self, key: str) -> tuple[Entry, Iterator[bytes]]:
        import obstore  # noqa: PLC0415

        with _told():
            found = obstore.get(self._store, key)
            entry = _entry(found.meta)
            if entry.bytes <= _CHUNK_BYTES:
                return entry, iter([found.bytes().to_bytes()])
            return entry, _pieces(found.stream(_CHUNK_BYTES))

    def range(self, key: str, begin: int, end: int) -> bytes:
        import obstore  # noqa: PLC0415

        with _told():
            return obstore.get_range(self._store, key, start=begin, end=end).to_bytes()

    def list(self, prefix: str) -> dict[str, Entry]:
        try:
            return self._list(prefix)
        except OSError:
            # An answer that is cut in the middle is not asked for again by obstore.
            return self._list(prefix)

    def _list(self, prefix: str) -> dict[str, Entry]:
        import obstore  # noqa: PLC0415

        with _told():
            pages = obstore.list(self._store, prefix=prefix or None, chunk_size=1000)
            return {each["path"]: _entry(each) for page in pages for each in page}

    def put(self, key: str, data: bytes | Path, then: Literal["any"] | str | None) -> None:
        import obstore  # noqa: PLC0415

        mode: Any = "overwrite" if then == "any" else "create" if then is None else {"e_tag": then}
        with _told():
            # A condition goes with one request only.
            obstore.put(self._store, key, data, mode=mode, use_multipart=None if then == "any" else False)

    def delete(self, keys: Sequence[str]) -> None:
        import obstore  # noqa: PLC0415

        with _told():
            obstore.delete(self._store, keys)


def _entry(meta: Any) -> Entry:
    return Entry(meta["size"], _ns(meta["last_modified"]), meta["e_tag"])


def _ns(time: datetime) -> int:
    return int(time.timestamp()) * 10**9 + time.microsecond * 1000


def _pieces(stream: Any) -> Iterator[bytes]:
    with _told():
        for piece in stream:
            yield bytes(piece)


@contextmanager
def _told() -> Iterator[None]:
    """What obstore raises, as the errors of files; only the first line: what follows may hold parts of credentials."""
    try:
        yield
    except OSError as error:
        raise type(error)(_first_line(error)) from None
    except ValueError as error:
        # No object can have such a key, such as one with "..", or no store such a name.
        raise OSError(_first_line(error)) from None
    except Exception as error:
        kind = type(error).__name__
        if type(error).__module__.partition(".")[0] != "obstore":
            raise
        message = _first_line(error)
        if kind in ("AlreadyExistsError", "PreconditionError"):
            raise FileExistsError(message) from None
        if kind == "NotFoundError":
            raise FileNotFoundError(message) from None
        if _ROLES in message:
            raise PermissionError("no credentials were found, and this machine has no role") from None
        raise OSError(message) from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition("<")[0].strip(" :")


@contextmanager
def _told_by_other() -> Iterator[None]:
    """What a file system of fsspec raises besides the errors of files: each has errors of its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {_first_line(error)}") from None


class _Other:
    """A file system of fsspec."""

    def __init__(self, files: Any, scheme: str, host: str) -> None:
        self._files = files
        # What it calls the root, which is not the same for all.
        self._root = files._strip_protocol(f"{scheme}://{host}/").rstrip("/")

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @_told_by_other()
    def get(self, key: str) -> tuple[Entry, Iterator[bytes]]:
        path = self._path(key)
        data = self._files.cat_file(path)
        return replace(_described(self._files.info(path)), bytes=len(data)), iter([data])

    @_told_by_other()
    def range(self, key: str, begin: int, end: int) -> bytes:
        return bytes(self._files.cat_file(self._path(key), start=begin, end=end))

    @_told_by_other()
    def list(self, prefix: str) -> dict[str, Entry]:
        self._files.invalidate_cache()
        found = self._files.find(self._path(prefix), detail=True)
        return {path[len(self._root) :].lstrip("/"): _described(info) for path, info in found.items()}

    @_told_by_other()
    def put(self, key: str, data: bytes | Path, then: Literal["any"] | str | None) -> None:
        path = self._path(key)
        if then is None and self._files.exists(path):
            raise FileExistsError(f"{path} is there already")
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        if isinstance(data, Path):
            self._files.put_file(os.fspath(data), path)
        else:
            self._files.pipe_file(path, data)

    @_told_by_other()
    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._files.rm_file(self._path(key))


def _described(info: dict[str, Any]) -> Entry:
    """What fsspec knows of a file; each file system calls times by another name."""
    times = (info.get(name) for name in ("LastModified", "last_modified", "mtime", "updated", "created"))
    time = next((time for time in times if time is not None), 0)
    at = _ns(time) if isinstance(time, datetime) else int(time * 10**9) if isinstance(time, int | float) else 0
    return Entry(int(info["size"] or 0), at, info.get("ETag"))


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
