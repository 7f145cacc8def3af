"""Spans of text to int64, float64 and bool, exactly.

Floats are correctly rounded: W. D. Clinger's fast path ("How to read floating point numbers accurately",
1990), else D. Lemire's product with a 128-bit power of five ("Number parsing at a gigabyte per second",
2021; that no fallback is needed: N. Mushtak and D. Lemire, 2023). What is left, numbers of 20 and more
digits that these cannot decide, is reported as HARD for the caller to read exactly.

Segments, width and column are those of `tomoarrow.kernels.gather`.
"""

from __future__ import annotations

import numpy as np

from .digits import SHORT, digits_and_points, eight_bytes, up_to_eight_digits
from .jit import BYTES, INTS, OUT_F8, OUT_I4, OUT_I8, OUT_U1, i8, inlined, kernel, subkernel, u1
from .masks import lowest_bit
from .memory import viewed_as
from .tokenize import SPAN_BITS, SPAN_MASK
from .wide import leading_zeros, product

u8 = np.uint64
f8 = np.float64

# What a text is, as a number.
GOOD, MISSING, NOT_FINITE, BAD, HARD, RANGE, FRACTION, WORD = range(8)

# What a column holds: bits of the result of `classify`.
HAS_INT, HAS_FLOAT, HAS_TEXT, HAS_LARGE = 1, 2, 4, 8

#: Doubles hold every integer up to this one.
EXACT = 2**53

_MIN_Q, _MAX_Q = -342, 308


def _powers_of_five() -> np.ndarray:
    """5**q for q from -342 to 308 as 128-bit fractions: uint64[2 * 651], high word first.

    Truncated for q >= 0, rounded up for q < 0 (Lemire 2021, section 5).
    """
    words = []
    for q in range(_MIN_Q, _MAX_Q + 1):
        if q >= 0:
            power = 5**q
            shift = 128 - power.bit_length()
            word = power << shift if shift >= 0 else power >> -shift
        else:
            power = 5**-q
            word = (1 << (power.bit_length() + 127 + (128 if q < -27 else 0))) // power + 1
            word >>= word.bit_length() - 128
        words += [word >> 64, word & (2**64 - 1)]
    return np.array(words, np.uint64)


#: So many rows of a loop are in the nearest cache together.
_ROWS_AT_A_TIME = 32

_FIVES = _powers_of_five()
_TENS = np.array([10.0**p for p in range(23)])
_WHOLE_TENS = np.array([10**p for p in range(9)], np.uint64)


@subkernel
def _decimal_to_bits(mantissa, q):
    """The bits of the double nearest to mantissa * 10**q, without the sign; mantissa below 2**64."""
    if mantissa == u8(0) or q < _MIN_Q:
        return u8(0)
    if q > _MAX_Q:
        return u8(0x7FF) << u8(52)
    zeros = leading_zeros(mantissa)
    w = mantissa << u8(zeros)
    at = 2 * (q - _MIN_Q)
    high, low = product(w, _FIVES[at])
    if high & u8(0x1FF) == u8(0x1FF):
        more, _ = product(w, _FIVES[at + 1])
        low += more
        if more > low:
            high += u8(1)
    upper = high >> u8(63)
    shift = upper + u8(9)
    bits = high >> shift
    power = ((217706 * q) >> 16) + 63 + i8(upper) - zeros + 1023
    if power <= 0:
        if 1 - power >= 64:
            return u8(0)
        bits >>= u8(1 - power)
        bits += bits & u8(1)
        return bits >> u8(1)
    if low <= u8(1) and -4 <= q <= 23 and bits & u8(3) == u8(1) and (bits << shift) == high:
        bits &= ~u8(1)
    bits += bits & u8(1)
    bits >>= u8(1)
    if bits >= u8(1) << u8(53):
        bits >>= u8(1)
        power += 1
    if power >= 0x7FF:
        return u8(0x7FF) << u8(52)
    return (bits & ((u8(1) << u8(52)) - u8(1))) | (u8(power) << u8(52))


@subkernel
def _is_word(buf, at, length, word):
    """Whether a text is this word (bytes, lower case), in any case."""
    if length != len(word):
        return False
    for j in range(length):
        if buf[at + j] | 32 != word[j]:
            return False
    return True


