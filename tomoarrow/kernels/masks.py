"""Sixty-four bytes at a time: what kind each is, as bits of one word, the first byte in the lowest bit.

The vectors are those of LLVM, which knows what the machine has for them. Compiled with NUMBA_BOUNDSCHECK=1 they are an
IndexError where not all their bytes are of the array.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

#: So many bytes are looked at together; as many must be there to read.
WINDOW = 64


def _load(context, builder, type_, array, at):
    there = context.make_array(type_)(context, builder, array)
    if context.enable_boundscheck:
        for position in (at, builder.add(at, ir.Constant(at.type, WINDOW - 1))):
            cgutils.do_boundscheck(context, builder, position, there.nitems)
    vector = ir.VectorType(ir.IntType(8), WINDOW)
    return builder.load(builder.bitcast(builder.gep(there.data, [at]), vector.as_pointer()), align=1)


def _all(value):
    return ir.Constant(ir.VectorType(ir.IntType(8), WINDOW), [value] * WINDOW)


def _bits(builder, flags):
    return builder.bitcast(flags, ir.IntType(WINDOW))


@intrinsic
def kinds_of_bytes(typing, buf, at):
    """Three words for the bytes from `at` on: which belong to words, which are line feeds, which need a closer look.

    These last are quotes, ``#``, and control characters other than tab and line feed.
    """

    def generate(context, builder, signature, args):
        data = _load(context, builder, signature.args[0], *args)
        words = builder.icmp_unsigned(">", data, _all(32))
        breaks = builder.icmp_unsigned("==", data, _all(10))
        odd = builder.icmp_unsigned("<", data, _all(32))
        for plain in (9, 10):
            odd = builder.and_(odd, builder.icmp_unsigned("!=", data, _all(plain)))
        for mark in (34, 35, 39):
            odd = builder.or_(odd, builder.icmp_unsigned("==", data, _all(mark)))
        return cgutils.pack_array(builder, [_bits(builder, flags) for flags in (words, breaks, odd)])

    return types.UniTuple(types.uint64, 3)(buf, types.int64), generate


@intrinsic
def high_bytes(typing, buf, at):
    """Which of the bytes from `at` on are above 127: not ASCII."""

    def generate(context, builder, signature, args):
        data = _load(context, builder, signature.args[0], *args)
        return _bits(builder, builder.icmp_unsigned(">", data, _all(127)))

    return types.uint64(buf, types.int64), generate


@intrinsic
def ends_of_lines(typing, buf, at):
    """Two words for the bytes from `at` on: which are line feeds, and which are carriage returns."""

    def generate(context, builder, signature, args):
        data = _load(context, builder, signature.args[0], *args)
        return cgutils.pack_array(
            builder, [_bits(builder, builder.icmp_unsigned("==", data, _all(c))) for c in (10, 13)]
        )

    return types.UniTuple(types.uint64, 2)(buf, types.int64), generate


@intrinsic
def count_bits(typing, word):
    """How many bits are set."""

    def generate(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@intrinsic
def lowest_bit(typing, word):
    """The number of the lowest bit that is set; 64 where there is none."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate
