"""A text taken apart: which blocks, loops and pairs there are, and where their values stand.

This is where the kernels meet: `tokenize` splits the text, `lalr` runs the grammar over the tokens, and what
they could not accept becomes an error with a place. No value is read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import Place, StarSyntaxError
from ..kernels import lalr, tokenize
from . import grammar
from .source import Text

Dialect = Literal["relion", "star"]

_DATA_BLOCK, _SAVE_FRAME, _LOOP, _EMPTY_LOOP, _PAIR = range(1, 6)


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning: what RELION's own reader would take for something else, or a type that had to give way.

    Attributes
    ----------
    code : str
        A name to filter by, such as ``blank-line-in-loop``.
    message : str
    place : Place
        The first place in its file.
    count : int
        How many there are in the file.
    """

    code: str
    message: str
    place: Place
    count: int = 1

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{self.place}: {self.message}{times} [{self.code}]"


@dataclass(frozen=True, slots=True)
class Structure:
    """The items of one or more files. All arrays are int64.

    Attributes
    ----------
    text : Text
    spans : spans of every token (`tomoarrow.kernels.tokenize`)
    escapes : whether byte 7 escapes a quote anywhere
    heading, file, parent : [n_containers]
        For each data block and save frame, in the order of the text: the span of its name, the file it is
        in, and the container around it (-1 for data blocks).
    loop_container, loop_tags, loop_width, loop_cells, loop_values : [n_loops]
        For each loop: its container, the index of its first label's span, the number of labels, the index of
        its first value's span, the number of values.
    pair_container, pair_tag : [n_pairs]
        For each pair: its container and the index of its label's span; the value's is the next.
    faults : tuple of StarSyntaxError
        One for each file that is malformed; such a file has no items.
    """

    text: Text
    dialect: Dialect
    spans: NDArray[np.int64]
    escapes: bool
    heading: NDArray[np.int64]
    file: NDArray[np.int64]
    parent: NDArray[np.int64]
    loop_container: NDArray[np.int64]
    loop_tags: NDArray[np.int64]
    loop_width: NDArray[np.int64]
    loop_cells: NDArray[np.int64]
    loop_values: NDArray[np.int64]
    pair_container: NDArray[np.int64]
    pair_tag: NDArray[np.int64]
    notices: tuple[Notice, ...]
    faults: tuple[StarSyntaxError, ...]

    def string(self, span: int) -> str:
        """The text of a span, given by its index."""
        start, length = self.start(span), int(self.spans[span]) & tokenize.SPAN_MASK
        return self.text.cut(start, start + length)

    def start(self, span: int) -> int:
        """The position of a span in the buffer, given by its index."""
        return int(self.spans[span]) >> tokenize.SPAN_BITS

    def name(self, container: int) -> str:
        """The name of a data block or save frame, given by its number."""
        return self.string(int(self.heading[container]))

    def labels(self, loop: int) -> list[str]:
        """The labels of a loop, given by its number."""
        first = int(self.loop_tags[loop])
        return [self.string(span) for span in range(first, first + int(self.loop_width[loop]))]

    def header(self, loop: int) -> bytes:
        """The bytes of the labels of a loop, from the first to the last, given by its number."""
        first = int(self.loop_tags[loop])
        last = first + int(self.loop_width[loop]) - 1
        end = self.start(last) + (int(self.spans[last]) & tokenize.SPAN_MASK)
        return self.text.buffer[self.start(first) : end].tobytes()

    def rows(self, loop: int) -> int:
        """The number of rows of a loop, given by its number."""
        return int(self.loop_values[loop]) // int(self.loop_width[loop])

    def place(self, span: int, container: int | None = None, label: str | None = None) -> Place:
        """The place of a span, given by its index."""
        return self.text.place(self.start(span), None if container is None else self.name(container), label)


