"""How fast batches come, as ratios of one run, on 5,000 tomograms of 41 tilts."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import tomoarrow as ta
from tomoarrow.example import make_project
from tomoarrow.ml import TiltDataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COLUMNS = [
    "rlnTomoNominalStageTiltAngle",
    "rlnMicrographPreExposure",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnAccumMotionTotal",
    "rlnTomoXShiftAngst",
    "rlnTomoYShiftAngst",
]
BATCH_SIZE, ROUNDS = 4096, 25


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    ta.convert(make_project(folder / "p", tomograms=5000, tilts=41).tomograms_star, folder / "d")
    return folder / "d"


class PandasRows(Dataset[dict[str, torch.Tensor]]):
    """What the field does today: a map-style dataset, a row of a pandas table an item."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        row = self.frame.iloc[index]
        return {name: torch.tensor(row[name], dtype=torch.float32) for name in COLUMNS}


def by_pyarrow(dataset: Path) -> None:
    """All row groups, one after the other, with one thread."""
    for path in sorted(dataset.glob("tilts/*.parquet")):
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                file.read_row_group(number, columns=COLUMNS, use_threads=False)


def rows_of(batches: Any) -> int:
    return sum(len(batch["rlnDefocusU"]) for batch in batches)


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_batches_come_nearly_as_fast_as_pyarrow_reads(large: Path, shuffle: bool) -> None:
    batches = TiltDataset(large, columns=COLUMNS, batch_size=BATCH_SIZE, shuffle=shuffle)
    assert rows_of(batches) == 205_000
    pairs = [(seconds(partial(by_pyarrow, large)), seconds(partial(rows_of, batches))) for _ in range(ROUNDS)]
    ratio = min(pyarrow for pyarrow, _ in pairs) / min(ours for _, ours in pairs)
    middle = statistics.median(pyarrow / ours for pyarrow, ours in pairs)
    print(f"speed over that of pyarrow: {ratio:.2f} (best of {ROUNDS}), {middle:.2f} (median)")
    assert ratio >= 0.7


def test_batches_come_much_faster_than_rows_of_pandas(large: Path) -> None:
    batches = DataLoader(TiltDataset(large, columns=COLUMNS, batch_size=BATCH_SIZE, shuffle=True), batch_size=None)
    rows = PandasRows(pd.read_parquet(large / "tilts", columns=COLUMNS)[:20_000])
    peer = DataLoader(rows, batch_size=BATCH_SIZE, shuffle=True)
    ours = min(seconds(partial(rows_of, batches)) for _ in range(3)) / 205_000
    theirs = seconds(partial(rows_of, peer)) / 20_000
    print(f"speed over that of rows of pandas: {theirs / ours:.0f}")
    assert theirs / ours >= 10
