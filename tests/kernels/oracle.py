"""A second tokenizer, slow and plain, to hold the kernels of `tomoarrow.kernels.tokenize` against.

It is made from the terminals of ``grammar/star.lark``, as Lark hands them out, and from the rules in words:
the comments of the grammar and the docstring of the kernels' module. It shares with the kernels the names of
kinds, errors and notices, and no code.

Texts are read as Latin-1, one character a byte, so that every position is a byte position.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Literal, NamedTuple

import numpy as np

from tomoarrow.kernels import tokenize as k
from tomoarrow.star.grammar import START, TERMINALS, load_grammar

Dialect = Literal["relion", "star"]

BOM = "\ufeff".encode()


class Token(NamedTuple):
    """One value, label or keyword: its kind, and the bytes it takes, quotes and underscore left out."""

    kind: int
    start: int
    length: int


class Fault(NamedTuple):
    """Where a text stops making sense; the numbers of words are 0 where they say nothing."""

    code: int
    position: int
    found: int = 0
    expected: int = 0


class Reading(NamedTuple):
    """What a tokenizer makes of one text.

    `notices` has (count, first position) for each code. `escapes` says whether byte 7 escapes a quote.
    """

    tokens: list[Token]
    fault: Fault | None
    notices: dict[int, tuple[int, int]]
    escapes: bool


class SyntaxFault(Exception):
    """Carries a `Fault` out of the reading."""

    def __init__(self, code: int, position: int, found: int = 0, expected: int = 0) -> None:
        super().__init__(code, position)
        self.fault = Fault(code, position, found, expected)


def read(data: bytes, dialect: Dialect) -> Reading:
    """Tokenize one text."""
    return read_star(data) if dialect == "star" else read_relion(data)


# -- the terminals -----------------------------------------------------------------------------------------


@functools.cache
def any_terminal() -> re.Pattern[str]:
    """The terminals that a lexer tries, each a group of its name, highest priority first."""
    ordered = sorted(load_grammar().terminals, key=lambda terminal: -terminal.priority)
    return re.compile("|".join(f"(?P<{terminal.name}>{terminal.pattern.to_regexp()})" for terminal in ordered))


@functools.cache
def terminal(name: str) -> re.Pattern[str]:
    """The pattern of one terminal, those that are only parts of another one included."""
    every, _, _ = load_grammar().grammar.compile([START], "*")
    (pattern,) = (terminal.pattern.to_regexp() for terminal in every if terminal.name == name)
    return re.compile(pattern)


def proper_text(data: bytes) -> tuple[str, int]:
    """A text without what may surround it, and the number of bytes taken off its front.

    A byte order mark at the very start is a blank (terminal BLANK). A byte 0x1A that only blanks follow is the
    end-of-file mark of DOS.
    """
    front = len(BOM) if data.startswith(BOM) else 0
    text = data[front:].decode("latin-1")
    return re.sub(r"\x1a[\t-\r \x1a]*\Z", "", text), front


def _open_quote(text: str, at: int) -> SyntaxFault:
    """Why no string begins at a quote: a NUL before the end of its line, or no closing quote on it."""
    stopper = re.compile(r"[\x00\r\n]|\Z").search(text, at)
    assert stopper is not None
    if stopper[0] == "\0":
        return SyntaxFault(k.BAD_BYTE, stopper.start())
    return SyntaxFault(k.BAD_QUOTE, at)


def _check_comment(comment: re.Match[str]) -> None:
    """Refuse a NUL in a comment as anywhere else: a file that holds one is no text."""
    if comment.string[comment.end() : comment.end() + 1] == "\0":
        raise SyntaxFault(k.BAD_BYTE, comment.end())


def _check_length(token: Token) -> Token:
    if token.length > k.SPAN_MASK:
        raise SyntaxFault(k.TOO_LONG, token.start)
    return token


# -- the `star` dialect ------------------------------------------------------------------------------------


def read_star(data: bytes) -> Reading:
    """Tokenize one text of the `star` dialect."""
    text, front = proper_text(data)
    tokens: list[Token] = []
    fault = None
    try:
        for name, match in _lex(text):
            tokens.append(_check_length(_token(name, match)))
    except SyntaxFault as error:
        fault = error.fault
    return _moved(Reading(tokens, fault, {}, False), front)


def _lex(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """At each position, the first terminal that matches; blanks and comments are left out."""
    at = 0
    while at < len(text):
        match = any_terminal().match(text, at)
        if match is None:
            raise _no_match(text, at)
        if match.lastgroup == "COMMENT":
            _check_comment(match)
        elif match.lastgroup != "BLANK":
            yield str(match.lastgroup), match
        at = match.end()


def _token(name: str, match: re.Match[str]) -> Token:
    """The token of a match: names lose their prefix, strings their quotes, text fields what delimits them."""
    start, end = match.span()
    if name in ("DATA_HEADING", "SAVE_HEADING", "SAVE_END"):
        start += len("data_")
    elif name == "TAG":
        start += len("_")
    elif name == "VALUE" and match[0][0] in "'\"":
        start, end = start + 1, end - 1
    elif name == "VALUE" and match[0][0] == ";" and _begins_line(match.string, start):
        # The line end before the closing `;` is a part of the delimiter (CIF 1.1, paragraph 17).
        end -= len(re.search(r"(?:\r\n|\r|\n);\Z", match[0])[0])  # type: ignore[index]
        start += 1
    return Token(TERMINALS.index(name), start, end - start)


def _begins_line(text: str, at: int) -> bool:
    return at == 0 or text[at - 1] in "\r\n"


def _no_match(text: str, at: int) -> SyntaxFault:
    """Why no terminal matches at a position."""
    character = text[at]
    if character in "'\"":
        return _open_quote(text, at)
    if character == "_":
        return SyntaxFault(k.BAD_LABEL, at)
    if character == ";":
        closing = re.compile(r"(?:\r\n|\r|\n);").search(text, at)
        return SyntaxFault(k.OPEN_TEXT, at) if closing is None else SyntaxFault(k.AFTER_TEXT, closing.end())
    if text[at : at + len("global_")].lower() == "global_":
        return SyntaxFault(k.RESERVED, at)
    return SyntaxFault(k.BAD_BYTE, at)


def lexemes(data: bytes) -> list[tuple[str, bytes]]:
    """The names of the terminals of a `star` text, and their bytes, quotes and prefixes included."""
    text, _ = proper_text(data)
    return [(name, match[0].encode("latin-1")) for name, match in _lex(text)]


def lexemes_of_lark(data: bytes) -> list[tuple[str, bytes]]:
    """The same by Lark's own lexer, which reads characters, not bytes, and knows no end-of-file mark."""
    text = re.sub(rb"\x1a[\t-\r \x1a]*\Z", b"", data).decode("utf-8", "surrogateescape")
    return [(token.type, token.encode("utf-8", "surrogateescape")) for token in load_grammar().lex(text)]