def analyse(text: Text, dialect: Dialect) -> Structure:
    """Split a text into tokens and these into blocks, loops and pairs.

    Parameters
    ----------
    text : Text
        One file or many.
    dialect : "relion" or "star"
    """
    n_files = len(text.names)
    capacity = len(text.buffer) // 2 + 2 * n_files + 2
    kinds = np.empty(capacity, np.uint8)
    counts, firsts, spans = (np.empty(capacity, np.int64) for _ in range(3))
    tokenizer_faults = np.zeros(4 * n_files, np.int64)
    tally = np.zeros(2 * tokenize.N_NOTICES * n_files, np.int64)
    state = np.zeros(3, np.int64)
    split = tokenize.tokenize_star if dialect == "star" else tokenize.tokenize_relion
    split(text.buffer, text.begins, text.ends, kinds, counts, firsts, spans, tokenizer_faults, tally, state)
    n_tokens, n_spans, escapes = (int(value) for value in state)
    # Copies: the capacity is a bound for text without blanks, and untouched memory is given back.
    kinds, counts, firsts, spans = (a[:n].copy() for a, n in zip((kinds, counts, firsts, spans), [n_tokens] * 3 + [n_spans], strict=True))
    nodes, parser_faults = _parse(kinds, counts, n_files)

    faults: list[StarSyntaxError] = []
    is_faulty = np.zeros(n_files, bool)
    for f in np.flatnonzero((tokenizer_faults[::4] != 0) | (parser_faults[::2] >= 0)).tolist():
        is_faulty[f] = True
        if parser_faults[2 * f] >= 0:
            faults.append(_explain_order(text, kinds, counts, firsts, spans, *parser_faults[2 * f : 2 * f + 2].tolist()))
        else:
            faults.append(_explain_fault(text, kinds, firsts, spans, f, tokenizer_faults[4 * f : 4 * f + 4].tolist()))

    file_of_token = np.concatenate([[0], np.cumsum((kinds == tokenize.END) | (kinds == tokenize.FAULT))])
    nodes = nodes[~is_faulty[file_of_token[nodes[:, 1]]]]
    nodes = nodes[np.argsort(nodes[:, 1], kind="stable")]
    containers = nodes[nodes[:, 0] <= _SAVE_FRAME]
    parent = np.full(len(containers), -1, np.int64)
    frames = np.flatnonzero(containers[:, 0] == _SAVE_FRAME)
    parent[frames] = _climb(containers, frames - 1, containers[frames, 1])
    loops = nodes[(nodes[:, 0] == _LOOP) | (nodes[:, 0] == _EMPTY_LOOP), 1]
    pairs = nodes[nodes[:, 0] == _PAIR, 1]
    has_values = kinds[np.minimum(loops + 2, n_tokens - 1)] == tokenize.VALUE
    structure = Structure(
        text=text,
        dialect=dialect,
        spans=spans,
        escapes=bool(escapes),
        heading=firsts[containers[:, 1]],
        file=file_of_token[containers[:, 1]],
        parent=parent,
        loop_container=_enclosing(containers, loops),
        loop_tags=firsts[loops + 1],
        loop_width=counts[loops + 1],
        loop_cells=firsts[loops + 1] + counts[loops + 1],
        loop_values=np.where(has_values, counts[np.minimum(loops + 2, n_tokens - 1)], 0),
        pair_container=_enclosing(containers, pairs),
        pair_tag=firsts[pairs],
        notices=_notices(text, tally),
        faults=tuple(faults),
    )
    return structure


