"""One table of a file, read in pieces: the same whatever the pieces are, and the same as read whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

import tomoarrow as ta
from tomoarrow.relion.labels import LABELS
from tomoarrow.star.batches import Request, read_batches
from tomoarrow.star.scan import new_request, table_of
from tomoarrow.star.tables import Findings

SMALL = b"""
# version 50001

data_general

_rlnParticleNbr 3

# version 50001

data_TS_01/1

loop_
_rlnOriginXAngst #1
_rlnTomoName #2
_note #3
  1.500000 TS_01  7
 -2.500000 TS_01  8
# a comment
  nan      TS_02  'a b'

data_TS_01/2

loop_
_rlnTomoName #1
_rlnOriginXAngst #2
_note #3
x 1e-3 "it's"

y -0.0 None
"""


def request(
    source: object,
    block: str | int | None = None,
    *,
    dialect: str = "relion",
    on_bad_value: str = "error",
    **changes: object,
) -> Request:
    made = new_request(source, block, dialect, None, False, on_bad_value, LABELS, None)  # type: ignore[arg-type]
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("block", ["TS_01/1", "TS_01/2", "TS_01/*", "*", 1, 2])
def test_cut_everywhere(block: str | int, threads: int) -> None:
    whole = ta.read_table(SMALL, block)
    notices = notices_of(request(SMALL, block))
    for piece_bytes in range(1, len(SMALL) + 2):
        in_pieces = request(SMALL, block, piece_bytes=piece_bytes, threads=threads)
        assert same(table_of(in_pieces), whole), piece_bytes
        assert notices_of(in_pieces) == notices, piece_bytes


def same(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables have the same schema and values, nan for nan."""
    frames = pl.from_arrow(one), pl.from_arrow(other)
    assert isinstance(frames[0], pl.DataFrame)
    assert isinstance(frames[1], pl.DataFrame)
    return one.schema.equals(other.schema, check_metadata=True) and frames[0].equals(frames[1])


def notices_of(asked: Request) -> list[tuple[str, object, int]]:
    found = Findings()
    for _ in read_batches(asked, found):
        pass
    merged: dict[str, tuple[str, object, int]] = {}
    for notice in found.notices:
        code, place, count = merged.get(notice.code, (notice.code, notice.place, 0))
        merged[notice.code] = code, place, count + notice.count
    return sorted(merged.values(), key=lambda each: each[0])


def tables_of(path: Path, dialect: str) -> Iterator[tuple[int, pa.Table]]:
    """The blocks of a file that have one table, by position."""
    document = ta.read_star(path, dialect=dialect, on_bad_value="null")  # type: ignore[arg-type]
    for position, block in enumerate(document):
        if len(block.loops) == 1 and block.loops[0].num_columns:
            yield position, block.loops[0]


def real_files() -> list[str]:
    folder = os.environ.get("TOMOARROW_SHARED")
    if not folder:
        return []
    paths = [path for path in Path(folder).rglob("*") if path.suffix in (".star", ".cif") and path.is_file()]
    return sorted(str(path.relative_to(folder)) for path in paths if path.stat().st_size < 3_000_000)


@pytest.mark.parametrize("name", real_files())
def test_real_files_as_read_whole(shared: Path, name: str) -> None:
    dialect = "star" if name.endswith(".cif") else "relion"
    try:
        tables = dict(tables_of(shared / name, dialect))
    except ta.TomoarrowError:
        return
    size = (shared / name).stat().st_size
    for position in list(tables)[:3]:
        for piece_bytes in {size // 7 + 1, size // 50 + 1}:
            read = table_of(
                request(
                    shared / name, position, dialect=dialect, piece_bytes=max(piece_bytes, 100), on_bad_value="null"
                )
            )
            expected = tables[position]
            assert read.schema.equals(expected.schema, check_metadata=True)
            assert pl.from_arrow(read).equals(pl.from_arrow(expected))
