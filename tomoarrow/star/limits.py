"""What is refused before it takes too much memory or time: each limit, and why no real STAR file comes near it.

All readers have the same limits: whether a file can be read does not depend on how it is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import Place, StarSyntaxError

#: The longest line. RELION's longest, a particle with its visible frames, takes some hundred bytes; a reader that works
#: in pieces has to hold a whole line.
MOST_LINE_BYTES = 64 << 20

#: The longest run of blank lines, comments and lines that begin with ``;``, which are all skipped: a reader that works
#: in pieces has to hold it up to the next row. RELION writes a blank line and a comment before a block.
MOST_BETWEEN_BYTES = MOST_LINE_BYTES

#: Where the first block begins at the latest. RELION begins a file with a line for its version; whoever looks for the
#: first table has to hold all that is before it.
MOST_BEFORE_BLOCK_BYTES = MOST_LINE_BYTES

#: A text of no more than this needs no look at its lines.
MOST_UNSEEN_BYTES = min(MOST_LINE_BYTES, MOST_BETWEEN_BYTES, MOST_BEFORE_BLOCK_BYTES)

#: How many times its size compressed data may unpack to. STAR files, even of zeros and of names that count up, pack to
#: a hundredth at best; data made to exhaust the memory of whoever unpacks it packs to a thousandth or less.
MOST_TIMES_UNPACKED = 300

#: So much is always unpacked: a small file of equal rows packs as well as it likes.
ALWAYS_UNPACKED_BYTES = 256 << 20

#: The labels of one loop: RELION knows some 600 in all. Each takes an array of its own.
MOST_LABELS = 10_000

#: The blocks and save frames of a file. A trajectory file has a block for each particle, of which the largest data sets
#: have some two million.
MOST_BLOCKS = 5_000_000

#: The labels of a file that have one value each. RELION writes some hundred of them, a large entry of a data bank some
#: ten thousand. Each is read by itself.
MOST_PAIRS = 1_000_000

#: How deep save frames stand in save frames: DDLm dictionaries have two. Frames are read one inside the other.
MOST_FRAMES_DEEP = 100

#: Ends of lines are looked for in so much at each end before they are in all.
_NEAR_BYTES = 1 << 12

#: Lines that are skipped, from the begin of one; the same from the end of a text, which is turned round.
_SKIPPED = re.compile(rb"(?:\s|[#;][^\r\n]*+)*+")
_SKIPPED_BACK = re.compile(rb"(?:\s|[^\r\n]*[#;][ \t\v\f]*(?=[\r\n]|\Z))*+")

_HEADING = b"data_"


def most_unpacked(packed_bytes: int) -> int:
    """How many bytes compressed data may unpack to, given its size."""
    return max(ALWAYS_UNPACKED_BYTES, MOST_TIMES_UNPACKED * packed_bytes)


def bomb(name: str, most: int) -> StarSyntaxError:
    """The error for compressed data that unpacks to more than it may."""
    return StarSyntaxError(
        f"compressed data that unpacks to more than {_size(most)}, over {MOST_TIMES_UNPACKED} times its size",
        place=Place(name),
        expected="a STAR file, which packs to no less than a hundredth of its size",
        remedy="find out where the file comes from; if it is what it should be, unpack it and read that",
    )


def too_many_labels(place: Place, n_labels: int) -> StarSyntaxError:
    """The error for a loop with more labels than `MOST_LABELS`."""
    return StarSyntaxError(
        f"a loop of {n_labels} labels",
        place=place,
        expected=f"at most {MOST_LABELS} labels",
        remedy="check that the file is a STAR file, and that it is whole",
    )


def too_many_blocks(place: Place) -> StarSyntaxError:
    """The error for the block behind `MOST_BLOCKS` others."""
    return StarSyntaxError(
        f"more than {MOST_BLOCKS} blocks",
        place=place,
        expected="a block for each particle at most",
        remedy="check that the file is a STAR file; if it is, split it",
    )


def too_many_pairs(place: Place) -> StarSyntaxError:
    """The error for the label with one value behind `MOST_PAIRS` others."""
    return StarSyntaxError(
        f"more than {MOST_PAIRS} labels with one value each",
        place=place,
        expected="tables of many values as loops",
        remedy="check that the file is a STAR file; if it is, write a loop, or split it",
    )


def too_deep(place: Place) -> StarSyntaxError:
    """The error for a save frame nested more than `MOST_FRAMES_DEEP` deep."""
    return StarSyntaxError(
        f"save frames in save frames, more than {MOST_FRAMES_DEEP} deep",
        place=place,
        expected="two or three",
        remedy="check that each save frame is closed by save_",
    )


#: What is known of a line that is not seen to its end, unless there were only blanks.
_SKIPPED_LINE, _ROW = b"#", b"1"


@dataclass(slots=True)
class _Between:
    """Measures lines that are skipped.

    Attributes
    ----------
    length : int
        How many bytes of them there were since the line of the last row.
    line : bytes
        What the last line is.
    """

    length: int = 0
    line: bytes = b""

    def is_too_long_with(self, window: NDArray[np.uint8]) -> bool:
        """Look at the next bytes, no more than `MOST_BETWEEN_BYTES`."""
        begin = 0
        if self.line:
            end = _first_end(window)
            begin = len(window) if end < 0 else end
        row = begin + _skipped(window[begin:])
        self.length += row if self.line != _ROW else row - begin
        is_too_long = self.length > MOST_BETWEEN_BYTES
        if row < len(window):
            behind = _skipped_back(window[row:])
            end = _first_end(window[len(window) - behind :])
            self.length, self.line = (0, _ROW) if end < 0 else (behind - end, _last_line(window))
        elif begin < row:
            self.line = _last_line(window[begin:])
        return is_too_long


@dataclass(slots=True)
class Lines:
    """Looks at a text, given one part after the other, for what is too long.

    Attributes
    ----------
    name : str
        What the text is called.
    open : int
        How many bytes the last line has so far.
    seen : int
        How many bytes there were.
    between : _Between
    front : bytes or None
        The last bytes before the first block; None behind it.
    """

    name: str
    open: int = 0
    seen: int = 0
    between: _Between = field(default_factory=_Between)
    front: bytes | None = b""

    def see(self, part: NDArray[np.uint8]) -> None:
        """Look at the next bytes.

        Raises
        ------
        StarSyntaxError
            A line is longer than `MOST_LINE_BYTES`, lines that are skipped are longer than `MOST_BETWEEN_BYTES`, or
            what is before the first block is longer than `MOST_BEFORE_BLOCK_BYTES`.
        """
        # Nothing between two ends of lines, or two rows, within it is too long.
        step = min(MOST_LINE_BYTES, MOST_BETWEEN_BYTES)
        for begin in range(0, len(part), step):
            window = part[begin : begin + step]
            first = _first_end(window)
            if self.open + (len(window) if first < 0 else first) > MOST_LINE_BYTES:
                raise self._too_long()
            if self.between.is_too_long_with(window):
                raise self._too_far(f"blank lines and comments of more than {_size(MOST_BETWEEN_BYTES)}", "a row")
            if self.front is not None:
                self._look_for_block(self.front, window)
            self.open = self.open + len(window) if first < 0 else len(window) - 1 - _last_end(window)
            self.seen += len(window)

    def _look_for_block(self, front: bytes, window: NDArray[np.uint8]) -> None:
        text, at = front, -1
        for part in (window[:_NEAR_BYTES], window):
            if at < 0:
                text = front + part.tobytes()
                at = text.lower().find(_HEADING)
        begin = self.seen - len(front) + (max(0, len(text) - len(_HEADING) + 1) if at < 0 else at)
        if begin > MOST_BEFORE_BLOCK_BYTES:
            raise self._too_far(f"no data block in the first {_size(MOST_BEFORE_BLOCK_BYTES)}", "data_name")
        self.front = text[1 - len(_HEADING) :] if at < 0 else None

    def _too_far(self, problem: str, expected: str) -> StarSyntaxError:
        remedy = "check that the file is a STAR file, and that it is whole"
        return StarSyntaxError(problem, place=Place(self.name), expected=expected, remedy=remedy)

    def _too_long(self) -> StarSyntaxError:
        return StarSyntaxError(
            f"a line of more than {_size(MOST_LINE_BYTES)}, {self.seen - self.open} bytes behind the front of the file",
            place=Place(self.name),
            expected="a row of some hundred bytes",
            remedy="check that the file is a STAR file, and that it is whole",
        )


def _skipped(window: NDArray[np.uint8]) -> int:
    """The length of the lines that are skipped at the begin of a text."""
    for part in (window[:_NEAR_BYTES], window):
        found = _SKIPPED.match(part.tobytes())
        if found is not None and found.end() < len(part):
            return found.end()
    return len(window)


def _skipped_back(window: NDArray[np.uint8]) -> int:
    """The length of the lines that are skipped at the end of a text, and of the blanks before them."""
    for part in (window[-_NEAR_BYTES:], window):
        found = _SKIPPED_BACK.match(part[::-1].tobytes())
        assert found is not None
        # What a line is says its begin.
        if _last_end(part[: len(part) - found.end()]) >= 0:
            break
    assert found is not None
    return found.end()


def _last_line(window: NDArray[np.uint8]) -> bytes:
    """What the last line of lines that are skipped is."""
    return window[_last_end(window) + 1 :].tobytes().strip()[:1] and _SKIPPED_LINE


def _first_end(window: NDArray[np.uint8]) -> int:
    """Where the first line ends; -1 where none does."""
    for part in (window[:_NEAR_BYTES], window):
        text = part.tobytes()
        ends = [at for at in (text.find(b"\n"), text.find(b"\r")) if at >= 0]
        if ends:
            return min(ends)
    return -1


def _last_end(window: NDArray[np.uint8]) -> int:
    """Where the last line ends, where one does."""
    near = max(0, len(window) - _NEAR_BYTES)
    for begin in (near, 0):
        text = window[begin:].tobytes()
        last = max(text.rfind(b"\n"), text.rfind(b"\r"))
        if last >= 0:
            return begin + last
    return -1


def _size(n_bytes: int) -> str:
    return f"{n_bytes >> 20} MB"
