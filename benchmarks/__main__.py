"""``python -m benchmarks``: the conversion, against the floor of reading the bytes and writing the finished table."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from tomoarrow import convert
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
        times: dict[str, list[float]] = {"convert": [], "floor": []}
        for _ in range(rounds):
            times["convert"].append(seconds(lambda: convert(project.tomograms_star, root / "dataset", force=True)))
            times["floor"].append(seconds(lambda: floor(project, table, root / "floor.parquet")))
        medians = {name: statistics.median(values) for name, values in times.items()}
        print(
            f"{tomograms} tomograms, {report.source_bytes / 1e6:.0f} MB of STAR: convert {medians['convert']:.2f} s, "
            f"floor {medians['floor']:.2f} s, ratio {medians['convert'] / medians['floor']:.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small project, few rounds")
    quick = parser.parse_args().quick
    measure(200 if quick else 5000, 3 if quick else 5)
