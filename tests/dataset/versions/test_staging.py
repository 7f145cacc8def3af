"""What a dataset's next version clears away, and what it never touches."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import tomoarrow as ta
from tests.dataset.projects import tilts, write_project
from tomoarrow.dataset.versions.manifest import read_manifest


@pytest.fixture
def star(tmp_path: Path) -> Path:
    return write_project(tmp_path / "p", {name: tilts(name, 2) for name in "ab"})


def parquet_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))


def test_files_that_cannot_be_removed_are_never_read_again(
    star: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = tmp_path / "ds"
    ta.convert(star, dataset)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == "tilts":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        for _ in range(3):
            ta.convert(star, dataset, force=True)
    assert "could not be removed" in caplog.text
    names = [f"tilts/part-00000{version}.parquet" for version in ("", "-v2", "-v3", "-v4")]
    assert [path for path in parquet_files(dataset) if path.startswith("tilts/")] == sorted(names)
    assert ta.Dataset(dataset).tilts.select(pl.len()).collect().item() == 4
    ta.convert(star, dataset, force=True)
    assert [path for path in parquet_files(dataset) if path.startswith("tilts/")] == ["tilts/part-00000-v5.parquet"]


def test_a_version_that_cannot_be_cleared_away_is_told_of_and_fails_nothing(
    star: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = tmp_path / "ds"
    ta.convert(star, dataset)
    listed = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path == tmp_path:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    ta.convert(star, dataset, force=True)
    assert read_manifest(dataset)["version"] == 2
    assert "Input/output error" in caplog.text


def test_staging_of_other_datasets_is_never_touched(star: Path, tmp_path: Path) -> None:
    names = [".ds.staging.staging-1", ".ds.staging-x", ".ds2.staging-1", ".ds.staging"]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / ".ds.staging-1" / "tilts").mkdir(parents=True)
    ta.convert(star, tmp_path / "ds")
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "ds", "p"])


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(
    star: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ta.convert(star, tmp_path / "ds")
    scan = os.scandir

    def refuse(path: Path) -> object:
        if os.path.basename(path) == "tilts":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ta.DatasetError, match="Permission denied") as refused:
        ta.Dataset(tmp_path / "ds")
    assert refused.value.place.path == str(tmp_path / "ds" / "tilts")


def test_the_root_of_a_file_system_is_not_replaced(star: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "disk"
    target.mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path == target)
    with pytest.raises(ta.DatasetError, match=r"root of a file system[\s\S]*disk/dataset"):
        ta.convert(star, target, force=True)
    assert ta.convert(star, target / "dataset").tilts == 4
