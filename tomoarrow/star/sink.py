"""Where bytes go: a path, whole or not at all, or an open file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

import pyarrow as pa

from ..errors import MissingFileError, Place, UsageError

#: What `write_star` writes to.
Target = str | os.PathLike[str] | IO[bytes]

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


@contextmanager
def open_sink(target: Target) -> Iterator[Callable[[bytes | memoryview], object]]:
    """Give a function that writes bytes.

    A path is written under another name and renamed at the end: it is whole, or as it was before; a pipe or a device
    is written to, and stays what it is. Names that end in ``.gz`` or ``.zst`` are compressed.

    Raises
    ------
    MissingFileError
        The file cannot be written.
    """
    if not isinstance(target, str | os.PathLike):
        if not hasattr(target, "write") or hasattr(target, "encoding") or hasattr(target, "newlines"):
            raise UsageError(f"cannot write to {type(target).__name__}", expected="a path, or a file in binary mode")
        yield target.write
        return
    path = os.path.realpath(target)
    is_replaced = os.path.isfile(target) or not os.path.exists(target)
    # Names have at most 255 bytes.
    name = os.fsdecode(os.fsencode(os.path.basename(path))[:200])
    staged = os.path.join(os.path.dirname(path), f".{name}.{secrets.token_hex(4)}")
    try:
        with open(staged, "xb") if is_replaced else open(target, "wb") as file:
            with suppress(OSError):
                # Who may read what was there may read what takes its place.
                os.fchmod(file.fileno(), os.stat(path).st_mode & 0o777)
            compression = _COMPRESSIONS.get(os.path.splitext(path)[1])
            if compression is None:
                yield file.write
            else:
                with pa.CompressedOutputStream(pa.PythonFile(file, "w"), compression) as stream:
                    yield stream.write
                    stream.flush()
            if not file.closed:
                file.flush()
        if is_replaced:
            os.replace(staged, path)
    except OSError as error:
        raise MissingFileError(
            f"cannot write the file: {error.strerror or error}",
            place=Place(os.fspath(target)),
            remedy="check the folder, its permissions and the space left",
        ) from error
    finally:
        with suppress(OSError):
            os.unlink(staged)