# -- the `relion` dialect ----------------------------------------------------------------------------------


class Word(NamedTuple):
    """A word of a line. `begin` and `end` take in its quotes, `start` and `length` do not."""

    begin: int
    end: int
    start: int
    length: int
    text: str

    @property
    def quoted(self) -> bool:
        return self.begin != self.start


class Line(NamedTuple):
    """A line: where it begins, its words, and its comment: where that begins and its text."""

    begin: int
    words: list[Word]
    comment: tuple[int, str] | None


class Where(Enum):
    """What the lines before have led to."""

    PREAMBLE = "before the first block"
    ITEMS = "in a block, not in a loop"
    HEADER = "among the labels of a loop"
    ROWS = "among the rows of a loop"


class Looks(Enum):
    """What the first word of a line looks like. Quotes make any word a value; keywords are in small letters."""

    DATA = "data_"
    LOOP = "loop_"
    LABEL = "_"
    SEMICOLON = ";"
    VALUE = ""


def read_relion(data: bytes) -> Reading:
    """Tokenize one text of the `relion` dialect: line by line, each line as a whole."""
    text, front = proper_text(data)
    reader = _RelionReader(text)
    fault = None
    try:
        reader.read()
    except SyntaxFault as error:
        fault = error.fault
    return _moved(Reading(reader.tokens, fault, reader.notices, reader.escapes), front)


#: Words that the `star` dialect refuses.
_PLAIN_HERE = re.compile(r"_|(?i:global_)")


