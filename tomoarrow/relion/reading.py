"""`read_star` and `read_table` with RELION's label table: what users call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ..star import reader
from ..star.columns import Label
from ..star.document import Document
from ..star.source import Source
from ..star.structure import Dialect
from ..star.tables import OnBadValue
from .labels import LABELS


def read_star(
    source: Source,
    *,
    dialect: Dialect = "relion",
    blocks: str | int | Sequence[str | int] | None = None,
    columns: str | Sequence[str] | None = None,
    strict: bool = False,
    on_bad_value: OnBadValue = "error",
    labels: Mapping[str, Label] = LABELS,
) -> Document:
    """Read a STAR file, with RELION's label table."""
    return reader.read_star(
        source,
        dialect=dialect,
        blocks=blocks,
        columns=columns,
        strict=strict,
        on_bad_value=on_bad_value,
        labels=labels,
    )


def read_table(
    source: Source,
    block: str | int | None = None,
    *,
    dialect: Dialect = "relion",
    columns: str | Sequence[str] | None = None,
    strict: bool = False,
    on_bad_value: OnBadValue = "error",
    labels: Mapping[str, Label] = LABELS,
) -> pa.Table:
    """Read one table of a STAR file, with RELION's label table."""
    return reader.read_table(
        source,
        block,
        dialect=dialect,
        columns=columns,
        strict=strict,
        on_bad_value=on_bad_value,
        labels=labels,
    )


read_star.__doc__ = reader.read_star.__doc__
read_table.__doc__ = reader.read_table.__doc__
