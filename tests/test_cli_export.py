"""``export`` and ``verify`` on the command line: what they print, where, and with which exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from tests.dataset.projects import tilts, write_project
from tomoarrow import convert
from tomoarrow.cli.app import app
from tomoarrow.example import Example

GLOBAL = "Tomograms/job006/tomograms.star"
SECOND = "Tomograms/job006/tilt_series/TS_02.star"


def run(*arguments: object) -> Result:
    """The command line, in this process."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def dataset(small_project: Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of `small_project`. Read only."""
    folder = tmp_path_factory.mktemp("cli") / "ds"
    convert(small_project.tomograms_star, folder)
    return folder


def test_verify_in_a_process_of_its_own(small_project: Example, dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(small_project.directory, tmp_path / "p")
    (tmp_path / "p" / SECOND).unlink()
    command = [sys.executable, "-m", "tomoarrow", "verify", str(dataset), "--against", str(tmp_path / "p"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert [each["file"] for each in json.loads(done.stdout)["differences"]] == [SECOND]


def test_export_says_what_it_wrote(small_project: Example, dataset: Path, tmp_path: Path) -> None:
    done = run("export", dataset, tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'out'}: 7 tomograms, 35 tilts in 8 STAR files" in done.stdout
    assert "warning" not in done.stdout
    assert files_below(tmp_path / "out") == files_below(small_project.directory)


def test_options_as_relion_users_type_them(small_project: Example, dataset: Path, tmp_path: Path) -> None:
    for number, arguments in enumerate([["--i", dataset, "--o"], ["--i", dataset], [dataset, "--o"]]):
        out = tmp_path / str(number)
        done = run("export", *arguments, out)
        assert done.exit_code == 0, done.output
        assert files_below(out) == files_below(small_project.directory)
    assert run("export", dataset, out, "--o", out).exit_code == 2


def test_export_json_is_one_report_and_nothing_else(dataset: Path, tmp_path: Path) -> None:
    done = run("export", dataset, tmp_path / "out", "--json")
    report = json.loads(done.stdout)
    assert (report["tomograms"], report["tilts"], report["files"], report["warnings"]) == (7, 35, 8, [])
    assert report["bytes"] == sum(len(data) for data in files_below(tmp_path / "out").values())
    assert report["directory"] == str(tmp_path / "out")
    assert (done.exit_code, done.stderr) == (0, "")
    failed = run("export", dataset, tmp_path / "out", "--json")
    error = json.loads(failed.stdout)
    assert (failed.exit_code, error["error"], error["exit_code"]) == (3, "DatasetError", 3)
    assert "--force" in error["errors"][0]["remedy"]
    assert failed.stderr == ""


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--tomograms", "TS_02"], ["TS_02"]),
        (["--tomograms", "TS_05", "--tomograms", "TS_02"], ["TS_02", "TS_05"]),
        (["--where", "rlnTomoName > 'TS_05'"], ["TS_06", "TS_07"]),
        (["--where", "tilt_index < 2 AND rlnTomoName = 'TS_03'", "--tomograms", "TS_03"], ["TS_03"]),
        (["--where", "tilt_index < 0"], []),
    ],
    ids=" ".join,
)
def test_selections(dataset: Path, tmp_path: Path, options: list[str], names: list[str]) -> None:
    done = run("export", dataset, tmp_path / "out", *options)
    assert done.exit_code in (0, 1), done.output
    expected = {f"Tomograms/job006/tilt_series/{name}.star" for name in names} | {GLOBAL}
    assert set(files_below(tmp_path / "out")) == expected
    shown = (tmp_path / "out" / GLOBAL).read_text()
    assert [f"TS_0{i}" in shown for i in range(1, 8)] == [f"TS_0{i}" in names for i in range(1, 8)]


def test_force_writes_among_other_files(small_project: Example, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    refused = run("export", dataset, tmp_path / "out")
    assert refused.exit_code == 3
    assert "the folder is not empty" in refused.stderr
    assert "--force" in refused.stderr
    assert refused.stdout == ""
    assert files_below(tmp_path / "out") == {"notes.txt": b"mine"}
    assert run("export", dataset, tmp_path / "out", "--force").exit_code == 0
    assert files_below(tmp_path / "out") == {**files_below(small_project.directory), "notes.txt": b"mine"}


def test_what_was_left_out_is_said(small_project: Example, dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "ds")
    (part,) = (tmp_path / "ds" / "tilts").iterdir()
    pl.read_parquet(part).filter(pl.col("rlnTomoName").cast(pl.String) != "TS_02").write_parquet(part)
    done = run("export", tmp_path / "ds", tmp_path / "out")
    assert "6 tomograms, 30 tilts in 7 STAR files" in done.stdout
    assert "warning: 1 tomogram without a tilt left: left out (TS_02)" in done.stdout
    differs = run("verify", tmp_path / "ds")
    assert differs.exit_code == 1
    assert f"{SECOND}: extra: " in differs.stdout
    assert f"{GLOBAL}: values: 7 rows in the file, 6 in the dataset" in differs.stdout
    assert "7 files, values equal in 6, bytes equal in 6" in differs.stdout
    assert run("verify", tmp_path / "ds", "--against", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["export"],
        ["export", "DATASET"],
        ["export", "--i", "DATASET"],
        ["export", "DATASET", "OUT", "--tomograms", "TS_99"],
        ["export", "DATASET", "OUT", "--where", "noSuchLabel > 1"],
        ["export", "DATASET", "OUT", "--where", "rlnDefocusU >"],
        ["export", "DATASET", "OUT", "--where"],
        ["export", "DATASET", "OUT", "--no-such-option"],
        ["verify"],
        ["verify", "DATASET", "OUT"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(dataset: Path, tmp_path: Path, arguments: list[str]) -> None:
    places = {"DATASET": str(dataset), "OUT": str(tmp_path / "out")}
    done = run(*(places.get(argument, argument) for argument in arguments))
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["export", "verify"])
@pytest.mark.parametrize("what", ["no such folder", "no dataset", "a file"])
def test_what_is_no_dataset_is_3(tmp_path: Path, command: str, what: str) -> None:
    place = tmp_path / "ds"
    if what == "no dataset":
        place.mkdir()
    elif what == "a file":
        place.write_text("x")
    done = run(command, place, *([tmp_path / "out"] if command == "export" else []))
    assert done.exit_code == 3
    assert str(place) in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


# ---- verify --------------------------------------------------------------------------------------------------------


def test_verify_says_what_is_equal(small_project: Example, dataset: Path) -> None:
    done = run("verify", dataset)
    assert done.exit_code == 0, done.output
    assert f"{dataset} against {small_project.directory}: 8 files" in done.stdout
    assert "values equal in 8, bytes equal in 8" in done.stdout
    report = json.loads(run("verify", dataset, "--json").stdout)
    assert (report["files"], report["values_equal"], report["bytes_equal"], report["differences"]) == (8, 8, 8, [])


def test_verify_says_what_differs(small_project: Example, dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(small_project.directory, tmp_path / "p")
    first = tmp_path / "p" / SECOND.replace("TS_02", "TS_01")
    first.write_text(first.read_text().replace("50001", "50002"))
    second = tmp_path / "p" / SECOND
    second.write_text(second.read_text().replace(" 85.000000 ", " 85.000001 ", 1))
    (tmp_path / "p" / SECOND.replace("TS_02", "TS_03")).unlink()
    done = run("verify", dataset, "--against", tmp_path / "p")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert [line.split(": ")[:2] for line in lines[:-1]] == [
        [SECOND.replace("TS_02", "TS_01"), "bytes"],
        [SECOND, "bytes"],
        [SECOND, "values"],
        [SECOND.replace("TS_02", "TS_03"), "missing"],
    ]
    assert "row 0, label rlnTomoNominalTiltAxisAngle: 85.000001 in the file, 85.0 in the dataset" in lines[2]
    assert "values equal in 6, bytes equal in 5" in lines[-1]
    as_json = run("verify", dataset, "--against", tmp_path / "p", "--json")
    report = json.loads(as_json.stdout)
    assert (as_json.exit_code, report["values_equal"], report["bytes_equal"]) == (1, 6, 5)
    assert [(each["file"], each["kind"]) for each in report["differences"]] == [
        tuple(line.split(": ")[:2]) for line in lines[:-1]
    ]


def test_verify_shows_some_of_many_differences(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {f"t{i}": tilts(f"t{i}", 1) for i in range(60)})
    convert(star, tmp_path / "ds")
    shutil.rmtree(tmp_path / "p" / "tilt_series")
    done = run("verify", tmp_path / "ds")
    assert done.exit_code == 1
    assert done.stdout.count(": missing: ") == 40
    assert "... and 20 more" in done.stdout
    assert len(json.loads(run("verify", tmp_path / "ds", "--json").stdout)["differences"]) == 60


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p[red]", {"[/x]": tilts("[/x]", 2)})
    convert(star, tmp_path / "ds[/b]")
    done = run("export", tmp_path / "ds[/b]", tmp_path / "out[/i]")
    assert done.exit_code == 0, done.output
    assert "out[/i]: 1 tomogram, 2 tilts in 2 STAR files" in done.stdout
    assert "ds[/b] against" in run("verify", tmp_path / "ds[/b]").stdout
