"""A long text in pieces, each cut between two rows and taken apart as a text of its own, on several threads.

A piece that begins among the rows of a loop gets a heading and the labels of that loop in front of it. Which loop is
open there is known only when the piece before has been taken apart: it is taken to be the one that was open last, as
it nearly always is, and where it was another the piece is taken apart again. What a piece has behind its last row goes
to the next; a piece without a row is joined with it. What is read therefore never depends on where the cuts are.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from ..kernels.tokenize import SPAN_MASK
from .buffers import PADDING, Text, check_utf8
from .cuts import (
    LONGEST_END,
    PIECE_BYTES,
    Cut,
    begins_with_value,
    cuts_of,
    joined,
    place_before_block,
    place_behind_row,
)
from .faults import Notice
from .limits import MOST_BLOCKS, MOST_PAIRS, too_many_blocks, too_many_pairs
from .source import Held, Source, Stream, open_stream
from .structure import Dialect, Structure, analyse
from .threads import workers

T = TypeVar("T")

#: What may stand behind the last value of a row: what closes it, blanks, a comment, the end of the line.
_END_OF_ROW = re.compile(rb"(?:['\"]|\r?\n;)?[ \t\v\f]*(?:#[^\r\n]*)?(?:\r\n|\r|\n)")

#: More rows without an end of line behind them are no place to cut.
_MOST_ROWS_BACK = 1 << 10

#: So often a piece is made shorter until it ends with a row; if it does not then, more of the text helps.
_MOST_SHORTER = 3

_NUMBERED = re.compile(r"#\d+$")


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


def read_pieces(
    source: Source | Held | Stream,
    dialect: Dialect,
    work: Callable[[Piece], T],
    *,
    stands: Callable[[T, OpenLoop | None, OpenLoop | None], bool],
    threads: int,
    piece_bytes: int | None = None,
    whole_blocks: bool = False,
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
    whole_blocks : bool
        Cut between blocks only: before lines that begin with ``data_``, which must be headings.

    Raises
    ------
    TomoarrowError
        The source cannot be read, or is malformed.
    """

    def take(cut: Cut, within: OpenLoop | None) -> tuple[Piece, T]:
        piece = _take_apart(cut, within, dialect)
        return piece, work(piece)

    with open_stream(source) as stream, workers(threads) as pool:
        place = place_before_block if whole_blocks else partial(place_behind_row, dialect=dialect)
        cuts = cuts_of(stream, place, piece_bytes or PIECE_BYTES, dialect)
        waiting: deque[_Ahead[T]] = deque()
        within: OpenLoop | None = None
        counts = _Counts()
        try:
            while True:
                # The first piece is waited for: it tells which loop is open.
                ahead = threads + 2 if within or whole_blocks else 1
                while len(waiting) < ahead and (cut := next(cuts, None)) is not None:
                    waiting.append(_Ahead(cut, within, pool.submit(take, cut, within)))
                if not waiting:
                    return
                first = waiting.popleft()
                piece, result = _result_of(first, within, take, stands)
                if not whole_blocks:
                    again = partial(take, within=within)
                    piece, result = _up_to_a_row(first.cut, piece, result, again, waiting, cuts, dialect)
                for fault in piece.structure.faults:
                    raise fault
                counts.see(piece)
                yield Read(piece, within, result)
                within = None if whole_blocks else _followed(within, piece)
        finally:
            _cancel(waiting)


@dataclass(frozen=True, slots=True)
class _Ahead(Generic[T]):
    """A cut that waits for its turn, the loop it was taken to begin in, and the work on it, if that was begun ahead."""

    cut: Cut
    within: OpenLoop | None = None
    future: Future[tuple[Piece, T]] | None = None


def _result_of(
    ahead: _Ahead[T],
    within: OpenLoop | None,
    take: Callable[[Cut, OpenLoop | None], tuple[Piece, T]],
    stands: Callable[[T, OpenLoop | None, OpenLoop | None], bool],
) -> tuple[Piece, T]:
    """What is made of a cut that begins in a loop: what was made ahead, where that stands."""
    future = ahead.future
    # What is wrong with a piece may be no more than where it was taken to begin.
    if future and (ahead.within == within or not future.exception()):
        piece, result = future.result()
        if ahead.within == within or (not piece.structure.faults and stands(result, ahead.within, within)):
            return piece, result
    return take(ahead.cut, within)


def _cancel(waiting: Iterable[_Ahead[T]]) -> None:
    """Leave the work that has not begun yet."""
    for each in waiting:
        if each.future:
            each.future.cancel()


