"""Where the project directory is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomoarrow.relion.project import file_of, find_project, paths_outside


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


# ---- What leads out ------------------------------------------------------------------------------------------------

SECRET = "secret/other.star"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a file, a link to a disk with data, and one beside it; by another name, too."""
    home, disk = tmp_path / "project", tmp_path / "disk" / "data"
    for path in (home / "Job" / "a.star", disk / "b.star", disk.parent / "d.star", tmp_path / SECRET):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (home / "Movies").symlink_to(disk)
    (home / "c.star").symlink_to(disk / "b.star")
    (tmp_path / "alias").symlink_to(home)
    return home


INSIDE = [
    "Job/a.star",
    "./Job//a.star",
    "Job/../Job/a.star",
    "../project/Job/a.star",
    "{tmp}/project/Job/a.star",
    "{tmp}/project/../project/Job/a.star",
    "{tmp}/alias/Job/a.star",
    "Movies/b.star",
    "{tmp}/alias/Movies/b.star",
    "c.star",
    "a..b/x.star",
    "",
]
OUTSIDE = [
    "../secret/other.star",
    "../../etc/passwd",
    "Job/../../secret/other.star",
    "{tmp}/secret/other.star",
    "{tmp}/project/../secret/other.star",
    "{tmp}/project2/a.star",
    "{tmp}/alias/../secret/other.star",
    "/etc/passwd",
    "//etc/passwd",
    "/dev/zero",
    # The text says d.star of the project, the system takes that of the disk.
    "Movies/../d.star",
    "Movies/../../secret/other.star",
    "..",
    "/",
    "a\0/../b.star",
]


@pytest.mark.parametrize("path", INSIDE)
def test_inside(project: Path, tmp_path: Path, path: str) -> None:
    assert paths_outside(project, [path.format(tmp=tmp_path)]) == ()


@pytest.mark.parametrize("path", OUTSIDE)
def test_outside(project: Path, tmp_path: Path, path: str) -> None:
    named = ["Job/a.star", path.format(tmp=tmp_path)]
    found = find_project(project / "Job" / "set.star", named, project)
    assert (found.outside, found.missing) == ((1,), ())
    assert find_project(project / "Job" / "set.star", named, project, allow_outside=True).outside == ()


@pytest.mark.parametrize("path", INSIDE + OUTSIDE)
def test_all_is_outside_of_the_root_of_the_file_system(tmp_path: Path, path: str) -> None:
    assert paths_outside(Path("/"), [path.format(tmp=tmp_path)]) == (0,)


#: Where a file at Job/job001/set.star of the project is found to belong, by what it names and where one stands.
FOUND = [
    # Relative paths tell; those that lead out do not count.
    (["Job/a.star", "../secret/other.star"], "..", "project"),
    (["Job/a.star", "{tmp}/secret/other.star"], "..", "project"),
    # Absolute paths tell nothing: where RELION has worked does.
    (["{tmp}/project/Job/a.star"], "..", "project"),
    (["{tmp}/secret/other.star"], "../secret", "project"),
    (["/etc/passwd"], "/", "project"),
    # Not the whole file system, though the path is there.
    (["etc/passwd"], "/", None),
]


@pytest.mark.parametrize(("paths", "here", "expected"), FOUND)
def test_paths_that_lead_out_find_no_project(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str], here: str, expected: str | None
) -> None:
    star = project / "Job" / "job001" / "set.star"
    star.parent.mkdir()
    monkeypatch.chdir(project / here)
    found = find_project(star, [path.format(tmp=tmp_path) for path in paths])
    if expected is not None:
        assert found.directory == tmp_path / expected
    assert {*found.outside, *found.missing} == {i for i, path in enumerate(paths) if "Job/a" not in path}


@pytest.mark.parametrize(
    ("mark", "here", "expected"),
    [
        ("default_pipeline.star", ".", "project"),
        (".gui_projectdir", ".", "project"),
        # Who stands above the file means what is below.
        (None, ".", ""),
        (None, "project", "project"),
        # Else the file's own folder; never the root.
        (None, "secret", "project/Job"),
        (None, "/", "project/Job"),
    ],
)
def test_where_only_absolute_paths_are_named(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str | None, here: str, expected: str
) -> None:
    if mark is not None:
        (project / mark).touch()
    monkeypatch.chdir(tmp_path / here)
    assert find_project(project / "Job" / "a.star", ["/etc/passwd"]).directory == tmp_path / expected


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("a/b.mrc", "a/b.mrc"),
        ("000003@a/b.mrcs", "a/b.mrcs"),
        ("a/b.ctf:mrc", "a/b.ctf"),
        ("3@a/b:mrcs", "a/b"),
        ("3@me@lab/b.mrcs", "me@lab/b.mrcs"),
        ("C:/x/b.mrc", "C:/x/b.mrc"),
    ],
)
def test_the_file_of_an_image_path(path: str, file: str) -> None:
    assert file_of(path) == file
