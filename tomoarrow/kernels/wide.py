"""Products of 64-bit words, which numbers and their texts both need."""

from __future__ import annotations

import numpy as np

from .jit import subkernel

u8 = np.uint64


@subkernel
def product(a, b):
    """A 64 x 64 bit product: high and low word."""
    mask = u8(0xFFFFFFFF)
    a0, a1 = a & mask, a >> u8(32)
    b0, b1 = b & mask, b >> u8(32)
    low = a0 * b0
    mid = a1 * b0 + (low >> u8(32))
    mid2 = a0 * b1 + (mid & mask)
    return a1 * b1 + (mid >> u8(32)) + (mid2 >> u8(32)), a * b
