"""Rows that were read, against what rules would have written.

Segments, width and column are those of `tomoarrow.kernels.gather`, gaps those of `tomoarrow.kernels.rows`.
"""

from __future__ import annotations

import numpy as np

from .digits import digits_and_points, eight_bytes
from .format import RELION, SCIENTIFIC
from .jit import BYTES, INTS, OUT_I8, i8, inlined, kernel, subkernel
from .memory import same_bytes
from .rows import blanks
from .tokenize import SPAN_BITS, SPAN_MASK

u8 = np.uint64


@inlined
def _extent(buf, span):
    """Where a value begins and ends with its quotes, or as a text field."""
    start = span >> SPAN_BITS
    stop = start + (span & SPAN_MASK)
    before = buf[start - 1]
    if before == 34 or before == 39:
        return start - 1, stop + 1
    if before == 59:
        while buf[stop] != 59:
            stop += 1
        return start - 1, stop + 1
    return start, stop


@kernel(i8, BYTES, INTS, INTS, INTS, i8, i8, OUT_I8, OUT_I8)
def extents(buf, spans, seg_first, seg_rows, width, column, begins, ends):
    """Where the values of a column begin and end, quotes included, int64[rows]; return how many."""
    row = 0
    for g in range(len(seg_first)):
        for r in range(seg_rows[g]):
            begins[row], ends[row] = _extent(buf, spans[seg_first[g] + r * width + column])
            row += 1
    return row


@kernel(i8, BYTES, INTS, INTS, INTS, i8, i8, BYTES, INTS, OUT_I8)
def differing(buf, spans, seg_first, seg_rows, width, column, data, offsets, rows):
    """Fill the rows, int64[n], where the text of a column is not that of `data`; return how many."""
    row = 0
    n = 0
    for g in range(len(seg_first)):
        cell = seg_first[g] + column
        for _ in range(seg_rows[g]):
            begin, end = _extent(buf, spans[cell])
            at = offsets[row]
            n_bytes = offsets[row + 1] - at
            if end - begin != n_bytes or not same_bytes(buf, begin, data, at, n_bytes):
                rows[n] = row
                n += 1
            row += 1
            cell += width
    return n


@kernel(i8, BYTES, INTS, INTS, INTS, i8, INTS, INTS, OUT_I8, OUT_I8)
def bodies(buf, spans, seg_first, seg_rows, width, label_ends, file_ends, begins, row_ends):
    """Find where the bodies of loops begin, int64[segments], and where their rows end, int64[rows].

    A row ends behind the last line feed before the next; the last one with its line, comment included. A row that
    shares its line with the next ends with its last value. Return the number of rows.
    """
    row = 0
    for g in range(len(seg_first)):
        cell = seg_first[g]
        if seg_rows[g] == 0:
            begins[g] = _line_end(buf, label_ends[g], file_ends[g])
            continue
        begin, _ = _extent(buf, spans[cell])
        begins[g] = _behind_line_feed(buf, label_ends[g], begin, begin)
        for _ in range(seg_rows[g] - 1):
            _, end = _extent(buf, spans[cell + width - 1])
            cell += width
            begin, _ = _extent(buf, spans[cell])
            row_ends[row] = _behind_line_feed(buf, end, begin, end)
            row += 1
        _, end = _extent(buf, spans[cell + width - 1])
        row_ends[row] = _line_end(buf, end, file_ends[g])
        row += 1
    return row


@subkernel
def _behind_line_feed(buf, begin, end, otherwise):
    for i in range(end - 1, begin - 1, -1):
        if buf[i] == 10:
            return i + 1
    return otherwise


@subkernel
def _line_end(buf, at, file_end):
    """Behind the line feed that follows blanks, a comment or nothing; else where it began."""
    i = at
    while i < file_end and (buf[i] == 32 or buf[i] == 9 or buf[i] == 13):
        i += 1
    if i > at and i < file_end and buf[i] == 35:
        while i < file_end and buf[i] != 10:
            i += 1
    return i + 1 if i < file_end and buf[i] == 10 else at


@inlined
def _is_fixed(buf, start, n, decimals):
    """Whether n bytes, at most 16, are `%.Pf` of their own value: so many decimals, no zero too many in front.

    They are at most 15 digits then: these, every double gives back as they were.
    """
    whole = n - decimals - (decimals > 0)
    if whole < 1 or n > 15 + (decimals > 0) or (whole > 1 and buf[start] == 48):
        return False
    digits, points = digits_and_points(buf, start)
    point = u8(decimals > 0) << u8(whole)
    everything = (u8(1) << u8(n)) - u8(1)
    return points & point == point and digits & everything == everything ^ point


@inlined
def _is_scientific(buf, start, n, decimals):
    """Whether a text without its sign is `%.Pe` of its own value: one digit, not zero, and an exponent of two."""
    e = start + n - 4
    if n - 4 != 1 + decimals + (decimals > 0) or buf[start] == 48 or not _is_fixed(buf, start, n - 4, decimals):
        return False
    tens, ones = buf[e + 2], buf[e + 3]
    if not (48 <= tens <= 57 and 48 <= ones <= 57 and buf[e] == 101):
        return False
    return buf[e + 1] == 43 or (buf[e + 1] == 45 and (tens > 48 or ones > 48))


