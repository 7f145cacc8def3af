"""One writer at a time: a lock beside what is written, which the system releases when its holder dies."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import DatasetError, Place

#: What a file system says that has no locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class Busy(DatasetError):
    """Another run holds the lock."""


@contextmanager
def locked(path: Path, target: Path) -> Iterator[None]:
    """Keep other writers away from a dataset or an export, which need not be there yet.

    The lock is ``flock`` on a file at `path`, which Linux also has on NFS. Its holder's host, process and
    time are in the file. It is released when the holder ends, however that ends; the file is removed then, or by the
    next run. Where a file system has no locks, the file being there is the lock: one that a killed run left behind is
    taken over on the same host only.

    Raises
    ------
    DatasetError
        Another run holds it.
    """
    taken, descriptor = _lock(path, target) or (
        path.with_suffix(".writer"),
        _claim(path.with_suffix(".writer"), target),
    )
    try:
        _sign(descriptor)
        yield
    finally:
        # Removed while it is held: who opened it meanwhile finds that it is not this file any more.
        with suppress(OSError):
            taken.unlink()
        os.close(descriptor)


def _lock(path: Path, target: Path) -> tuple[Path, int] | None:
    """Lock a file; None where the file system has no locks."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise _busy(path, target) from error
            if error.errno not in _NO_LOCKS:
                raise
            with suppress(OSError):
                path.unlink()
            return None
        if _is_at(path, descriptor):
            return path, descriptor
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether a file is still what its path leads to: the last holder may have removed it."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _claim(path: Path, target: Path) -> int:
    """Make a file that must not have been there."""
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            holder = _holder(path)
            if holder.get("host") != socket.gethostname() or _is_alive(holder.get("process")):
                raise _busy(path, target) from None
            path.unlink(missing_ok=True)


def _is_alive(process: object) -> bool:
    if not isinstance(process, int):
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sign(descriptor: int) -> None:
    holder = {"host": socket.gethostname(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(path: Path) -> dict[str, object]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _busy(path: Path, target: Path) -> Busy:
    holder = _holder(path)
    who = ", ".join(f"{what} {holder[what]}" for what in ("host", "process", "since") if what in holder)
    return Busy(
        "another run is writing there",
        place=Place(str(target), text=who),
        expected="one run at a time",
        remedy=f"wait until it is done; if there is no such run any more, remove {path}",
    )
