"""One table of a STAR file as a Polars LazyFrame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from ..errors import UsageError
from .columns import Label
from .request import Request
from .scan import first_of, new_request, settled, sound
from .source import Source, name_of, reads_again
from .structure import Dialect
from .tables import OnBadValue


def scan_star(
    source: Source,
    block: str | int | None = None,
    *,
    dialect: Dialect = "relion",
    strict: bool = False,
    on_bad_value: OnBadValue = "error",
    labels: Mapping[str, Label] | None = None,
    threads: int | None = None,
) -> pl.LazyFrame:
    """Scan one table as a Polars LazyFrame.

    Only the columns that the query needs are converted, rows are filtered piece by piece, and reading stops with the
    last row that the query needs. Parameters, types and errors are those of `open_star`. A source that can be read
    only once (a pipe) can be collected only once.
    """
    request = settled(new_request(source, block, dialect, None, strict, on_bad_value, labels, threads))
    schema, tables = first_of(sound(request))
    once = [tables] if not reads_again(source) else None
    if once is None:
        tables.close()

    def frames(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = schema.names if columns is None else columns
        if once is None:
            rows = sound(_projected(request, wanted, schema))
        elif once:
            rows = once.pop()
        else:
            raise UsageError(f"{name_of(source)} can be read only once", remedy="collect it once, and keep that")
        with closing(rows):
            left = n_rows
            for table in rows:
                piece = table if left is None else table.slice(0, left)
                left = None if left is None else left - piece.num_rows
                frame = _as_frame(piece).select(wanted)
                yield frame if predicate is None else frame.filter(predicate)
                if left == 0:
                    return

    return register_io_source(frames, schema=_as_frame(schema.empty_table()).schema, is_pure=once is None)


def _projected(request: Request, wanted: Sequence[str], schema: pa.Schema) -> Request:
    """The request for some of its columns; where no label is among them, for one, because rows must be counted."""
    labels = schema.names[1:] if request.stacks else schema.names
    return replace(request, columns=tuple(label for label in labels if label in wanted) or tuple(labels[:1]))


def _as_frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