def split_line(text: str, begin: int) -> Line:
    """Split a line, without its line end, into words and a comment.

    The words are those of the `star` dialect, with three differences: byte 7 before a quote keeps it from
    closing a string; a `;` at the start of a line opens nothing; the words `_` and `global_` are not refused.
    """
    # A blank before the line, so that no pattern finds a `;` at the start of one; escaped quotes out of sight.
    padded = " " + re.sub("\x07['\"]", "\x07\x07", text)
    shift = begin - 1
    words: list[Word] = []
    at = 0
    try:
        while at < len(padded):
            if comment := terminal("COMMENT").match(padded, at):
                _check_comment(comment)
                return Line(begin, words, (comment.start() + shift, comment[0]))
            if blank := terminal("BLANK").match(padded, at):
                at = blank.end()
                continue
            match = _match_word(padded, at)
            at = match.end()
            quoted = int(match[0][0] in "'\"")
            start, end = match.start() + quoted, match.end() - quoted
            _check_length(Token(k.VALUE, start, end - start))
            text_here = text[start - 1 : end - 1]
            words.append(Word(match.start() + shift, match.end() + shift, start + shift, end - start, text_here))
    except SyntaxFault as error:
        raise SyntaxFault(error.fault.code, error.fault.position + shift) from None
    return Line(begin, words, None)


def _match_word(padded: str, at: int) -> re.Match[str]:
    for pattern in (*map(terminal, ("SINGLE_QUOTED", "DOUBLE_QUOTED", "UNQUOTED", "TAG")), _PLAIN_HERE):
        if match := pattern.match(padded, at):
            return match
    raise _open_quote(padded, at) if padded[at] in "'\"" else SyntaxFault(k.BAD_BYTE, at)


