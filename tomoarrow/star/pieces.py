"""A long text in pieces, each cut between two rows and taken apart as a text of its own, on several threads.

A piece that begins among the rows of a loop gets a heading and the labels of that loop in front of it. Which loop is
open there is known only when the piece before has been taken apart: it is taken to be the one that was open last, as
it nearly always is, and where it was another the piece is taken apart again. What a piece has behind its last row goes
to the next; a piece without a row is joined with it. What is read therefore never depends on where the cuts are.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..kernels import gather
from ..kernels.tokenize import SPAN_MASK
from .faults import Notice
from .source import PADDING, Held, Source, Stream, Text, check_utf8, open_stream
from .structure import Dialect, Structure, analyse

T = TypeVar("T")

#: The text of a piece, with all that is made of it, should stay in a core's cache.
PIECE_BYTES = 4 << 20

#: Before this much has been read nobody knows which loop will be open.
_FIRST_BYTES = 1 << 18

#: Room for the labels in front of a piece.
_ROOM = 1 << 14

#: So much of the end of a piece is searched for a place to cut, before more is.
_TAIL_BYTES = 1 << 16

#: What may stand behind the last value of a row: what closes it, blanks, a comment, the end of the line.
_END_OF_ROW = re.compile(rb"(?:['\"]|\r?\n;)?[ \t\v\f]*(?:#[^\r\n]*)?(?:\r\n|\r|\n)")

#: Longer comments, and more rows without an end of line behind them, are no place to cut.
_LONGEST_END, _MOST_ROWS_BACK = 1 << 12, 1 << 10

_NUMBERED = re.compile(r"#\d+$")

_KEYWORDS = (b"data_", b"loop_", b"save_", b"stop_", b"globa")


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """The loop that is open where a piece begins.

    Attributes
    ----------
    block : str
    position : int
        Of its block among those of the file.
    labels : tuple of str
    has_pairs : bool
        Whether its block has pairs as well.
    """

    block: str
    position: int
    labels: tuple[str, ...]
    has_pairs: bool

    @property
    def header(self) -> bytes:
        """A text that opens the loop."""
        pair = "_pair 0\n" if self.has_pairs else ""
        labels = "".join(f"_{label}\n" for label in self.labels)
        return f"data_{self.block}\n{pair}loop_\n{labels}".encode()


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text.

    Attributes
    ----------
    structure : Structure
        Its first block and loop are those of `within`, if any.
    within : OpenLoop or None
        The loop that it was taken to begin in.
    open_loop : OpenLoop or None
        The loop that is open behind its last row; None where it does not end with a row.
    begin : int
        Where its own text begins in the buffer, behind the labels that were put in front.
    is_last : bool
    """

    structure: Structure
    within: OpenLoop | None
    open_loop: OpenLoop | None
    begin: int
    is_last: bool

    @property
    def notices(self) -> list[Notice]:
        """What was noticed in its own text: not what the labels in front repeat."""
        if not self.structure.notices:
            return []
        first_line = self.structure.text.place(self.begin).line
        counts = [(notice, notice.count - (notice.place.line < first_line)) for notice in self.structure.notices]
        return [replace(notice, count=count) for notice, count in counts if count]


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """What was made of a piece, and the loop that the piece truly begins in."""

    piece: Piece
    within: OpenLoop | None
    result: T


@dataclass(frozen=True, slots=True)
class _Cut:
    """Bytes of a piece: ``buffer[begin:end]``, with `_ROOM` in front; the lines before it; the source's name."""

    buffer: NDArray[np.uint8]
    begin: int
    end: int
    lines: int
    is_last: bool
    name: str

    def upto(self, at: int) -> _Cut:
        """What is before a position."""
        buffer = self.buffer[: at + PADDING].copy()
        buffer[at:] = ord("\n")
        return replace(self, buffer=buffer, end=at)

    def rest(self, at: int) -> _Cut:
        """What is behind a position."""
        lines = self.lines + gather.count_lines(self.buffer, self.begin, at)
        buffer = np.concatenate([np.empty(_ROOM, np.uint8), self.buffer[at:]])
        return replace(self, buffer=buffer, begin=_ROOM, end=self.end - at + _ROOM, lines=lines)


