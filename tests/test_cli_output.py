"""An answer that nobody reads ends the command without a word; one that cannot be written is an error."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tomoarrow as ta
from tomoarrow.example import make_project

COMMANDS = {
    "a table": ["query", "ds", "SELECT * FROM tilts"],
    "csv": ["query", "ds", "SELECT * FROM tilts", "--format", "csv"],
    "parquet": ["query", "ds", "SELECT * FROM tilts", "--format", "parquet"],
    "star": ["query", "ds", "SELECT * FROM tilts", "--format", "star"],
    "what there is to ask": ["query", "ds"],
    "a description": ["inspect", "ds"],
    "a description as JSON": ["inspect", "ds", "--json"],
    "checks": ["validate", "--list", "--format", "lines"],
    "a report": ["verify", "ds", "--fast"],
    "an error as JSON": ["verify", "none", "--json"],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("output")
    ta.convert(make_project(home / "p", tomograms=3, tilts=5).tomograms_star, home / "ds")
    return home


def run(arguments: list[str], home: Path, stdout: int) -> tuple[int, str]:
    command = [sys.executable, "-m", "tomoarrow", *arguments]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, cwd=home)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_nobody_reads(arguments: list[str], home: Path) -> None:
    """As the shell has it for programs that the system ends: 128 and the number of SIGPIPE."""
    read, write = os.pipe()
    os.close(read)
    code, told = run(arguments, home, write)
    os.close(write)
    if "none" in arguments:
        assert (code, told.splitlines()[0]) == (3, "tomoarrow: none: there is no such folder")
    else:
        assert (code, told) == (141, "")


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_full_disk(arguments: list[str], home: Path) -> None:
    with open("/dev/full", "wb") as full:
        code, told = run(arguments, home, full.fileno())
    assert code == 3
    assert ("there is no such folder" if "none" in arguments else "No space left on device") in told
    assert "Traceback" not in told
    assert "Exception ignored" not in told


@pytest.mark.parametrize("sql", ["SELECT 1 AS a", "SELECT * FROM tilts", "SELECT rlnTomoName FROM tilts"])
def test_a_full_disk_is_told_of_whatever_polars_says(home: Path, sql: str) -> None:
    with open("/dev/full", "wb") as full:
        code, told = run(["query", "ds", sql, "--format", "parquet"], home, full.fileno())
    assert code == 3
    assert told.startswith("tomoarrow: no room is left, or nobody reads: ")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.arrow", "a.star"])
def test_what_is_wrong_with_a_file_is_told_where_nobody_reads(home: Path, name: str) -> None:
    read, write = os.pipe()
    os.close(read)
    code, told = run(["query", "ds", "SELECT 1 AS a", "--output", f"none/{name}"], home, write)
    os.close(write)
    assert (code, told.partition(": cannot write")[0]) == (3, f"tomoarrow: none/{name}")


def test_an_output_that_is_closed(home: Path) -> None:
    command = f"{sys.executable} -m tomoarrow inspect ds >&-"
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False, cwd=home)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_place_for_errors(home: Path, tmp_path: Path) -> None:
    star = home / "p/Tomograms/job006/tomograms.star"
    command = f"{sys.executable} -m tomoarrow convert {star} {tmp_path / 'ds'} --json 2>&-"
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stdout[:1]) == (0, "{")
    again = subprocess.run(command.replace(" --json", ""), shell=True, stdout=subprocess.PIPE, text=True, check=False)
    assert (again.returncode, again.stdout) == (3, "")


@pytest.mark.parametrize("command", ["", "nohup "], ids=["the terminal is gone", "nohup"])
def test_what_nohup_has_started_outlives_its_terminal(home: Path, command: str, tmp_path: Path) -> None:
    """It hangs up while the STAR file comes through a pipe that is still open."""
    # The tests may run under nohup themselves.
    line = f"exec env --default-signal=HUP {command}{sys.executable} -m tomoarrow convert /dev/stdin {tmp_path / 'ds'}"
    started = subprocess.Popen(
        line, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert started.stdin is not None
    # Behind so much that the command has begun to read.
    started.stdin.write(b"data_a\nloop_\n_n\n" + b"1\n" * (1 << 17))
    started.send_signal(signal.SIGHUP)
    started.communicate(b"2\n", timeout=120)
    assert started.returncode == (0 if command else 130)
    assert (tmp_path / "ds").exists() is bool(command)