@inlined
def _is_relion(buf, start, n, negative):
    """Whether a text without its sign is as RELION writes its own value (`tomoarrow.kernels.format`)."""
    decimals = 6 - negative
    e = start + n - 4
    if n > 4 and buf[e] == 101:
        # Below 0.001, and beyond 100000: this itself and what is next to it are left to who knows the value.
        is_far = buf[e + 2] != 48 or buf[e + 3] >= (52 if buf[e + 1] == 45 else 54)
        return is_far and _is_scientific(buf, start, n, decimals)
    if n > decimals + 6 or not _is_fixed(buf, start, n, decimals):
        return False
    if n > decimals + 2 or buf[start] != 48 or buf[start + 2] != 48 or buf[start + 3] != 48 or buf[start + 4] != 48:
        return True
    # Below 0.001 only zero is written so, and that of a negative sign has one decimal more.
    for i in range(start + 5, start + n):
        if buf[i] != 48:
            return False
    return not negative


@kernel(i8, BYTES, INTS, INTS, INTS, i8, INTS, INTS, INTS, OUT_I8)
def doubtful(buf, spans, seg_first, seg_rows, width, columns, styles, decimals, found):
    """Find numbers whose text, quotes included, may not be that of their value: all others are known by it alone.

    Parameters
    ----------
    columns : int64[k]
        Columns of numbers, none of them missing: their values are what the texts say.
    styles, decimals : int64[k]
        How `tomoarrow.kernels.format` would write them: RELION, SCIENTIFIC or FIXED, which without decimals is also
        what integers are written as.
    found : int64[capacity]
        Filled with ``row * k + i`` for the column ``columns[i]``, as many as it holds.

    Returns
    -------
    How many there are.
    """
    row = 0
    n = 0
    for g in range(len(seg_first)):
        for r in range(seg_rows[g]):
            for i in range(len(columns)):
                span = spans[seg_first[g] + r * width + columns[i]]
                start = span >> SPAN_BITS
                negative = i8(buf[start] == 45)
                start += negative
                length = (span & SPAN_MASK) - negative
                if styles[i] == RELION:
                    known = _is_relion(buf, start, length, negative)
                elif styles[i] == SCIENTIFIC:
                    known = _is_scientific(buf, start, length, decimals[i])
                else:
                    # An integer has no negative zero.
                    known = _is_fixed(buf, start, length, decimals[i])
                    known &= not (negative and decimals[i] == 0 and buf[start] == 48)
                known &= buf[start - negative - 1] <= 32
                if not known:
                    if n < len(found):
                        found[n] = row * len(columns) + i
                    n += 1
            row += 1
    return n


@kernel(i8, BYTES, INTS, INTS, INTS, i8, i8)
def count_quoted(buf, spans, seg_first, seg_rows, width, column):
    """Count the values of a column that stand in quotes or in text fields."""
    n = 0
    for g in range(len(seg_first)):
        cell = seg_first[g] + column
        for _ in range(seg_rows[g]):
            n += buf[(spans[cell] >> SPAN_BITS) - 1] > 32
            cell += width
    return n


@kernel(i8, BYTES, INTS, INTS, INTS, INTS, INTS, INTS, BYTES, OUT_I8)
def differing_gaps(buf, spans, seg_first, seg_rows, begins, row_ends, rules, text, found):
    """Find the gaps that are not as their rules have them.

    Parameters
    ----------
    begins, row_ends : as `bodies` fills them
    rules, text : as `put_rows` takes them
    found : int64[capacity]
        Filled with ``row * (columns + 1) + gap``, as many as it holds.

    Returns
    -------
    How many there are.
    """
    width = len(rules) // 6 - 1
    row = 0
    n = 0
    for g in range(len(seg_first)):
        cell = seg_first[g]
        end = begins[g]
        for _ in range(seg_rows[g]):
            front = 0
            for gap in range(width + 1):
                start, stop = row_ends[row], row_ends[row]
                if gap < width:
                    start, stop = _extent(buf, spans[cell])
                    cell += 1
                if not _is_gap(buf, end, start, rules, gap, text, front, stop - start):
                    if n < len(found):
                        found[n] = row * (width + 1) + gap
                    n += 1
                front = stop - start
                end = stop
            row += 1
    return n


@inlined
def _is_gap(buf, begin, end, rules, gap, text, front, behind):
    n = blanks(rules, gap, front, behind)
    first = rules[6 * gap + 4]
    rest = rules[6 * gap + 5] - first
    if end - begin != n + rest:
        return False
    same = u8(0)
    while n > 0:
        # Eight at a time; what stands behind the last is shifted out.
        different = eight_bytes(buf, begin) ^ u8(0x2020202020202020)
        same |= different << u8(64 - 8 * n) if n < 8 else different
        begin += min(n, 8)
        n -= 8
    for i in range(rest):
        same |= u8(buf[begin + i] ^ text[first + i])
    return same == u8(0)
