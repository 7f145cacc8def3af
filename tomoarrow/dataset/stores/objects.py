"""Object stores by two libraries: whole objects, ranges of bytes, listings, and what goes wrong with them.

S3, Google Cloud Storage and Azure go through obstore, which holds hundreds of requests in flight in native threads,
retries what failed, and uploads large objects in parts; all other URLs through fsspec. Credentials come from the
environment, as the libraries have it: never from the URL.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from ...errors import UsageError
from .signing import s3_options

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


def native_store(root: str) -> Store:
    """What obstore reads, such as ``s3://bucket``.

    Raises
    ------
    UsageError
        It is not installed, there are no credentials, or the root names no store.
    """
    try:
        import obstore.store  # noqa: PLC0415  (takes an extra)
    except ImportError as error:
        raise _absent(root, error) from error
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


def other_store(scheme: str, host: str) -> Store:
    """What fsspec reads.

    Raises
    ------
    UsageError
        It, or what it needs for these URLs, is not installed.
    """
    try:
        import fsspec  # noqa: PLC0415  (takes an extra)

        with _told():
            return _Other(fsspec.filesystem(scheme), scheme, host)
    except ImportError as error:
        raise _absent(f"{scheme}://", error) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"no store is known for {scheme}://: {error}", expected="s3://, gs://, az://") from error


def _absent(root: str, error: ImportError) -> UsageError:
    return UsageError(
        f"what reads {root} is not installed: {_first_line(error)}",
        remedy="pip install 'tomoarrow[remote]', and what fsspec needs for other URLs than s3, gs and az",
    )


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