class _RelionReader:
    """The reading of one text, and how far it has come."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = []
        self.notices: dict[int, tuple[int, int]] = {}
        self.escapes = False
        self.where = Where.PREAMBLE
        self.n_labels = 0
        self.has_pairs = False
        # Since the last line with words: where the first blank line and the first comment line begin.
        self.blank: int | None = None
        self.comment: int | None = None
        self.skipped_text: int | None = None

    def read(self) -> None:
        for match in re.finditer(r"([^\r\n]*)(\r\n|\r|\n|\Z)", self.text):
            if not match[0]:
                continue
            line = self.split(match)
            if match[2] == "\r\n":
                self.notice(k.CRLF, match.start(2))
            if not line.words:
                self.take_wordless(line)
                continue
            self.take(line)
            self.blank = self.comment = None
        if self.where is Where.PREAMBLE and self.skipped_text is not None:
            raise SyntaxFault(k.NO_BLOCK, self.skipped_text)
        self.end_rows()

    def notice(self, code: int, position: int) -> None:
        count, first = self.notices.get(code, (0, position))
        self.notices[code] = (count + 1, first)

    def split(self, match: re.Match[str]) -> Line:
        """Split a line, and note whether byte 7 escapes a quote in one of its words."""
        try:
            line = split_line(match[1], match.start())
        except SyntaxFault as error:
            if error.fault.code == k.BAD_QUOTE and self.where is Where.PREAMBLE:
                # Prose, not a string left open.
                raise SyntaxFault(k.NO_BLOCK, error.fault.position) from None
            raise
        for word in line.words:
            self.escapes |= word.quoted and "\x07" + self.text[word.begin] in word.text
        return line

    def take_wordless(self, line: Line) -> None:
        """A blank line or a comment line: it ends nothing.

        RELION looks for `data_` and `loop_` anywhere in a line, comments included: for `data_` before a block
        and from the blank line after the rows on, for `loop_` from a `data_` line to the body of its block.
        """
        if line.comment is None:
            self.blank = line.begin if self.blank is None else self.blank
            return
        at, comment = line.comment
        self.comment = at if self.comment is None else self.comment
        seeks_block = self.where is Where.PREAMBLE or (self.where is Where.ROWS and self.blank is not None)
        seeks_body = self.where is Where.ITEMS and not self.has_pairs
        if (seeks_block and "data_" in comment) or (seeks_body and "loop_" in comment):
            self.notice(k.KEYWORD_COMMENT, at)

    def take(self, line: Line) -> None:
        """A line with words."""
        looks = _looks(line)
        if self.is_row(line, looks):
            self.take_row(line, looks)
            return
        self.end_rows()
        if looks is Looks.DATA:
            self.take_block(line)
        elif looks is Looks.LOOP:
            self.take_loop(line)
        elif looks is Looks.LABEL:
            self.take_label_line(line)
        elif looks is Looks.SEMICOLON:
            self.take_semicolon(line)
        else:
            self.take_stray(line)

    def is_row(self, line: Line, looks: Looks) -> bool:
        """Whether a line is a row: it has as many words as the loop has labels, whatever they look like.

        Where a line could be something else as well: one word that looks like a keyword is one. One label
        (`_x` alone) is a label in the header, but nothing other than a row further down; where a blank line has
        ended the rows, two words are a pair and `data_` opens a block. A `;` before the first row is no row to RELION.
        """
        in_loop = self.where in (Where.HEADER, Where.ROWS)
        if not in_loop or len(line.words) != self.n_labels:
            return False
        several = self.n_labels > 1
        if looks is Looks.VALUE:
            return True
        if looks in (Looks.DATA, Looks.LOOP):
            return several and (self.where is Where.HEADER or self.blank is None)
        if self.where is Where.HEADER:
            return looks is Looks.LABEL and several
        if looks is Looks.SEMICOLON:
            return several
        may_be_pair = self.n_labels == 2 and self.blank is not None
        return not may_be_pair

    def take_row(self, line: Line, looks: Looks) -> None:
        if looks is not Looks.VALUE:
            self.notice(k.KEYWORD_ROW, line.words[0].start)
        if self.where is Where.ROWS:
            if self.blank is not None:
                self.notice(k.BLANK_IN_LOOP, self.blank)
            if self.comment is not None:
                self.notice(k.COMMENT_IN_LOOP, self.comment)
        self.where = Where.ROWS
        self.put_values(line.words)

    def end_rows(self) -> None:
        """To RELION rows end at a blank line: a comment before that is one of them."""
        is_row = self.comment is not None and (self.blank is None or self.comment < self.blank)
        if self.where is Where.ROWS and self.comment is not None and is_row:
            self.notice(k.COMMENT_IN_LOOP, self.comment)

    def take_block(self, line: Line) -> None:
        """A data heading; its name is the rest of the line, without a comment."""
        heading = line.words[0]
        if self.where is Where.ROWS and self.blank is None:
            self.notice(k.NO_BLANK_BEFORE_BLOCK, heading.start)
        if self.where is Where.HEADER:
            self.notice(k.ZERO_ROWS, heading.start)
        if len(line.words) > 1:
            self.notice(k.HEADING_BLANKS, heading.start)
        name = heading.start + len("data_")
        _check_length(Token(k.DATA_HEADING, name, line.words[-1].end - name))
        self.put(k.DATA_HEADING, name, line.words[-1].end - name)
        self.where = Where.ITEMS
        self.has_pairs = False

    def take_loop(self, line: Line) -> None:
        """A loop; the rest of its line is taken word by word, as STAR has it: labels, then values."""
        loop = line.words[0]
        if self.has_pairs:
            self.notice(k.LIST_AND_LOOP, loop.start)
        self.put(k.LOOP, loop.start, loop.length)
        self.where = Where.HEADER
        self.n_labels = 0
        for word in line.words[1:]:
            if self.where is Where.ROWS or word.quoted or not word.text.startswith("_"):
                self.put_values([word])
                self.where = Where.ROWS
            elif word.text == "_":
                raise SyntaxFault(k.BAD_LABEL, word.start)
            else:
                self.put(k.TAG, word.start + 1, word.length - 1)
                self.n_labels += 1

    def take_label_line(self, line: Line) -> None:
        """A label of a loop, or a pair."""
        label, *rest = line.words
        glued = re.fullmatch(r"(_.+)#[0-9]+", label.text)
        if glued is not None:
            self.notice(k.HASH_IN_LABEL, label.start + glued.end(1))
        name = glued[1] if glued is not None else label.text
        if name == "_":
            raise SyntaxFault(k.BAD_LABEL, label.start)
        if self.where is Where.HEADER:
            if rest:
                raise SyntaxFault(k.BAD_LABEL, rest[0].start)
            self.put(k.TAG, label.start + 1, len(name) - 1)
            self.n_labels += 1
            return
        if self.where is Where.ROWS and (len(rest) != 1 or self.blank is None):
            raise SyntaxFault(k.BAD_ROW, label.start, len(line.words), self.n_labels)
        if not rest:
            raise SyntaxFault(k.NO_VALUE, label.start)
        value = rest[0]
        start, length = value.start, value.length
        if len(rest) > 1:
            # RELION's writer does not quote what it does not know: `_label two words` is one value.
            if value.quoted:
                raise SyntaxFault(k.BAD_PAIR, rest[1].start, len(rest), 1)
            length = rest[-1].end - start
            _check_length(Token(k.VALUE, start, length))
            self.notice(k.PAIR_REST, value.start)
        self.put(k.TAG, label.start + 1, len(name) - 1)
        self.put(k.VALUE, start, length)
        self.where = Where.ITEMS
        self.has_pairs = True

    def take_semicolon(self, line: Line) -> None:
        """A line that begins with `;`: a comment to RELION, except among rows, where it begins a text field.

        In a header, one that has the words of a row would be lost as a comment: it is refused.
        """
        may_be_row = self.where is Where.HEADER and len(line.words) == self.n_labels
        if self.where is Where.ROWS or may_be_row:
            raise SyntaxFault(k.TEXT_LINE, line.begin)
        self.notice(k.SEMICOLON_COMMENT, line.begin)

    def take_stray(self, line: Line) -> None:
        """Values where none are due: skipped before the first block, a ragged row in a loop, else kept."""
        first = line.words[0].start
        if self.where is Where.PREAMBLE:
            self.notice(k.PREAMBLE, first)
            if self.skipped_text is None:
                self.skipped_text = first
        elif self.where is not Where.ITEMS and self.n_labels > 0:
            raise SyntaxFault(k.BAD_ROW, first, len(line.words), self.n_labels)
        else:
            self.put_values(line.words)

    def put(self, kind: int, start: int, length: int) -> None:
        self.tokens.append(Token(kind, start, length))

    def put_values(self, words: Sequence[Word]) -> None:
        for word in words:
            self.put(k.VALUE, word.start, word.length)


def _looks(line: Line) -> Looks:
    word = line.words[0]
    if word.quoted:
        return Looks.VALUE
    if word.text.startswith("data_"):
        return Looks.DATA
    if word.text == "loop_":
        return Looks.LOOP
    if word.text.startswith("_"):
        return Looks.LABEL
    if word.text.startswith(";") and word.start == line.begin:
        return Looks.SEMICOLON
    return Looks.VALUE


# -- the kernels -------------------------------------------------------------------------------------------


def run_kernel(files: Sequence[bytes], dialect: Dialect) -> list[Reading]:
    """Run a kernel over a buffer of files, and unfold its run-length tokens.

    Whether byte 7 escapes a quote is known for the whole buffer only: every reading says the same.
    """
    padding = b"\n" * 64
    buffer = np.frombuffer(b"".join(data + padding for data in files), np.uint8)
    sizes = np.array([len(data) for data in files], np.int64)
    begins = np.cumsum(sizes + len(padding)) - (sizes + len(padding))
    capacity = len(buffer) // 2 + 2 * len(files) + 2
    kinds = np.full(capacity, k.VALUE, np.uint8)
    # Memory that was used before: nothing in it may be taken for a span or a count, such as this one of one byte.
    counts, firsts, spans = (np.full(capacity, 5 << k.SPAN_BITS | 1, np.int64) for _ in range(3))
    faults = np.zeros(4 * len(files), np.int64)
    notices = np.zeros(2 * k.N_NOTICES * len(files), np.int64)
    state = np.zeros(4, np.int64)
    split = k.tokenize_star if dialect == "star" else k.tokenize_relion
    split(buffer, begins, begins + sizes, kinds, counts, firsts, spans, faults, notices, state)

    n_tokens, escapes = int(state[k.N_TOKENS]), bool(state[k.HAS_ESCAPES])
    begin_of = begins.tolist()
    readings: list[Reading] = []
    tokens: list[Token] = []
    run_lengths = zip(*(array[:n_tokens].tolist() for array in (kinds, counts, firsts)), strict=True)
    for kind, count, first in run_lengths:
        f = len(readings)
        begin = begin_of[f]
        if kind not in (k.END, k.FAULT):
            packed = spans[first : first + count].tolist()
            tokens += [Token(kind, (span >> k.SPAN_BITS) - begin, span & k.SPAN_MASK) for span in packed]
            continue
        code, position, found, expected = faults[4 * f : 4 * f + 4].tolist()
        fault = Fault(code, position - begin, found, expected) if kind == k.FAULT else None
        assert (code != 0) == (kind == k.FAULT), "a file ends with FAULT where it has a fault, else with END"
        tally = notices[2 * k.N_NOTICES * f : 2 * k.N_NOTICES * (f + 1)].reshape(-1, 2).tolist()
        counted = {code: (count, at - begin) for code, (count, at) in enumerate(tally) if count}
        readings.append(Reading(tokens, fault, counted, escapes))
        tokens = []
    assert not tokens, "the last file has an end"
    assert len(readings) == len(files), "each file has one end"
    return readings


def _moved(reading: Reading, by: int) -> Reading:
    """A reading of what follows the first bytes of a text, as one of the whole text."""
    tokens = [token._replace(start=token.start + by) for token in reading.tokens]
    fault = reading.fault
    if fault is not None:
        fault = fault._replace(position=fault.position + by)
    notices = {code: (count, first + by) for code, (count, first) in reading.notices.items()}
    return reading._replace(tokens=tokens, fault=fault, notices=notices)
