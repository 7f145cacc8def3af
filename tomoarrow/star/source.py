"""Where bytes come from: a path, an open file, bytes, gzip or zstd; one file, or a slab of many."""

from __future__ import annotations

import io
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingFileError, Place, StarSyntaxError, TomoarrowError, UsageError
from ..kernels import gather
from .buffers import PADDING, Text, check_utf8
from .limits import MOST_UNSEEN_BYTES, Lines
from .unpacking import HEAD_BYTES, Behind, Readable, is_packed, unpack

#: What `read_star` takes.
Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

#: So much of a source that is read once can be looked at before it is read.
_FRONT_BYTES = 1 << 18

#: What is read whole is read in parts of so much, to see early that it is no STAR file.
_PART_BYTES = 16 << 20


def read_text(source: Source | Held) -> Text:
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
    held = hold(source)
    text, errors = lay_out([(held.name, held.data)])
    for error in errors:
        raise error
    return text


@dataclass(frozen=True, slots=True)
class Held:
    """All bytes of a source that could be read only once, and what it is called."""

    name: str
    data: bytes


def hold(source: Source | Held) -> Held:
    """Read a source, to read it again."""
    if isinstance(source, Held):
        return source
    name = name_of(source)
    return Held(name, _read_path(name, name) if isinstance(source, str | os.PathLike) else bytes_of(source))


def reads_again(source: Source | Held | Stream) -> bool:
    """Whether a source can be read more than once: pipes and open files cannot."""
    if isinstance(source, str | os.PathLike):
        try:
            return stat.S_ISREG(os.stat(source).st_mode)
        except OSError:
            # What is wrong with it is told by who opens it.
            return True
    return isinstance(source, Held | bytes | bytearray | memoryview)


def name_of(source: Source | Held | Stream) -> str:
    """What a source is called in messages."""
    if isinstance(source, Held | Stream):
        return source.name
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return "<bytes>"
    return str(getattr(source, "name", "<file>"))


