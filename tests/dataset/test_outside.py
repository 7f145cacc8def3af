"""Nothing outside of a dataset is read, written or removed, whatever its manifest and its tables say."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tomoarrow as ta
from tests.dataset.projects import tilts, write_project

USES: dict[str, Callable[[Path, Path], object]] = {
    "read": lambda dataset, _: ta.Dataset(dataset).tilts.collect(),
    "export": lambda dataset, star: ta.export(dataset, star.parent.parent / "exported"),
    "verify": lambda dataset, _: ta.verify(dataset),
    "replace": lambda dataset, star: ta.convert(star, dataset, force=True),
    "update": lambda dataset, star: ta.convert(star, dataset, update=True),
}


@pytest.fixture
def star(tmp_path: Path) -> Path:
    return write_project(
        tmp_path / "p",
        {name: tilts(name, 2) for name in "ab"},
        more_labels=["labGroup"],
        more_values={"a": ["x"], "b": ["../../up"]},
    )


@pytest.fixture
def dataset(star: Path, tmp_path: Path) -> Path:
    """A dataset, beside a folder with a table that is none of its own."""
    ta.convert(star, tmp_path / "in/ds")
    shutil.copytree(tmp_path / "in/ds/tilts", tmp_path / "secret")
    return tmp_path / "in/ds"


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def forge(dataset: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest, and make its checksum fit."""
    manifest = json.loads((dataset / "manifest.json").read_text())
    del manifest["sha256"]
    change(manifest)
    text = json.dumps(manifest)[:-1] + ",\n"
    (dataset / "manifest.json").write_text(f'{text}"sha256": "{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n')


def named(path: str) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["tables"]["tilts"]["files"][0].update(path=path)


#: What a manifest may say that leads out, given the folder with the other table.
FORGED: dict[str, Callable[[Path], Callable[[dict[str, Any]], object]]] = {
    "a file": lambda _: named("../../secret/part-00000.parquet"),
    "a file, inside first": lambda _: named("tilts/../../../secret/part-00000.parquet"),
    "a file, absolute": lambda secret: named(str(secret / "part-00000.parquet")),
    "a table": lambda _: lambda manifest: manifest["tables"].update({"../../secret": manifest["tables"]["tilts"]}),
    "a table, absolute": lambda secret: (
        lambda manifest: manifest["tables"].update({str(secret): manifest["tables"]["tilts"]})
    ),
    "a file to remove": lambda _: lambda manifest: manifest["retired"].append("../../secret/part-00000.parquet"),
    "a project": lambda _: (
        lambda manifest: manifest["projects"].update({"p": {"tables": {"../../secret": manifest["tables"]["tilts"]}}})
    ),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("what", FORGED)
def test_a_manifest_that_leads_out_is_refused(dataset: Path, star: Path, tmp_path: Path, what: str, use: str) -> None:
    forge(dataset, FORGED[what](tmp_path / "secret"))
    before = files_of(tmp_path)
    with pytest.raises(ta.DatasetError, match="leads out of the dataset"):
        USES[use](dataset, star)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("use", ["replace", "update"])
@pytest.mark.parametrize("link", ["tilts", "star", "more"])
def test_a_link_to_a_folder_in_a_dataset_is_not_written_to(
    dataset: Path, star: Path, tmp_path: Path, use: str, link: str
) -> None:
    shutil.rmtree(tmp_path / "secret")
    if (dataset / link).exists():
        shutil.move(dataset / link, tmp_path / "secret")
    else:
        (tmp_path / "secret").mkdir()
    (tmp_path / "secret/part-00000-v9.parquet").write_bytes(b"precious")
    (dataset / link).symlink_to(tmp_path / "secret")
    star.write_text(star.read_text().replace(" x\n", " y\n"))
    before = files_of(tmp_path)
    with pytest.raises(ta.DatasetError, match=f"other files too, such as {link}"):
        USES[use](dataset, star)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("path", ["../../secret/x.star", "/secret/x.star", "a/../../x.star"])
def test_a_text_that_leads_out_is_exported_inside(dataset: Path, tmp_path: Path, path: str) -> None:
    table = dataset / "star/part-00000.parquet"
    frame = pl.read_parquet(table)
    (column,) = {"path", "file"} & set(frame.columns)
    frame.with_columns(pl.lit(path).alias(column)).write_parquet(table)
    before = files_of(tmp_path)
    with contextlib.suppress(ta.TomoarrowError):
        ta.export(dataset, tmp_path / "out/below")
    new = files_of(tmp_path).keys() - before.keys()
    assert all(file.startswith(str(tmp_path / "out/below/")) for file in new)


def test_values_that_lead_out_are_names_of_folders_inside(star: Path, tmp_path: Path) -> None:
    ta.convert(star, tmp_path / "in/ds", partition_by="labGroup")
    assert {path.name for path in (tmp_path / "in/ds/tilts").iterdir()} == {"labGroup=x", "labGroup=..%2F..%2Fup"}
    assert set(ta.Dataset(tmp_path / "in/ds").tilts.collect()["labGroup"]) == {"x", "../../up"}
    ta.export(tmp_path / "in/ds", tmp_path / "out")
    assert (tmp_path / "out/tomograms.star").read_bytes() == star.read_bytes()