def _parse(
    kinds: NDArray[np.uint8], counts: NDArray[np.int64], n_files: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Run the grammar: nodes [n, 3] and faults [2 * n_files], as `tomoarrow.kernels.lalr` has them."""
    tables = grammar.tables()
    stack, starts = np.zeros(len(kinds) + 8, np.int64), np.zeros(len(kinds) + 8, np.int64)
    nodes = np.empty(3 * len(kinds), np.int64)
    faults = np.full(2 * n_files, -1, np.int64)
    state = np.zeros(1, np.int64)
    lalr.parse(
        kinds, counts, tables.action, tables.goto, tables.rules, tables.shape, stack, starts, nodes, faults, state
    )
    return nodes[: 3 * int(state[0])].reshape(-1, 3), faults


def _enclosing(containers: NDArray[np.int64], tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of the innermost container around each token."""
    found = np.searchsorted(containers[:, 1], tokens, side="right") - 1
    return _climb(containers, found, tokens) if (containers[:, 0] == _SAVE_FRAME).any() else found


def _climb(
    containers: NDArray[np.int64], found: NDArray[np.int64], tokens: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Go back from the container begun last to the one that has not ended before the token."""
    for i, token in enumerate(tokens.tolist()):
        while containers[found[i], 2] <= token:
            found[i] -= 1
    return found


_NOTICES = {
    tokenize.BLANK_IN_LOOP: ("blank-line-in-loop", "rows follow a blank line; RELION would stop reading there"),
    tokenize.COMMENT_IN_LOOP: ("comment-in-loop", "a comment line between rows, which RELION takes for a row"),
    tokenize.CRLF: ("crlf", "lines end in CR LF, which RELION refuses"),
    tokenize.KEYWORD_ROW: ("keyword-row", "a row that begins like a keyword or label; read as a row"),
    tokenize.NO_BLANK_BEFORE_BLOCK: (
        "no-blank-before-block",
        "a block follows rows without a blank line; RELION would take it for a row",
    ),
    tokenize.ZERO_ROWS: ("no-rows", "a loop without rows before another block, which RELION cannot read"),
    tokenize.LIST_AND_LOOP: ("list-and-loop", "a loop after pairs in one block, which RELION does not read"),
    tokenize.HASH_IN_LABEL: ("hash-in-label", "no blank before the # of a label; RELION would lose its last letter"),
    tokenize.KEYWORD_COMMENT: (
        "keyword-in-comment",
        "a comment that holds data_ or loop_, which RELION takes for the keyword",
    ),
    tokenize.PAIR_REST: ("blanks-in-value", "a value with blanks and no quotes; RELION would read its first word only"),
    tokenize.HEADING_BLANKS: ("blanks-in-name", "a block name with blanks in it"),
    tokenize.SEMICOLON_COMMENT: ("semicolon-line", "a line that begins with ; was skipped, as RELION does"),
    tokenize.PREAMBLE: ("text-before-block", "text before the first block was skipped, as RELION does"),
}


def _notices(text: Text, tally: NDArray[np.int64]) -> tuple[Notice, ...]:
    found = []
    for slot in np.flatnonzero(tally[::2]).tolist():
        code, message = _NOTICES[slot % tokenize.N_NOTICES]
        found.append(Notice(code, message, text.place(int(tally[2 * slot + 1])), int(tally[2 * slot])))
    return tuple(found)


_STAR_REMEDY = 'if this is CIF, NMR-STAR or another STAR file, read it with dialect="star"'


def _explain_fault(
    text: Text,
    kinds: NDArray[np.uint8],
    firsts: NDArray[np.int64],
    spans: NDArray[np.int64],
    f: int,
    fault: Sequence[int],
) -> StarSyntaxError:
    """Turn what the tokenizer found into an error."""
    code, position, found, expected = fault
    ends = np.flatnonzero((kinds == tokenize.END) | (kinds == tokenize.FAULT))
    place = text.place(position, _block_before(text, kinds, firsts, spans, int(ends[f])))
    byte = int(text.buffer[position])
    cut_short = position + 1 >= int(text.ends[f]) - len(place.text.encode()) and found < expected
    problem, wanted, remedy = {
        tokenize.BAD_QUOTE: (
            f"a string opened by {chr(byte)} is not closed on its line",
            f"{chr(byte)} before a blank or the end of the line",
            "close the quote, or put the whole value into the other kind of quotes",
        ),
        tokenize.BAD_BYTE: (
            f"byte 0x{byte:02x} cannot stand in a STAR file",
            "text",
            "check that the file is a STAR file, not an image or a file that was damaged when copied",
        ),
        tokenize.BAD_ROW: (
            f"a row of {found} value{'s' * (found != 1)} in a loop of {expected} label{'s' * (expected != 1)}",
            f"{expected} values",
            "the file may have been cut short when it was copied: copy it again"
            if cut_short
            else f"mend the row (a value with blanks needs quotes); {_STAR_REMEDY}",
        ),
        tokenize.BAD_LABEL: (
            "a label cannot be read",
            "_name, alone or with its number as in: _rlnTomoName #1",
            "mend the label; a value that begins with _ needs quotes",
        ),
        tokenize.NO_VALUE: ("a label without a value", "_label value", f"add the value (\"\" if it is empty); {_STAR_REMEDY}"),
        tokenize.BAD_PAIR: ("more than one value after a label", "_label value", "put a value with blanks into quotes"),
        tokenize.TEXT_LINE: ("a line that begins with ; inside a loop", "a row", f"quote the value; {_STAR_REMEDY}"),
        tokenize.OPEN_TEXT: ("a text field that is not closed", "a line that begins with ;", "close the text field"),
        tokenize.AFTER_TEXT: ("text glued to the ; that closes a text field", "a blank", "add a blank after the ;"),
        tokenize.RESERVED: ("the word global_ is reserved", "", "quote it if it is a value"),
        tokenize.TOO_LONG: ("a value of more than 16 million bytes", "", "check that the file is a STAR file"),
        tokenize.NO_BLOCK: ("text, but no data block", "data_name", f"check that this is a STAR file; {_STAR_REMEDY}"),
    }[code]
    return StarSyntaxError(problem, place=place, expected=wanted, remedy=remedy)


def _explain_order(
    text: Text,
    kinds: NDArray[np.uint8],
    counts: NDArray[np.int64],
    firsts: NDArray[np.int64],
    spans: NDArray[np.int64],
    token: int,
    repeat: int,
) -> StarSyntaxError:
    """Turn a token out of order into an error; Lark says what would have been in order."""
    headings = np.flatnonzero(kinds[:token] == tokenize.DATA_HEADING)
    ends = np.flatnonzero((kinds[:token] == tokenize.END) | (kinds[:token] == tokenize.FAULT))
    begin = max(int(ends[-1]) + 1 if len(ends) else 0, int(headings[-1]) if len(headings) else 0)
    before = [kind for t in range(begin, token) for kind in [int(kinds[t])] * min(int(counts[t]), 2)]
    wanted = grammar.expected_after(before + [int(kinds[token])] * repeat)
    kind = int(kinds[token])
    found = grammar.IN_WORDS[grammar.TERMINALS[kind]]
    f = int(((kinds[:token] == tokenize.END) | (kinds[:token] == tokenize.FAULT)).sum())
    if kind == tokenize.END:
        position = max(int(text.begins[f]), int(text.ends[f]) - 1)
    else:
        position = int(spans[firsts[token] + repeat]) >> tokenize.SPAN_BITS
    place = text.place(position, _block_before(text, kinds, firsts, spans, token))
    remedy = f"mend the file; {_STAR_REMEDY}"
    return StarSyntaxError(f"{found} cannot stand here", place=place, expected=" or ".join(wanted), remedy=remedy)


def _block_before(
    text: Text, kinds: NDArray[np.uint8], firsts: NDArray[np.int64], spans: NDArray[np.int64], token: int
) -> str | None:
    """The name of the block that a token stands in."""
    for t in range(token - 1, -1, -1):
        if kinds[t] == tokenize.DATA_HEADING:
            span = int(spans[firsts[t]])
            start = span >> tokenize.SPAN_BITS
            return text.cut(start, start + (span & tokenize.SPAN_MASK))
        if kinds[t] == tokenize.END or kinds[t] == tokenize.FAULT:
            return None
    return None
