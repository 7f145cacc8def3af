"""Datasets of torch, alone and behind a DataLoader."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tomoarrow.errors import UsageError
from tomoarrow.ml import (
    ParticleDataset,
    TiltDataset,
    TiltSeriesDataset,
    loader_state,
    pad_series,
    series_batches,
    table_batches,
)

# What torch and Python say of more workers than cores, and of forking; and torchdata of what it calls of torch.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),
]

KEYS = ["rlnTomoName", "tilt_index"]


def keys(batches: Any) -> list[tuple[str, int]]:
    return [row for batch in batches for row in keys_of(batch)]


def keys_of(batch: dict[str, Any]) -> list[tuple[str, int]]:
    """The rows of a batch of rows, or of one series."""
    indices = batch["tilt_index"].tolist()
    names = batch["rlnTomoName"]
    return list(zip([names] * len(indices) if isinstance(names, str) else names, indices, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 10, 64])
def test_tensors_have_the_values_of_arrays(dataset: Path, dtype: str, shuffle: bool, batch_size: int) -> None:
    options: Any = {"dtype": dtype, "shuffle": shuffle, "batch_size": batch_size, "shuffle_rows": 50}
    arrays = [*table_batches(dataset, "tilts", **options)]
    tensors = [*TiltDataset(dataset, **options)]
    assert len(arrays) == len(tensors)
    for expected, found in zip(arrays, tensors, strict=True):
        assert [*found] == [*expected]
        for name, values in found.items():
            assert isinstance(values, torch.Tensor)
            assert values.is_contiguous()
            np.testing.assert_array_equal(values.numpy(), expected[name])
            assert values.numpy().dtype == expected[name].dtype


def test_series_have_the_values_of_arrays(dataset: Path) -> None:
    options: Any = {"shuffle": True, "shuffle_rows": 50, "columns": ["rlnDefocusU", "rlnMicrographName"]}
    for expected, found in zip(series_batches(dataset, **options), TiltSeriesDataset(dataset, **options), strict=True):
        assert [*found] == [*expected] == ["rlnTomoName", "rlnDefocusU", "rlnMicrographName", "projection"]
        assert found["rlnTomoName"] == expected["rlnTomoName"]
        assert found["rlnMicrographName"] == expected["rlnMicrographName"]
        assert found["rlnDefocusU"].dtype == found["projection"].dtype == torch.float32
        np.testing.assert_array_equal(found["rlnDefocusU"].numpy(), expected["rlnDefocusU"])
        np.testing.assert_array_equal(found["projection"].numpy(), expected["projection"])


def test_particles_one_by_one(dataset: Path) -> None:
    rows = [*ParticleDataset(dataset, columns=["rlnTomoParticleName", "rlnAngleRot", "rlnClassNumber"])]
    expected = table_batches(dataset, "particles", columns=["rlnTomoParticleName", "rlnAngleRot", "rlnClassNumber"])
    assert len(rows) == 690
    for found, row in zip(rows, expected, strict=True):
        assert found["rlnTomoParticleName"] == row["rlnTomoParticleName"]
        assert found["rlnAngleRot"].dtype == torch.float32
        assert (found["rlnAngleRot"].dim(), found["rlnAngleRot"].item()) == (0, row["rlnAngleRot"])
        assert (found["rlnClassNumber"].dtype, found["rlnClassNumber"].item()) == (torch.int64, row["rlnClassNumber"])


def test_batches_are_parts_of_one_memory(dataset: Path) -> None:
    first, second, *_ = TiltDataset(dataset, columns=["rlnDefocusU"], batch_size=4)
    assert second["rlnDefocusU"].data_ptr() == first["rlnDefocusU"].data_ptr() + 4 * 4
    assert first["rlnDefocusU"].untyped_storage().nbytes() == 21 * 4


def test_tensors_may_be_changed(dataset: Path) -> None:
    for dtype in ("float32", "float64"):
        options: Any = {"columns": ["rlnDefocusU"], "batch_size": 4, "dtype": dtype}
        for changed, expected in zip(TiltDataset(dataset, **options), [*TiltDataset(dataset, **options)], strict=True):
            assert torch.equal(changed["rlnDefocusU"].clone(), expected["rlnDefocusU"])
            changed["rlnDefocusU"].zero_()


def test_a_transform_has_tensors_and_is_called_before_padding(dataset: Path) -> None:
    def with_target(one: dict[str, Any]) -> dict[str, Any]:
        return one | {"target": one["rlnDefocusU"].mean()}

    batch = next(iter(TiltSeriesDataset(dataset, columns=["rlnDefocusU"], transform=with_target, batch_size=5)))
    torch.testing.assert_close(batch["target"], batch["rlnDefocusU"].mean(dim=1))


def test_padding_as_collate_fn(dataset: Path) -> None:
    shorter = TiltSeriesDataset(dataset, columns=["tilt_index"], filter="rlnTomoName <> 'TS_01' OR tilt_index < 3")
    batch = next(iter(DataLoader(shorter, batch_size=4, collate_fn=pad_series)))
    assert batch["mask"].tolist() == [[True] * 3 + [False] * 4, *([[True] * 7] * 3)]
    assert batch["tilt_index"].tolist() == [[0, 1, 2, 0, 0, 0, 0], *([[*range(7)]] * 3)]
    assert batch["projection"].shape == (4, 7, 4, 4)
    same = next(iter(DataLoader(series_of(dataset, batch_size=4), batch_size=None)))
    assert torch.equal(batch["projection"][1:], same["projection"][1:])


def series_of(dataset: Path, **options: Any) -> TiltSeriesDataset:
    return TiltSeriesDataset(dataset, **{"columns": ["tilt_index"]} | options)


# Workers.


def rows_of(dataset: Path, **options: Any) -> TiltDataset:
    return TiltDataset(dataset, **{"columns": KEYS, "batch_size": 10, "shuffle": True, "shuffle_rows": 50} | options)


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_workers_share_the_rows(dataset: Path, workers: int) -> None:
    loader = DataLoader(rows_of(dataset), batch_size=None, num_workers=workers)
    batches = [*loader]
    assert len(loader) == len(batches) == 17
    assert sorted(keys(batches)) == sorted((f"TS_{name:02d}", index) for name in range(1, 24) for index in range(7))


@pytest.mark.slow
def test_workers_that_are_spawned_share_the_rows_of_their_rank(dataset: Path) -> None:
    found = []
    for rank in range(2):
        loader = DataLoader(
            rows_of(dataset, rank=rank, world_size=2), batch_size=None, num_workers=2, multiprocessing_context="spawn"
        )
        found += keys(loader)
    assert len(found) == len({*found}) == 161


def test_workers_that_stay_see_the_epoch(dataset: Path) -> None:
    loader = DataLoader(rows_of(dataset), batch_size=None, num_workers=2, persistent_workers=True)
    orders = []
    for epoch in (0, 1, 0):
        loader.dataset.set_epoch(epoch)  # type: ignore[attr-defined]
        orders.append(keys(loader))
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]
    assert sorted(orders[0]) == sorted(orders[1])


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_a_loader_goes_on_in_the_middle_of_an_epoch(dataset: Path, workers: int) -> None:
    loader = DataLoader(rows_of(dataset), batch_size=None, num_workers=workers)
    loader.dataset.set_epoch(3)  # type: ignore[attr-defined]
    whole = [keys_of(batch) for batch in loader]
    for taken in (1, 2, 7, 16, 17):
        assert len([*islice(loader, taken)]) == taken
        resumed = DataLoader(rows_of(dataset), batch_size=None, num_workers=workers)
        resumed.dataset.load_state_dict(json.loads(json.dumps(loader_state(loader, taken))))  # type: ignore[attr-defined]
        resumed.dataset.set_epoch(3)  # type: ignore[attr-defined]
        assert [keys_of(batch) for batch in resumed] == whole[taken:], taken
        resumed.dataset.set_epoch(4)  # type: ignore[attr-defined]
        assert len([*resumed]) == 17, taken


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_that_was_resumed_is_resumed_again(dataset: Path, workers: int) -> None:
    first, second, third = (DataLoader(rows_of(dataset), batch_size=None, num_workers=workers) for _ in range(3))
    whole = [keys_of(batch) for batch in first]
    assert [keys_of(batch) for batch in islice(first, 3)] == whole[:3]
    second.dataset.load_state_dict(loader_state(first, 3))  # type: ignore[attr-defined]
    assert [keys_of(batch) for batch in islice(second, 4)] == whole[3:7]
    third.dataset.load_state_dict(loader_state(second, 4))  # type: ignore[attr-defined]
    assert [keys_of(batch) for batch in third] == whole[7:]


@pytest.mark.parametrize("taken", [1, 2, 5])
def test_a_loader_that_makes_the_batches_goes_on(dataset: Path, taken: int) -> None:
    def loader() -> DataLoader[Any]:
        return DataLoader(series_of(dataset, shuffle=True), batch_size=4, num_workers=2, collate_fn=pad_series)

    whole = [batch["rlnTomoName"] for batch in loader()]
    resumed = loader()
    resumed.dataset.load_state_dict(loader_state(loader(), taken))  # type: ignore[attr-defined]
    assert [batch["rlnTomoName"] for batch in resumed] == whole[taken:]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("taken", [1, 6, 17])
def test_the_loader_of_torchdata_goes_on_by_itself(dataset: Path, workers: int, taken: int) -> None:
    from torchdata.stateful_dataloader import StatefulDataLoader

    whole = [keys_of(batch) for batch in StatefulDataLoader(rows_of(dataset), batch_size=None, num_workers=workers)]
    loader = StatefulDataLoader(rows_of(dataset), batch_size=None, num_workers=workers)
    iterator = iter(loader)
    for _ in range(taken):
        next(iterator)
    state = loader.state_dict()
    resumed = StatefulDataLoader(rows_of(dataset), batch_size=None, num_workers=workers)
    resumed.load_state_dict(state)
    assert [keys_of(batch) for batch in resumed] == whole[taken:]


def test_a_loader_of_something_else_has_no_state() -> None:
    with pytest.raises(UsageError, match="list"):
        loader_state(DataLoader([1, 2]), 1)  # type: ignore[arg-type]


def test_another_number_of_workers_is_refused(dataset: Path) -> None:
    loader = DataLoader(rows_of(dataset), batch_size=None, num_workers=2)
    alone = rows_of(dataset)
    alone.load_state_dict(loader_state(loader, 3))
    with pytest.raises(UsageError, match="workers=2"):
        next(iter(alone))


def test_series_of_text_alone_have_a_mask_of_no_tilt_as_arrays_have(dataset: Path) -> None:
    options: Any = {"columns": ["rlnMicrographName"], "projections": None, "batch_size": 4}
    (first, *_), (arrays, *_) = TiltSeriesDataset(dataset, **options), series_batches(dataset, **options)
    assert first["rlnMicrographName"] == arrays["rlnMicrographName"]
    assert first["mask"].shape == arrays["mask"].shape == (4, 0)