def read_pieces(
    source: Source | Held | Stream,
    dialect: Dialect,
    work: Callable[[Piece], T],
    *,
    stands: Callable[[T, OpenLoop | None, OpenLoop | None], bool],
    threads: int,
    piece_bytes: int | None = None,
) -> Generator[Read[T], None, None]:
    """Do work on each piece of a source, in order.

    Parameters
    ----------
    source, dialect
        As in `read_star`.
    work : callable
        Called with each piece, on any thread.
    stands : callable
        Whether what was made of a piece stands, given the loop that it was taken to begin in, and the loop that it
        truly begins in.
    threads : int
        How many threads work.
    piece_bytes : int
        About how long pieces are; `PIECE_BYTES` by default.

    Raises
    ------
    TomoarrowError
        The source cannot be read, or is malformed.
    """

    def take(cut: _Cut, within: OpenLoop | None) -> tuple[Piece, T]:
        piece = _take_apart(cut, within, dialect)
        return piece, work(piece)

    with open_stream(source) as stream, ThreadPoolExecutor(threads) as pool:
        cuts = _cuts(stream, dialect, piece_bytes or PIECE_BYTES)
        waiting: deque[tuple[_Cut, OpenLoop | None, Future[tuple[Piece, T]] | None]] = deque()
        within: OpenLoop | None = None
        try:
            while True:
                # The first piece is waited for: it tells which loop is open.
                ahead = threads + 2 if within else 1
                while len(waiting) < ahead and (cut := next(cuts, None)) is not None:
                    waiting.append((cut, within, pool.submit(take, cut, within)))
                if not waiting:
                    return
                cut, taken_for, future = waiting.popleft()
                piece, result = future.result() if future else take(cut, within)
                if future and taken_for != within and (piece.structure.faults or not stands(result, taken_for, within)):
                    piece, result = take(cut, within)
                while not piece.is_last and not _ends_with_row(piece, dialect):
                    at = _place_to_end(piece, dialect) - piece.begin + cut.begin
                    rest = cut.rest(at)
                    following = waiting.popleft()[0] if waiting else next(cuts, None)
                    rest = rest if following is None else _joined(rest, following)
                    if at > cut.begin:
                        cut = cut.upto(at)
                        waiting.appendleft((rest, None, None))
                    else:
                        cut = rest
                    piece, result = take(cut, within)
                for fault in piece.structure.faults:
                    raise fault
                yield Read(piece, within, result)
                within = _followed(within, piece)
        finally:
            for _, _, future in waiting:
                if future:
                    future.cancel()


def always(*_: object) -> bool:
    """What was made of a piece stands, whichever loop it begins in: for `read_pieces`."""
    return True


def never(*_: object) -> bool:
    """What was made of a piece does not stand where it truly begins in another loop: for `read_pieces`."""
    return False


def _ends_with_row(piece: Piece, dialect: Dialect) -> bool:
    """Whether a piece ends with a row, or with an error that no text behind it can mend."""
    return piece.open_loop is not None or (dialect == "relion" and bool(piece.structure.faults))


def _followed(within: OpenLoop | None, piece: Piece) -> OpenLoop | None:
    """The loop that is open behind a piece, given the one that it truly began in."""
    left = piece.open_loop
    if left is None or within is None or piece.within is None:
        return left
    # In the piece, blocks were counted from the one that it was taken to begin in.
    begun = left.position - piece.within.position
    return replace(left, block=left.block if begun else within.block, position=within.position + begun)


def _take_apart(cut: _Cut, within: OpenLoop | None, dialect: Dialect) -> Piece:
    header = within.header if within else b""
    buffer, begin, end = cut.buffer, cut.begin, cut.end
    if len(header) > begin:
        buffer = np.concatenate([np.empty(len(header), np.uint8), buffer[begin:]])
        begin, end = len(header), end - begin + len(header)
    front = begin - len(header)
    buffer[front:begin] = np.frombuffer(header, np.uint8)
    first_line = cut.lines + 1 - header.count(b"\n")
    text = Text(buffer, np.array([front]), np.array([end]), (cut.name,), first_line, begin if within else 0)
    undecodable = check_utf8(text, 0)
    if undecodable is not None:
        # What is malformed before that comes first.
        end -= len(buffer[front:end].tobytes().split(b"\n", undecodable.place.line - first_line)[-1])
        buffer[end : end + PADDING] = ord("\n")
        for fault in analyse(replace(text, ends=np.array([end])), dialect).faults:
            raise fault
        raise undecodable
    structure = analyse(text, dialect)
    return Piece(structure, within, _open_loop(structure, within), begin, cut.is_last)


def _open_loop(structure: Structure, within: OpenLoop | None) -> OpenLoop | None:
    """The loop whose row ends a text, behind which nothing stands but the end of its line."""
    if not _is_open(structure) or structure.loop_values[-1] % structure.loop_width[-1]:
        return None
    if _end_of_row(structure, int(structure.loop_values[-1])) != structure.text.ends[0]:
        return None
    container = int(structure.loop_container[-1])
    position = int((structure.parent < 0).sum()) - 1 + (within.position if within else 0)
    labels = tuple(structure.labels(len(structure.loop_container) - 1))
    return OpenLoop(structure.name(container), position, labels, bool((structure.pair_container == container).any()))


def _is_open(structure: Structure) -> bool:
    """Whether a text ends in a loop of which it holds rows."""
    if structure.faults or not len(structure.loop_container) or structure.loop_values[-1] < structure.loop_width[-1]:
        return False
    container = int(structure.loop_container[-1])
    if structure.parent[container] >= 0 or structure.heading[-1] > structure.loop_tags[-1]:
        return False
    if any(_NUMBERED.search(label) for label in structure.labels(len(structure.loop_container) - 1)):
        # As a label it would lose that.
        return False
    pairs = structure.pair_tag[structure.pair_container == container]
    return not (pairs > structure.loop_cells[-1]).any()


