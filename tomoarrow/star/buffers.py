"""The bytes of files in one buffer, and where in it things stand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import Place, StarSyntaxError
from ..kernels import gather

#: Line feeds behind each file, so that kernels need no bounds check.
PADDING = 64


def room(n: int, dtype: type) -> NDArray[Any]:
    """Room for values, from Arrow's memory pool: it keeps what is given back, where the system would clear it anew."""
    return np.frombuffer(pa.allocate_buffer(n * np.dtype(dtype).itemsize), dtype)


@dataclass(frozen=True, slots=True)
class Text:
    """The bytes of one or more files in one buffer.

    Attributes
    ----------
    buffer : uint8[n]
        File ``f`` is ``buffer[begins[f]:ends[f]]``; line feeds follow it.
    begins, ends : int64[n_files]
    names : tuple of str
        What each file is called in messages.
    first_line : int
        The number of the line that each begins with.
    first_lines : tuple of int
        For each file, where they differ: of parts of one file.
    goes_on : bool
        Whether the one file goes on behind it.
    rows_at : int
        Where the one file goes on with rows of a loop whose labels stand in front; else 0.
    """

    buffer: NDArray[np.uint8]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    names: tuple[str, ...]
    first_line: int = 1
    rows_at: int = 0
    first_lines: tuple[int, ...] = ()
    goes_on: bool = False
    _line_starts: list[NDArray[np.int64]] = field(default_factory=list, repr=False)

    def file_at(self, position: int) -> int:
        """The number of the file that holds a position of the buffer."""
        return int(np.searchsorted(self.begins, position, side="right")) - 1

    def cut(self, begin: int, end: int) -> str:
        """The characters between two positions."""
        return self.buffer[begin:end].tobytes().decode("utf-8", "replace")

    def digest(self, f: int) -> str:
        """The SHA-256 of a file, given by its number; of one that was packed, that of what was in it."""
        return hashlib.sha256(self.buffer[self.begins[f] : self.ends[f]].data).hexdigest()

    def place(self, position: int, block: str | None = None, label: str | None = None) -> Place:
        """File, line, column and the text of the line, for a position of the buffer."""
        f = self.file_at(position)
        lines = self._lines()
        first, this = np.searchsorted(lines, [self.begins[f], position], side="right").tolist()
        begin = max(int(self.begins[f]), int(lines[this - 1]) if this else 0)
        end = min(int(lines[this]) if this < len(lines) else len(self.buffer), int(self.ends[f]))
        column = len(self.cut(begin, position)) + 1
        text = self.cut(begin, min(end, position + 1000)).strip()
        first_line = self.first_lines[f] if self.first_lines else self.first_line
        return Place(self.names[f], this - first + first_line, column, block, label, text)

    def begin_of(self, line: int) -> int:
        """Where a line of the first file begins, given by its number."""
        begin, lines = int(self.begins[0]), self._lines()
        n = line - (self.first_lines[0] if self.first_lines else self.first_line)
        return int(lines[np.searchsorted(lines, begin, side="right") + n - 1]) if n else begin

    def _lines(self) -> NDArray[np.int64]:
        """Where lines begin, but for the first."""
        if not self._line_starts:
            # Once for all places: a file may give thousands of notices.
            self._line_starts.append(_line_starts(self.buffer))
        return self._line_starts[0]


def _line_starts(buffer: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The positions after the ends of lines: LF, CR LF, or CR alone."""
    is_end = buffer == 10
    is_end[:-1] |= (buffer[:-1] == 13) & (buffer[1:] != 10)
    return np.flatnonzero(is_end) + 1


def check_utf8(text: Text, f: int) -> StarSyntaxError | None:
    """What is wrong with the encoding of a file, given by its number."""
    bad = gather.find_invalid_utf8(text.buffer, text.begins[f], text.ends[f])
    if bad < 0 or b"\0" in text.buffer[text.begins[f] : bad].tobytes() + _rest_of_line(text, f, bad):
        # With NUL bytes it is no text at all: the tokenizer says that better.
        return None
    return StarSyntaxError(
        f"byte 0x{text.buffer[bad]:02x} is not UTF-8",
        place=text.place(bad),
        remedy="convert the file to UTF-8, for example: iconv -f latin1 -t utf-8",
    )


def _rest_of_line(text: Text, f: int, position: int) -> bytes:
    return text.buffer[position : text.ends[f]].tobytes().split(b"\n", 1)[0]
