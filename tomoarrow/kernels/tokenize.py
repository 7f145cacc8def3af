"""Bytes to run-length tokens, in one pass, for both dialects of STAR.

A token is a kind, a count and the index of its first span. Tags of one loop header are one token, and so
are all values of one loop body: structure costs nothing per row. A span is where a text stands, packed
into one int64: ``start << 24 | length``, quotes and the underscore of a tag left out.

Several files may lie in one buffer, file ``f`` at ``buf[begins[f]:ends[f]]``, each followed by at least
64 line feeds that belong to none: the loops need no bounds check. Each file ends with one END token, or
with a FAULT token where a lexical error stopped it; the other files are not affected.

The `star` dialect is token by token, by the terminals of ``grammar/star.lark``.

The `relion` dialect is line by line: words are split by the same rules, then the line as a whole says
what they are, as RELION's reader does (``src/metadata_table.cpp``: readStarLoop, readStarList). Where that
reader would lose or change data without a word, the meaning is kept and a notice is left:

- in a loop, a line with as many words as the loop has labels is a row, whatever its first word looks like,
  unless a blank line has ended the rows;
- blank lines do not end a loop, and comment lines are no rows;
- elsewhere `data_` opens a block, `loop_` a loop, and `_label value` is a pair.
"""

from __future__ import annotations

import numpy as np

from .jit import BYTES, INTS, OUT_I8, OUT_U1, kernel, subkernel, void
from .masks import WINDOW, kinds_of_bytes, lowest_bit

u8 = np.uint64

# Kinds of token. The names are the terminals of grammar/star.lark; END is the end of a file.
END, DATA_HEADING, SAVE_HEADING, SAVE_END, LOOP, STOP, TAG, VALUE, FAULT = range(9)

# What may be wrong with a text.
BAD_QUOTE, BAD_BYTE, BAD_ROW, BAD_LABEL, NO_VALUE, BAD_PAIR, TEXT_LINE, OPEN_TEXT, AFTER_TEXT = range(1, 10)
RESERVED, TOO_LONG, NO_BLOCK = range(10, 13)

# What RELION's own reader would take for something else.
BLANK_IN_LOOP, COMMENT_IN_LOOP, CRLF, KEYWORD_ROW, NO_BLANK_BEFORE_BLOCK, ZERO_ROWS = range(1, 7)
LIST_AND_LOOP, HASH_IN_LABEL, KEYWORD_COMMENT, PAIR_REST, HEADING_BLANKS = range(7, 12)
SEMICOLON_COMMENT, PREAMBLE = range(12, 14)
N_NOTICES = 14

SPAN_BITS = 24
SPAN_MASK = (1 << SPAN_BITS) - 1

# Where things stand in `state`.
N_TOKENS, N_SPANS, HAS_ESCAPES, ROWS_AT = range(4)

# Where the parser of the `relion` dialect is.
_BEFORE, _ITEMS, _HEADER, _ROWS = range(4)


@subkernel
def _starts_with(buf, at, keyword):
    """Whether a keyword (bytes, lower case) stands here, in any case."""
    for j in range(len(keyword)):
        if (buf[at + j] | 32 if keyword[j] != 95 else buf[at + j]) != keyword[j]:
            return False
    return True


@subkernel
def _contains(buf, at, stop, keyword):
    for i in range(at, stop - len(keyword) + 1):
        for j in range(len(keyword)):
            if buf[i + j] != keyword[j]:
                break
        else:
            return True
    return False


@subkernel
def _only_blanks(buf, at, end):
    """Whether nothing but blanks follows the end-of-file mark of DOS, byte 26, which may stand several times."""
    for i in range(at, end):
        c = buf[i]
        if c != 32 and c != 26 and (c < 9 or c > 13):
            return False
    return True


@subkernel
def _close_quote(buf, at, escapes):
    """The position of the quote that closes the one at `at`, or minus that of the end of its line.

    RELION puts byte 7 before a quote inside a string (``src/strings.cpp``: escapeStringForSTAR).
    """
    quote = buf[at]
    i = at + 1
    while True:
        c = buf[i]
        if c == quote and buf[i + 1] <= 32 and not (escapes and buf[i - 1] == 7):
            return i
        if c == 10 or c == 13 or c == 0:
            return -i
        i += 1


@subkernel
def _fail(faults, f, code, at, found, expected):
    faults[4 * f] = code
    faults[4 * f + 1] = at
    faults[4 * f + 2] = found
    faults[4 * f + 3] = expected