@subkernel
def _is_missing(buf, at, length, cif):
    """The words that writers of STAR files use for "no value": `None`, `<NA>`, `N/A`, `NA`, `null`."""
    c = buf[at]
    if length == 4:
        return (
            (c == 78 and buf[at + 1] == 111 and buf[at + 2] == 110 and buf[at + 3] == 101)
            or (c == 60 and buf[at + 1] == 78 and buf[at + 2] == 65 and buf[at + 3] == 62)
            or (c == 110 and buf[at + 1] == 117 and buf[at + 2] == 108 and buf[at + 3] == 108)
        )
    if length == 3:
        return c == 78 and buf[at + 1] == 47 and buf[at + 2] == 65
    if length == 2:
        return c == 78 and buf[at + 1] == 65
    return cif and length == 1 and (c == 63 or c == 46) and buf[at - 1] != 34 and buf[at - 1] != 39


@subkernel
def _parse_float(buf, start, length, row, values, bits):
    """Read one text into ``values[row]`` (``bits`` is the same memory); return what it is."""
    i = start
    stop = start + length
    negative = False
    if i < stop and (buf[i] == 45 or buf[i] == 43):
        negative = buf[i] == 45
        i += 1
    mantissa = u8(0)
    digits = 0
    used = 0
    exponent = 0
    lost = False
    point = False
    while i < stop:
        d = i8(buf[i]) - 48
        if 0 <= d <= 9:
            digits += 1
            if used < 19:
                mantissa = mantissa * u8(10) + u8(d)
                if mantissa != u8(0):
                    used += 1
                if point:
                    exponent -= 1
            else:
                lost |= d != 0
                if not point:
                    exponent += 1
        elif d == -2 and not point:
            point = True
        else:
            break
        i += 1
    if digits == 0:
        sign = u8(0x8000000000000000) if negative else u8(0)
        if _is_word(buf, i, stop - i, b"nan"):
            bits[row] = sign | u8(0x7FF8000000000000)
            return NOT_FINITE
        if _is_word(buf, i, stop - i, b"inf") or _is_word(buf, i, stop - i, b"infinity"):
            bits[row] = sign | u8(0x7FF0000000000000)
            return NOT_FINITE
        return BAD
    if i < stop:
        if buf[i] | 32 != 101:
            return BAD
        i += 1
        minus = False
        if i < stop and (buf[i] == 45 or buf[i] == 43):
            minus = buf[i] == 45
            i += 1
        if i == stop:
            return BAD
        e = 0
        while i < stop:
            d = i8(buf[i]) - 48
            if d < 0 or d > 9:
                return BAD
            if e < 100000:
                e = e * 10 + d
            i += 1
        exponent += -e if minus else e
    if not lost and mantissa <= u8(9007199254740992) and -22 <= exponent <= 22:
        value = f8(mantissa)
        value = value / _TENS[-exponent] if exponent < 0 else value * _TENS[exponent]
        values[row] = -value if negative else value
        return GOOD
    result = _decimal_to_bits(mantissa, exponent)
    if lost and result != _decimal_to_bits(mantissa + u8(1), exponent):
        return HARD
    if result == u8(0x7FF0000000000000):
        return RANGE
    bits[row] = result | (u8(0x8000000000000000) if negative else u8(0))
    return GOOD


@subkernel
def _parse_int(buf, start, length, row, out, floats, bits):
    """Read an integer, also one written as `2.000`, or (a WORD, which RELION reads as 1) `1e3`; return what it is.

    ``floats`` and ``bits`` are the memory of ``out``.
    """
    i = start
    stop = start + length
    negative = False
    if i < stop and (buf[i] == 45 or buf[i] == 43):
        negative = buf[i] == 45
        i += 1
    value = u8(0)
    first = i
    over = False
    while i < stop and 48 <= buf[i] <= 57:
        d = u8(buf[i] - 48)
        # 922337203685477580 is 2**63 // 10.
        over |= value > u8(922337203685477580) or (value == u8(922337203685477580) and d > u8(7 + negative))
        value = value * u8(10) + d
        i += 1
    end = i
    if i < stop and i > first and buf[i] == 46:
        i += 1
        while i < stop and buf[i] == 48:
            i += 1
    if i == stop and end > first:
        if over:
            return RANGE
        out[row] = -i8(value) if negative else i8(value)
        return GOOD
    status = _parse_float(buf, start, length, row, floats, bits)
    number = floats[row]
    if status == BAD or status == RANGE:
        return status
    while i < stop and buf[i] | 32 != 101:
        i += 1
    # What has no exponent has a fraction, or is no finite number. Few digits and an exponent are read exactly.
    if status != GOOD or i == stop or i - start > 16 or number != np.floor(number):
        return FRACTION
    if abs(number) > EXACT:
        return RANGE
    out[row] = i8(number)
    return WORD


