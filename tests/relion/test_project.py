"""Where the project directory is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomoarrow.relion.project import find_project


@pytest.fixture
def star(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A STAR file of a job, in a project two folders below the current directory."""
    folder = tmp_path / "here" / "project" / "Extract" / "job009"
    folder.mkdir(parents=True)
    (folder / "particles.star").touch()
    (tmp_path / "here" / "project" / "Polish" / "job008").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    return folder / "set.star"


@pytest.mark.parametrize(
    ("paths", "missing"),
    [
        (["Extract/job009/particles.star"], ()),
        (["Extract/job009/particles.star", "Polish/job008/motion.star"], (1,)),
        # Nothing that is named is there: the folders tell.
        (["Polish/job008/motion.star", "Gone/job001/x.star"], (0, 1)),
    ],
)
def test_above_the_file(star: Path, paths: list[str], missing: tuple[int, ...]) -> None:
    found = find_project(star, paths)
    assert found.directory == star.parents[2]
    assert found.missing == missing
    assert found.how == "above the STAR file"


def test_nothing_tells(star: Path) -> None:
    found = find_project(star, ["x.star"])
    assert (found.directory, found.how, found.missing) == (Path.cwd(), "current directory", (0,))
