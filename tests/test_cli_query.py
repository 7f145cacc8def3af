"""`tomoarrow query` and `tomoarrow inspect` of projects, as commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tomoarrow as ta
from tests.test_cli import run, run_here
from tomoarrow.example import Example, make_project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Example:
    made = make_project(tmp_path_factory.mktemp("query") / "project", tomograms=3, tilts=5, particles=2)
    assert made.optimisation_set_star is not None
    ta.convert(made.optimisation_set_star, made.directory.parent / "dataset")
    return made


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
    done = run_here("query", made.directory.parent / "dataset", sql)
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
    done = run_here("query", made.directory.parent / "dataset", *arguments)
    assert done.returncode == code
    assert message in done.stderr


def test_no_dataset(tmp_path: Path) -> None:
    done = run_here("query", tmp_path, "SELECT 1")
    assert done.returncode == 3
    assert "not a tomoarrow dataset" in done.stderr
    absent = run_here("query", tmp_path / "absent", "SELECT 1")
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
    done = run_here("query", tmp_path, "SELECT 1")
    assert done.returncode == 3
    assert remedy in done.stderr


def test_inspect_a_folder_that_is_neither(tmp_path: Path) -> None:
    done = run_here("inspect", tmp_path)
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
    assert "Extract/job009/particles.star" in run_here("inspect", made.directory).stdout
    assert "6 trajectories" in run_here("inspect", made.trajectories_star).stdout


def narrow(*arguments: object, cwd: Path) -> str:
    """What a terminal of 80 columns shows."""
    command = [sys.executable, "-m", "tomoarrow", *map(str, arguments)]
    env = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env, cwd=cwd).stdout


def test_inspect_cuts_no_label_and_no_path_on_a_narrow_terminal(made: Example) -> None:
    home = made.directory.parent
    shown = narrow("inspect", "project", cwd=home)
    assert "\nTomograms/job006/tomograms.star: tomogram set, 3 tomograms\n" in shown
    assert "  rlnTomoTiltSeriesStarFile: 3 files, Tomograms/job006/tilt_series/TS_01.star, ..." in shown
    words = narrow("inspect", "dataset", cwd=home).split()
    columns = {
        column["name"] for t in ta.Dataset(home / "dataset").manifest["tables"].values() for column in t["columns"]
    }
    assert columns <= {*words}


def test_a_place_in_a_file_is_shown_as_it_is(tmp_path: Path) -> None:
    """``:100:`` is the name of an emoji, too."""
    (tmp_path / "a.star").write_text("#\n" * 94 + "data_a\nloop_\n_n\n\n1\n\n2\n")
    for arguments in (["convert", "a.star", "d"], ["inspect", "a.star"], ["inspect", "d"]):
        assert "a.star:100:1" in narrow(*arguments, cwd=tmp_path)


def test_what_to_ask_next_is_quoted_for_the_shell(made: Example, tmp_path: Path) -> None:
    (tmp_path / "a [b] c").symlink_to(made.directory.parent / "dataset")
    assert "\ntomoarrow query 'a [b] c' ctf\n" in narrow("query", "a [b] c", cwd=tmp_path)


def test_options_as_relion_users_type_them(made: Example, tmp_path: Path) -> None:
    dataset = made.directory.parent / "dataset"
    assert run("query", "--i", dataset, "particles", "--o", tmp_path / "a.csv").returncode == 0
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 4
    assert run("query", "--i", dataset).stdout == run("query", dataset).stdout
    assert run("inspect", "--i", dataset).stdout == run("inspect", dataset).stdout
    assert "PATH is needed" in run("inspect").stderr
    assert "DATASET is needed" in run("query").stderr
    refused = run("query", "--i", dataset, dataset, "particles")
    assert (refused.returncode, "DATASET is needed, not also particles" in refused.stderr) == (2, True)


def test_a_conversion_in_parts_as_relion_users_type_it(made: Example, tmp_path: Path) -> None:
    set_, dataset = made.tomograms_star, tmp_path / "d"
    for arguments in (
        ["plan", "--i", set_, "--o", dataset, "--parts", 1],
        ["partition", "--o", dataset, "--part", 0, "--j", 1],
        ["finalise", "--o", dataset, "--j", 1],
    ):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
    assert ta.Dataset(dataset).tomograms.collect().height == 3
    assert "INPUT and DATASET are needed" in run("plan", "--parts", 1).stderr


def test_a_damaged_file_is_no_bug(made: Example, tmp_path: Path) -> None:
    ta.convert(made.tomograms_star, tmp_path / "d")
    (tmp_path / "d/tilts/part-00000.parquet").write_bytes(b"PAR1" * 10)
    for arguments in (
        ["query", tmp_path / "d", "SELECT * FROM tilts"],
        ["report", tmp_path / "d", "-o", tmp_path / "r"],
    ):
        done = run(*arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (3, False)
        assert "tomoarrow verify DATASET --fast" in done.stderr