@inlined
def _parse_short(buf, start, length, row, values):
    """Read a number of few digits into ``values[row]``; return whether it is one of those.

    Such as RELION writes: up to eight digits before the point, if any, and up to eight behind it, if any, and maybe
    an exponent of a sign and two digits; 16 bytes at most behind the sign.
    """
    negative = i8(buf[start] == 45)
    at = start + negative
    n = length - negative
    if n < 1 or n > SHORT:
        return False
    digits, points = digits_and_points(buf, at)
    # The bit behind the last byte ends the text.
    others = ~digits | u8(1) << u8(n)
    whole = lowest_bit(others)
    if whole < 1 or whole > 8:
        return False
    mantissa = up_to_eight_digits(buf, at, whole)
    stop = whole
    decimals = 0
    if points >> u8(whole) & u8(1) != u8(0) and whole < n:
        stop = lowest_bit(others & (others - u8(1)))
        decimals = stop - whole - 1
        if decimals > 8:
            return False
        if decimals > 0:
            behind = up_to_eight_digits(buf, at + whole + 1, decimals)
            mantissa = mantissa * _WHOLE_TENS[decimals] + behind
    exponent = -decimals
    if stop < n:
        e = at + stop
        figures = u8(12) << u8(stop)
        if n - stop != 4 or buf[e] | 32 != 101 or digits & figures != figures:
            return False
        more = 10 * i8(buf[e + 2]) + i8(buf[e + 3]) - 528
        if buf[e + 1] == 45:
            exponent -= more
        elif buf[e + 1] == 43:
            exponent += more
        else:
            return False
    if mantissa > u8(EXACT) or exponent < -22 or exponent > 22:
        return False
    value = f8(mantissa)
    value = value / _TENS[-exponent] if exponent < 0 else value * _TENS[exponent]
    values[row] = -value if negative else value
    return True


@inlined
def _parse_short_int(buf, start, length, row, out):
    """Read an integer of at most eight digits into ``out[row]``; return whether it is one of those."""
    negative = i8(buf[start] == 45)
    at = start + negative
    n = length - negative
    if n < 1 or n > 8:
        return False
    digits, _ = digits_and_points(buf, at)
    if lowest_bit(~digits) < n:
        return False
    value = i8(up_to_eight_digits(buf, at, n))
    out[row] = -value if negative else value
    return True


@subkernel
def _note(issues, n_issues, row, status):
    if n_issues < len(issues):
        issues[n_issues] = row << 4 | status
    return n_issues + 1


@subkernel
def _clear(valid, row):
    valid[row >> 3] &= u1(255 ^ (1 << (row & 7)))


@kernel(i8, BYTES, INTS, INTS, INTS, i8, INTS, i8, u1, OUT_F8, OUT_U1, OUT_I8)
def floats(buf, spans, seg_first, seg_rows, width, columns, stride, cif, out, valid, issues):
    """Read columns of floats.

    All columns of a few rows at a time: their text is passed over once, and is still at hand for the next column.

    Parameters
    ----------
    columns : int64[k]
    stride : int
        Where one column's values end in `out` and the next one's begin: a multiple of 8, rows or more.
    out : float64[k * stride]
    valid : uint8[k * stride // 8]
        Arrow's validity bitmaps, all bits set; those of missing and of bad values are cleared.
    issues : int64[capacity]
        Filled with ``position in out << 4 | status`` of values that are not simply GOOD, as many as fit.

    Returns
    -------
    The number of issues, which may exceed the capacity.
    """
    bits = viewed_as(out, np.uint64)
    n_issues = 0
    row = 0
    for g in range(len(seg_first)):
        for begin in range(0, seg_rows[g], _ROWS_AT_A_TIME):
            n = min(seg_rows[g] - begin, _ROWS_AT_A_TIME)
            for k in range(len(columns)):
                cell = seg_first[g] + begin * width + columns[k]
                for at in range(k * stride + row, k * stride + row + n):
                    start = spans[cell] >> SPAN_BITS
                    length = spans[cell] & SPAN_MASK
                    cell += width
                    if _parse_short(buf, start, length, at, out):
                        continue
                    status = _parse_float(buf, start, length, at, out, bits)
                    if status == GOOD:
                        continue
                    if status == BAD and _is_missing(buf, start, length, cif):
                        status = MISSING
                    if status != NOT_FINITE:
                        bits[at] = 0
                        if status != HARD:
                            _clear(valid, at)
                    n_issues = _note(issues, n_issues, at, status)
            row += n
    return n_issues


