"""Particles times tilts in a bounded memory: measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dataset.images.large import write_large

CHILD = """
import json, resource, sys, time
import polars as pl
import tomoarrow as ta
dataset, out = sys.argv[1:]
frame = ta.Dataset(dataset).particle_tilts(image_size=(4096, 4096))
begin = time.perf_counter()
if out:
    frame.sink_parquet(out)
    rows = pl.scan_parquet(out).select(pl.len()).collect().item()
else:
    values = [name for name, kind in frame.collect_schema().items() if kind == pl.Float64]
    means = frame.group_by("tilt_index").agg(pl.col(values).mean(), pl.len()).collect(engine="streaming")
    assert means.null_count().sum_horizontal().item() == 0
    rows = means["len"].sum()
seconds = time.perf_counter() - begin
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rows": rows, "rows_per_second": rows / seconds, "peak_mb": peak_mb}))
"""


def measured(dataset: Path, out: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", CHILD, dataset, out], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(found)
    return found


def test_memory_does_not_grow_with_the_particles(tmp_path: Path) -> None:
    few = write_large(tmp_path / "few", n_tomograms=10, n_particles=500, n_tilts=41)
    many = write_large(tmp_path / "many", n_tomograms=40, n_particles=1500, n_tilts=41)
    small, large = measured(few, ""), measured(many, "")
    assert (small["rows"], large["rows"]) == (10 * 500 * 41, 40 * 1500 * 41)
    # All values of the larger would take 260 MB.
    assert large["peak_mb"] < small["peak_mb"] + 150


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_million_particles_in_a_gigabyte(tmp_path: Path) -> None:
    dataset = write_large(tmp_path / "dataset", n_tomograms=500, n_particles=2000, n_tilts=41)
    for out in ("", str(tmp_path / "out.parquet")):
        found = measured(dataset, out)
        assert found["rows"] == 41_000_000
        assert found["peak_mb"] < 1000
