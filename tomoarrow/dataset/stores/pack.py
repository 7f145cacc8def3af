"""The small files of a store in one file of this machine: a file for each takes longer to make than to fetch."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO

from ..paths import told
from .objects import Entry


@dataclass(frozen=True, slots=True)
class Copied:
    """A file of a store: its bytes, and when it was written."""

    data: memoryview
    mtime_ns: int


@dataclass(slots=True)
class Pack:
    """A file that objects are added to, by many threads at once."""

    _file: IO[bytes]
    _end: int = 0
    _places: dict[str, tuple[int, Entry]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, key: str, entry: Entry, pieces: Iterator[bytes]) -> None:
        """Write an object behind the others.

        Raises
        ------
        DatasetError
            It cannot be written.
        OSError
            It cannot be read, or is no more as long as its entry says.
        """
        with self._lock:
            at, self._end = self._end, self._end + entry.bytes
        end = at
        for piece in pieces:
            view = memoryview(piece)
            if end + len(view) > at + entry.bytes:
                break
            while view:
                with told(Path(gettempdir())):
                    n = os.pwrite(self._file.fileno(), view, end)
                view, end = view[n:], end + n
        else:
            if end == at + entry.bytes:
                self._places[key] = at, entry
                return
        raise OSError(f"it has another size than {entry.bytes} bytes, which the store gave")

    def copies(self) -> dict[str, Copied]:
        """All objects that have been added, by their keys."""
        with told(Path(gettempdir())):
            # Room that was kept for an object which is gone since may be the last.
            self._file.truncate(self._end)
            # Of nothing there is no map.
            whole = memoryview(mmap.mmap(self._file.fileno(), self._end, prot=mmap.PROT_READ) if self._end else b"")
        return {key: Copied(whole[at : at + of.bytes], of.mtime_ns) for key, (at, of) in self._places.items()}


@contextmanager
def new_pack() -> Iterator[Pack]:
    """An empty one, in the folder for temporary files. No path leads to it, so that nothing can be left of it."""
    with ExitStack() as stack:
        with told(Path(gettempdir())):
            file = stack.enter_context(TemporaryFile(prefix="tomoarrow-"))
        yield Pack(file)
