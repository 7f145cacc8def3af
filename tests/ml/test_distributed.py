"""Training of several processes: two ranks (gloo), each with a loader of two workers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: Each rank imports torch and starts its workers four times, which takes long on a busy machine.
pytestmark = pytest.mark.timeout(480)

WORLD_SIZE = 2

#: What each rank does: some epochs, and then the first again from the middle. Prints the rows of each batch.
RANK = """
import json, sys, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork")
import torch.distributed
from torch.utils.data import DataLoader
from tomoarrow.ml import TiltDataset, TiltSeriesDataset, loader_state

path, store, rank, kind, lengths = sys.argv[1:]
torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=2)

def loader():
    options = dict(columns=["rlnTomoName", "tilt_index"], shuffle=True, shuffle_rows=50, seed=7, lengths=lengths)
    if kind == "rows":
        dataset = TiltDataset(path, batch_size=8, **options)
    else:
        dataset = TiltSeriesDataset(path, projections=None, **options)
    return DataLoader(dataset, batch_size=None, num_workers=2)

def rows(batch):
    indices = batch["tilt_index"].tolist()
    names = batch["rlnTomoName"]
    return list(zip([names] * len(indices) if isinstance(names, str) else names, indices))

found = {}
for epoch in ("0", "1"):
    whole = loader()
    whole.dataset.set_epoch(int(epoch))
    found[epoch] = [rows(batch) for batch in whole]
    if lengths != "uneven":
        # As training does: all ranks meet at each step, and would wait forever if one had more of them.
        for _ in found[epoch]:
            torch.distributed.barrier()
begun = loader()
for taken, _ in enumerate(begun, 1):
    if taken == 5:
        break
resumed = loader()
resumed.dataset.load_state_dict(loader_state(begun, taken))
found["rest"] = [rows(batch) for batch in resumed]
torch.distributed.destroy_process_group()
print(json.dumps(found))
"""


def run(dataset: Path, store: Path, kind: str, lengths: str) -> list[dict[str, Any]]:
    """What each rank found."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(dataset), str(store), str(rank), kind, lengths],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(WORLD_SIZE)
    ]
    done = [rank.communicate(timeout=200) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * WORLD_SIZE, done
    return [json.loads(out.splitlines()[-1]) for out, _ in done]


def all_of(ranks: list[dict[str, Any]], epoch: str) -> list[tuple[str, int]]:
    return [tuple(row) for rank in ranks for batch in rank[epoch] for row in batch]


@pytest.mark.parametrize("kind", ["rows", pytest.param("series", marks=pytest.mark.slow)])
def test_each_row_comes_exactly_once_in_an_order_that_follows_from_the_seed(
    dataset: Path, tmp_path: Path, kind: str
) -> None:
    ranks = run(dataset, tmp_path / "store", kind, "uneven")
    everything = [(f"TS_{name:02d}", index) for name in range(1, 24) for index in range(7)]
    assert sorted(all_of(ranks, "0")) == sorted(all_of(ranks, "1")) == everything
    assert all_of(ranks, "0") != all_of(ranks, "1")
    assert [rank["rest"] for rank in ranks] == [rank["0"][5:] for rank in ranks]
    if kind == "rows":
        assert run(dataset, tmp_path / "again", kind, "uneven") == ranks


@pytest.mark.parametrize(("lengths", "rows"), [pytest.param("drop", 80, marks=pytest.mark.slow), ("repeat", 81)])
def test_ranks_take_equally_many_steps(dataset: Path, tmp_path: Path, lengths: str, rows: int) -> None:
    ranks = run(dataset, tmp_path / "store", "rows", lengths)
    for epoch in ("0", "1"):
        assert [len(rank[epoch]) for rank in ranks] == [-(-rows // 8)] * 2
        assert [sum(map(len, rank[epoch])) for rank in ranks] == [rows] * 2
        assert len({*all_of(ranks, epoch)}) == (161 if lengths == "repeat" else 160)