@subkernel
def _notice(notices, f, code, at):
    """Keep the first place of each kind of notice in each file, and count them."""
    at_slot = 2 * (f * N_NOTICES + code)
    if notices[at_slot] == 0:
        notices[at_slot + 1] = at
    notices[at_slot] += 1


@subkernel
def _is_taken_for_row(comment_at, blank_at):
    """Whether a comment behind rows is a row to RELION: these go on up to the first blank line."""
    return comment_at >= 0 and (blank_at < 0 or comment_at < blank_at)


@subkernel
def _bare_label(buf, at, stop):
    """Where a label ends that has `#12` glued to it, else -1."""
    i = stop
    while i > at and 48 <= buf[i - 1] <= 57:
        i -= 1
    if i < stop and i - 1 > at and buf[i - 1] == 35:
        return i - 1
    return -1


@subkernel
def _put(kinds, counts, firsts, n_tokens, kind, count, first):
    kinds[n_tokens] = kind
    counts[n_tokens] = count
    firsts[n_tokens] = first
    return n_tokens + 1


@subkernel
def _take_rows(buf, begin, end, n_labels, spans, k):
    """Take the rows at `begin` for as long as they are plain, a window of bytes at a time.

    A plain row has a word for each label, no quote, ``#`` or odd control character anywhere, and nothing in front
    that could be a keyword. Nearly all are; they need no decisions. Returns where the first other line begins, and
    the number of spans by then.
    """
    one = u8(1)
    line = at = begin
    k_line = k
    start = 0
    inside = u8(0)
    while True:
        words, breaks, odd = kinds_of_bytes(buf, at)
        if odd != u8(0):
            return line, k_line
        # Where words begin and end, in turns.
        edges = words ^ (words << one | inside)
        while True:
            line_feed = breaks & (~breaks + one)
            here = edges & (line_feed | (line_feed - one))
            edges ^= here
            if inside != u8(0) and here != u8(0):
                length = at + lowest_bit(here) - start
                if length > SPAN_MASK:
                    return line, k_line
                spans[k] = start << SPAN_BITS | length
                k += 1
                here &= here - one
                inside = u8(0)
            while here != u8(0):
                start = at + lowest_bit(here)
                here &= here - one
                if here == u8(0):
                    inside = one
                    break
                spans[k] = start << SPAN_BITS | (at + lowest_bit(here) - start)
                k += 1
                here &= here - one
            if line_feed == u8(0):
                break
            if k - k_line != n_labels or _may_be_keyword(buf, spans[k_line] >> SPAN_BITS, line):
                return line, k_line
            line = at + lowest_bit(line_feed) + 1
            k_line = k
            if line >= end:
                return line, k
            breaks ^= line_feed
        at += WINDOW


@subkernel
def _may_be_keyword(buf, first, line):
    c = buf[first]
    return c == 95 or (c == 59 and first == line) or ((c == 100 or c == 108) and buf[first + 4] == 95)


