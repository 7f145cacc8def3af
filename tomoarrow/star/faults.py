"""What is wrong with the tokens of a text, in words: errors with their place, notices of what RELION would misread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import Place, StarSyntaxError, counted, raise_gathered
from ..kernels import tokenize
from . import grammar
from .buffers import Text


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning: something that RELION's own reader would read as something else, or a type that had to be widened.

    Attributes
    ----------
    code : str
        A name to filter by, such as ``blank-line-in-loop``.
    message : str
    place : Place
        The first place in its file.
    count : int
        How often it occurs in the file.
    """

    code: str
    message: str
    place: Place
    count: int = 1

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{self.place}: {self.message}{times} [{self.code}]"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What `tomoarrow.kernels.tokenize` makes of a text: see there.

    Attributes
    ----------
    kinds, counts, firsts : uint8, int64, int64 [n_tokens]
    spans : int64[n_spans]
    escapes : bool
    faults : int64[4 * n_files]
    notices : int64[2 * N_NOTICES * n_files]
    """

    kinds: NDArray[np.uint8]
    counts: NDArray[np.int64]
    firsts: NDArray[np.int64]
    spans: NDArray[np.int64]
    escapes: bool
    faults: NDArray[np.int64]
    notices: NDArray[np.int64]

    @property
    def is_end(self) -> NDArray[np.bool_]:
        """Whether each token ends a file."""
        return np.isin(self.kinds, (tokenize.END, tokenize.FAULT))


_NOTICES = {
    tokenize.BLANK_IN_LOOP: ("blank-line-in-loop", "rows behind a blank line, at which RELION would stop reading"),
    tokenize.COMMENT_IN_LOOP: (
        "comment-in-loop",
        "a comment line among rows or right behind them, which RELION takes for a row",
    ),
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


def explain_notices(text: Text, tokens: Tokens) -> tuple[Notice, ...]:
    """What the tokenizer noticed."""
    found = []
    for slot in np.flatnonzero(tokens.notices[::2]).tolist():
        count, position = tokens.notices[2 * slot : 2 * slot + 2].tolist()
        code, message = _NOTICES[slot % tokenize.N_NOTICES]
        found.append(Notice(code, message, text.place(position), count))
    return tuple(found)


def repeated_block(name: str, place: Place) -> Notice:
    """The notice of a second block of a name."""
    return Notice("repeated-block", f"a second block 'data_{name}', which RELION does not find by name", place)


def merged(notices: Sequence[Notice]) -> list[Notice]:
    """Notices of the pieces of one table: one for each kind and label, at its first place."""
    found: dict[tuple[object, ...], Notice] = {}
    for notice in notices:
        key = notice.code, notice.place.path, notice.place.block, notice.place.label
        count = found[key].count if key in found else 0
        found[key] = replace(found.get(key, notice), count=count + notice.count)
    return list(found.values())


_STAR_HINT = '; if this is CIF, NMR-STAR or another STAR file, read it with dialect="star"'


def refuse(notices: Sequence[Notice]) -> None:
    """Raise what `strict` refuses: one error that lists every notice."""
    raise_gathered(
        [
            StarSyntaxError(
                f"{notice.message} [{notice.code}]", place=notice.place, remedy="mend the file, or do without strict"
            )
            for notice in notices
        ],
        "{n} warnings, refused by strict:",
    )


def explain_fault(text: Text, tokens: Tokens, f: int, *, hint: bool) -> StarSyntaxError:
    """Turn what stopped the tokenizer in a file into an error; `hint` at the other dialect where it may help."""
    other = _STAR_HINT if hint else ""
    code, position, found, expected = tokens.faults[4 * f : 4 * f + 4].tolist()
    place = text.place(position, _block_before(text, tokens, int(np.flatnonzero(tokens.is_end)[f])))
    byte = int(text.buffer[position])
    in_last_line = not text.goes_on and position + len(place.text.encode()) >= int(text.ends[f])
    cut_short = "the file may have been cut short when it was copied: copy it again"
    mend_row = f"mend the row (a value with blanks needs quotes){other}"
    problem, wanted, remedy = {
        tokenize.BAD_QUOTE: (
            f"a string opened by {chr(byte)} is not closed on its line",
            f"{chr(byte)} before a blank or the end of the line",
            "close the quote, or put the whole value into the other kind of quotes",
        ),
        tokenize.BAD_BYTE: (
            f"byte 0x{byte:02x} cannot stand in a STAR file",
            "text",
            "check that the file is STAR text in UTF-8: not an image, not UTF-16, not damaged when it was copied",
        ),
        tokenize.BAD_ROW: (
            f"a row of {counted(found, 'value')} in a loop of {counted(expected, 'label')}",
            counted(expected, "value"),
            cut_short if in_last_line and found < expected else mend_row,
        ),
        tokenize.BAD_LABEL: (
            "a label of a loop that is followed by something else",
            "_name, alone or with its number as in: _rlnTomoName #1",
            "put a # before the number; a value that begins with _ needs quotes",
        ),
        tokenize.NO_VALUE: (
            "a label without a value",
            "_label value",
            f'add the value ("" if it is empty){other}',
        ),
        tokenize.BAD_PAIR: ("more than one value after a label", "_label value", "put a value with blanks into quotes"),
        tokenize.TEXT_LINE: ("a line that begins with ; inside a loop", "a row", f"quote the value{other}"),
        tokenize.OPEN_TEXT: ("a text field that is not closed", "a line that begins with ;", "close the text field"),
        tokenize.AFTER_TEXT: ("text glued to the ; that closes a text field", "a blank", "add a blank after the ;"),
        tokenize.RESERVED: ("the word global_ is reserved", "", "quote it if it is a value"),
        tokenize.TOO_LONG: ("a value of more than 16 million bytes", "", "check that the file is a STAR file"),
        tokenize.NO_BLOCK: ("text, but no data block", "data_name", f"check that this is a STAR file{other}"),
    }[code]
    return StarSyntaxError(problem, place=place, expected=wanted, remedy=remedy)


def explain_order(text: Text, tokens: Tokens, token: int, repeat: int, *, hint: bool) -> StarSyntaxError:
    """Turn a token out of order into an error; Lark says what would have been in order.

    `repeat` is the place of the offender within the run of equal tokens.
    """
    kinds = tokens.kinds
    ends = np.flatnonzero(tokens.is_end[:token])
    headings = np.flatnonzero(kinds[:token] == tokenize.DATA_HEADING)
    begin = max(int(ends[-1]) + 1 if len(ends) else 0, int(headings[-1]) if len(headings) else 0)
    kind = int(kinds[token])
    # Lists of the grammar are left-recursive: two of a run leave the parser as all of it do. A run of none stands for
    # rows that are not in the text.
    before = [int(kinds[t]) for t in range(begin, token) for _ in range(min(max(int(tokens.counts[t]), 1), 2))]
    wanted = grammar.expected_after([*before, *[kind] * min(repeat, 2)])
    if kind == tokenize.END:
        position = max(int(text.begins[len(ends)]), int(text.ends[len(ends)]) - 1)
    else:
        position = (int(tokens.spans[tokens.firsts[token] + repeat]) >> tokenize.SPAN_BITS) - _LEFT_OUT.get(kind, 0)
    return StarSyntaxError(
        f"{grammar.IN_WORDS[grammar.TERMINALS[kind]]} cannot stand here",
        place=text.place(position, _block_before(text, tokens, token)),
        expected=" or ".join(wanted),
        remedy=f"mend the file{_STAR_HINT if hint else ''}",
    )


#: How many characters of a keyword the span of a token leaves out.
_LEFT_OUT = {tokenize.TAG: 1, tokenize.DATA_HEADING: 5, tokenize.SAVE_HEADING: 5, tokenize.SAVE_END: 5}


def _block_before(text: Text, tokens: Tokens, token: int) -> str | None:
    """The name of the block that a token stands in."""
    for t in range(token - 1, -1, -1):
        if tokens.kinds[t] == tokenize.DATA_HEADING:
            span = int(tokens.spans[tokens.firsts[t]])
            start = span >> tokenize.SPAN_BITS
            return text.cut(start, start + (span & tokenize.SPAN_MASK))
        if tokens.kinds[t] in (tokenize.END, tokenize.FAULT):
            return None
    return None
