"""Values for a script to read: numbers in few bytes, text that cannot be taken for markup."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bits of a float32 that are dropped, one byte: what is left has nearly 5 digits, enough for any screen.
_DROPPED_BITS = 8


def rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest float32 whose lowest byte is 0."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    half = np.uint32(1 << (_DROPPED_BITS - 1))
    kept = np.where(np.isfinite(values), bits + half, bits) & ~np.uint32((1 << _DROPPED_BITS) - 1)
    return np.asarray(kept, np.uint32).view(np.float32)


def packed_floats(columns: list[NDArray[np.float32]]) -> str:
    """Columns of equal length, one after the other, as base64 of gzip.

    Bytes of the same weight stand together (first all lowest, then all second ones, and so on), where they compress:
    half the size. NaN stays NaN.
    """
    values = np.concatenate([rounded(column) for column in columns]) if columns else np.empty(0, np.float32)
    planes = np.ascontiguousarray(values.astype("<f4").view(np.uint8).reshape(-1, 4).T[1:])
    return base64.b64encode(gzip.compress(planes.tobytes(), 6, mtime=0)).decode("ascii")


def script_json(value: Any) -> str:
    """JSON that may stand between script tags, whatever its texts hold; numbers that JSON lacks are an error."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