@kernel(void, BYTES, INTS, INTS, OUT_U1, OUT_I8, OUT_I8, OUT_I8, OUT_I8, OUT_I8, OUT_I8)
def tokenize_relion(buf, begins, ends, kinds, counts, firsts, spans, faults, notices, state):
    """Tokenize files of the `relion` dialect.

    Parameters
    ----------
    buf : uint8[n]
        All files, each followed by line feeds.
    begins, ends : int64[n_files]
    kinds, counts, firsts : uint8, int64, int64 [capacity]
        Filled with tokens. A token takes at least two bytes of text: ``n // 2 + 2 * n_files + 2`` is enough.
    spans : int64[capacity]
        Filled with spans; the same capacity is enough.
    faults : int64[4 * n_files], zeros
        Filled with (code, position, words found, words expected) of each file's first error.
    notices : int64[2 * N_NOTICES * n_files], zeros
        Filled with (count, first position) of each kind of notice.
    state : int64[4]
        Filled with the number of tokens, the number of spans, and whether byte 7 escapes a quote anywhere. The last
        is where a line begins before which rows of the loop have been, which are not in the text; or 0.
    """
    t = 0
    k = 0
    for f in range(len(begins)):
        i = begins[f]
        end = ends[f]
        if end - i >= 3 and buf[i] == 0xEF and buf[i + 1] == 0xBB and buf[i + 2] == 0xBF:
            i += 3
        phase = _BEFORE
        n_labels = 0
        blank_at = -1
        comment_at = -1
        preamble = -1
        has_pairs = False
        while i < end:
            if i == state[ROWS_AT] and phase == _HEADER:
                t = _put(kinds, counts, firsts, t, VALUE, 0, k)
                phase = _ROWS
            # Of a loop without labels a blank line would be a row, and its first word whatever memory holds.
            if phase == _ROWS and n_labels > 0 and blank_at < 0 and comment_at < 0:
                i, taken = _take_rows(buf, i, end, n_labels, spans, k)
                counts[t - 1] += taken - k
                k = taken
                if i >= end:
                    continue
            # -- split a line into words ---------------------------------------------------------------
            line = i
            k0 = k
            tail = i
            fault = 0
            comment = -1
            while True:
                c = buf[i]
                if c > 39 or c == 33 or 36 <= c <= 38:
                    start = i
                    i += 1
                    while buf[i] > 32:
                        i += 1
                    spans[k] = start << SPAN_BITS | (i - start)
                    if i - start > SPAN_MASK:
                        fault = TOO_LONG
                        i = start
                        break
                    k += 1
                    tail = i
                elif c == 32 or c == 9 or c == 11 or c == 12:
                    i += 1
                elif c == 10 or c == 13:
                    break
                elif c == 34 or c == 39:
                    close = _close_quote(buf, i, True)
                    if close < 0:
                        # A page of prose or HTML, most likely, not a string left open.
                        fault = NO_BLOCK if phase == _BEFORE else BAD_QUOTE
                        if buf[-close] == 0:
                            fault = BAD_BYTE
                            i = -close
                        break
                    spans[k] = (i + 1) << SPAN_BITS | (close - i - 1)
                    if close - i - 1 > SPAN_MASK:
                        fault = TOO_LONG
                        break
                    for j in range(i + 1, close):
                        if buf[j] == 7 and buf[j + 1] == buf[i]:
                            state[HAS_ESCAPES] = 1
                    k += 1
                    i = close + 1
                    tail = i
                elif c == 35:
                    comment = i
                    while buf[i] != 10 and buf[i] != 13:
                        if buf[i] == 0:
                            fault = BAD_BYTE
                            break
                        i += 1
                    break
                elif c == 26 and _only_blanks(buf, i + 1, end):
                    i = end
                    break
                else:
                    fault = BAD_BYTE
                    break
            if fault != 0:
                _fail(faults, f, fault, i, 0, 0)
                break
            n_words = k - k0
            if buf[i] == 13 and buf[i + 1] == 10 and i + 1 < end:
                _notice(notices, f, CRLF, i)
                i += 1
            i += 1

            # -- a row, as nearly all lines are --------------------------------------------------------
            if n_words == 0:
                if comment >= 0:
                    if comment_at < 0:
                        comment_at = comment
                    seeking = phase == _BEFORE or (phase == _ROWS and blank_at >= 0)
                    if (seeking and _contains(buf, comment, i - 1, b"data_")) or (
                        phase == _ITEMS and not has_pairs and _contains(buf, comment, i - 1, b"loop_")
                    ):
                        _notice(notices, f, KEYWORD_COMMENT, comment)
                elif blank_at < 0:
                    blank_at = line
                continue
            first = spans[k0] >> SPAN_BITS
            length = spans[k0] & SPAN_MASK
            quoted = first > line and (buf[first - 1] == 34 or buf[first - 1] == 39)
            c = buf[first] if not quoted else 0
            keyword = c == 95 or (c == 59 and first == line)
            is_data = is_loop = False
            if c == 100:
                is_data = length >= 5 and _contains(buf, first, first + 5, b"data_")
            elif c == 108:
                is_loop = length == 5 and _contains(buf, first, first + 5, b"loop_")
            if phase >= _HEADER and n_words == n_labels:
                looks_other = is_data or is_loop or keyword
                # One word that looks like a keyword is one, except `_x`, which is nothing else here. Once a
                # blank line has ended the rows, two words may be a pair, and `data_` opens a block.
                if not looks_other:
                    is_row = True
                elif c == 59:
                    is_row = phase == _ROWS and n_labels > 1
                elif c == 95 and phase == _ROWS:
                    is_row = n_labels != 2 or blank_at < 0
                elif c == 95:
                    is_row = n_labels > 1
                else:
                    is_row = n_labels > 1 and (phase == _HEADER or blank_at < 0)
                if is_row:
                    if looks_other:
                        _notice(notices, f, KEYWORD_ROW, first)
                    if phase == _ROWS:
                        counts[t - 1] += n_words
                        if blank_at >= 0:
                            _notice(notices, f, BLANK_IN_LOOP, blank_at)
                        if comment_at >= 0:
                            _notice(notices, f, COMMENT_IN_LOOP, comment_at)
                    else:
                        t = _put(kinds, counts, firsts, t, VALUE, n_words, k0)
                        phase = _ROWS
                    blank_at = -1
                    comment_at = -1
                    continue

            # -- anything else -------------------------------------------------------------------------
            if phase == _ROWS and _is_taken_for_row(comment_at, blank_at):
                _notice(notices, f, COMMENT_IN_LOOP, comment_at)
            if is_data:
                if phase == _ROWS and blank_at < 0:
                    _notice(notices, f, NO_BLANK_BEFORE_BLOCK, first)
                elif phase == _HEADER:
                    _notice(notices, f, ZERO_ROWS, first)
                if n_words > 1:
                    _notice(notices, f, HEADING_BLANKS, first)
                if tail - first > SPAN_MASK:
                    _fail(faults, f, TOO_LONG, first, 0, 0)
                    break
                spans[k0] = (first + 5) << SPAN_BITS | (tail - first - 5)
                k = k0 + 1
                t = _put(kinds, counts, firsts, t, DATA_HEADING, 1, k0)
                phase = _ITEMS
                has_pairs = False
            elif is_loop:
                if has_pairs:
                    _notice(notices, f, LIST_AND_LOOP, first)
                t = _put(kinds, counts, firsts, t, LOOP, 1, k0)
                phase = _HEADER
                n_labels = 0
                # Labels on the line of `loop_`, and behind them values: taken word by word, as STAR has it.
                for j in range(k0 + 1, k):
                    start = spans[j] >> SPAN_BITS
                    is_tag = phase == _HEADER and buf[start] == 95 and buf[start - 1] <= 32
                    kind = TAG if is_tag else VALUE
                    if is_tag and spans[j] & SPAN_MASK == 1:
                        _fail(faults, f, BAD_LABEL, start, 0, 0)
                        break
                    if is_tag:
                        spans[j] = (start + 1) << SPAN_BITS | ((spans[j] & SPAN_MASK) - 1)
                        n_labels += 1
                    else:
                        phase = _ROWS
                    if kinds[t - 1] == kind:
                        counts[t - 1] += 1
                    else:
                        t = _put(kinds, counts, firsts, t, kind, 1, j)
                if faults[4 * f] != 0:
                    break
            elif c == 95:
                bare = _bare_label(buf, first + 1, first + length)
                if bare >= 0:
                    _notice(notices, f, HASH_IN_LABEL, bare)
                    length = bare - first
                spans[k0] = (first + 1) << SPAN_BITS | (length - 1)
                if length == 1:
                    _fail(faults, f, BAD_LABEL, first, 0, 0)
                    break
                if phase == _HEADER:
                    if n_words > 1:
                        _fail(faults, f, BAD_LABEL, spans[k0 + 1] >> SPAN_BITS, 0, 0)
                        break
                    if n_labels > 0:
                        counts[t - 1] += 1
                    else:
                        t = _put(kinds, counts, firsts, t, TAG, 1, k0)
                    n_labels += 1
                elif phase == _ROWS and (n_words != 2 or blank_at < 0):
                    _fail(faults, f, BAD_ROW, first, n_words, n_labels)
                    break
                elif n_words == 1:
                    _fail(faults, f, NO_VALUE, first, 0, 0)
                    break
                else:
                    if n_words > 2:
                        # RELION writes the value of a label it does not know as it is, blanks and all.
                        start = spans[k0 + 1] >> SPAN_BITS
                        if buf[start - 1] == 34 or buf[start - 1] == 39:
                            _fail(faults, f, BAD_PAIR, spans[k0 + 2] >> SPAN_BITS, n_words - 1, 1)
                            break
                        if tail - start > SPAN_MASK:
                            _fail(faults, f, TOO_LONG, start, 0, 0)
                            break
                        _notice(notices, f, PAIR_REST, start)
                        spans[k0 + 1] = start << SPAN_BITS | (tail - start)
                        k = k0 + 2
                    t = _put(kinds, counts, firsts, t, TAG, 1, k0)
                    t = _put(kinds, counts, firsts, t, VALUE, 1, k0 + 1)
                    phase = _ITEMS
                    has_pairs = True
            elif c == 59 and first == line and (phase < _HEADER or (phase == _HEADER and n_words != n_labels)):
                _notice(notices, f, SEMICOLON_COMMENT, first)
                k = k0
            elif c == 59 and first == line:
                _fail(faults, f, TEXT_LINE, first, 0, 0)
                break
            elif phase == _BEFORE:
                if preamble < 0:
                    preamble = first
                _notice(notices, f, PREAMBLE, first)
                k = k0
            elif phase >= _HEADER and n_labels > 0:
                _fail(faults, f, BAD_ROW, first, n_words, n_labels)
                break
            else:
                t = _put(kinds, counts, firsts, t, VALUE, n_words, k0)
            blank_at = -1
            comment_at = -1
        else:
            if phase == _BEFORE and preamble >= 0:
                _fail(faults, f, NO_BLOCK, preamble, 0, 0)
            if phase == _ROWS and _is_taken_for_row(comment_at, blank_at):
                _notice(notices, f, COMMENT_IN_LOOP, comment_at)
        t = _put(kinds, counts, firsts, t, FAULT if faults[4 * f] != 0 else END, 1, k)
    state[N_TOKENS] = t
    state[N_SPANS] = k


