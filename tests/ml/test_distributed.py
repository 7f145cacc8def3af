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

#: What each rank does, for each way to have ranks of one length: some epochs, and then the first again from the middle.
#: Prints the rows of each batch.
RANK = """
import json, sys, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork")
import pandas  # Else pyarrow imports it, in each of the workers.
import torch.distributed
from torch.utils.data import DataLoader
from tomoarrow.ml import TiltDataset, TiltSeriesDataset, loader_state

path, store, rank, kind, *ways = sys.argv[1:]
torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=2)

def loader(lengths):
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

def found(lengths):
    found = {}
    for epoch in ("0", "1"):
        whole = loader(lengths)
        whole.dataset.set_epoch(int(epoch))
        found[epoch] = [rows(batch) for batch in whole]
        if lengths != "uneven":
            # As training does: all ranks meet at each step, and would wait forever if one had more of them.
            for _ in found[epoch]:
                torch.distributed.barrier()
    begun = loader(lengths)
    for taken, _ in enumerate(begun, 1):
        if taken == 5:
            break
    resumed = loader(lengths)
    resumed.dataset.load_state_dict(loader_state(begun, taken))
    found["rest"] = [rows(batch) for batch in resumed]
    return found

each = {lengths: found(lengths) for lengths in ways}
torch.distributed.destroy_process_group()
print(json.dumps(each))
"""


def run(dataset: Path, store: Path, kind: str, *ways: str) -> dict[str, list[dict[str, Any]]]:
    """What each rank found, for each of the lengths."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(dataset), str(store), str(rank), kind, *ways],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(WORLD_SIZE)
    ]
    done = [rank.communicate(timeout=200) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * WORLD_SIZE, done
    found = [json.loads(out.splitlines()[-1]) for out, _ in done]
    return {lengths: [rank[lengths] for rank in found] for lengths in ways}


def all_of(ranks: list[dict[str, Any]], epoch: str) -> list[tuple[str, int]]:
    return [tuple(row) for rank in ranks for batch in rank[epoch] for row in batch]


def check_each_row_comes_once(ranks: list[dict[str, Any]]) -> None:
    """And in an order that is another one in each epoch; what is begun goes on where it was."""
    everything = [(f"TS_{name:02d}", index) for name in range(1, 24) for index in range(7)]
    assert sorted(all_of(ranks, "0")) == sorted(all_of(ranks, "1")) == everything
    assert all_of(ranks, "0") != all_of(ranks, "1")
    assert [rank["rest"] for rank in ranks] == [rank["0"][5:] for rank in ranks]


def check_equally_many_steps(ranks: list[dict[str, Any]], rows: int, different: int) -> None:
    for epoch in ("0", "1"):
        assert [len(rank[epoch]) for rank in ranks] == [-(-rows // 8)] * 2
        assert [sum(map(len, rank[epoch])) for rank in ranks] == [rows] * 2
        assert len({*all_of(ranks, epoch)}) == different


def test_rows_of_ranks(dataset: Path, tmp_path: Path) -> None:
    """Each comes exactly once, or ranks take equally many steps; the order follows from the seed."""
    ranks = run(dataset, tmp_path / "store", "rows", "uneven", "repeat")
    check_each_row_comes_once(ranks["uneven"])
    check_equally_many_steps(ranks["repeat"], 81, different=161)
    assert run(dataset, tmp_path / "again", "rows", "uneven")["uneven"] == ranks["uneven"]


@pytest.mark.slow
def test_ranks_at_length(dataset: Path, tmp_path: Path) -> None:
    check_equally_many_steps(run(dataset, tmp_path / "store", "rows", "drop")["drop"], 80, different=160)
    check_each_row_comes_once(run(dataset, tmp_path / "series", "series", "uneven")["uneven"])
