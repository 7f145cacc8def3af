"""`tomoarrow query` and `tomoarrow inspect` of projects, as commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tomoarrow as ta
from tomoarrow.example import Example, make_project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Example:
    made = make_project(tmp_path_factory.mktemp("query") / "project", tomograms=3, tilts=5, particles=2)
    assert made.optimisation_set_star is not None
    ta.convert(made.optimisation_set_star, made.directory.parent / "dataset")
    return made


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tomoarrow", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})


def test_what_there_is_to_ask(made: Example) -> None:
    done = run("query", made.directory.parent / "dataset")
    assert done.returncode == 0
    for word in ("trajectories", "rlnDefocusU", "ctf: ", "motion: ", "dose: ", "shifts: ", "missing: ", "particles: "):
        assert word in done.stdout
    assert "lacks" not in done.stdout


@pytest.mark.parametrize(
    ("sql", "shown"),
    [("SELECT COUNT(*) AS n, NULL AS x FROM trajectories", "30"), ("particles", "TS_02")],
)
def test_answers_on_the_terminal(made: Example, sql: str, shown: str) -> None:
    done = run("query", made.directory.parent / "dataset", sql)
    assert (done.returncode, done.stderr) == (0, "")
    assert shown in done.stdout


def test_answers_as_files(made: Example, tmp_path: Path) -> None:
    dataset, sql = made.directory.parent / "dataset", "SELECT rlnTomoName, tilt_count FROM tomograms"
    expected = [("TS_01", 5), ("TS_02", 5), ("TS_03", 5)]
    csv = run("query", dataset, sql, "--format", "csv")
    assert csv.stdout == "rlnTomoName,tilt_count\nTS_01,5\nTS_02,5\nTS_03,5\n"
    assert run("query", dataset, sql, "-o", tmp_path / "a.star").returncode == 0
    table = ta.read_table(tmp_path / "a.star")
    assert list(zip(*table.to_pydict().values(), strict=True)) == expected


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["SELECT nope FROM tilts"], 2, "nope"),
        (["SELECT * FROM read_csv('/etc/hostname')"], 2, "outside of the dataset"),
    ],
)
def test_what_cannot_be_answered(made: Example, arguments: list[str], code: int, message: str) -> None:
    done = run("query", made.directory.parent / "dataset", *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_no_dataset(tmp_path: Path) -> None:
    done = run("query", tmp_path, "SELECT 1")
    assert done.returncode == 3
    assert "not a tomoarrow dataset" in done.stderr
    absent = run("query", tmp_path / "absent", "SELECT 1")
    assert absent.returncode == 3
    assert "absent: there is no such folder" in absent.stderr
    assert "check the path" in absent.stderr


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "choose another folder, or restore the manifest"),
        ("{}", "choose another folder"),
        ('{"format": "tomoarrow dataset", "format_version": 1}', "restore it from a backup, or remove the dataset"),
    ],
)
def test_what_to_do_about_a_broken_manifest(tmp_path: Path, text: str, remedy: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    done = run("query", tmp_path, "SELECT 1")
    assert done.returncode == 3
    assert remedy in done.stderr


def test_inspect_a_folder_that_is_neither(tmp_path: Path) -> None:
    done = run("inspect", tmp_path)
    assert done.returncode == 3
    assert "neither a dataset nor a project" in done.stderr


def test_inspect_a_project(made: Example) -> None:
    done = run("inspect", made.directory, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["what"]) == (0, "RELION project")
    assert {each["path"]: (each["kind"], each["counts"]) for each in found["sets"]} == {
        "Extract/job009/particles.star": ("particle set", {"particles": 6, "tomograms": 3, "optics groups": 2}),
        "Polish/job011/motion.star": ("trajectory set", {"trajectories": 6, "rows": 30}),
        "Polish/job011/optimisation_set.star": ("optimisation set", {"files": 3}),
        "Tomograms/job006/tomograms.star": ("tomogram set", {"tomograms": 3}),
    }
    assert "Extract/job009/particles.star" in run("inspect", made.directory).stdout
    assert "6 trajectories" in run("inspect", made.trajectories_star).stdout
