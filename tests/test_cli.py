"""The command line: what it prints, where, and with which exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.dataset.projects import loop, tilts, write_project
from tomoarrow.cli.app import app
from tomoarrow.example import Example, make_project


def run(
    *arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tomoarrow", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **(env or {})},
    )


def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The same in this process, where all is imported; what would be a traceback is raised."""
    command = [str(argument) for argument in arguments]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, command, catch_exceptions=False)
    return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)


def test_convert(small_project: Example, tmp_path: Path) -> None:
    done = run("convert", small_project.tomograms_star, tmp_path / "ds")
    assert done.returncode == 0, done.stderr
    assert "7 tomograms, 35 tilts in 4 files" in done.stdout
    assert f"project directory: {small_project.directory} (above the STAR file)" in done.stdout
    again = run("convert", small_project.tomograms_star, tmp_path / "ds")
    assert again.returncode == 3
    assert "a dataset is there already" in again.stderr
    assert "Traceback" not in again.stderr
    assert again.stdout == ""


def test_options_as_relion_users_type_them(small_project: Example, tmp_path: Path) -> None:
    done = run("convert", "--i", small_project.tomograms_star, "--o", tmp_path / "ds", "--j", 2)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ds" / "manifest.json").exists()


def test_json_is_one_report_and_nothing_else(small_project: Example, tmp_path: Path) -> None:
    done = run("convert", small_project.tomograms_star, tmp_path / "ds", "--json")
    report = json.loads(done.stdout)
    assert (report["tomograms"], report["tilts"], report["rejects"], report["warnings"]) == (7, 35, 0, [])
    assert done.stderr == ""
    failed = run_here("convert", tmp_path / "none.star", tmp_path / "ds2", "--json")
    assert failed.returncode == 3
    error = json.loads(failed.stdout)
    assert (error["error"], error["exit_code"]) == ("MissingFileError", 3)
    assert error["errors"][0]["path"].endswith("none.star")


