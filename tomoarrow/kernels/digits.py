"""Short numbers, all their digits at once.

Eight digits become a number by three multiplications that each join neighbours: D. Lemire, "Quickly parsing eight
digits" (2018).
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .jit import inlined

u8 = np.uint64

#: So many bytes are looked at together; as many must be there to read.
SHORT = 16

_WORD = ir.IntType(64)


def _load(context, builder, type_, array, at, kind, n_bytes):
    there = context.make_array(type_)(context, builder, array)
    if context.enable_boundscheck:
        for position in (at, builder.add(at, ir.Constant(at.type, n_bytes - 1))):
            cgutils.do_boundscheck(context, builder, position, there.nitems)
    return builder.load(builder.bitcast(builder.gep(there.data, [at]), kind.as_pointer()), align=1)


@intrinsic
def digits_and_points(typing, buf, at):
    """Which of the `SHORT` bytes from `at` on are digits, and which are decimal points, as bits of two words."""

    def generate(context, builder, signature, args):
        vector = ir.VectorType(ir.IntType(8), SHORT)
        data = _load(context, builder, signature.args[0], *args, vector, SHORT)
        zeros = ir.Constant(vector, [48] * SHORT)
        digits = builder.icmp_unsigned("<", builder.sub(data, zeros), ir.Constant(vector, [10] * SHORT))
        points = builder.icmp_unsigned("==", data, ir.Constant(vector, [46] * SHORT))
        flags = [builder.bitcast(each, ir.IntType(SHORT)) for each in (digits, points)]
        return cgutils.pack_array(builder, [builder.zext(each, _WORD) for each in flags])

    return types.UniTuple(types.uint64, 2)(buf, types.int64), generate


@intrinsic
def eight_bytes(typing, buf, at):
    """The eight bytes from `at` on as a word, the first in the lowest place."""

    def generate(context, builder, signature, args):
        return _load(context, builder, signature.args[0], *args, _WORD, 8)

    return types.uint64(buf, types.int64), generate


@inlined
def up_to_eight_digits(buf, at, n):
    """The number that `n` digits are, 1 to 8."""
    # Zeros move in before the first digit: what stands behind the last falls out.
    word = eight_bytes(buf, at) << u8(8 * (8 - n))
    word = (word & u8(0x0F0F0F0F0F0F0F0F)) * u8(2561) >> u8(8)
    word = (word & u8(0x00FF00FF00FF00FF)) * u8(6553601) >> u8(16)
    return (word & u8(0x0000FFFF0000FFFF)) * u8(42949672960001) >> u8(32)


@inlined
def eight_digits(value):
    """The digits of a number below 10**8, a byte each, the first in the lowest place.

    Into two numbers of four digits, four of two, eight of one; the factors are reciprocals, exact for so few digits.
    """
    fours = value // u8(10_000)
    fours |= (value - fours * u8(10_000)) << u8(32)
    pairs = ((fours * u8(10486)) >> u8(20)) & u8(0x0000007F_0000007F)
    pairs |= (fours - pairs * u8(100)) << u8(16)
    digits = ((pairs * u8(103)) >> u8(10)) & u8(0x000F_000F_000F_000F)
    return digits | (pairs - digits * u8(10)) << u8(8)
