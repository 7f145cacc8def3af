"""Compressed bytes as what they unpack to, as long as that is not too much."""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from .limits import bomb, most_unpacked

#: How many bytes tell whether data is compressed.
HEAD_BYTES = 4

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


def is_packed(data: bytes | memoryview) -> bool:
    """Whether data is compressed, by its first bytes."""
    return data[:2] == _GZIP or data[:4] == _ZSTD


class Readable(Protocol):
    """What bytes are read from, into room that is there."""

    def readinto(self, room: memoryview, /) -> int | None: ...


class Behind(io.RawIOBase):
    """A file of which the first bytes have been read."""

    def __init__(self, head: memoryview, rest: Readable) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any, /) -> int:
        n = min(len(room), len(self._head))
        if not n:
            # Its memory is free from now on.
            self._head = memoryview(b"")
            return self._rest.readinto(room) or 0
        room[:n] = self._head[:n]
        self._head = self._head[n:]
        return n


class Counted(io.RawIOBase):
    """Compressed bytes, of which those are counted that were read."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.n = 0

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any, /) -> int:
        n = self._file.readinto(room) or 0
        self.n += n
        return n


@dataclass(slots=True)
class _Unpacking:
    """What compressed bytes unpack to, as long as it is not too much.

    Attributes
    ----------
    name : str
    file : file
    packed : Counted
    most : int or None
        How many bytes it may be; by default what `most_unpacked` says.
    """

    name: str
    file: Readable
    packed: Counted
    most: int | None
    n: int = 0

    def readinto(self, room: memoryview, /) -> int:
        n = self.file.readinto(room) or 0
        self.n += n
        most = most_unpacked(self.packed.n) if self.most is None else self.most
        if self.n > most:
            raise bomb(self.name, most)
        return n


def unpack(name: str, head: bytes, file: Readable, most: int | None = None) -> Readable:
    """What the bytes of a file unpack to, given the first, which have been read.

    Parameters
    ----------
    name : str
        What it is called.
    head : bytes
    file : file
    most : int, optional
        How many bytes it may unpack to; by default what `most_unpacked` says.
    """
    packed = Counted(Behind(memoryview(head), file))
    whole = io.BufferedReader(packed)
    unpacked: Readable
    if head.startswith(_GZIP):
        unpacked = gzip.GzipFile(fileobj=whole)
    else:
        unpacked = pa.CompressedInputStream(pa.PythonFile(whole, "r"), "zstd")
    return _Unpacking(name, unpacked, packed, most)
