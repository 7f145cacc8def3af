"""Where a long text is cut: behind a line that looks like a row, or before a block."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..kernels import gather
from .blocks import split_between
from .buffers import PADDING
from .source import Stream
from .structure import Dialect

#: Longer comments behind a row are no place to cut.
LONGEST_END = 1 << 12

#: The text of a piece, with all that is made of it, should stay in a core's cache.
PIECE_BYTES = 4 << 20

#: Before this much has been read nobody knows which loop will be open.
_FIRST_BYTES = 1 << 18

#: Room for the labels in front of a piece.
ROOM = 1 << 14

#: So much of the end of a piece is searched for a place to cut, before more is.
_TAIL_BYTES = 1 << 16

#: Behind so many lines that are no row none is looked for: with more of the text there will be one nearer its end.
_MOST_LINES_BACK = 1 << 14

#: Blank lines and comments at the end of a text, with the end of the line before.
_BETWEEN = re.compile(rb"(?:\n(?:[ \t\r]*|[ \t]*#[^\n]*))*\n?\Z")

#: From the heading of the first block to its first loop.
_TO_FIRST_LOOP = {
    "relion": re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|[\n\r])[ \t\v\f]*data_.*?(?=loop_)", re.DOTALL),
    "star": re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|\s)data_.*?(?=loop_)", re.DOTALL | re.IGNORECASE),
}

_KEYWORDS = (b"data_", b"loop_", b"save_", b"stop_", b"globa")


@dataclass(frozen=True, slots=True)
class Cut:
    """Bytes of a piece: ``buffer[begin:end]``, with `ROOM` in front; the lines before it; the source's name."""

    buffer: NDArray[np.uint8]
    begin: int
    end: int
    lines: int
    is_last: bool
    name: str

    def __len__(self) -> int:
        return self.end - self.begin

    def upto(self, at: int) -> Cut:
        """What is before a position."""
        buffer = self.buffer[: at + PADDING].copy()
        buffer[at:] = ord("\n")
        return replace(self, buffer=buffer, end=at)

    def rest(self, at: int) -> Cut:
        """What is behind a position."""
        lines = self.lines + gather.count_lines(self.buffer, self.begin, at)
        buffer = np.concatenate([np.empty(ROOM, np.uint8), self.buffer[at:]])
        return replace(self, buffer=buffer, begin=ROOM, end=self.end - at + ROOM, lines=lines)


def begins_with_value(line: bytes) -> bool:
    """Whether a line of the `star` dialect goes on with the values of a loop: a label would be taken for its own."""
    return line.startswith(b";") or _looks_like_row(line)


#: Where to cut a buffer, between two positions; -1 for nowhere.
PlaceToCut = Callable[[NDArray[np.uint8], int, int], int]


def cuts_of(stream: Stream, place: PlaceToCut, piece_bytes: int, dialect: Dialect) -> Iterator[Cut]:
    """Read a stream and cut it where there is a place to."""
    rest = np.empty(0, np.uint8)
    wanted = min(_FIRST_BYTES, piece_bytes)
    lines = 0
    has_cut = False
    while True:
        buffer = np.empty(ROOM + len(rest) + wanted + PADDING, np.uint8)
        buffer[ROOM : ROOM + len(rest)] = rest
        filled = ROOM + len(rest)
        end = filled + stream.fill(buffer[filled : filled + wanted])
        if end < filled + wanted:
            buffer[end : end + PADDING] = ord("\n")
            yield Cut(buffer, ROOM, end, lines, True, stream.name)
            return
        low = ROOM
        if not has_cut:
            # Before the first loop nothing is a row, whatever it looks like.
            low = ROOM + _behind_first_loop(buffer[ROOM:end].tobytes(), dialect)
        at = place(buffer, low, end)
        rest = buffer[ROOM if at < 0 else at : end].copy()
        if at < 0:
            wanted = max(wanted, len(rest))
            continue
        has_cut = True
        buffer[at : at + PADDING] = ord("\n")
        yield Cut(buffer, ROOM, at, lines, False, stream.name)
        lines += gather.count_lines(buffer, ROOM, at)
        wanted = piece_bytes


def _behind_first_loop(text: bytes, dialect: Dialect) -> int:
    """Where the rows of the first loop begin, or shortly before that; at the end where none does."""
    lower = text.lower()
    heading = lower.find(b"data_")
    if heading < 0 or b"loop_" not in lower:
        return len(text)
    # Lines before that of the first heading need no look, and may be many.
    line = max(text.rfind(b"\n", 0, heading), text.rfind(b"\r", 0, heading), 0)
    found = _TO_FIRST_LOOP[dialect].search(text, line)
    return found.end() if found else len(text)


def place_behind_row(buffer: NDArray[np.uint8], begin: int, end: int, dialect: Dialect) -> int:
    """Where the last line ends that looks like a row; -1 where none does.

    In the `star` dialect the line behind it begins with a value too.
    """
    window = _TAIL_BYTES
    while True:
        low = max(begin, end - window)
        tail = buffer[low:end].tobytes()
        at = tail.rfind(b"\n")
        for _ in range(_MOST_LINES_BACK):
            before = tail.rfind(b"\n", 0, at) if at >= 0 else -1
            if before < 0:
                break
            behind = tail[at + 1 : at + 1 + LONGEST_END]
            if _looks_like_row(tail[before + 1 : at]) and (dialect == "relion" or begins_with_value(behind)):
                return low + at + 1
            at = before
        else:
            return -1
        if low == begin:
            return -1
        window *= 16


def place_before_block(buffer: NDArray[np.uint8], begin: int, end: int) -> int:
    """Where the last block begins, with the comments that belong to it; -1 where none does behind the first."""
    window = _TAIL_BYTES
    while True:
        low = max(begin, end - window)
        tail = buffer[low:end].tobytes()
        at = tail.rfind(b"\ndata_")
        # What stands between the last row and the heading lies in the window too, if it is not far more than any.
        if at >= 0 and (at > LONGEST_END or low == begin):
            between = _BETWEEN.search(tail, 0, at + 1)
            assert between is not None
            text = between[0].decode("utf-8", "replace") + "data_"
            front = len(split_between(text)[1].encode()) - len("data_")
            cut = low + at + 1 - front
            # A text without a block would belong to none.
            return cut if b"\ndata_" in b"\n" + buffer[begin:cut].tobytes() else -1
        if low == begin:
            return -1
        window *= 16


def _looks_like_row(line: bytes) -> bool:
    """Whether a line begins with a word that is nothing but a value."""
    word = line.lstrip(b" \t")[: len(_KEYWORDS[0])].lower()
    return word > b" " and word[:1] not in b"_#;" and not word.startswith(_KEYWORDS)


def joined(cuts: Sequence[Cut]) -> Cut:
    """Cuts that follow each other as one."""
    first, last = cuts[0], cuts[-1]
    parts = [first.buffer[: first.end], *(cut.buffer[cut.begin : cut.end] for cut in cuts[1:])]
    behind = last.buffer[last.end : last.end + PADDING]
    end = first.begin + sum(len(cut) for cut in cuts)
    return replace(first, buffer=np.concatenate([*parts, behind]), end=end, is_last=last.is_last)
