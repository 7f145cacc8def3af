"""RELION cryo-ET metadata from STAR files to Arrow and Parquet, exactly and fast.

>>> import tomoarrow as ta
>>> doc = ta.read_star("particles.star")           # doctest: +SKIP
>>> report = ta.convert("tomograms.star", "dataset")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .dataset.convert import convert
    from .dataset.dataset import Dataset
    from .dataset.export import ExportReport, export
    from .dataset.parts.assembling import finalise
    from .dataset.parts.partition import partition
    from .dataset.parts.planning import Plan, plan
    from .dataset.pictures import plot_distributions, plot_particles, plot_tilts, plot_tomograms, write_page
    from .dataset.report import Report
    from .dataset.verify import VerifyReport, verify
    from .errors import (
        BlockNotFoundError,
        DatasetError,
        MissingFileError,
        Place,
        SchemaError,
        StarSyntaxError,
        TomoarrowError,
        UsageError,
    )
    from .relion.checks.finding import Finding
    from .relion.labels import LABELS
    from .relion.lazy import scan_star
    from .relion.reading import open_star, read_star, read_table
    from .relion.validation import ValidationReport, validate
    from .relion.writing import write_star
    from .star.columns import Label
    from .star.document import Block, Document, Reject
    from .star.faults import Notice
    from .star.writer import WriteReport

#: Where each public name lives. They are imported when first asked for: numba and polars take time.
_HOMES = {
    "LABELS": "relion.labels",
    "Label": "star.columns",
    "Notice": "star.faults",
    "Place": "errors",
    "Reject": "star.document",
    "Block": "star.document",
    "BlockNotFoundError": "errors",
    "Dataset": "dataset.dataset",
    "DatasetError": "errors",
    "Document": "star.document",
    "ExportReport": "dataset.export",
    "Finding": "relion.checks.finding",
    "MissingFileError": "errors",
    "Plan": "dataset.parts.planning",
    "Report": "dataset.report",
    "SchemaError": "errors",
    "StarSyntaxError": "errors",
    "TomoarrowError": "errors",
    "UsageError": "errors",
    "ValidationReport": "relion.validation",
    "VerifyReport": "dataset.verify",
    "WriteReport": "star.writer",
    "convert": "dataset.convert",
    "export": "dataset.export",
    "finalise": "dataset.parts.assembling",
    "partition": "dataset.parts.partition",
    "plan": "dataset.parts.planning",
    "plot_distributions": "dataset.pictures",
    "plot_particles": "dataset.pictures",
    "plot_tilts": "dataset.pictures",
    "plot_tomograms": "dataset.pictures",
    "read_star": "relion.reading",
    "read_table": "relion.reading",
    "open_star": "relion.reading",
    "scan_star": "relion.lazy",
    "validate": "relion.validation",
    "verify": "dataset.verify",
    "write_page": "dataset.pictures",
    "write_star": "relion.writing",
}

__all__ = [
    "LABELS",
    "Block",
    "BlockNotFoundError",
    "Dataset",
    "DatasetError",
    "Document",
    "ExportReport",
    "Finding",
    "Label",
    "MissingFileError",
    "Notice",
    "Place",
    "Plan",
    "Reject",
    "Report",
    "SchemaError",
    "StarSyntaxError",
    "TomoarrowError",
    "UsageError",
    "ValidationReport",
    "VerifyReport",
    "WriteReport",
    "__version__",
    "convert",
    "export",
    "finalise",
    "open_star",
    "partition",
    "plan",
    "plot_distributions",
    "plot_particles",
    "plot_tilts",
    "plot_tomograms",
    "read_star",
    "read_table",
    "scan_star",
    "validate",
    "verify",
    "write_page",
    "write_star",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tomoarrow' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  (kept out of the module namespace)

    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