def bytes_of(source: bytes | bytearray | memoryview | IO[bytes]) -> bytes:
    """All bytes of a source that is no path.

    Raises
    ------
    UsageError
        It is none that bytes can be read from.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if not hasattr(source, "read"):
        raise UsageError(f"cannot read from {type(source).__name__}", expected="a path, bytes or a binary file")
    try:
        return _read_all(source, name_of(source))
    except ValueError as error:
        raise UsageError(
            f"{name_of(source)} cannot be read from: {error}", expected="a file open for reading"
        ) from error


def _read_all(file: IO[bytes] | io.RawIOBase, name: str) -> bytes:
    """All bytes of a file; of one that is no text, such as an image or a device, only the first."""
    parts: list[bytes] = []
    lines = Lines(name)
    while True:
        part = file.read(_PART_BYTES)
        if not isinstance(part, bytes):
            raise UsageError(f"{name} is open in text mode", expected="a file open in binary mode")
        parts.append(part)
        if not part or (len(parts) == 1 and not is_packed(part) and b"\0" in part):
            return b"".join(parts) if len(parts) > 1 else part
        if not is_packed(parts[0]):
            lines.see(np.frombuffer(part, np.uint8))


def read_slab(paths: Sequence[str], names: Sequence[str], most: int | None = None) -> tuple[Text, list[TomoarrowError]]:
    """Read many files into one buffer.

    Parameters
    ----------
    paths, names : sequence of str
        Where the files are, and what they are called in messages.
    most : int, optional
        Files of more bytes than this are not read.

    Returns
    -------
    text
        Files that could not be read are empty in it.
    errors
        One error for each of those.
    """
    sizes = [_size(path) for path in paths]
    errors: list[TomoarrowError] = []
    others: dict[int, bytes] = {}
    for f in [f for f, size in enumerate(sizes) if most is not None and size > most]:
        errors.append(_too_large(names[f], sizes[f], most or 0))
        others[f], sizes[f] = b"", 0
    text = _room(names, np.array(sizes, np.int64))
    room = text.buffer.data
    for f, (path, begin, size) in enumerate(zip(paths, text.begins.tolist(), sizes, strict=True)):
        # One byte more than there should be, of the line feeds behind: it says whether the file has grown.
        if f not in others and not _fills(path, room[begin : begin + size + 1]):
            try:
                others[f] = _read_path(path, names[f], only_regular=True)
            except TomoarrowError as error:
                errors.append(error)
                others[f] = b""
    if others:
        places = zip(text.begins.tolist(), text.ends.tolist(), strict=True)
        contents = [others[f] if f in others else bytes(room[slice(*place)]) for f, place in enumerate(places)]
        text, more = lay_out(list(zip(names, contents, strict=True)), most)
        return text, errors + more
    _end_files(text)
    return text, _check_all(text)


def _too_large(name: str, size: int, most: int) -> StarSyntaxError:
    return StarSyntaxError(
        f"a file of {size >> 20} MB",
        place=Place(name),
        expected=f"a STAR file of at most {most >> 20} MB",
        remedy="check that the right file is named",
    )


def lay_out(files: Sequence[tuple[str, bytes]], most: int | None = None) -> tuple[Text, list[TomoarrowError]]:
    """Lay files, as (name, bytes), into one padded buffer; see `read_slab` for what is returned.

    `most`: how many bytes each may have, and the compressed ones may unpack to, all together.
    """
    errors: list[TomoarrowError] = []
    contents = []
    left = most
    for name, data in files:
        try:
            if most is not None and len(data) > most:
                raise _too_large(name, len(data), most)
            unpacked = _decompress(name, data, left)
            left = left if left is None or unpacked is data else left - len(unpacked)
            contents.append(unpacked)
        except TomoarrowError as error:
            errors.append(error)
            contents.append(b"")
    text = _room([name for name, _ in files], np.fromiter((len(data) for data in contents), np.int64, len(contents)))
    for data, begin, end in zip(contents, text.begins.tolist(), text.ends.tolist(), strict=True):
        text.buffer[begin:end] = np.frombuffer(data, np.uint8)
    _end_files(text)
    return text, errors + _check_all(text)


def _room(names: Sequence[str], sizes: NDArray[np.int64]) -> Text:
    """Room for files of some sizes."""
    ends = np.cumsum(sizes + PADDING) - PADDING
    return Text(np.empty(int((sizes + PADDING).sum()), np.uint8), ends - sizes, ends, tuple(names))


def _end_files(text: Text) -> None:
    """Put line feeds behind each file."""
    text.buffer[text.ends[:, None] + np.arange(PADDING)] = 10


def _check_all(text: Text) -> list[TomoarrowError]:
    """One error for each file that is not UTF-8; it is empty then."""
    if gather.find_invalid_utf8(text.buffer, 0, len(text.buffer) - PADDING) < 0:
        return []
    errors: list[TomoarrowError] = []
    for f in range(len(text.names)):
        wrong = check_utf8(text, f)
        if wrong is not None:
            errors.append(wrong)
            text.ends[f] = text.begins[f]
    return errors


@dataclass(frozen=True, slots=True)
class Stream:
    """Bytes that are read once, from front to back, unpacked."""

    name: str
    _file: Readable
    _is_packed: bool = False
    _front: bytes = b""
    _lines: Lines = field(default_factory=lambda: Lines(""))

    @property
    def front(self) -> Held:
        """The first bytes, up to the end of a line, to tell what they are; none where it was not `held_or_open`."""
        return Held(self.name, self._front)

    def readinto(self, room: Any, /) -> int:
        """Fill room; return how many bytes there were, fewer only at the end."""
        return self.fill(np.frombuffer(room, np.uint8))

    def fill(self, array: NDArray[np.uint8]) -> int:
        """Fill an array; return how many bytes there were, fewer only at the end."""
        view = array.data
        done = 0
        with _told(self.name, unpacks=self._is_packed):
            while done < len(view):
                # Some files of Python's library return fewer bytes than are there.
                n = self._file.readinto(view[done:])
                if not n:
                    break
                done += n
        self._lines.see(array[:done])
        return done


@contextmanager
def open_stream(source: Source | Held | Stream) -> Iterator[Stream]:
    """Open a source to read it in pieces; what is taken and raised is that of `read_text`."""
    name = name_of(source)
    if isinstance(source, Stream):
        yield source
    elif isinstance(source, str | os.PathLike):
        with _opened(name) as raw:
            yield _unpacked(name, io.BufferedReader(raw))
    elif isinstance(source, io.BufferedIOBase | io.RawIOBase):
        if source.closed or not source.readable():
            raise UsageError(f"{name} cannot be read from", expected="a file open for reading, in binary mode")
        file = io.BufferedReader(cast(io.RawIOBase, source))
        try:
            yield _unpacked(name, file)
        finally:
            # What the caller opened, the caller closes; maybe has already.
            if not source.closed:
                file.detach()
    else:
        data = source.data if isinstance(source, Held) else bytes_of(source)
        yield _unpacked(name, io.BufferedReader(io.BytesIO(data)))


@contextmanager
def held_or_open(source: Source, most: int) -> Iterator[Held | Stream]:
    """Read a source that can be read only once: whole, where it has no more bytes than `most`, else from the front."""
    with open_stream(source) as stream:
        front = np.empty(most, np.uint8)
        n = stream.fill(front)
        if n < most:
            yield Held(stream.name, front[:n].tobytes())
            return
        head = front[:_FRONT_BYTES].tobytes()
        behind = Stream(stream.name, Behind(front.data, stream), False, head[: head.rfind(b"\n") + 1])
        del front
        yield behind


def _unpacked(name: str, file: io.BufferedReader[Any], most: int | None = None) -> Stream:
    head = b""
    with _told(name):
        # A pipe may give them one by one.
        while len(head) < HEAD_BYTES and (more := file.read(HEAD_BYTES - len(head))):
            head += more
    if is_packed(head):
        return Stream(name, unpack(name, head, file, most), True, _lines=Lines(name))
    return Stream(name, io.BufferedReader(Behind(memoryview(head), file)), _lines=Lines(name))


def _opened(name: str) -> io.FileIO:
    with _told(name):
        return open(name, "rb", buffering=0)


@contextmanager
def _told(name: str, *, unpacks: bool = False) -> Iterator[None]:
    """Turn what the system, or a damaged compression, says into an error of the file."""
    try:
        yield
    except (OSError, zlib.error, EOFError) as error:
        if unpacks and (not isinstance(error, OSError) or error.errno is None):
            raise StarSyntaxError(
                f"the compressed data is damaged or cut short: {error}",
                place=Place(name),
                remedy="copy or compress the file again",
            ) from error
        reason = getattr(error, "strerror", None) or str(error)
        raise MissingFileError(
            f"cannot read the file: {reason}", place=Place(name), remedy="check the path and its permissions"
        ) from error


def _size(path: str) -> int:
    """The size of a regular file; 0 for what is none."""
    try:
        status = os.stat(path)
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _fills(path: str, room: memoryview) -> bool:
    """Whether a file, read into room, leaves one byte of it and is not compressed; so it is not when it is empty."""
    if len(room) == 1:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            n = os.readv(descriptor, [room])
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return n == len(room) - 1 and not is_packed(room)


def _read_path(path: str, name: str, *, only_regular: bool = False) -> bytes:
    with _told(name):
        if only_regular and not stat.S_ISREG(os.stat(path).st_mode):
            raise MissingFileError("not a regular file", place=Place(name), remedy="correct the path")
        with open(path, "rb", buffering=0) as file:
            return _read_all(file, name)


def _decompress(name: str, data: bytes, most: int | None = None) -> bytes:
    """What bytes unpack to; if they are not compressed, they themselves."""
    if not is_packed(data):
        if len(data) > MOST_UNSEEN_BYTES:
            Lines(name).see(np.frombuffer(data, np.uint8))
        return data
    parts = []
    stream = _unpacked(name, io.BufferedReader(io.BytesIO(data)), most)
    while True:
        part = np.empty(_PART_BYTES, np.uint8)
        n = stream.fill(part)
        parts.append(part[:n].tobytes())
        if n < len(part) or (len(parts) == 1 and b"\0" in parts[0]):
            return b"".join(parts)
