"""`scan_star` with RELION's label table: what users call."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ..star import lazy
from ..star.columns import Label
from ..star.source import Source
from ..star.structure import Dialect
from ..star.tables import OnBadValue
from .labels import LABELS


def scan_star(
    source: Source,
    block: str | int | None = None,
    *,
    dialect: Dialect = "relion",
    strict: bool = False,
    on_bad_value: OnBadValue = "error",
    labels: Mapping[str, Label] = LABELS,
    threads: int | None = None,
) -> pl.LazyFrame:
    """Scan one table of a STAR file as a LazyFrame, with RELION's label table."""
    return lazy.scan_star(
        source,
        block,
        dialect=dialect,
        strict=strict,
        on_bad_value=on_bad_value,
        labels=labels,
        threads=threads,
    )


scan_star.__doc__ = lazy.scan_star.__doc__