@kernel(i8, BYTES, INTS, INTS, INTS, i8, INTS, i8, u1, OUT_I8, OUT_U1, OUT_I8)
def ints(buf, spans, seg_first, seg_rows, width, columns, stride, cif, out, valid, issues):
    """Read columns of integers. As `floats`; a number that is no integer is a FRACTION, with bit cleared."""
    floats, bits = viewed_as(out, np.float64), viewed_as(out, np.uint64)
    n_issues = 0
    row = 0
    for g in range(len(seg_first)):
        for begin in range(0, seg_rows[g], _ROWS_AT_A_TIME):
            n = min(seg_rows[g] - begin, _ROWS_AT_A_TIME)
            for k in range(len(columns)):
                cell = seg_first[g] + begin * width + columns[k]
                for at in range(k * stride + row, k * stride + row + n):
                    start = spans[cell] >> SPAN_BITS
                    length = spans[cell] & SPAN_MASK
                    cell += width
                    if _parse_short_int(buf, start, length, at, out):
                        continue
                    status = _parse_int(buf, start, length, at, out, floats, bits)
                    if status == GOOD:
                        continue
                    if status == BAD and _is_missing(buf, start, length, cif):
                        status = MISSING
                    if status != WORD:
                        out[at] = 0
                        _clear(valid, at)
                    n_issues = _note(issues, n_issues, at, status)
            row += n
    return n_issues


@kernel(i8, BYTES, INTS, INTS, INTS, i8, i8, u1, OUT_U1, OUT_U1, OUT_I8)
def bools(buf, spans, seg_first, seg_rows, width, column, cif, out, valid, issues):
    """Read a column of booleans into a bitmap, all bits zero: `0`, other integers (true), `True`, `False`.

    As `floats`; `True` and `False` are WORDs, because RELION reads both as false.
    """
    n_issues = 0
    row = 0
    scratch = np.empty(1, np.int64)
    floats, bits = viewed_as(scratch, np.float64), viewed_as(scratch, np.uint64)
    for g in range(len(seg_first)):
        cell = seg_first[g] + column
        for _ in range(seg_rows[g]):
            start = spans[cell] >> SPAN_BITS
            length = spans[cell] & SPAN_MASK
            status = _parse_int(buf, start, length, 0, scratch, floats, bits)
            if status == BAD and _is_word(buf, start, length, b"true"):
                scratch[0] = 1
                status = WORD
            elif status == BAD and _is_word(buf, start, length, b"false"):
                scratch[0] = 0
                status = WORD
            if status == BAD and _is_missing(buf, start, length, cif):
                status = MISSING
            if status != GOOD and status != WORD:
                _clear(valid, row)
            elif scratch[0] != 0:
                out[row >> 3] |= u1(1 << (row & 7))
            if status != GOOD:
                n_issues = _note(issues, n_issues, row, status)
            row += 1
            cell += width
    return n_issues


@kernel(i8, BYTES, INTS, INTS, INTS, i8, i8, u1)
def classify(buf, spans, seg_first, seg_rows, width, column, cif):
    """Say what a column of an unknown label holds: the bits HAS_INT, HAS_FLOAT and so on, or-ed.

    A quoted value, a number with a leading zero (`01`) and an integer beyond int64 are text. HAS_LARGE is an
    integer that no double holds. Stops at the first text.
    """
    seen = 0
    values = np.empty(1, np.float64)
    bits, whole = viewed_as(values, np.uint64), viewed_as(values, np.int64)
    for g in range(len(seg_first)):
        cell = seg_first[g] + column
        for _ in range(seg_rows[g]):
            start = spans[cell] >> SPAN_BITS
            length = spans[cell] & SPAN_MASK
            cell += width
            if length == 0 or buf[start - 1] > 32:
                return seen | HAS_TEXT
            i = start + (1 if buf[start] == 45 or buf[start] == 43 else 0)
            stop = start + length
            if i + 1 < stop and buf[i] == 48 and 48 <= buf[i + 1] <= 57:
                return seen | HAS_TEXT
            while i < stop and 48 <= buf[i] <= 57:
                i += 1
            if i == stop and length > 0 and buf[stop - 1] >= 48:
                if _parse_int(buf, start, length, 0, whole, values, bits) != GOOD:
                    return seen | HAS_TEXT
                # A negative zero is a float: no integer keeps its sign.
                seen |= HAS_FLOAT if whole[0] == 0 and buf[start] == 45 else HAS_INT
                if whole[0] > EXACT or whole[0] < -EXACT:
                    seen |= HAS_LARGE
                continue
            status = _parse_float(buf, start, length, 0, values, bits)
            if status == BAD and _is_missing(buf, start, length, cif):
                continue
            if status == BAD or status == RANGE:
                return seen | HAS_TEXT
            seen |= HAS_FLOAT
    return seen


