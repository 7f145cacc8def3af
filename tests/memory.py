"""Where indices of kernels are checked (NUMBA_BOUNDSCHECK=1), memory that nothing was written to is told as well.

An array that NumPy has not filled holds what was there before: mostly zeros, which hide that they are read. Here each
is filled with numbers that are too large for an index, a length or a span of any text: a kernel that takes one for such
raises an IndexError, and values that are made of them are none of those expected.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from typing import Any

import numpy as np

import tomoarrow

FILLED_WITH = 0x5B


class _Filling:
    """NumPy, but for `empty`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def empty(*args: Any, **kwargs: Any) -> np.ndarray[Any, Any]:
        array = np.empty(*args, **kwargs)
        if not array.dtype.hasobject:
            array.reshape(-1).view(np.uint8)[:] = FILLED_WITH
        return array


def fill_what_is_empty() -> None:
    """Let all modules but kernels, which Numba compiles, have filled arrays where they ask for empty ones."""
    if os.environ.get("NUMBA_BOUNDSCHECK") != "1":
        return
    filling = _Filling()
    for module in pkgutil.walk_packages(tomoarrow.__path__, "tomoarrow."):
        if module.name.startswith("tomoarrow.kernels.") or module.name.endswith("__main__"):
            continue
        loaded: Any = importlib.import_module(module.name)
        if getattr(loaded, "np", None) is np:
            loaded.np = filling
