"""Where bytes come from: a path, an open file, bytes, gzip or zstd; one file, or a slab of many."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import MissingFileError, Place, StarSyntaxError, TomoarrowError, UsageError
from ..kernels import gather

#: What `read_star` takes.
Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

#: Line feeds behind each file, so that kernels need no bounds check.
PADDING = 64

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


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
    """

    buffer: NDArray[np.uint8]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    names: tuple[str, ...]
    _line_starts: list[NDArray[np.int64]] = field(default_factory=list, repr=False)

    def file_at(self, position: int) -> int:
        """The number of the file that holds a position of the buffer."""
        return int(np.searchsorted(self.begins, position, side="right")) - 1

    def cut(self, begin: int, end: int) -> str:
        """The characters between two positions."""
        return self.buffer[begin:end].tobytes().decode("utf-8", "replace")

    def place(self, position: int, block: str | None = None, label: str | None = None) -> Place:
        """File, line, column and the text of the line, for a position of the buffer."""
        f = self.file_at(position)
        if not self._line_starts:
            # Once for all places: a file may give thousands of notices.
            self._line_starts.append(_line_starts(self.buffer))
        lines = self._line_starts[0]
        first, this = np.searchsorted(lines, [self.begins[f], position], side="right").tolist()
        begin = max(int(self.begins[f]), int(lines[this - 1]) if this else 0)
        end = min(int(lines[this]) if this < len(lines) else len(self.buffer), int(self.ends[f]))
        column = len(self.cut(begin, position)) + 1
        text = self.cut(begin, min(end, position + 1000)).strip()
        return Place(self.names[f], this - first + 1, column, block, label, text)


def _line_starts(buffer: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The positions after the ends of lines: LF, CR LF, or CR alone."""
    is_end = buffer == 10
    is_end[:-1] |= (buffer[:-1] == 13) & (buffer[1:] != 10)
    return np.flatnonzero(is_end) + 1


def read_text(source: Source) -> Text:
    """Read one source whole.

    Parameters
    ----------
    source
        A path, bytes, or a binary file object; gzip and zstd are recognised by their first bytes.

    Raises
    ------
    MissingFileError
        The file is not there or cannot be read.
    StarSyntaxError
        It is not UTF-8, or its compression is damaged.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        name, data = "<bytes>", bytes(source)
    elif isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        data = _read_path(name, name)
    elif hasattr(source, "read"):
        name = str(getattr(source, "name", "<file>"))
        data = source.read()
        if not isinstance(data, bytes):
            raise UsageError(f"{name} is open in text mode", expected="a file open in binary mode")
    else:
        raise UsageError(f"cannot read from {type(source).__name__}", expected="a path, bytes or a binary file")
    text, errors = lay_out([(name, data)])
    for error in errors:
        raise error
    return text


def read_slab(paths: Sequence[str], names: Sequence[str]) -> tuple[Text, list[TomoarrowError]]:
    """Read many files into one buffer.

    Returns
    -------
    text
        Files that could not be read are empty in it.
    errors
        One error for each of those.
    """
    errors: list[TomoarrowError] = []
    sizes = []
    for path, name in zip(paths, names, strict=True):
        try:
            sizes.append(_size(path, name))
        except TomoarrowError as error:
            errors.append(error)
            sizes.append(-1)
    text = _room(names, np.array(sizes, np.int64).clip(0))
    room = text.buffer.data
    others: dict[int, bytes] = {}
    for f, (path, name, begin, size) in enumerate(zip(paths, names, text.begins.tolist(), sizes, strict=True)):
        try:
            if size >= 0 and (data := _read_into(room[begin : begin + size + 1], path, name)) is not None:
                others[f] = data
        except TomoarrowError as error:
            errors.append(error)
            others[f] = b""
    if others:
        ends = text.ends.tolist()
        files = [others[f] if f in others else bytes(room[text.begins[f] : ends[f]]) for f in range(len(names))]
        text, more = lay_out(list(zip(names, files, strict=True)))
        return text, errors + more
    _end_files(text)
    return text, errors + _check_utf8(text)


def lay_out(files: Sequence[tuple[str, bytes]]) -> tuple[Text, list[TomoarrowError]]:
    """Lay files, as (name, bytes), into one padded buffer; see `read_slab` for what is returned."""
    errors: list[TomoarrowError] = []
    contents = []
    for name, data in files:
        try:
            contents.append(_decompress(name, data))
        except TomoarrowError as error:
            errors.append(error)
            contents.append(b"")
    text = _room([name for name, _ in files], np.fromiter((len(data) for data in contents), np.int64, len(contents)))
    for data, begin, end in zip(contents, text.begins.tolist(), text.ends.tolist(), strict=True):
        text.buffer[begin:end] = np.frombuffer(data, np.uint8)
    _end_files(text)
    return text, errors + _check_utf8(text)


def _room(names: Sequence[str], sizes: NDArray[np.int64]) -> Text:
    """Room for files of some sizes."""
    ends = np.cumsum(sizes + PADDING) - PADDING
    return Text(np.empty(int((sizes + PADDING).sum()), np.uint8), ends - sizes, ends, tuple(names))


def _end_files(text: Text) -> None:
    """Put line feeds behind each file."""
    text.buffer[text.ends[:, None] + np.arange(PADDING)] = 10


def _check_utf8(text: Text) -> list[TomoarrowError]:
    """One error for each file that is not UTF-8; it is empty then."""
    if gather.find_invalid_utf8(text.buffer, 0, len(text.buffer) - PADDING) < 0:
        return []
    errors: list[TomoarrowError] = []
    for f in range(len(text.names)):
        bad = gather.find_invalid_utf8(text.buffer, text.begins[f], text.ends[f])
        if bad >= 0 and not _holds_nul(text, f):
            errors.append(
                StarSyntaxError(
                    f"byte 0x{text.buffer[bad]:02x} is not UTF-8",
                    place=text.place(bad),
                    remedy="convert the file to UTF-8, for example: iconv -f latin1 -t utf-8",
                )
            )
            text.ends[f] = text.begins[f]
    return errors


def _holds_nul(text: Text, f: int) -> bool:
    """A file with NUL bytes is no text at all: the tokenizer says that better."""
    return b"\0" in text.buffer[text.begins[f] : text.ends[f]].tobytes()


def _size(path: str, name: str) -> int:
    """The size of a regular file."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise _unreadable(name, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise MissingFileError("not a regular file", place=Place(name), remedy="correct the path")
    return status.st_size


def _read_into(room: memoryview, path: str, name: str) -> bytes | None:
    """Read a file into room that is one byte longer; return what is in it where that is something else.

    It is when the file has another size by now, or is compressed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            n = os.readv(descriptor, [room])
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreadable(name, error) from error
    is_plain = n == len(room) - 1 and room[:2] != _GZIP and room[:4] != _ZSTD
    return None if is_plain else _read_path(path, name)


def _read_path(path: str, name: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: OSError) -> MissingFileError:
    reason = error.strerror or str(error)
    return MissingFileError(
        f"cannot read the file: {reason}", place=Place(name), remedy="check the path and its permissions"
    )


def _decompress(name: str, data: bytes) -> bytes:
    try:
        if data[:2] == _GZIP:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as members:
                return members.read()
        if data[:4] == _ZSTD:
            with pa.input_stream(pa.BufferReader(data), compression="zstd") as stream:
                return bytes(stream.read())
    except (OSError, zlib.error, EOFError) as error:
        raise StarSyntaxError(
            f"the compressed data is damaged or cut short: {error}",
            place=Place(name),
            remedy="copy or compress the file again",
        ) from error
    return data