@subkernel
def _close_text(buf, at, end):
    """The line end before the `;` that closes the text field at `at`, or -1."""
    i = at + 1
    while i < end:
        c = buf[i]
        if c == 0:
            return -1
        if c == 10 or c == 13:
            line_end = i
            if c == 13 and buf[i + 1] == 10:
                i += 1
            if i + 1 < end and buf[i + 1] == 59:
                return line_end
        i += 1
    return -1


@kernel(void, BYTES, INTS, INTS, OUT_U1, OUT_I8, OUT_I8, OUT_I8, OUT_I8, OUT_I8, OUT_I8)
def tokenize_star(buf, begins, ends, kinds, counts, firsts, spans, faults, notices, state):
    """Tokenize files of the `star` dialect. Arguments as those of `tokenize_relion`."""
    t = 0
    k = 0
    for f in range(len(begins)):
        i = begins[f]
        end = ends[f]
        if end - i >= 3 and buf[i] == 0xEF and buf[i + 1] == 0xBB and buf[i + 2] == 0xBF:
            i += 3
        line = i
        previous = END
        while i < end:
            c = buf[i]
            if c <= 32:
                if c == 10 or c == 13:
                    line = i + 1
                elif c != 32 and c != 9 and c != 11 and c != 12:
                    if c == 26 and _only_blanks(buf, i + 1, end):
                        break
                    _fail(faults, f, BAD_BYTE, i, 0, 0)
                    break
                i += 1
                continue
            if c == 35:
                while buf[i] != 10 and buf[i] != 13 and buf[i] != 0:
                    i += 1
                continue
            kind = VALUE
            start = i
            if c == 59 and i == line:
                line_end = _close_text(buf, i, end)
                if line_end < 0:
                    _fail(faults, f, OPEN_TEXT, i, 0, 0)
                    break
                start = i + 1
                stop = line_end
                line = line_end + (2 if buf[line_end] == 13 and buf[line_end + 1] == 10 else 1)
                i = line + 1
                if buf[i] > 32:
                    _fail(faults, f, AFTER_TEXT, i, 0, 0)
                    break
            elif c == 34 or c == 39:
                stop = _close_quote(buf, i, False)
                if stop < 0:
                    is_nul = buf[-stop] == 0
                    _fail(faults, f, BAD_BYTE if is_nul else BAD_QUOTE, -stop if is_nul else i, 0, 0)
                    break
                start = i + 1
                i = stop + 1
            else:
                i += 1
                while buf[i] > 32:
                    i += 1
                stop = i
                if c == 95:
                    if stop - start == 1:
                        _fail(faults, f, BAD_LABEL, start, 0, 0)
                        break
                    kind = TAG
                    start += 1
                elif stop - start >= 5:
                    low = c | 32
                    if low == 100 and _starts_with(buf, start, b"data_"):
                        kind = DATA_HEADING
                        start += 5
                    elif low == 115 and _starts_with(buf, start, b"save_"):
                        kind = SAVE_END if stop - start == 5 else SAVE_HEADING
                        start += 5
                    elif low == 115 and stop - start == 5 and _starts_with(buf, start, b"stop_"):
                        kind = STOP
                    elif low == 108 and stop - start == 5 and _starts_with(buf, start, b"loop_"):
                        kind = LOOP
                    elif low == 103 and stop - start == 7 and _starts_with(buf, start, b"global_"):
                        _fail(faults, f, RESERVED, start, 0, 0)
                        break
            if stop - start > SPAN_MASK:
                _fail(faults, f, TOO_LONG, start, 0, 0)
                break
            spans[k] = start << SPAN_BITS | (stop - start)
            if kind == previous and kind >= TAG:
                counts[t - 1] += 1
            else:
                t = _put(kinds, counts, firsts, t, kind, 1, k)
            previous = kind
            k += 1
        t = _put(kinds, counts, firsts, t, FAULT if faults[4 * f] != 0 else END, 1, k)
    state[N_TOKENS] = t
    state[N_SPANS] = k
