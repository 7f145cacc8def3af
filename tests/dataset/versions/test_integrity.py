"""A flipped byte, anywhere in a dataset, is found."""

import errno
import hashlib
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import tomoarrow as ta
from tests.dataset.projects import loop, tilts, write_project
from tomoarrow.dataset.versions.integrity import verify_files
from tomoarrow.dataset.versions.manifest import FORMAT_VERSION


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tomograms, a notice and a reject."""
    home = tmp_path_factory.mktemp("integrity")
    odd = loop("b", ["rlnMicrographPreExposure", "rlnVoltage"], [[1, "nan"], ["x", 300]])
    star = write_project(home / "p", {"a": tilts("a", 3), "b": odd})
    ta.convert(star, home / "d", on_bad_value="null")
    return home / "d"


def test_all_is_well(dataset: Path) -> None:
    report = verify_files(dataset)
    assert (report.damages, report.exit_code, report.files) == ([], 0, 6)
    assert ta.Dataset(dataset).verify().damages == []
    assert {path.parent.name for path in dataset.rglob("*.parquet")} == {
        "tilts",
        "tomograms",
        "star",
        "sources",
        "notices",
        "rejects",
    }


def test_each_byte_of_the_manifest_counts(dataset: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(dataset, tmp_path / "d")
    text = (copy / "manifest.json").read_bytes()
    for at in range(len(text)):
        (copy / "manifest.json").write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
        with pytest.raises(ta.DatasetError):
            verify_files(copy)


def test_each_file_counts(dataset: Path, tmp_path: Path) -> None:
    rng = random.Random(1)
    copy = shutil.copytree(dataset, tmp_path / "d")
    for path in copy.rglob("*.parquet"):
        text = path.read_bytes()
        name = path.relative_to(copy).as_posix()
        for at in (0, len(text) - 1, *(rng.randrange(len(text)) for _ in range(30))):
            path.write_bytes(text[:at] + bytes([text[at] ^ (1 << rng.randrange(8))]) + text[at + 1 :])
            assert [(each.file, each.kind) for each in verify_files(copy).damages] == [(name, "changed")]
        path.write_bytes(text[:-1])
        assert [each.what for each in verify_files(copy).damages] == [
            f"{len(text) - 1} bytes, {len(text)} were written"
        ]
        path.write_bytes(text)


def test_files_that_are_gone_or_more(dataset: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(dataset, tmp_path / "d")
    shutil.copy(copy / "star/part-00000.parquet", copy / "tilts/mine.parquet")
    (copy / "star/part-00000.parquet").unlink()
    assert sorted((each.file, each.kind) for each in verify_files(copy).damages) == [
        ("star/part-00000.parquet", "missing"),
        ("tilts/mine.parquet", "extra"),
    ]
    with pytest.raises(ta.DatasetError, match="star are gone"):
        ta.Dataset(copy)


def test_a_newer_dataset_is_refused(dataset: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(dataset, tmp_path / "d")
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"format_version": FORMAT_VERSION + 1, "tables": 3}))
    for work in (ta.Dataset, verify_files, ta.verify):
        with pytest.raises(ta.DatasetError, match="update tomoarrow"):
            work(copy)
    for options in ({"force": True}, {"update": True}):
        with pytest.raises(ta.DatasetError, match="update tomoarrow"):
            ta.convert(tmp_path / "x.star", copy, **options)  # type: ignore[arg-type]


def test_a_file_that_the_disk_does_not_give_is_told_of_beside_the_others(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(dataset, tmp_path / "d")
    (copy / "sources/part-00000.parquet").unlink()
    real = hashlib.file_digest

    def digest(file: Any, how: str) -> Any:
        if len(file.peek()) and os.fstat(file.fileno()).st_ino == os.stat(copy / "star/part-00000.parquet").st_ino:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(file, how)

    monkeypatch.setattr(hashlib, "file_digest", digest)
    report = verify_files(copy)
    assert sorted((each.file, each.kind, each.what) for each in report.damages) == [
        ("sources/part-00000.parquet", "missing", "it is gone"),
        ("star/part-00000.parquet", "unreadable", "Input/output error"),
    ]
