"""Copies of a few bytes, as fast as the machine has them: loops over single bytes cost more than what they copy.

Compiled with NUMBA_BOUNDSCHECK=1 they raise an IndexError, as kernels do, where they would touch what is behind an
array or before it.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

#: Copies of up to this many bytes move as many, whatever they were asked for: both arrays need so much room behind.
SLACK = 16


def _copy(builder, to, source, n):
    word = ir.VectorType(ir.IntType(8), SLACK).as_pointer()
    is_short = builder.icmp_signed("<=", n, ir.Constant(n.type, SLACK))
    with builder.if_else(is_short) as (short, long):
        with short:
            value = builder.load(builder.bitcast(source, word), align=1)
            builder.store(value, builder.bitcast(to, word), align=1)
        with long:
            cgutils.raw_memcpy(builder, to, source, n, 1)


def _pointer(context, builder, type_, array, at, n, *, slack=SLACK):
    """The address of ``array[at]``, of which n bytes are wanted, or `slack` where that is more."""
    there = context.make_array(type_)(context, builder, array)
    if context.enable_boundscheck:
        least = ir.Constant(n.type, slack)
        touched = builder.select(builder.icmp_signed("<", n, least), least, n)
        for position in (at, builder.sub(builder.add(at, touched), ir.Constant(n.type, 1))):
            with cgutils.if_unlikely(builder, builder.icmp_signed(">", touched, ir.Constant(n.type, 0))):
                cgutils.do_boundscheck(context, builder, position, there.nitems)
    return builder.gep(there.data, [at])


@intrinsic
def copy_bytes(typing, out, at, data, begin, n):
    """``out[at:at + n] = data[begin:begin + n]``, up to `SLACK` bytes more of which mean nothing.

    Both must hold `SLACK` bytes more than that.
    """

    def generate(context, builder, signature, args):
        to = _pointer(context, builder, signature.args[0], args[0], args[1], args[4])
        source = _pointer(context, builder, signature.args[2], args[2], args[3], args[4])
        _copy(builder, to, source, args[4])
        return context.get_dummy_value()

    return types.void(out, types.int64, data, types.int64, types.int64), generate


@intrinsic
def copy_from(typing, out, at, address, begin, n):
    """As `copy_bytes`, from an array of bytes given by its address, of which the caller must keep hold."""

    def generate(context, builder, signature, args):
        to = _pointer(context, builder, signature.args[0], args[0], args[1], args[4])
        source = builder.inttoptr(builder.add(args[2], args[3]), to.type)
        _copy(builder, to, source, args[4])
        return context.get_dummy_value()

    return types.void(out, types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def put_blanks(typing, out, at, n):
    """``out[at:at + n] = b" "``, up to `SLACK` bytes more of which mean nothing."""

    def generate(context, builder, signature, args):
        to = _pointer(context, builder, signature.args[0], args[0], args[1], args[2])
        is_short = builder.icmp_signed("<=", args[2], ir.Constant(args[2].type, SLACK))
        with builder.if_else(is_short) as (short, long):
            with short:
                vector = ir.VectorType(ir.IntType(8), SLACK)
                blanks = ir.Constant(vector, [32] * SLACK)
                builder.store(blanks, builder.bitcast(to, vector.as_pointer()), align=1)
            with long:
                cgutils.memset(builder, to, args[2], 32)
        return context.get_dummy_value()

    return types.void(out, types.int64, types.int64), generate


@intrinsic
def put_word(typing, out, at, word):
    """``out[at:at + 8] = word``, its lowest byte first."""

    def generate(context, builder, signature, args):
        to = _pointer(context, builder, signature.args[0], args[0], args[1], ir.Constant(args[1].type, 8), slack=0)
        builder.store(args[2], builder.bitcast(to, args[2].type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(out, types.int64, types.uint64), generate


@intrinsic
def same_bytes(typing, one, at, other, begin, n):
    """Whether ``one[at:at + n] == other[begin:begin + n]`` (C's memcmp)."""

    def generate(context, builder, signature, args):
        left = _pointer(context, builder, signature.args[0], args[0], args[1], args[4], slack=0)
        right = _pointer(context, builder, signature.args[2], args[2], args[3], args[4], slack=0)
        kind = ir.FunctionType(ir.IntType(32), [left.type, right.type, args[4].type])
        memcmp = cgutils.get_or_insert_function(builder.module, kind, "memcmp")
        return builder.icmp_signed("==", builder.call(memcmp, [left, right, args[4]]), ir.Constant(ir.IntType(32), 0))

    return types.boolean(one, types.int64, other, types.int64, types.int64), generate


@intrinsic
def viewed_as(typing, array, kind):
    """``array.view(kind)``, of as many bytes an element: Numba's own takes 0.2 s to compile."""
    result = array.copy(dtype=kind.dtype)

    def generate(context, builder, signature, args):
        source = context.make_array(array)(context, builder, args[0])
        view = context.make_array(result)(context, builder)
        view.data = builder.bitcast(source.data, view.data.type)
        for field in ("meminfo", "parent", "nitems", "itemsize", "shape", "strides"):
            setattr(view, field, getattr(source, field))
        return impl_ret_borrowed(context, builder, result, view._getvalue())

    return result(array, kind), generate
