"""What machines do with a 64-bit word in one instruction, and Numba has no name for."""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


@intrinsic
def product(typing, a, b):
    """A 64 x 64 bit product: high and low word."""

    def generate(context, builder, signature, args):
        wide = ir.IntType(128)
        whole = builder.mul(*(builder.zext(each, wide) for each in args))
        high = builder.trunc(builder.lshr(whole, ir.Constant(wide, 64)), ir.IntType(64))
        return context.make_tuple(builder, signature.return_type, (high, builder.trunc(whole, ir.IntType(64))))

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), generate


@intrinsic
def leading_zeros(typing, word):
    """How many bits of a word are zero above its highest one; 64 of no bits."""

    def generate(context, builder, signature, args):
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate
