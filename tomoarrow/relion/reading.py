"""`read_star`, `read_table` and `open_star` with RELION's label table: what users call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ..star import reader, scan
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
    threads: int | None = None,
) -> pa.Table:
    """Read one table of a STAR file, with RELION's label table."""
    return scan.read_table(
        source,
        block,
        dialect=dialect,
        columns=columns,
        strict=strict,
        on_bad_value=on_bad_value,
        labels=labels,
        threads=threads,
    )


def open_star(
    source: Source,
    block: str | int | None = None,
    *,
    dialect: Dialect = "relion",
    columns: str | Sequence[str] | None = None,
    strict: bool = False,
    on_bad_value: OnBadValue = "error",
    labels: Mapping[str, Label] = LABELS,
    threads: int | None = None,
) -> pa.RecordBatchReader:
    """Open one table of a STAR file as a stream of record batches, with RELION's label table."""
    return scan.open_star(
        source,
        block,
        dialect=dialect,
        columns=columns,
        strict=strict,
        on_bad_value=on_bad_value,
        labels=labels,
        threads=threads,
    )


for _ours, _theirs in (
    (read_star, reader.read_star),
    (read_table, scan.read_table),
    (open_star, scan.open_star),
):
    _ours.__doc__ = _theirs.__doc__
