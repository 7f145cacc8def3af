"""Rows that were read, against what rules would have written.

Segments, width and column are those of `tomoarrow.kernels.gather`, gaps those of `tomoarrow.kernels.rows`.
"""

from __future__ import annotations

from .jit import BYTES, INTS, OUT_I8, i8, kernel, subkernel
from .memory import same_bytes
from .rows import blanks
from .tokenize import SPAN_BITS, SPAN_MASK


@subkernel
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


@subkernel
def _is_gap(buf, begin, end, rules, gap, text, front, behind):
    n = blanks(rules, gap, front, behind)
    first, last = rules[6 * gap + 4], rules[6 * gap + 5]
    if end - begin != n + last - first:
        return False
    same = True
    for i in range(begin, begin + n):
        same &= buf[i] == 32
    for i in range(last - first):
        same &= buf[begin + n + i] == text[first + i]
    return same
