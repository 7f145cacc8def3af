"""What a user would do instead: each peer one small function, written as its documentation suggests.

``python -m benchmarks.peers NAME STAR PROJECT TARGET`` runs a conversion as a script of its own; that is why each
function imports what it needs, and nothing else is imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

SERIES = "rlnTomoTiltSeriesStarFile"


def convert_with_starfile_rs(star: Path, project: Path, target: Path) -> None:
    """Read each tilt series, join with the global table, write one Parquet file."""
    import polars as pl
    from starfile_rs import read_star

    tomograms = read_star(star)["global"].to_polars()
    series = [
        read_star(project / path).first().to_polars().with_columns(pl.lit(name).alias("rlnTomoName"))
        for name, path in tomograms.select("rlnTomoName", SERIES).iter_rows()
    ]
    tilts = pl.concat(series, how="diagonal_relaxed").join(
        tomograms, on="rlnTomoName", how="left", maintain_order="left"
    )
    tilts.write_parquet(target, compression="zstd", compression_level=1)


def convert_with_starfile(star: Path, project: Path, target: Path, tomograms: int | None = None) -> None:
    """The same with starfile and pandas; of the first so many tomograms, where that is given."""
    import pandas as pd
    import starfile

    table = starfile.read(star).head(tomograms)
    series = [
        starfile.read(project / path).assign(rlnTomoName=name)
        for name, path in zip(table["rlnTomoName"], table[SERIES], strict=True)
    ]
    tilts = pd.concat(series, ignore_index=True).merge(table, on="rlnTomoName", how="left")
    tilts.to_parquet(target, compression="zstd", compression_level=1)


def read_bytes_and_write_table(paths: Sequence[Path], table: pa.Table, target: Path) -> None:
    """The floor of converting: read all bytes, look at none, write the finished table."""
    import pyarrow.parquet as pq

    for path in paths:
        path.read_bytes()
    pq.write_table(table, target, compression="zstd", compression_level=1, row_group_size=8192)


def read_csv_with_polars(path: Path) -> pa.Table:
    import polars as pl

    return pl.read_csv(path).to_arrow()


def read_csv_with_pyarrow(path: Path) -> pa.Table:
    import pyarrow.csv

    return pyarrow.csv.read_csv(path)


def read_csv_with_duckdb(path: Path) -> pa.Table:
    import duckdb

    return duckdb.read_csv(str(path)).to_arrow_table()


def read_with_starfile_rs(path: Path) -> pa.Table:
    from starfile_rs import read_star

    return read_star(path)["particles"].to_polars().to_arrow()


def write_csv_with_polars(frame: pl.DataFrame, path: Path) -> None:
    frame.write_csv(path)


def write_with_starfile_rs(frame: pl.DataFrame, path: Path) -> None:
    from starfile_rs import empty_star

    empty_star().with_loop_block("particles", frame).write(path)


def read_motion_with_gemmi(path: Path) -> pa.Table:
    """All loops of a file as one table, the name of its block before each row."""
    import numpy as np
    import pyarrow as pa
    from gemmi import cif

    names, rows, values, tags = [], [], [], None
    for block in cif.read(str(path)):
        for item in block:
            if item.loop is not None:
                tags = item.loop.tags
                cells = np.array(item.loop.values, np.float64)
                names.append(block.name)
                rows.append(len(cells) // len(tags))
                values.append(cells)
    assert tags is not None
    columns = np.concatenate(values).reshape(-1, len(tags))
    indices = np.repeat(np.arange(len(names), dtype=np.int32), rows)
    block_names = pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(names))
    numbers = {tag.removeprefix("_"): np.ascontiguousarray(columns[:, i]) for i, tag in enumerate(tags)}
    return pa.table({"block": block_names} | numbers)


CONVERSIONS: dict[str, Callable[..., Any]] = {
    "starfile-rs": convert_with_starfile_rs,
    "starfile": convert_with_starfile,
}

if __name__ == "__main__":
    CONVERSIONS[sys.argv[1]](*map(Path, sys.argv[2:5]))
