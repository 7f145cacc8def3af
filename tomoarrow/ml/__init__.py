"""A dataset as training batches.

`batches` has them as NumPy arrays and needs no torch. The datasets for torch (``pip install tomoarrow[torch]``) are
imported when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batches import Batches, Options, pad_arrays, series_batches, table_batches
    from .datasets import ParticleDataset, TiltDataset, TiltSeriesDataset, loader_state, pad_series

_HOMES = {
    "Batches": "batches",
    "Options": "batches",
    "ParticleDataset": "datasets",
    "TiltDataset": "datasets",
    "TiltSeriesDataset": "datasets",
    "loader_state": "datasets",
    "pad_arrays": "batches",
    "pad_series": "datasets",
    "series_batches": "batches",
    "table_batches": "batches",
}

__all__ = [
    "Batches",
    "Options",
    "ParticleDataset",
    "TiltDataset",
    "TiltSeriesDataset",
    "loader_state",
    "pad_arrays",
    "pad_series",
    "series_batches",
    "table_batches",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tomoarrow.ml' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  (kept out of the module namespace)

    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
