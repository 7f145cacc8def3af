"""Compile every kernel, so that the next process finds them in the cache."""

from __future__ import annotations

from . import compare, gather, lalr, numbers, rows, tokenize
from . import format as formatting


def warm_up() -> int:
    """Compile all kernels, or load them from the cache; return how many there are."""
    kernels = [
        value
        for module in (tokenize, lalr, numbers, gather, formatting, rows, compare)
        for value in vars(module).values()
        if hasattr(value, "prepare") and value.__module__ == module.__name__
    ]
    for kernel in kernels:
        kernel.prepare()
    return len(kernels)


def prepare_to_convert() -> None:
    """Compile what converting a tomogram set with RELION's labels always needs."""
    for kernel in (
        gather.find_invalid_utf8,
        tokenize.tokenize_relion,
        lalr.parse,
        numbers.floats,
        numbers.ints,
        gather.string_offsets,
        gather.string_bytes,
        compare.bodies,
        compare.differing,
        compare.doubtful,
        compare.count_quoted,
        compare.differing_gaps,
        compare.extents,
        rows.quote,
        rows.count_bare,
        formatting.format_floats,
        formatting.format_ints,
    ):
        kernel.prepare()


def prepare_to_write() -> None:
    """Compile what writing STAR files always needs."""
    for kernel in (formatting.format_floats, formatting.format_ints, rows.quote, rows.count_bare, rows.put_rows):
        kernel.prepare()
