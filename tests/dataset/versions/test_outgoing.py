"""How an export takes its place: what was there stays until all is written, and what a killed run left is completed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import tomoarrow as ta
from tests.dataset.projects import tilts, write_project
from tomoarrow.dataset.versions.lock import locked
from tomoarrow.dataset.versions.outgoing import outgoing, place

FIRST, SECOND = "tilt_series/0.star", "tilt_series/1.star"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tomograms. Read only."""
    return write_project(tmp_path_factory.mktemp("outgoing") / "p", {name: tilts(name, 2) for name in "ab"}).parent


@pytest.fixture(scope="module")
def dataset(project: Path) -> Path:
    """Their dataset. Read only."""
    ta.convert(project / "tomograms.star", project.parent / "ds")
    return project.parent / "ds"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_is_there_stays_the_one_it_was(project: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o750)
    before = out.stat()
    ta.export(dataset, out)
    assert (out.stat().st_ino, out.stat().st_mode) == (before.st_ino, before.st_mode)
    assert files(out) == files(project)
    assert os.listdir(tmp_path) == ["out"]


def test_nothing_is_written_beside_a_folder_that_is_there(dataset: Path, tmp_path: Path) -> None:
    # Who may write into a folder may often not write beside it.
    (tmp_path / "out").mkdir()
    before = tmp_path.stat().st_mtime_ns
    ta.export(dataset, tmp_path / "out")
    assert tmp_path.stat().st_mtime_ns == before


def test_modes_of_files_that_are_replaced_are_kept(dataset: Path, tmp_path: Path) -> None:
    ta.export(dataset, tmp_path / "out")
    (tmp_path / "out" / FIRST).chmod(0o600)
    ta.export(dataset, tmp_path / "out", force=True)
    assert (tmp_path / "out" / FIRST).stat().st_mode & 0o777 == 0o600


def half_done(project: Path, out: Path) -> None:
    """What an export into an empty folder leaves that is killed when one file has its place."""
    shutil.copytree(project, out / ".export.ready")
    (out / "tilt_series").mkdir()
    (out / ".export.ready" / FIRST).rename(out / FIRST)
    (out / ".export.lock").touch()


def test_the_next_run_moves_what_a_killed_one_has_not(project: Path, dataset: Path, tmp_path: Path) -> None:
    half_done(project, tmp_path / "out")
    with pytest.raises(ta.DatasetError, match="not empty"):
        ta.export(dataset, tmp_path / "out")
    assert files(tmp_path / "out") == files(project)
    half_done(project, tmp_path / "other")
    ta.export(dataset, tmp_path / "other", force=True)
    assert files(tmp_path / "other") == files(project)


def test_what_was_not_complete_is_cleared_away(project: Path, dataset: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "out" / ".export.staging-1", tmp_path / ".new.staging-2"):
        shutil.copytree(project, folder)
    ta.export(dataset, tmp_path / "out")
    ta.export(dataset, tmp_path / "new")
    assert files(tmp_path / "out") == files(tmp_path / "new") == files(project)
    assert sorted(os.listdir(tmp_path)) == ["new", "out"]


def test_what_looks_like_it_and_is_not_stays(project: Path, dataset: Path, tmp_path: Path) -> None:
    names = [".new.staging", ".new.staging-x", ".newer.staging-1", ".new.staging.staging-3"]
    for name in names:
        (tmp_path / name).mkdir()
    ta.export(dataset, tmp_path / "new")
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "new"])


@pytest.mark.parametrize("is_there", [False, True])
def test_one_export_at_a_time(dataset: Path, tmp_path: Path, is_there: bool) -> None:
    out = tmp_path / "out"
    if is_there:
        out.mkdir()
    lock = out / ".export.lock" if is_there else tmp_path / ".out.lock"
    with locked(lock, out), pytest.raises(ta.DatasetError, match="another run"):
        ta.export(dataset, out)
    ta.export(dataset, out)


@pytest.mark.parametrize("what", ["a folder for a file", "a file for a folder", "a link"])
def test_what_is_in_the_way_is_seen_before_anything_is_moved(dataset: Path, tmp_path: Path, what: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if what == "a folder for a file":
        (out / SECOND).mkdir(parents=True)
    elif what == "a file for a folder":
        (out / "tilt_series").touch()
    else:
        (out / "tomograms.star").symlink_to("elsewhere")
    before = sorted(out.rglob("*"))
    with pytest.raises(ta.DatasetError, match="in the way"):
        ta.export(dataset, out, force=True)
    assert sorted(out.rglob("*")) == before


def write_one(target: Path, *, fails: bool) -> None:
    with outgoing(target, force=False) as out:
        (out.folder / "x.star").touch()
        if fails:
            raise RuntimeError
        place(out)


def test_nothing_is_left_of_an_export_that_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_one(tmp_path / "a" / "b" / "out", fails=True)
    assert os.listdir(tmp_path) == []
    write_one(tmp_path / "a" / "b" / "out", fails=False)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "out", "x.star"]
