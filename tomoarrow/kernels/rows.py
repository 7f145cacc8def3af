"""Texts of columns to the rows of a loop.

All texts that are copied, and what they are copied to, have `tomoarrow.kernels.memory.SLACK` bytes behind them.

A column of texts is its bytes, one text after the other, and ``offsets``: where each begins and the last ends. Gaps
are what stands before the cells of a row and, last, behind them: blanks, at least ``least`` and as many as fill
``fill`` less the lengths of the cell in front (where ``left``) and of the cell behind (where ``right``), then a text
that is always the same.
"""

from __future__ import annotations

import numpy as np

from .jit import BYTES, INTS, OUT_I8, OUT_U1, i8, inlined, kernel, subkernel, u1
from .memory import copy_bytes, copy_from, put_blanks

#: When a string is quoted: where it would be misread otherwise; as RELION does, which is less careful; always.
NEEDED, RELION, ALWAYS = range(3)

_BLANK, _FEED, _NO_FORM = u1(1), u1(2), u1(4)


@subkernel
def _copy(data, begin, end, out, at):
    copy_bytes(out, at, data, begin, end - begin)
    return at + end - begin


@subkernel
def _begins_with(data, begin, end, word):
    if end - begin < len(word):
        return False
    for j in range(len(word)):
        c = data[begin + j]
        if (c | 32 if 65 <= c <= 90 else c) != word[j]:
            return False
    return True


def _classes() -> np.ndarray:
    """What a byte may be: a blank or control byte, a line feed, one that has no form."""
    classes = np.zeros(256, np.uint8)
    classes[:33] = _BLANK
    classes[10] |= _FEED
    classes[[0, 7, 13]] |= _NO_FORM
    return classes


_CLASSES = _classes()


@subkernel
def _class_of(data, begin, end):
    """The classes of the bytes of a string, or-ed."""
    found = u1(0)
    for i in range(begin, end):
        found |= _CLASSES[data[i]]
    return found


@subkernel
def _misread(data, begin, end, found, when, is_first):
    """Whether a string without quotes would be read as something else, or as nothing."""
    if begin == end or found & _BLANK:
        return True
    c = data[begin]
    if c == 34 or c == 39 or c == 35:
        return True
    if when == RELION:
        # Rows behind the first may begin with these.
        return is_first and (c == 95 or c == 59)
    if c == 95 or c == 59:
        return True
    # The keywords of STAR all end so: most strings are told from them by that.
    if end - begin < 5 or (data[begin + 4] != 95 and (end - begin < 7 or data[begin + 6] != 95)):
        return False
    return (
        _begins_with(data, begin, end, b"data_")
        or _begins_with(data, begin, end, b"save_")
        or _begins_with(data, begin, end, b"loop_")
        or _begins_with(data, begin, end, b"stop_")
        or _begins_with(data, begin, end, b"global_")
    )


@subkernel
def _has_no_form(data, begin, end, multiline):
    """Whether a string with line feeds or control bytes cannot be written."""
    for i in range(begin, end):
        c = data[i]
        if c == 10 and (not multiline or (i + 1 < end and data[i + 1] == 59)):
            return True
        if c == 0 or c == 7 or c == 13:
            return True
    return False


@subkernel
def _closes(data, begin, end, mark):
    """Whether a quote inside a string stands before a blank, where it would end the string."""
    for i in range(begin, end - 1):
        if data[i] == mark and data[i + 1] <= 32:
            return True
    return False


@kernel(i8, BYTES, INTS, i8, u1, INTS, i8, OUT_U1, OUT_I8, OUT_I8)
def quote(data, offsets, when, mark, firsts, multiline, out, out_offsets, refused):
    """Put quotes around the strings that want them.

    Parameters
    ----------
    data, offsets : strings
        `SLACK` bytes stand behind the last.
    when : NEEDED, RELION or ALWAYS
    mark : the quote to use; the other one where this would end the string too early
    firsts : int64[k]
        The strings, ascending, that are the first of a loop: RELION would take `_x` there for a label.
    multiline : whether strings of several lines may be text fields
    out : uint8[3 * bytes + 5 * n + SLACK]
    out_offsets : int64[n + 1]
    refused : int64[n]
        Filled with the rows of strings that have no form; their text is left empty.

    Returns
    -------
    How many strings have no form.
    """
    at = 0
    n = 0
    k = 0
    out_offsets[0] = 0
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        is_first = k < len(firsts) and firsts[k] == row
        k += is_first
        found = _class_of(data, begin, end)
        if found & (_FEED | _NO_FORM) and _has_no_form(data, begin, end, multiline):
            refused[n] = row
            n += 1
        elif found & _FEED:
            out[at], out[at + 1] = 10, 59
            at = _copy(data, begin, end, out, at + 2)
            out[at], out[at + 1] = 10, 59
            at += 2
        elif when == ALWAYS or _misread(data, begin, end, found, when, is_first):
            at = _put_quoted(data, begin, end, when, mark, out, at)
        else:
            at = _copy(data, begin, end, out, at)
        out_offsets[row + 1] = at
    return n


@kernel(i8, BYTES, INTS, i8, INTS)
def count_bare(data, offsets, when, firsts):
    """Count the strings up to the first that wants quotes or has no form; arguments are those of `quote`."""
    k = 0
    # Over all strings at once: most columns have no blank in any, and so only the first bytes to look at.
    blanks = False
    whole = data[offsets[0] : offsets[len(offsets) - 1]]
    for i in range(len(whole)):
        blanks |= whole[i] <= 32
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        is_first = k < len(firsts) and firsts[k] == row
        k += is_first
        found = _class_of(data, begin, end) if blanks else u1(0)
        if when == ALWAYS or _misread(data, begin, end, found, when, is_first):
            return row
    return len(offsets) - 1


