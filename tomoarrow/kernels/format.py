"""int64 and float64 to text, exactly: as C's printf has it, ties included, and the shortest text that reads back.

A value is rounded to an integer of at most 19 digits at the wanted place. Where the significand times a power of
five fits 128 bits, that is one product, and the remainder says exactly which way to round; else the whole decimal
expansion is made in limbs of nine digits. Shortest text is by R. Giulietti's Schubfach ("The Schubfach way to render
doubles", 2020).
"""

from __future__ import annotations

import numpy as np

from .digits import eight_digits
from .jit import INTS, OUT_I8, OUT_U1, i8, inlined, kernel, subkernel, types, u1
from .masks import lowest_bit
from .memory import put_word, viewed_as
from .wide import leading_zeros, product

u8 = np.uint64

#: Styles of numbers: `%.Pf`, `%.Pe`, `%.Ng`, the shortest text as Python has it and as .NET does, and RELION's own.
FIXED, SCIENTIFIC, GENERAL, SHORTEST, SHORT, RELION = range(6)

#: No text of a number is longer: `%.19f` of the largest double, with its sign.
LONGEST = 336

FLOATS = types.Array(types.float64, 1, "C", readonly=True)

_MIN_K, _MAX_K = -292, 324
_LIMB = 10**9


def _powers_of_ten() -> np.ndarray:
    """10**k for k from -292 to 324 as 126-bit fractions plus one, uint64[2 * 617] (Giulietti 2020, section 9.8)."""
    words = []
    for k in range(_MIN_K, _MAX_K + 1):
        power = 10 ** abs(k)
        if k >= 0:
            shift = 126 - power.bit_length()
            g = power << shift if shift >= 0 else power >> -shift
        else:
            g = (1 << (power.bit_length() + 125)) // power
            g >>= g.bit_length() - 126
        g += 1
        words += [g >> 63, g & (2**63 - 1)]
    return np.array(words, np.uint64)


_G = _powers_of_ten()
_TENS = np.array([10**p for p in range(20)], np.uint64)
_FIVES = np.array([5**p for p in range(28)], np.uint64)
_ZEROS = u8(0x3030303030303030)


@subkernel
def _shift_and_round(high, low, s):
    """(high, low) / 2**s, rounded half to even, for s from 1 to 127; and whether the result fits 64 bits."""
    if s < 64:
        if high >> u8(s) != u8(0):
            return u8(0), False
        quotient = (low >> u8(s)) | (high << u8(64 - s))
        rest = low & ((u8(1) << u8(s)) - u8(1))
        half = u8(1) << u8(s - 1)
        up = rest > half or (rest == half and quotient & u8(1) == u8(1))
    else:
        t = s - 64
        quotient = high >> u8(t)
        rest = high & ((u8(1) << u8(t)) - u8(1))
        if t == 0:
            half_high, half_low = u8(0), u8(1) << u8(63)
        else:
            half_high, half_low = u8(1) << u8(t - 1), u8(0)
        above = rest > half_high or (rest == half_high and low > half_low)
        tie = rest == half_high and low == half_low
        up = above or (tie and quotient & u8(1) == u8(1))
    return quotient + u8(up), quotient < u8(10) ** u8(19)


@subkernel
def _times_power(m, e, k):
    """M * 2**e * 10**k, rounded half to even, and whether the fast way was enough; k from 0 to 27."""
    high, low = product(m, _FIVES[k])
    e += k
    if e >= 0:
        if high != u8(0) or e > 63 or (e > 0 and low >> u8(64 - e) != u8(0)):
            return u8(0), False
        return low << u8(e), (low << u8(e)) < u8(10) ** u8(19)
    if e <= -128:
        # The product is below 2**117: nothing is left of it.
        return u8(0), True
    return _shift_and_round(high, low, -e)


