"""Spans of text to Arrow string buffers, and the check that a text is UTF-8.

The rows of a table lie in segments, one for each loop that it is made of: segment ``g`` has
``seg_rows[g]`` rows, and the cell of row r in column c is ``spans[seg_first[g] + r * width + c]``.
"""

from __future__ import annotations

import numpy as np

from .jit import BYTES, INTS, OUT_I4, OUT_U1, i8, kernel, subkernel, u1
from .masks import WINDOW, count_bits, ends_of_lines, high_bytes, lowest_bit
from .memory import copy_bytes
from .tokenize import SPAN_BITS, SPAN_MASK


@subkernel
def _is_escape(buf, i, quote):
    return buf[i] == 7 and buf[i + 1] == quote


@kernel(i8, BYTES, INTS, INTS, INTS, i8, i8, u1, OUT_I4)
def string_offsets(buf, spans, seg_first, seg_rows, width, column, escapes, offsets):
    """Fill Arrow's offsets, int32[rows + 1]; return the number of bytes, which the caller must bound.

    `escapes`: whether byte 7 before a quote inside a quoted string is to be left out.
    """
    total = 0
    row = 0
    offsets[0] = 0
    for g in range(len(seg_first)):
        cell = seg_first[g] + column
        for _ in range(seg_rows[g]):
            length = spans[cell] & SPAN_MASK
            total += length
            if escapes:
                start = spans[cell] >> SPAN_BITS
                for i in range(start, start + length - 1):
                    if _is_escape(buf, i, buf[start - 1]):
                        total -= 1
            row += 1
            offsets[row] = total
            cell += width
    return total


@kernel(i8, BYTES, INTS, INTS, INTS, i8, i8, u1, OUT_U1)
def string_bytes(buf, spans, seg_first, seg_rows, width, column, escapes, out):
    """Copy the texts of a column one after the other, uint8[bytes + SLACK]; return how many bytes."""
    at = 0
    for g in range(len(seg_first)):
        cell = seg_first[g] + column
        for _ in range(seg_rows[g]):
            start = spans[cell] >> SPAN_BITS
            length = spans[cell] & SPAN_MASK
            stop = start + length
            if not escapes:
                copy_bytes(out, at, buf, start, length)
                at += length
                cell += width
                continue
            for i in range(start, stop):
                if i < stop - 1 and _is_escape(buf, i, buf[start - 1]):
                    continue
                out[at] = buf[i]
                at += 1
            cell += width
    return at


@kernel(i8, BYTES, i8, i8)
def count_lines(buf, begin, end):
    """Count the ends of lines: LF, CR LF, or CR alone. As many bytes as a window has must be there behind `end`."""
    n = 0
    i = begin
    while i < end:
        feeds, returns = ends_of_lines(buf, i)
        if i + WINDOW <= end and returns == np.uint64(0):
            n += count_bits(feeds)
            i += WINDOW
        else:
            for j in range(i, min(i + WINDOW, end)):
                n += buf[j] == 10 or (buf[j] == 13 and buf[j + 1] != 10)
            i += WINDOW
    return n


@kernel(i8, BYTES, i8, i8)
def find_invalid_utf8(buf, begin, end):
    """Return the position of the first byte that is not UTF-8 (Unicode 15, table 3-7), or -1.

    As many bytes as a window has must be there behind `end`.
    """
    i = begin
    while i < end:
        high = high_bytes(buf, i)
        if high == np.uint64(0):
            i += WINDOW
            continue
        i += lowest_bit(high)
        if i >= end:
            break
        c = buf[i]
        low = 0x80
        top = 0xBF
        if 0xC2 <= c <= 0xDF:
            more = 1
        elif 0xE0 <= c <= 0xEF:
            more = 2
            if c == 0xE0:
                low = 0xA0
            elif c == 0xED:
                top = 0x9F
        elif 0xF0 <= c <= 0xF4:
            more = 3
            if c == 0xF0:
                low = 0x90
            elif c == 0xF4:
                top = 0x8F
        else:
            return i
        if i + more >= end or buf[i + 1] < low or buf[i + 1] > top:
            return i
        for j in range(2, more + 1):
            if buf[i + j] < 0x80 or buf[i + j] > 0xBF:
                return i
        i += more + 1
    return -1
