"""Splits by group."""

import hashlib
from pathlib import Path

import polars as pl
import pytest

import tomoarrow as ta
from tests.dataset.projects import tilts, write_project
from tomoarrow.dataset.reading.splitting import Split, split_groups
from tomoarrow.errors import UsageError
from tomoarrow.ml.batches import table_batches


def dataset_of(folder: Path, names: list[str]) -> Path:
    groups = {name: [f"group{number % 3}"] for number, name in enumerate(names)}
    star = write_project(
        folder / "p", {name: tilts(name, 2) for name in names}, more_labels=["rlnOpticsGroupName"], more_values=groups
    )
    ta.convert(star, folder / "d")
    return folder / "d"


NAMES = [f"TS_{number:03d}" for number in range(200)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset_of(tmp_path_factory.mktemp("splitting"), NAMES)


def test_the_part_of_a_name_is_its_hash(dataset: Path) -> None:
    expected: list[list[str]] = [[], [], []]
    for name in NAMES:
        place = int(hashlib.blake2b(b"7\0" + name.encode(), digest_size=8).hexdigest(), 16) / 2**64
        expected[0 if place < 0.8 else 1 if place < 0.9 else 2].append(name)
    found = split_groups(dataset, seed=7)
    assert found == tuple(Split("rlnTomoName", tuple(names)) for names in expected)
    assert all(len(part.names) > 5 for part in found)


def test_another_seed_gives_another_split(dataset: Path) -> None:
    assert split_groups(dataset, seed=0) == split_groups(dataset, seed=0) != split_groups(dataset, seed=1)


def test_more_tomograms_move_no_other(dataset: Path, tmp_path: Path) -> None:
    fewer = split_groups(dataset_of(tmp_path, NAMES[::3]))
    for few, many in zip(fewer, split_groups(dataset), strict=True):
        assert {*few.names} == {*many.names} & {*NAMES[::3]}


def test_no_row_is_in_two_parts_and_each_is_in_one(dataset: Path) -> None:
    parts = split_groups(dataset, fractions=(0.5, 0.5))
    found = [
        {name for batch in table_batches(dataset, "tilts", columns=["rlnTomoName"], filter=part.filter, batch_size=64)
         for name in batch["rlnTomoName"]}
        for part in parts
    ]  # fmt: skip
    assert found == [{*part.names} for part in parts]
    assert found[0] | found[1] == {*NAMES}
    assert not found[0] & found[1]


def test_groups_of_another_column(dataset: Path) -> None:
    parts = split_groups(dataset, by="rlnOpticsGroupName", fractions=(0.5, 0.5), seed=2)
    assert sorted(parts[0].names + parts[1].names) == ["group0", "group1", "group2"]
    rows = pl.read_parquet(dataset / "tilts/*.parquet")
    assert sum(rows.filter(part.filter).height for part in parts) == 400


def test_a_part_of_nothing(dataset: Path) -> None:
    nothing, everything = split_groups(dataset, fractions=(0, 1))
    assert (len(nothing.names), len(everything.names)) == (0, 200)
    assert [*table_batches(dataset, "tilts", filter=nothing.filter, batch_size=8)] == []


@pytest.mark.parametrize("fractions", [(0.5, 0.4), (1.5, -0.5), ()], ids=str)
def test_fractions_that_are_none(dataset: Path, fractions: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="fractions"):
        split_groups(dataset, fractions=fractions)


def test_a_column_that_is_not_there(dataset: Path) -> None:
    with pytest.raises(UsageError, match="rlnX"):
        split_groups(dataset, by="rlnX")