@subkernel
def _expand(m, e, limbs):
    """The digits of m * 2**e as limbs of nine digits, the least first, and the power of ten they are scaled by."""
    limbs[0] = i8(m % u8(_LIMB))
    limbs[1] = i8(m // u8(_LIMB) % u8(_LIMB))
    n = 2
    step, factor = (29, 2**29) if e >= 0 else (13, 5**13)
    left = abs(e)
    while left > 0:
        if left < step:
            factor = (2 if e >= 0 else 5) ** left
        carry = 0
        for i in range(n):
            value = limbs[i] * factor + carry
            limbs[i] = value % _LIMB
            carry = value // _LIMB
        while carry > 0:
            limbs[n] = carry % _LIMB
            carry //= _LIMB
            n += 1
        left -= min(left, step)
    while n > 1 and limbs[n - 1] == 0:
        n -= 1
    return n, min(e, 0)


@subkernel
def _digit(limbs, place):
    """The digit of 10**place."""
    return limbs[place // 9] // 10 ** (place % 9) % 10


@subkernel
def _top(limbs, n):
    """The place of the first digit that is not zero."""
    place = 9 * n - 1
    while place > 0 and _digit(limbs, place) == 0:
        place -= 1
    return place


@subkernel
def _round_limbs(limbs, n, place):
    """Round half to even at a place: add one there where it is due, and clear what lies below. Return the limbs."""
    if place <= 0:
        return n
    if place > 9 * n:
        for i in range(n):
            limbs[i] = 0
        return n
    half = _digit(limbs, place - 1)
    rest = False
    for below in range(place - 1):
        rest |= _digit(limbs, below) != 0
    odd = place < 9 * n and _digit(limbs, place) % 2 == 1
    up = half > 5 or (half == 5 and (rest or odd))
    for i in range(place // 9):
        limbs[i] = 0
    at = place // 9
    if at == n:
        limbs[n] = 0
        n += 1
    unit = 10 ** (place % 9)
    limbs[at] -= limbs[at] % unit
    if up:
        limbs[at] += unit
        while limbs[at] >= _LIMB:
            limbs[at] -= _LIMB
            at += 1
            if at == n:
                limbs[n] = 0
                n += 1
            limbs[at] += 1
    return n


@inlined
def _put_up_to_eight(value, n, out, at):
    """Write 1 to 8 digits of an integer, with leading zeros; return where they end. 8 bytes are written."""
    put_word(out, at, _ZEROS | eight_digits(value) >> u8(8 * (8 - n)))
    return at + n


@subkernel
def _put_digits(value, n, out, at):
    """Write n digits of an integer, with leading zeros; return where they end. Up to 8 bytes behind mean nothing."""
    if n > 16:
        at = _put_up_to_eight(value // _TENS[16], n - 16, out, at)
        value %= _TENS[16]
        n = 16
    if n > 8:
        at = _put_up_to_eight(value // _TENS[8], n - 8, out, at)
        value %= _TENS[8]
        n = 8
    return _put_up_to_eight(value, n, out, at) if n > 0 else at


@inlined
def _put_whole(value, out, at):
    """Write an integer without leading zeros; return where it ends. Up to 8 bytes behind mean nothing."""
    if value >= _TENS[8]:
        return _put_digits(value, _count_digits(value), out, at)
    digits = eight_digits(value)
    # The lowest byte is the first digit. Of zero, the last is written.
    zeros = min(lowest_bit(digits) >> 3, 7)
    put_word(out, at, _ZEROS | digits >> u8(8 * zeros))
    return at + 8 - zeros


@subkernel
def _count_digits(value):
    n = 1
    if value >= _TENS[8]:
        n = 9
        if value >= _TENS[16]:
            n = 17
    while n < 20 and value >= _TENS[n]:
        n += 1
    return n


@inlined
def _split(bits):
    """The significand and exponent of a double that is finite."""
    e = i8(bits >> u8(52)) & 0x7FF
    m = bits & ((u8(1) << u8(52)) - u8(1))
    if e > 0:
        m |= u8(1) << u8(52)
    return m, max(e, 1) - 1075


@inlined
def _short_fixed(m, k, precision):
    """M / 2**k, k from 1 to 54, rounded to 18 decimals at most: its whole part, and its decimals as an integer."""
    whole = m >> u8(k)
    mask = (u8(1) << u8(k)) - u8(1)
    high, low = product(m & mask, _TENS[precision])
    decimals = high << u8(64 - k) | low >> u8(k)
    rest = low & mask
    half = u8(1) << u8(k - 1)
    odd = (decimals if precision > 0 else whole) & u8(1)
    if rest > half or (rest == half and odd == u8(1)):
        decimals += u8(1)
        if decimals == _TENS[precision]:
            decimals = u8(0)
            whole += u8(1)
    return whole, decimals


@subkernel
def _put_fixed(bits, precision, out, at, limbs):
    """`%.Pf` of a double without its sign."""
    m, e = _split(bits)
    if -54 <= e < 0 and precision <= 18:
        whole, decimals = _short_fixed(m, -e, precision)
        at = _put_whole(whole, out, at)
        if precision > 0:
            out[at] = 46
            at = _put_digits(decimals, precision, out, at + 1)
        return at
    scaled, done = _times_power(m, e, precision)
    if done:
        whole = scaled // _TENS[precision]
        at = _put_whole(whole, out, at)
        if precision > 0:
            out[at] = 46
            at = _put_digits(scaled - whole * _TENS[precision], precision, out, at + 1)
        return at
    n, power = _expand(m, e, limbs)
    n = _round_limbs(limbs, n, -power - precision)
    for place in range(max(_top(limbs, n), -power), -power - precision - 1, -1):
        if place == -power - 1:
            out[at] = 46
            at += 1
        out[at] = u1(48 + (_digit(limbs, place) if 0 <= place < 9 * n else 0))
        at += 1
    return at


@subkernel
def _significant(bits, n_digits, limbs):
    """A positive double rounded to some significant digits: these as an integer, and the exponent of the first."""
    m, e = _split(bits)
    # 1233 / 4096 is log10(2), near enough for an estimate that is at most one too low.
    x = ((63 - leading_zeros(m) + e) * 1233) >> 12
    for _ in range(2):
        k = n_digits - 1 - x
        if k < 0 or k > 27:
            break
        scaled, done = _times_power(m, e, k)
        if not done:
            break
        if scaled < _TENS[n_digits]:
            if scaled >= _TENS[n_digits - 1]:
                return scaled, x
            break
        x += 1
    n, power = _expand(m, e, limbs)
    top = _top(limbs, n)
    n = _round_limbs(limbs, n, top + 1 - n_digits)
    top = _top(limbs, n)
    scaled = u8(0)
    for place in range(top, top - n_digits, -1):
        scaled = scaled * u8(10) + u8(_digit(limbs, place) if place >= 0 else 0)
    return scaled, top + power


@subkernel
def _put_exponent(x, letter, out, at):
    """`e+05`: at least two digits."""
    out[at] = letter
    out[at + 1] = 45 if x < 0 else 43
    x = abs(x)
    return _put_digits(u8(x), 3 if x >= 100 else 2, out, at + 2)


@subkernel
def _put_scientific(bits, precision, out, at, limbs):
    """`%.Pe` of a double without its sign."""
    digits, x = u8(0), 0
    if bits != u8(0):
        digits, x = _significant(bits, precision + 1, limbs)
    first = digits // _TENS[precision]
    at = _put_digits(first, 1, out, at)
    if precision > 0:
        out[at] = 46
        at = _put_digits(digits - first * _TENS[precision], precision, out, at + 1)
    return _put_exponent(x, 101, out, at)


@subkernel
def _put_plain(digits, n_digits, x, high, style, out, at):
    """Digits without trailing zeros, with an exponent where the first digit's is below -4, or not below `high`."""
    while n_digits > 1 and digits % u8(10) == u8(0):
        digits //= u8(10)
        n_digits -= 1
    if x < -4 or x >= high:
        first = digits // _TENS[n_digits - 1]
        at = _put_digits(first, 1, out, at)
        if n_digits > 1:
            out[at] = 46
            at = _put_digits(digits - first * _TENS[n_digits - 1], n_digits - 1, out, at + 1)
        return _put_exponent(x, 69 if style == SHORT else 101, out, at)
    if x < 0:
        out[at] = 48
        out[at + 1] = 46
        at = _put_digits(u8(0), -x - 1, out, at + 2)
        return _put_digits(digits, n_digits, out, at)
    whole = min(x + 1, n_digits)
    high_part = digits // _TENS[n_digits - whole]
    at = _put_digits(high_part, whole, out, at)
    at = _put_digits(u8(0), x + 1 - whole, out, at)
    if n_digits > whole:
        out[at] = 46
        return _put_digits(digits - high_part * _TENS[n_digits - whole], n_digits - whole, out, at + 1)
    if style == SHORTEST:
        out[at] = 46
        out[at + 1] = 48
        at += 2
    return at


@subkernel
def _round_to_odd(k, cp):
    """Giulietti 2020, section 9.9: cp * 10**k / 2**.., truncated, its last bit set where that lost anything."""
    g1, g0 = _G[2 * (k - _MIN_K)], _G[2 * (k - _MIN_K) + 1]
    x1, _ = product(g0, cp)
    y1, y0 = product(g1, cp)
    z = (y0 >> u8(1)) + x1
    w = y1 + (z >> u8(63))
    return w | ((z & u8(0x7FFFFFFFFFFFFFFF)) + u8(0x7FFFFFFFFFFFFFFF)) >> u8(63)


@subkernel
def _shortest(bits):
    """The digits, and the power of ten of the last, of the shortest decimal that reads as a positive double.

    Giulietti 2020, section 9: toDecimal.
    """
    c, q = _split(bits)
    out = c & u8(1)
    cb = c << u8(2)
    cbr = cb + u8(2)
    if bits & ((u8(1) << u8(52)) - u8(1)) != u8(0) or q == -1074:
        cbl = cb - u8(2)
        k = (q * 661971961083) >> 41
    else:
        cbl = cb - u8(1)
        k = (q * 661971961083 - 274743187321) >> 41
    h = u8(q + ((-k * 913124641741) >> 38) + 2)
    vb = _round_to_odd(-k, cb << h)
    vbl = _round_to_odd(-k, cbl << h)
    vbr = _round_to_odd(-k, cbr << h)
    s = vb >> u8(2)
    if s >= u8(10):
        sp = s // u8(10) * u8(10)
        tp = sp + u8(10)
        low_in = vbl + out <= sp << u8(2)
        high_in = (tp << u8(2)) + out <= vbr
        if low_in != high_in:
            return (sp if low_in else tp), k
    t = s + u8(1)
    low_in = vbl + out <= s << u8(2)
    high_in = (t << u8(2)) + out <= vbr
    if low_in != high_in:
        return (s if low_in else t), k
    middle = (s + t) << u8(1)
    return (s if vb < middle or (vb == middle and s & u8(1) == u8(0)) else t), k


@subkernel
def _put_word(word, out, at):
    for i in range(len(word)):
        out[at + i] = word[i]
    return at + len(word)


@subkernel
def _put_double(value_bits, style, precision, out, at, limbs):
    """Write a double; return where it ends. `precision` is P of `%.Pf` and `%.Pe`, N of `%.Ng`."""
    bits = value_bits & u8(0x7FFFFFFFFFFFFFFF)
    negative = bits != value_bits
    if negative:
        out[at] = 45
        at += 1
    if bits > u8(0x7FF0000000000000):
        return _put_word(b"nan", out, at)
    if bits == u8(0x7FF0000000000000):
        return _put_word(b"inf", out, at)
    if style == RELION:
        # src/metadata_container.cpp: scientific beyond these bounds, one digit less below zero. The bits are those of
        # 0.001 and 100000.
        precision = 5 if negative and bits != u8(0) else 6
        outside = bits != u8(0) and (bits < u8(0x3F50624DD2F1A9FC) or bits > u8(0x40F86A0000000000))
        if not outside:
            # Cut to 12 characters, of which only zeros are lost. An exponent of three digits is not cut: RELION's
            # own cut makes 1e100 of it 1e10.
            return min(_put_fixed(bits, precision, out, at, limbs), at - negative + 12)
        style = SCIENTIFIC
    if style == FIXED:
        return _put_fixed(bits, precision, out, at, limbs)
    if style == SCIENTIFIC:
        return _put_scientific(bits, precision, out, at, limbs)
    if bits == u8(0):
        return _put_plain(u8(0), 1, 0, 16, style, out, at)
    if style == GENERAL:
        digits, x = _significant(bits, precision, limbs)
        return _put_plain(digits, precision, x, precision, style, out, at)
    digits, k = _shortest(bits)
    n_digits = _count_digits(digits)
    return _put_plain(digits, n_digits, k + n_digits - 1, 15 if style == SHORT else 16, style, out, at)


@kernel(i8, FLOATS, i8, i8, i8, OUT_U1, OUT_I8)
def format_floats(values, style, precision, width, out, offsets):
    """Write doubles one after the other.

    Parameters
    ----------
    values : float64[n]
    style : FIXED, SCIENTIFIC, GENERAL, SHORTEST, SHORT or RELION
    precision : int
        P of `%.Pf` (to 19) and `%.Pe` (to 17), N of `%.Ng` (1 to 17); else without meaning.
    width : int
        At least so many bytes each, blanks first.
    out : uint8[capacity]
        Filled with text; `LONGEST` bytes must be left over, at the least.
    offsets : int64[n + 1]
        Filled with where each begins and the last ends.

    Returns
    -------
    How many values were written; fewer than n where the capacity is not enough.
    """
    limbs = np.zeros(140, np.int64)
    bits = viewed_as(values, np.uint64)
    is_fixed = style == RELION or (style == FIXED and precision <= 18)
    decimals, longest = (6, 12) if style == RELION else (precision, LONGEST)
    # RELION's 0.001, or 2**-60, of which the product of 128 bits still holds all; RELION's 100000, or less than 2**52.
    smallest = u8(0x3F50624DD2F1A9FC) if style == RELION else u8(0x3C30000000000000)
    largest = u8(0x40F86A0000000000) if style == RELION else u8(0x432FFFFFFFFFFFFF)
    at = 0
    offsets[0] = 0
    for i in range(len(values)):
        if at + width + LONGEST > len(out):
            return i
        begin = at
        magnitude = bits[i] & u8(0x7FFFFFFFFFFFFFFF)
        if is_fixed and (smallest <= magnitude <= largest or bits[i] == u8(0)):
            # Most values come this way, which is here because a call would cost half as much again.
            negative = i8(bits[i] >> u8(63))
            n = decimals - negative if style == RELION else decimals
            m, e = _split(magnitude)
            if e >= -54:
                whole, rest = _short_fixed(m, -e, n)
            else:
                scaled, _ = _times_power(m, e, n)
                whole = u8(scaled == _TENS[n])
                rest = u8(0) if whole else scaled
            out[at] = 45
            at += negative
            at = _put_whole(whole, out, at)
            if 0 < n <= 8:
                put_word(out, at, u8(46))
                at = _put_up_to_eight(rest, n, out, at + 1)
            elif n > 0:
                out[at] = 46
                at = _put_digits(rest, n, out, at + 1)
            at = min(at, begin + longest)
        else:
            at = _put_double(bits[i], style, precision, out, at, limbs)
        if width > 0:
            at = _pad(out, begin, at, width)
        offsets[i + 1] = at
    return len(values)


@subkernel
def _pad(out, begin, at, width):
    """Move a text to the right end of its width."""
    gap = width - (at - begin)
    if gap <= 0:
        return at
    for j in range(at - 1, begin - 1, -1):
        out[j + gap] = out[j]
    for j in range(begin, begin + gap):
        out[j] = 32
    return at + gap


@kernel(i8, INTS, i8, OUT_U1, OUT_I8)
def format_ints(values, width, out, offsets):
    """Write integers one after the other: as `format_floats`, `%Wd`."""
    at = 0
    offsets[0] = 0
    for i in range(len(values)):
        if at + width + LONGEST > len(out):
            return i
        begin = at
        value = values[i]
        magnitude = u8(value)
        if value < 0:
            out[at] = 45
            at += 1
            magnitude = ~magnitude + u8(1)
        at = _put_whole(magnitude, out, at)
        if width > 0:
            at = _pad(out, begin, at, width)
        offsets[i + 1] = at
    return len(values)