def _end_of_row(structure: Structure, values: int) -> int:
    """Where the line ends that the last of so many values of the last loop is on; -1 where more stands behind it."""
    last = int(structure.loop_cells[-1]) + values - 1
    end = structure.start(last) + (int(structure.spans[last]) & SPAN_MASK)
    stop = int(structure.text.ends[0])
    match = _END_OF_ROW.match(structure.text.buffer[end : min(end + _LONGEST_END, stop)].tobytes())
    return end + match.end() if match else -1


def _place_to_end(piece: Piece, dialect: Dialect) -> int:
    """Where a piece could end that does not end with a row: behind an earlier row; where it begins, if nowhere."""
    structure = piece.structure
    if dialect == "star" and structure.faults:
        # A text field that goes on behind the piece, most likely.
        text = structure.text
        begin, end = int(text.begins[0]), int(text.ends[0])
        lines = structure.faults[0].place.line - text.first_line
        at = begin + sum(len(line) + 1 for line in text.buffer[begin:end].tobytes().split(b"\n", lines)[:lines])
        return max(at, piece.begin)
    if _is_open(structure):
        width, values = int(structure.loop_width[-1]), int(structure.loop_values[-1])
        rows = values // width
        for row in range(rows, max(rows - _MOST_ROWS_BACK, 0), -1):
            at = _end_of_row(structure, row * width)
            if not piece.begin < at < structure.text.ends[0]:
                continue
            line = structure.text.buffer[at : at + _LONGEST_END].tobytes()
            if dialect == "relion" or _begins_with_value(line):
                return at
    return piece.begin


def _begins_with_value(line: bytes) -> bool:
    """Whether a line of the `star` dialect goes on with the values of a loop: a label would be taken for its own."""
    return line.startswith(b";") or _looks_like_row(line)


def _cuts(stream: Stream, dialect: Dialect, piece_bytes: int) -> Iterator[_Cut]:
    """Read a stream and cut it behind lines that look like rows."""
    rest = np.empty(0, np.uint8)
    wanted = min(_FIRST_BYTES, piece_bytes)
    lines = 0
    has_cut = False
    while True:
        buffer = np.empty(_ROOM + len(rest) + wanted + PADDING, np.uint8)
        buffer[_ROOM : _ROOM + len(rest)] = rest
        filled = _ROOM + len(rest)
        end = filled + stream.fill(buffer[filled : filled + wanted])
        if end < filled + wanted:
            buffer[end : end + PADDING] = ord("\n")
            yield _Cut(buffer, _ROOM, end, lines, True, stream.name)
            return
        low = _ROOM
        if not has_cut:
            # Before the first loop nothing is a row, whatever it looks like.
            loop = buffer[_ROOM:end].tobytes().lower().find(b"loop_")
            low = _ROOM + loop if loop >= 0 else end
        at = _place_to_cut(buffer, low, end, dialect)
        rest = buffer[_ROOM if at < 0 else at : end].copy()
        if at < 0:
            wanted = max(wanted, len(rest))
            continue
        has_cut = True
        buffer[at : at + PADDING] = ord("\n")
        yield _Cut(buffer, _ROOM, at, lines, False, stream.name)
        lines += gather.count_lines(buffer, _ROOM, at)
        wanted = piece_bytes


def _place_to_cut(buffer: NDArray[np.uint8], begin: int, end: int, dialect: Dialect) -> int:
    """Where the last line ends that looks like a row; -1 where none does.

    In the `star` dialect the line behind it begins with a value too.
    """
    window = _TAIL_BYTES
    while True:
        low = max(begin, end - window)
        tail = buffer[low:end].tobytes()
        at = tail.rfind(b"\n")
        while at >= 0:
            before = tail.rfind(b"\n", 0, at)
            if before < 0:
                break
            behind = tail[at + 1 : at + 1 + _LONGEST_END]
            if _looks_like_row(tail[before + 1 : at]) and (dialect == "relion" or _begins_with_value(behind)):
                return low + at + 1
            at = before
        if low == begin:
            return -1
        window *= 16


def _looks_like_row(line: bytes) -> bool:
    """Whether a line begins with a word that is nothing but a value."""
    word = line.lstrip(b" \t")[: len(_KEYWORDS[0])].lower()
    return word > b" " and word[:1] not in b"_#;" and not word.startswith(_KEYWORDS)


def _joined(first: _Cut, second: _Cut) -> _Cut:
    end = first.end + second.end - second.begin
    buffer = np.concatenate([first.buffer[: first.end], second.buffer[second.begin :]])
    return replace(first, buffer=buffer, end=end, is_last=second.is_last)
