"""What is refused before it takes too much memory or time: each limit, and why no STAR file that is one comes near it.

A limit that one reader has all readers have: whether a file is read does not depend on how it is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import Place, StarSyntaxError

#: The longest line. The longest of RELION, a particle with its visible frames, takes some hundred bytes; whoever reads
#: a file in pieces has to hold a line as a whole.
MOST_LINE_BYTES = 64 << 20

#: How many times its size compressed data may unpack to. STAR files, even of zeros and of names that count up, pack to
#: a hundredth at best; data made to fill the memory of who unpacks it packs to a thousandth and less.
MOST_TIMES_UNPACKED = 300

#: So much is always unpacked: a small file of equal rows packs as well as it likes.
ALWAYS_UNPACKED_BYTES = 256 << 20

#: The labels of one loop: RELION knows some 600 in all. Each takes an array of its own.
MOST_LABELS = 10_000

#: How deep save frames stand in save frames: DDLm dictionaries have two. Frames are read one inside the other.
MOST_FRAMES_DEEP = 100

#: Ends of lines are looked for in so much at each end before they are in all.
_NEAR_BYTES = 1 << 12


def most_unpacked(packed_bytes: int) -> int:
    """How many bytes compressed data may unpack to, given its size."""
    return max(ALWAYS_UNPACKED_BYTES, MOST_TIMES_UNPACKED * packed_bytes)


def bomb(name: str, most: int) -> StarSyntaxError:
    """What is told of compressed data that unpacks to more than it may."""
    return StarSyntaxError(
        f"compressed data that unpacks to more than {_size(most)}, over {MOST_TIMES_UNPACKED} times its size",
        place=Place(name),
        expected="a STAR file, which packs to no less than a hundredth of its size",
        remedy="find out where the file comes from; if it is what it should be, unpack it and read that",
    )


def too_many_labels(place: Place, n_labels: int) -> StarSyntaxError:
    """What is told of a loop with more labels than `MOST_LABELS`."""
    return StarSyntaxError(
        f"a loop of {n_labels} labels",
        place=place,
        expected=f"at most {MOST_LABELS} labels",
        remedy="check that the file is a STAR file, and that it is whole",
    )


def too_deep(place: Place) -> StarSyntaxError:
    """What is told of a save frame in more others than `MOST_FRAMES_DEEP`."""
    return StarSyntaxError(
        f"save frames in save frames, more than {MOST_FRAMES_DEEP} deep",
        place=place,
        expected="two or three",
        remedy="check that each save frame is closed by save_",
    )


@dataclass(slots=True)
class Lines:
    """Looks at a text, given one part after the other, for a line that is too long.

    Attributes
    ----------
    name : str
        What the text is called.
    open : int
        How many bytes the last line has so far.
    seen : int
        How many bytes there were.
    """

    name: str
    open: int = 0
    seen: int = 0

    def see(self, part: NDArray[np.uint8]) -> None:
        """Look at the next bytes.

        Raises
        ------
        StarSyntaxError
            A line is longer than `MOST_LINE_BYTES`.
        """
        for begin in range(0, len(part), MOST_LINE_BYTES):
            # No line between two ends within it is too long.
            window = part[begin : begin + MOST_LINE_BYTES]
            first = _first_end(window)
            if self.open + (len(window) if first < 0 else first) > MOST_LINE_BYTES:
                raise self._too_long()
            self.open = self.open + len(window) if first < 0 else len(window) - 1 - _last_end(window)
            self.seen += len(window)

    def _too_long(self) -> StarSyntaxError:
        return StarSyntaxError(
            f"a line of more than {_size(MOST_LINE_BYTES)}, {self.seen - self.open} bytes behind the front of the file",
            place=Place(self.name),
            expected="a row of some hundred bytes",
            remedy="check that the file is a STAR file, and that it is whole",
        )


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
