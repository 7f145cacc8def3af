"""Datasets that earlier releases wrote: every later one opens them, and writes the same STAR files from them."""

from pathlib import Path

import polars as pl
import pytest

import tomoarrow as ta

RELEASES = Path(__file__).parent / "releases"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.star")}


def test_there_are_some() -> None:
    assert {path.name for path in RELEASES.iterdir()} >= {"0.1.0"}


@pytest.mark.parametrize("release", sorted(path.name for path in RELEASES.iterdir()))
def test_a_dataset_of_an_earlier_release(release: str, tmp_path: Path) -> None:
    dataset = ta.Dataset(RELEASES / release / "dataset")
    assert dataset.tomograms.collect()["tilt_count"].to_list() == [7, 7, 7]
    assert dataset.tilts.select(pl.len()).collect().item() == 21
    assert dataset.particles.select(pl.len()).collect().item() == 12
    assert dataset.trajectories.select(pl.len()).collect().item() == 84
    assert dataset.tomogram("TS_02").height == 7
    assert dataset.particle_tilts().collect().height == 84
    assert len(dataset.sources) == 7
    assert dataset.warnings == []
    assert dataset.sql("SELECT COUNT(*) FROM tilts").collect().item() == 21
    ta.export(RELEASES / release / "dataset", tmp_path / "out")
    assert files(tmp_path / "out") == files(RELEASES / release / "project")


@pytest.mark.parametrize("release", sorted(path.name for path in RELEASES.iterdir()))
def test_its_values_are_those_of_a_dataset_of_today(release: str, tmp_path: Path) -> None:
    old = ta.Dataset(RELEASES / release / "dataset")
    ta.convert(RELEASES / release / "project/Polish/job011/optimisation_set.star", tmp_path / "dataset")
    new = ta.Dataset(tmp_path / "dataset")
    assert old.tables.keys() == new.tables.keys()
    for name, table in old.tables.items():
        assert table.collect().equals(new[name].collect()), name