def _up_to_a_row(
    cut: Cut,
    piece: Piece,
    result: T,
    take: Callable[[Cut], tuple[Piece, T]],
    waiting: deque[_Ahead[T]],
    cuts: Iterator[Cut],
    dialect: Dialect,
) -> tuple[Piece, T]:
    """What is made of a cut that was made shorter or longer until it ends with a row, given what was made of it."""

    def following() -> Cut | None:
        return waiting.popleft().cut if waiting else next(cuts, None)

    shorter, longest = 0, len(cut)
    while not (piece.is_last or _ends_with_row(piece, dialect)):
        at = _place_to_end(piece, dialect) - piece.begin + cut.begin
        if at > cut.begin and shorter < _MOST_SHORTER:
            rest = joined([cut.rest(at), *_as_long_as(1, following)])
            waiting.appendleft(_Ahead(rest))
            cut, shorter = cut.upto(at), shorter + 1
        else:
            # As much again: joined with one more at a time, it would be taken apart for each.
            cut, shorter = joined([cut, *_as_long_as(longest, following)]), 0
            longest = len(cut)
        piece, result = take(cut)
    return piece, result


@dataclass(slots=True)
class _Counts:
    """How many blocks and pairs there were in the pieces so far: no more than a whole text may have."""

    blocks: int = 0
    pairs: int = 0

    def see(self, piece: Piece) -> None:
        """Count those of the next piece, but for what its header repeats."""
        structure, within = piece.structure, piece.within
        blocks = np.arange(within is not None, len(structure.heading))
        pairs = structure.pair_tag[int(within is not None and within.has_pairs) :]
        more_blocks, more_pairs = MOST_BLOCKS - self.blocks, MOST_PAIRS - self.pairs
        if len(blocks) > more_blocks:
            raise too_many_blocks(replace(structure.place_of_heading(int(blocks[more_blocks])), block=None))
        if len(pairs) > more_pairs:
            raise too_many_pairs(structure.text.place(structure.start(int(pairs[more_pairs])) - 1))
        self.blocks += len(blocks)
        self.pairs += len(pairs)


def _as_long_as(n_bytes: int, following: Callable[[], Cut | None]) -> list[Cut]:
    """The cuts that follow, until they have so many bytes together."""
    cuts = []
    while n_bytes > 0 and (cut := following()) is not None:
        cuts.append(cut)
        n_bytes -= len(cut)
    return cuts


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


def _take_apart(cut: Cut, within: OpenLoop | None, dialect: Dialect) -> Piece:
    header = within.header if within else b""
    buffer, begin, end = cut.buffer, cut.begin, cut.end
    if len(header) > begin:
        buffer = np.concatenate([np.empty(len(header), np.uint8), buffer[begin:]])
        begin, end = len(header), end - begin + len(header)
    front = begin - len(header)
    buffer[front:begin] = np.frombuffer(header, np.uint8)
    first_line = cut.lines + 1 - header.count(b"\n")
    rows_at = begin if within else 0
    text = Text(buffer, np.array([front]), np.array([end]), (cut.name,), first_line, rows_at, goes_on=not cut.is_last)
    undecodable = check_utf8(text, 0)
    if undecodable is not None:
        # What is malformed before that comes first.
        end = text.begin_of(undecodable.place.line)
        # A copy: the cut may yet be joined with the one before.
        before = buffer[: end + PADDING].copy()
        before[end:] = ord("\n")
        for fault in analyse(replace(text, buffer=before, ends=np.array([end]), goes_on=True), dialect).faults:
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
    match = _END_OF_ROW.match(structure.text.buffer[end : min(end + LONGEST_END, stop)].tobytes())
    return end + match.end() if match else -1


def _place_to_end(piece: Piece, dialect: Dialect) -> int:
    """Where a piece could end that does not end with a row: behind an earlier row; where it begins, if nowhere."""
    structure = piece.structure
    if dialect == "star" and structure.faults:
        # A text field that goes on behind the piece, most likely.
        text = structure.text
        fault = text.begin_of(structure.faults[0].place.line)
        return max(place_behind_row(text.buffer, piece.begin, fault, dialect), piece.begin)
    if _is_open(structure):
        width, values = int(structure.loop_width[-1]), int(structure.loop_values[-1])
        rows = values // width
        for row in range(rows, max(rows - _MOST_ROWS_BACK, 0), -1):
            at = _end_of_row(structure, row * width)
            if not piece.begin < at < structure.text.ends[0]:
                continue
            line = structure.text.buffer[at : at + LONGEST_END].tobytes()
            if dialect == "relion" or begins_with_value(line):
                return at
    return piece.begin
