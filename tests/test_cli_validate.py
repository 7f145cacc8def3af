"""`tomoarrow validate`: what it prints, in which form, and with which exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.relion.sound import SERIES, TOMOGRAMS, sound_project, write
from tests.test_cli import run, run_here
from tomoarrow.relion.checks import CHECKS


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The optimisation set of a project in which nothing is wrong."""
    return write(sound_project(), tmp_path / "project")


def spoil(project: Path, path: str, old: str, new: str) -> None:
    file = project.parents[2] / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_sound_project(project: Path) -> None:
    done = run("validate", project, "--files")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tomogram set of 2 tomograms, 14 tilts" in done.stdout
    assert "0 errors, 0 warnings, 0 notes" in done.stdout


def test_errors_fail(project: Path) -> None:
    spoil(project, TOMOGRAMS, "-1.0 optics1", "0.0 optics1")
    done = run("validate", project)
    assert done.returncode == 1
    for text in (
        "error",
        "tomograms whose hand is neither 1 nor -1",
        "Tomograms/job006/tomograms.star:19:",
        "set it to 1, or to",
    ):
        assert text in " ".join(done.stdout.split())
    assert "1 error, 0 warnings, 0 notes" in done.stdout


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--strict"], 1)])
def test_warnings_fail_where_strict(options: list[str], code: int, project: Path) -> None:
    spoil(project, SERIES, " -4.0 ", " 4.0 ")
    assert run_here("validate", project, *options).returncode == code


def test_lines_for_a_ci(project: Path) -> None:
    spoil(project, SERIES, "CtfFind/job003/frames/TS_01_000_0_0", "CtfFind/job003/frames/TS_01_001_3_0")
    done = run_here("validate", project, "--format", "lines")
    (line,) = done.stdout.splitlines()
    found = re.fullmatch(r"([^:]+):(\d+):(\d+): (\w+) ([\w-]+) (.+)", line)
    assert found is not None
    path, row, column, severity, code, message = found.groups()
    assert (path, severity, code) == (SERIES, "error", "row-mixed")
    text = (project.parents[2] / path).read_text().splitlines()[int(row) - 1]
    assert text[int(column) - 1 :].startswith("CtfFind/job003/frames/TS_01_001_3_0")
    assert "TS_01 row 4" in message


@pytest.mark.parametrize("option", [["--json"], ["--format", "json"]])
def test_json(option: list[str], project: Path) -> None:
    spoil(project, TOMOGRAMS, "-1.0 optics1", "0.0 optics1")
    done = run_here("validate", project, *option)
    report = json.loads(done.stdout)
    (finding,) = report["findings"]
    assert (done.returncode, report["exit_code"], finding["code"], finding["count"]) == (1, 1, "hand", 1)
    assert finding["place"]["path"] == TOMOGRAMS


def test_sarif(project: Path) -> None:
    """The parts that the standard (SARIF 2.1.0, section 3) requires, and those that CI services show."""
    spoil(project, TOMOGRAMS, "-1.0 optics1", "0.0 optics1")
    log = json.loads(run_here("validate", project, "--format", "sarif").stdout)
    assert log["version"] == "2.1.0"
    (sarif_run,) = log["runs"]
    driver = sarif_run["tool"]["driver"]
    assert driver["name"] == "tomoarrow"
    (result,) = sarif_run["results"]
    assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "hand"
    assert result["level"] == "error"
    assert result["message"]["text"].startswith("tomograms whose hand is neither 1 nor -1")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": TOMOGRAMS, "uriBaseId": "PROJECT"}
    assert place["region"]["startLine"] == 19
    assert sarif_run["originalUriBaseIds"]["PROJECT"]["uri"] == f"{project.parents[2].as_uri()}/"
    assert {rule["defaultConfiguration"]["level"] for rule in driver["rules"]} == {"error", "warning", "note"}


def test_the_list_of_checks() -> None:
    done = run_here("validate", "--list", "--format", "lines")
    assert done.returncode == 0
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [check.code for check in CHECKS]
    assert "missing-star" in run_here("validate", "--list").stdout
    assert [check["code"] for check in json.loads(run_here("validate", "--list", "--json").stdout)] == [
        check.code for check in CHECKS
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "INPUT is needed"),
        (["nowhere.star"], 3, "nowhere.star"),
        (["--project", "nowhere", "PROJECT"], 3, "the project directory is not a directory"),
    ],
)
def test_what_is_refused(arguments: list[str], code: int, text: str, project: Path) -> None:
    done = run_here("validate", *[str(project) if each == "PROJECT" else each for each in arguments])
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr


def test_the_project_directory_is_given(project: Path, tmp_path: Path) -> None:
    """From elsewhere all that the set names is missing: each label is told of once."""
    report = json.loads(run_here("validate", project, "--project", tmp_path, "--json").stdout)
    assert report["project"] == str(tmp_path)
    assert [finding["code"] for finding in report["findings"]] == ["missing-star"] * 4