@subkernel
def _is_separator(c):
    """RELION writes commas (``src/metadata_container.cpp``), Python a blank as well."""
    return c == 44 or c == 32


@subkernel
def _inside(buf, span):
    """Where the elements of a vector begin and end: between the brackets, where there are any."""
    start = span >> SPAN_BITS
    stop = start + (span & SPAN_MASK)
    if stop > start and buf[start] == 91:
        start += 1
    if stop > start and buf[stop - 1] == 93:
        stop -= 1
    return start, stop


@kernel(i8, BYTES, INTS, INTS, INTS, i8, i8, OUT_I4, OUT_I8)
def plain_int_vectors(buf, spans, seg_first, seg_rows, width, column, offsets, out):
    """Read a column of vectors of integers where all are as RELION writes them: brackets, digits, single commas.

    Parameters
    ----------
    offsets : int32[rows + 1]
    out : int64[capacity]
        Room for half as many elements as the texts have bytes.

    Returns
    -------
    The number of elements; -1 where a text is something else, and nothing is read.
    """
    n = 0
    row = 0
    offsets[0] = 0
    for g in range(len(seg_first)):
        cell = seg_first[g] + column
        for _ in range(seg_rows[g]):
            i = spans[cell] >> SPAN_BITS
            last = i + (spans[cell] & SPAN_MASK) - 1
            if last <= i or buf[i] != 91 or buf[last] != 93:
                return -1
            i += 1
            while i < last:
                # Four elements of one digit each, as visible frames are.
                word = eight_bytes(buf, i)
                if i + 8 <= last and word & u8(0xFFF0FFF0FFF0FFF0) == u8(0x2C302C302C302C30):
                    word &= u8(0x000F000F000F000F)
                    if (word + u8(0x0006000600060006)) & u8(0x0010001000100010) == u8(0):
                        for j in range(4):
                            out[n + j] = i8(word >> u8(16 * j) & u8(15))
                        n += 4
                        i += 8
                        if i == last:
                            return -1
                        continue
                negative = buf[i] == 45
                i += negative
                begin = i
                value = 0
                while 48 <= buf[i] <= 57:
                    value = value * 10 + i8(buf[i]) - 48
                    i += 1
                if i == begin or i - begin > 18 or (i != last and (buf[i] != 44 or i + 1 == last)):
                    return -1
                out[n] = -value if negative else value
                n += 1
                i += 1
            row += 1
            offsets[row] = n
            cell += width
    return n


@kernel(i8, BYTES, INTS, INTS, INTS, i8, i8, OUT_I8)
def vector_offsets(buf, spans, seg_first, seg_rows, width, column, offsets):
    """Fill the offsets of a column of vectors, int64[rows + 1]; return the number of elements."""
    total = 0
    row = 0
    offsets[0] = 0
    for g in range(len(seg_first)):
        cell = seg_first[g] + column
        for _ in range(seg_rows[g]):
            start, stop = _inside(buf, spans[cell])
            inside = False
            for i in range(start, stop):
                separator = _is_separator(buf[i])
                if inside and separator:
                    total += 1
                inside = not separator
            if inside:
                total += 1
            row += 1
            offsets[row] = total
            cell += width
    return total


@kernel(i8, BYTES, INTS, INTS, INTS, i8, i8, OUT_I8)
def vector_spans(buf, spans, seg_first, seg_rows, width, column, out):
    """Fill the spans of the elements of a column of vectors, int64[elements]; return how many."""
    n = 0
    for g in range(len(seg_first)):
        cell = seg_first[g] + column
        for _ in range(seg_rows[g]):
            i, stop = _inside(buf, spans[cell])
            while i < stop:
                if _is_separator(buf[i]):
                    i += 1
                    continue
                begin = i
                while i < stop and not _is_separator(buf[i]):
                    i += 1
                out[n] = begin << SPAN_BITS | (i - begin)
                n += 1
            cell += width
    return n