@subkernel
def _put_quoted(data, begin, end, when, mark, out, at):
    escape = when == RELION and end - begin > 1 and data[end - 2] == mark
    if _closes(data, begin, end, mark):
        other = u1(73 - mark)
        if _closes(data, begin, end, other):
            escape = True
        else:
            mark = other
            escape = False
    out[at] = mark
    at += 1
    for i in range(begin, end):
        # src/strings.cpp, escapeStringForSTAR: also where the quote is the last byte but one.
        if escape and data[i] == mark and i + 1 < end and (data[i + 1] <= 32 or i == end - 2):
            out[at] = 7
            at += 1
        out[at] = data[i]
        at += 1
    out[at] = mark
    return at + 1


@kernel(i8, BYTES, INTS, INTS, i8, OUT_U1, OUT_I8)
def join_vectors(data, offsets, list_offsets, brackets, out, out_offsets):
    """Join the texts of elements to vectors, ``[a,b,c]`` or ``a,b,c``; return how many bytes were written."""
    at = 0
    out_offsets[0] = 0
    for row in range(len(list_offsets) - 1):
        if brackets:
            out[at] = 91
            at += 1
        for element in range(list_offsets[row], list_offsets[row + 1]):
            if element > list_offsets[row]:
                out[at] = 44
                at += 1
            at = _copy(data, offsets[element], offsets[element + 1], out, at)
        if brackets:
            out[at] = 93
            at += 1
        out_offsets[row + 1] = at
    return at


@kernel(i8, INTS, INTS, i8, OUT_U1, OUT_I8)
def digit_vectors(values, list_offsets, brackets, out, out_offsets):
    """Write vectors of integers, all from 0 to 9, such as visible frames: as `join_vectors`.

    Returns
    -------
    How many bytes were written; -1 where an integer is another, and nothing is.
    """
    at = 0
    out_offsets[0] = 0
    for row in range(len(list_offsets) - 1):
        if brackets:
            out[at] = 91
            at += 1
        elements = values[list_offsets[row] : list_offsets[row + 1]]
        others = 0
        for i in range(len(elements)):
            others |= (elements[i] < 0) | (elements[i] > 9)
        if others:
            return -1
        texts = out[at : at + 2 * len(elements)]
        for i in range(len(elements)):
            texts[2 * i] = 48 + elements[i]
            texts[2 * i + 1] = 44
        at += max(2 * len(elements) - 1, 0)
        if brackets:
            out[at] = 93
            at += 1
        out_offsets[row + 1] = at
    return at


@kernel(i8, BYTES, INTS, INTS, BYTES, INTS, OUT_U1, OUT_I8)
def splice(data, offsets, rows, other, other_offsets, out, out_offsets):
    """Texts with some rows (ascending) replaced by others; return how many bytes were written."""
    at = 0
    k = 0
    out_offsets[0] = 0
    for row in range(len(offsets) - 1):
        if k < len(rows) and rows[k] == row:
            at = _copy(other, other_offsets[k], other_offsets[k + 1], out, at)
            k += 1
        else:
            at = _copy(data, offsets[row], offsets[row + 1], out, at)
        out_offsets[row + 1] = at
    return at


@inlined
def blanks(rules, gap, front, behind):
    """How many blanks a gap has; `rules` are rows of least, fill, left, right, and where its text begins and ends."""
    n = rules[6 * gap + 1]
    if rules[6 * gap + 2]:
        n -= front
    if rules[6 * gap + 3]:
        n -= behind
    return max(n, rules[6 * gap])


@subkernel
def _put_gap(rules, gap, text, front, behind, out, at):
    n = blanks(rules, gap, front, behind)
    put_blanks(out, at, n)
    begin, end = rules[6 * gap + 4], rules[6 * gap + 5]
    return at + n if begin == end else _copy(text, begin, end, out, at + n)


@kernel(i8, INTS, INTS, i8, INTS, BYTES, INTS, BYTES, INTS, OUT_U1, OUT_I8)
def put_rows(addresses, offsets, n_rows, rules, text, other_gaps, other, other_offsets, out, row_ends):
    """Write the rows of a loop.

    Parameters
    ----------
    addresses : int64[columns]
        Where the bytes of each column's texts lie in memory. The caller keeps them there.
    offsets : int64[columns * (n_rows + 1)]
        Of the texts of all columns, one column after the other.
    rules, text : int64[6 * (columns + 1)] and bytes
        The gaps.
    other_gaps, other, other_offsets : int64[k], texts
        Gaps that follow no rule: number ``row * (columns + 1) + gap``, ascending.
    out, row_ends : uint8[enough], int64[n_rows]
        Filled.

    Returns
    -------
    How many bytes were written.
    """
    width = len(rules) // 6 - 1
    at = 0
    k = 0
    number = 0
    for row in range(n_rows):
        front = 0
        for gap in range(width + 1):
            begin = end = 0
            if gap < width:
                begin = offsets[gap * (n_rows + 1) + row]
                end = offsets[gap * (n_rows + 1) + row + 1]
            if k < len(other_gaps) and other_gaps[k] == number:
                at = _copy(other, other_offsets[k], other_offsets[k + 1], out, at)
                k += 1
            else:
                at = _put_gap(rules, gap, text, front, end - begin, out, at)
            if gap < width:
                copy_from(out, at, addresses[gap], begin, end - begin)
            front = end - begin
            at += front
            number += 1
        row_ends[row] = at
    return at