def test_what_comes_through_a_pipe_of_the_shell_belongs_to_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "a.star").write_text(loop("particles", ["rlnMicrographName"], [["a.mrc"]]))
    command = f"cat a.star | {sys.executable} -m tomoarrow convert /dev/stdin ds --json"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, cwd=tmp_path)
    report = json.loads(done.stdout)
    assert (report["project"], report["project_how"]) == (str(tmp_path), "current directory")


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert"],
        ["convert", "x.star"],
        ["convert", "a", "b", "--missing", "maybe"],
        ["convert", "a", "b", "--j", "0"],
        ["no"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_what_was_left_out_is_1_and_said(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {"a": tilts("a", 2), "b": tilts("b", 2)})
    (tmp_path / "p" / "tilt_series" / "1.star").unlink()
    refused = run_here("convert", star, tmp_path / "ds")
    assert refused.returncode == 3
    assert "the tilt-series file of tomogram 'b' is not there" in refused.stderr
    assert "--missing skip" in refused.stderr
    skipped = run("convert", star, tmp_path / "ds", "--missing", "skip")
    assert skipped.returncode == 1
    assert "left out: 1 tomogram whose" in skipped.stdout
    assert "rejects: 1" in skipped.stdout


def test_a_bad_row_is_3_with_its_place(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {"a": loop("a", ["rlnA", "rlnB"], [[1, 2], [3]])})
    done = run("convert", star, tmp_path / "ds")
    assert done.returncode == 3
    assert "tilt_series/0.star:7:1 (block 'data_a'): a row of 1 value in a loop of 2 labels" in done.stderr
    assert not (tmp_path / "ds").exists()


def test_inspect_a_star_file_and_a_dataset(small_project: Example, tmp_path: Path) -> None:
    done = run("inspect", small_project.tomograms_star)
    assert done.returncode == 0, done.stderr
    assert "data_global: 7 rows" in done.stdout
    assert "rlnTomoTiltSeriesPixelSize" in done.stdout
    assert "angstrom" in done.stdout
    run_here("convert", small_project.tomograms_star, tmp_path / "ds")
    shown = run_here("inspect", tmp_path / "ds")
    assert "tilts: 35 rows in 1 file" in shown.stdout
    described = json.loads(run_here("inspect", tmp_path / "ds", "--json").stdout)
    assert {table["name"]: table["rows"] for table in described["tables"]} == {
        "tilts": 35,
        "tomograms": 7,
        "star": 8,
        "sources": 8,
    }
    blocks = json.loads(run_here("inspect", small_project.tomograms_star, "--json").stdout)["blocks"]
    assert blocks[0]["loops"][0]["columns"][0]["name"] == "rlnTomoName"
    assert run_here("inspect", tmp_path).returncode == 3
    odd = tmp_path / "odd.star"
    odd.write_text("data_[/x]\n_a [/abc]\n_b [red]x\n_rlnVoltage nan\nloop_\n_[c]\n1\n")
    shown = run_here("inspect", odd)
    assert shown.returncode == 0, shown.stderr
    assert all(text in shown.stdout for text in ("data_[/x]", "[/abc]", "[red]x", "[c]"))
    assert json.loads(run_here("inspect", odd, "--json").stdout)["blocks"][0]["pairs"]["rlnVoltage"] == "nan"


def test_example_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        done = run("example", tmp_path / name, "--tomograms", 3, "--tilts", 4)
        assert done.returncode == 0
        assert "3 tomograms, 12 tilts" in done.stdout
    texts = [
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.star")}
        for name in ("a", "b")
    ]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 4
    assert run_here("example", tmp_path / "a").returncode == 3


def test_an_example_with_particles_names_its_optimisation_set(tmp_path: Path) -> None:
    done = run("example", tmp_path / "p", "--tomograms", 2, "--tilts", 3, "--particles", 4)
    assert done.returncode == 0
    optimisation_set = tmp_path / "p" / "Polish" / "job011" / "optimisation_set.star"
    assert done.stdout == f"2 tomograms, 6 tilts, 8 particles: {optimisation_set}\n"
    assert optimisation_set.is_file()
    assert run_here("example", tmp_path / "q", "--tilts", 0, "--particles", 4).returncode == 2


@pytest.mark.timeout(600)
def test_warmup_fills_a_cache_and_without_it_a_run_says_why_it_takes_longer(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    done = run("warmup", "--cache-dir", cache)
    assert done.returncode == 0, done.stderr
    assert "kernels ready" in done.stdout
    assert len(list(cache.rglob("*.nbc"))) >= 12
    # By the first of them a run knows that there is no cache; all would take long.
    for kernel in ("gather.find_invalid_utf8", "numbers.ints", "rows.count_bare"):
        kept = list(cache.rglob(f"{kernel}_*"))
        assert len(kept) >= 2
        for path in kept:
            path.unlink()
    done = run("demo", env={"TMPDIR": str(tmp_path), "NUMBA_CACHE_DIR": str(cache)})
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("compiling kernels, on the first run only") == 1
    assert "40 tomograms, 1640 tilts" in done.stdout
    assert "scan_parquet" in done.stdout
    assert done.stdout.count("TS_") >= 5


def test_version() -> None:
    from tomoarrow import __version__

    assert run("--version").stdout == f"tomoarrow {__version__}\n"


def test_one_progress_bar_on_a_terminal(small_project: Example, tmp_path: Path) -> None:
    import pty

    main, side = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "tomoarrow", "convert", str(small_project.tomograms_star), str(tmp_path / "ds")],
        stderr=side,
        stdout=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(side)
    shown = b""
    while True:
        try:
            chunk = os.read(main, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    assert done.communicate()[0]
    assert done.returncode == 0
    assert b"7/7" in shown
    assert b"tomograms" in shown


def test_a_conversion_in_parts_refuses_too_many_rejects(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=7, tilts=5)
    (made.tomograms_star.parent / "tilt_series" / "TS_03.star").unlink()
    dataset = tmp_path / "a dataset"
    planned = run("plan", made.tomograms_star, dataset, "--parts", 1, "--missing", "skip")
    assert "1 part of 7 tomograms" in planned.stdout, planned.stderr
    assert f"tomoarrow finalise '{dataset}'" in planned.stdout
    assert "part 0: 7 tomograms, 30 tilts" in run_here("partition", dataset, "--part", 0).stdout
    refused = run_here("finalise", dataset, "--max-rejects", 0)
    assert refused.returncode == 3
    assert "1 reject, more than 0" in refused.stderr
    assert run_here("finalise", dataset, "--max-rejects", 1).returncode == 1
