"""``python -m benchmarks``: conversion against its floor, writing STAR against Polars writing the same table as CSV.

The floor is to read all bytes and write the finished table. Each pair is measured in turns, in one run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from tomoarrow import convert, export, write_star
from tomoarrow.example import Example, make_project


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def floor(project: Example, table: pa.Table, target: Path) -> None:
    for path in (project.directory / "Tomograms").rglob("*.star"):
        path.read_bytes()
    pq.write_table(table, target, compression="zstd", compression_level=1, row_group_size=8192)


def measure(tomograms: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        project = make_project(root / "project", tomograms=tomograms)
        report = convert(project.tomograms_star, root / "dataset")
        table = pads.dataset(root / "dataset" / "tilts").to_table()
        assert table.num_rows == report.tilts == project.tilts
        times = in_turns(
            rounds,
            convert=lambda: convert(project.tomograms_star, root / "dataset", force=True),
            floor=lambda: floor(project, table, root / "floor.parquet"),
            export=lambda: export(root / "dataset", root / "out", force=True),
        )
        print(
            f"{tomograms} tomograms, {report.source_bytes / 1e6:.0f} MB of STAR: convert {times['convert']:.2f} s, "
            f"floor {times['floor']:.2f} s, ratio {times['convert'] / times['floor']:.2f}; "
            f"export {times['export']:.2f} s"
        )


def in_turns(rounds: int, remove: Path | None = None, **works: Callable[[], object]) -> dict[str, float]:
    """The median of the seconds that each takes.

    `remove`: a folder whose files are removed before each, so that all write new ones: Polars writes over what is
    there, tomoarrow puts a whole file in its place, which file systems make wait for the disk.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            for path in remove.iterdir() if remove is not None else ():
                path.unlink()
            times[name].append(seconds(work))
    return {name: statistics.median(values) for name, values in times.items()}


def particles(rows: int) -> pa.Table:
    """A table like particles.star: 20 columns of floats, 5 of integers, 5 of text, one of these a long vector."""
    rng = np.random.default_rng(1)
    columns: dict[str, object] = {f"rlnFloat{i}": rng.normal(0, (1, 100, 1e4)[i % 3], rows) for i in range(20)}
    columns |= {f"rlnInt{i}": rng.integers(0, 1000, rows) for i in range(5)}
    columns |= {f"rlnName{i}": [f"TS_{row % 300:03d}" for row in range(rows)] for i in range(2)}
    stacks = [f"Extract/job011/Subtomograms/TS_{row % 300:03d}/{row}_stack2d.mrcs" for row in range(rows)]
    frames = f"[{','.join('1' * 41)}]"
    return pa.table(columns | {"rlnImageName": stacks, "rlnCtfImage": stacks, "rlnTomoVisibleFrames": [frames] * rows})


def measure_writing(rows: int, rounds: int) -> None:
    table = particles(rows)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        times = in_turns(
            rounds,
            root,
            csv=lambda: frame.write_csv(root / "x.csv"),
            relion=lambda: write_star(table, root / "x.star"),
            plain=lambda: write_star(table, root / "plain.star", style="plain"),
        )
        size = write_star(table, root / "x.star").bytes
    print(
        f"{rows} rows x {table.num_columns} columns to {size / 1e6:.0f} MB of STAR: RELION's style "
        f"{times['relion']:.2f} s, plain {times['plain']:.2f} s, polars.write_csv {times['csv']:.2f} s, "
        f"ratio {times['relion'] / times['csv']:.2f} and {times['plain'] / times['csv']:.2f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small project, few rounds")
    quick = parser.parse_args().quick
    measure(200 if quick else 5000, 3 if quick else 5)
    measure_writing(20_000 if quick else 1_000_000, 3 if quick else 5)
