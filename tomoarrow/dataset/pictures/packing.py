"""Values for a script to read: numbers in few bytes, text that cannot be taken for markup."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray


def packed_floats(columns: list[NDArray[np.float32]]) -> str:
    """Columns of equal length, one after the other, as base64 of gzip.

    Bytes of the same weight stand together (first all lowest, then all second ones, and so on), where they compress.
    """
    values = np.concatenate(columns).astype("<f4")
    planes = np.ascontiguousarray(values.view(np.uint8).reshape(-1, 4).T)
    return base64.b64encode(gzip.compress(planes.tobytes(), 6, mtime=0)).decode("ascii")


def script_json(value: Any) -> str:
    """JSON that may stand between script tags, whatever its texts hold; numbers that JSON lacks are an error."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
