"""A conversion in parts gives what one in one gives, however often and in whatever order parts are done."""

import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import tomoarrow as ta
from tests.dataset.processes import PROCESSES
from tests.dataset.projects import loop, write_project
from tests.dataset.updating.test_update import Project, check_equal
from tomoarrow.dataset.parts import assembling, partition
from tomoarrow.dataset.parts.planning import Plan, part_folder, read_plan, read_rows, slurm_script
from tomoarrow.dataset.tables import writing
from tomoarrow.example import make_project

LEFT_OUT = {"missing": "skip", "on_bad_value": "null", "on_bad_file": "skip"}


def in_parts(star: Path, dataset: Path, parts: int, **options: object) -> ta.Report:
    made = ta.plan(star, dataset, parts=parts, **options)  # type: ignore[arg-type]
    for part in reversed(range(made.parts)):
        ta.partition(dataset, part)
    return ta.finalise(dataset)


@pytest.mark.parametrize("partition_by", [None, "rlnOpticsGroupName"])
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))])
def test_parts_give_what_one_conversion_gives(tmp_path: Path, seed: int, partition_by: str | None) -> None:
    rng = random.Random(seed)
    project = Project(tmp_path / "p", rng)
    for _ in range(6):
        project.edit()
    options = LEFT_OUT | {"partition_by": partition_by}
    one = ta.convert(project.star, tmp_path / "one", **options)  # type: ignore[arg-type]
    report = in_parts(project.star, tmp_path / "d", rng.choice([1, 2, 3, 5, 50]), **options)
    assert (report.rows, report.rejects, report.missing) == (one.rows, one.rejects, one.missing)
    check_equal(tmp_path / "d", tmp_path / "one")
    assert sorted(os.listdir(tmp_path)) == ["d", "one", "p"]


#: Tilt-series files of three tomograms, of which a plan sees only the first and the last.
UNLIKE = {
    "a column in the middle": (["rlnTomoYTilt"], ["rlnTomoYTilt", "rlnTomoXTilt"], "1.5"),
    "another order": (["rlnTomoYTilt", "rlnTomoXTilt"], ["rlnTomoXTilt", "rlnTomoYTilt", "labX"], "1.5"),
    "integers and floats": (["labX"], ["labX"], "1.5"),
    "integers and words": (["labX"], ["labX"], "one"),
    "large integers and floats": (["labX"], ["labX", "labX2"], "9007199254740993"),
    "an integer label that widens": (["rlnTomoTiltMovieFrameCount"], ["rlnTomoTiltMovieFrameCount"], "2.5"),
    "a label of both tables": (["rlnTomoYTilt"], ["rlnTomoYTilt", "rlnVoltage"], "7"),
}


@pytest.mark.parametrize(("labels", "others", "value"), UNLIKE.values(), ids=UNLIKE)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_columns_that_a_plan_did_not_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: list[str], others: list[str], value: str, at: int
) -> None:
    monkeypatch.setattr("tomoarrow.dataset.parts.planning._SAMPLE", 2)
    texts = {name: loop(name, labels, [["1"] * len(labels)]) for name in "abc"}
    texts["abc"[at]] = loop("abc"[at], others, [[value] * len(others)] * 2)
    star = write_project(tmp_path / "p", texts, more_labels=["rlnVoltage"], more_values={name: [300] for name in "abc"})
    ta.convert(star, tmp_path / "one")
    in_parts(star, tmp_path / "d", 3)
    check_equal(tmp_path / "d", tmp_path / "one")


@pytest.mark.parametrize("bad", ["a", "ab", "abc"])
def test_a_part_of_which_no_tilt_series_can_be_read(tmp_path: Path, bad: str) -> None:
    texts = {name: loop(name, ["rlnTomoYTilt"], [["1"]]) + ("1 2" if name in bad else "") for name in "abc"}
    star = write_project(tmp_path / "p", texts)
    one = ta.convert(star, tmp_path / "one", on_bad_file="skip")
    report = in_parts(star, tmp_path / "d", 3, on_bad_file="skip")
    assert (report.rows, report.rejects) == (one.rows, one.rejects)
    check_equal(tmp_path / "d", tmp_path / "one")


def test_all_that_an_optimisation_set_names(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=7, tilts=3, particles=4)
    assert made.optimisation_set_star is not None
    ta.convert(made.optimisation_set_star, tmp_path / "one")
    in_parts(made.optimisation_set_star, tmp_path / "d", 3)
    check_equal(tmp_path / "d", tmp_path / "one")
    ta.export(tmp_path / "d", tmp_path / "out")
    for path in (tmp_path / "p").rglob("*.star"):
        assert (tmp_path / "out" / path.relative_to(tmp_path / "p")).read_bytes() == path.read_bytes()


def test_parts_are_of_like_size_and_have_a_tomogram_each(tmp_path: Path) -> None:
    sizes = [1, 1, 300, 1, 1, 1, 50, 1, 1]
    texts = {f"T{i}": loop(f"T{i}", ["rlnTomoYTilt"], [[1.5]] * n) for i, n in enumerate(sizes)}
    star = write_project(tmp_path / "p", texts)
    for parts in (1, 2, 3, 8, 9, 100):
        made = ta.plan(star, tmp_path / "d", parts=parts)
        widths = [end - begin for begin, end in zip(made.bounds, made.bounds[1:], strict=False)]
        assert made.parts == len(widths) == min(parts, 9)
        assert sum(widths) == 9
        assert min(widths) >= 1
        assert sum(made.sizes) == sum(path.stat().st_size for path in (tmp_path / "p/tilt_series").iterdir())
    shutil.rmtree(tmp_path / "d.parts")
    alike = make_project(tmp_path / "q", tomograms=100, tilts=3)
    made = ta.plan(alike.tomograms_star, tmp_path / "d", parts=7)
    assert max(made.sizes) < 1.1 * min(made.sizes)


def test_what_is_not_done_is_named(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=4, tilts=2)
    ta.plan(made.tomograms_star, tmp_path / "d", parts=4)
    ta.partition(tmp_path / "d", 1)
    with pytest.raises(ta.DatasetError, match=r"3 of 4 parts are not done.*: 0, 2, 3"):
        ta.finalise(tmp_path / "d")
    assert sorted(os.listdir(tmp_path)) == ["d.parts", "p"]
    with pytest.raises(ta.UsageError, match="no part 4"):
        ta.partition(tmp_path / "d", 4)
    for part in (0, 2, 3):
        ta.partition(tmp_path / "d", part)
    assert ta.finalise(tmp_path / "d").tilts == 8
    for work in (ta.finalise, lambda path: ta.partition(path, 0)):
        with pytest.raises(ta.DatasetError, match="no plan"):
            work(tmp_path / "d")


@pytest.mark.parametrize("threads", [0, -1])
def test_no_step_takes_fewer_than_one_thread(tmp_path: Path, threads: int) -> None:
    made = make_project(tmp_path / "p", tomograms=2, tilts=2, particles=2)
    ta.plan(made.optimisation_set_star, tmp_path / "d", parts=1)
    with pytest.raises(ta.UsageError, match=f"threads={threads}"):
        ta.partition(tmp_path / "d", 0, threads=threads)
    ta.partition(tmp_path / "d", 0)
    with pytest.raises(ta.UsageError, match=f"threads={threads}"):
        ta.finalise(tmp_path / "d", threads=threads)


def test_what_changes_after_it_was_done_is_done_again(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=4, tilts=2)
    ta.plan(made.tomograms_star, tmp_path / "d", parts=2)
    for part in (0, 1):
        ta.partition(tmp_path / "d", part)
    path = made.tomograms_star.parent / "tilt_series/TS_03.star"
    text = path.read_text()
    path.write_text(text + "\n")
    with pytest.raises(ta.DatasetError, match="have changed since: 1"):
        ta.finalise(tmp_path / "d")
    ta.partition(tmp_path / "d", 1)
    made.tomograms_star.write_text(made.tomograms_star.read_text().replace("TS_01", "TS_1"))
    for work in (ta.finalise, lambda dataset: ta.partition(dataset, 0)):
        os.utime(made.tomograms_star.parent / "tilt_series/TS_01.star")
        with pytest.raises(ta.DatasetError, match="changed since"):
            work(tmp_path / "d")


def test_what_to_run_next_is_quoted_for_the_shell(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=2, tilts=2)
    dataset = tmp_path / "my data"
    ta.plan(made.tomograms_star, dataset, parts=2)
    with pytest.raises(ta.DatasetError, match="2 of 2 parts are not done") as error:
        ta.finalise(dataset)
    assert shlex.split(error.value.remedy)[:4] == ["tomoarrow", "partition", str(dataset), "--part"]


def test_a_file_that_changes_before_its_part_is_converted_again_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The columns of all are known by then: one that is new would be left out without a word."""
    monkeypatch.setattr("tomoarrow.dataset.parts.planning._SAMPLE", 2)
    texts = {name: loop(name, ["labX"], [[value]]) for name, value in zip("abc", ["1", "1.5", "1"], strict=True)}
    star = write_project(tmp_path / "p", texts)
    ta.plan(star, tmp_path / "d", parts=3)
    for part in range(3):
        ta.partition(tmp_path / "d", part)
    convert_part = assembling.convert_part

    def changing(plan: Plan, part: int, *arguments: object) -> object:
        if not part:
            (tmp_path / "p/tilt_series/0.star").write_text(loop("a", ["labX", "labY"], [["1", "2"]]))
        return convert_part(plan, part, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(assembling, "convert_part", changing)
        with pytest.raises(ta.DatasetError, match=r"1 file changed while being read, such as tilt_series/0.star"):
            ta.finalise(tmp_path / "d")
    assert not (tmp_path / "d").exists()
    ta.finalise(tmp_path / "d")
    ta.convert(star, tmp_path / "one")
    check_equal(tmp_path / "d", tmp_path / "one")


@pytest.mark.parametrize("moment", ["before its tables are written", "before it is done"])
def test_a_part_of_a_plan_that_is_replaced_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A worker that was given up, such as one of a cluster, may go on when the next run has made its plan."""
    made, target = make_project(tmp_path / "p", tomograms=4, tilts=2), tmp_path / "d"
    ta.plan(made.tomograms_star, target, parts=2)
    step = "check_global" if moment == "before its tables are written" else "changed_since"
    function, again = getattr(partition, step), iter([True])

    def meanwhile(*arguments: Any) -> Any:
        if next(again, False):
            ta.plan(made.tomograms_star, target, parts=2)
            ta.partition(target, 1)
        return function(*arguments)

    monkeypatch.setattr(partition, step, meanwhile)
    with pytest.raises(ta.DatasetError):
        ta.partition(target, 0)
    ta.partition(target, 0)
    assert ta.finalise(target).tomograms == 4


def test_a_set_that_changes_while_finalise_reads_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_project(tmp_path / "p", tomograms=2, tilts=3, particles=2)
    assert made.optimisation_set_star is not None
    particles = next((tmp_path / "p").glob("Extract/*/particles.star"))
    before = in_parts(made.optimisation_set_star, tmp_path / "ds", 2).rows
    ta.plan(made.optimisation_set_star, tmp_path / "ds", parts=2, force=True)
    for part in range(2):
        ta.partition(tmp_path / "ds", part)
    write = writing.write_pairs

    def changing(*arguments: object) -> None:
        os.utime(particles)
        write(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_pairs", changing)
        with pytest.raises(ta.DatasetError, match=r"1 file changed while being read, such as .*particles.star"):
            ta.finalise(tmp_path / "ds")
    assert ta.Dataset(tmp_path / "ds").manifest["version"] == 1
    assert ta.finalise(tmp_path / "ds").rows == before


def test_a_dataset_is_replaced_only_when_that_was_planned(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=2, tilts=2)
    ta.convert(made.tomograms_star, tmp_path / "d")
    with pytest.raises(ta.DatasetError, match="there already"):
        ta.plan(made.tomograms_star, tmp_path / "d", parts=2)
    assert in_parts(made.tomograms_star, tmp_path / "d", 2, force=True).version == 2
    assert ta.Dataset(tmp_path / "d").verify().damages == []


@pytest.mark.parametrize(
    "text", ["data_\n", "data_global\nloop_\n_rlnTomoName\nA\n\ndata_A\nloop_\n_rlnTomoYTilt\n1\n"]
)
def test_what_is_one_file_is_not_cut(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.star").write_text(text)
    with pytest.raises(ta.UsageError, match="no set of tilt-series files"):
        ta.plan(tmp_path / "x.star", tmp_path / "d", parts=2)


def do_part(dataset: Path, part: int) -> None:
    ta.partition(dataset, part)


def do_finalise(dataset: Path, out: Path) -> None:
    try:
        out.write_text(str(ta.finalise(dataset).tilts))
    except ta.DatasetError as error:
        out.write_text(error.problem)


def test_a_part_twice_at_once_a_killed_one_and_two_who_finalise(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=60, tilts=20)
    ta.plan(made.tomograms_star, tmp_path / "d", parts=2)
    killed = PROCESSES.Process(target=do_part, args=(tmp_path / "d", 0))
    killed.start()
    deadline = time.monotonic() + 60
    while not list((tmp_path / "d.parts").glob(".part-00000.*")) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    twice = [PROCESSES.Process(target=do_part, args=(tmp_path / "d", part)) for part in (0, 0, 1, 1)]
    for each in twice:
        each.start()
    for each in twice:
        each.join(120)
        assert each.exitcode == 0
    assert sorted(os.listdir(tmp_path / "d.parts")) == ["part-00000", "part-00001", "plan.json", "rows.arrow"]
    outs = [tmp_path / "out0", tmp_path / "out1"]
    both = [PROCESSES.Process(target=do_finalise, args=(tmp_path / "d", out)) for out in outs]
    for each in both:
        each.start()
    for each in both:
        each.join(120)
    said = sorted(out.read_text() for out in outs)
    assert said[0] == "1200"
    assert "another run is writing" in said[1] or "no plan" in said[1]
    ta.convert(made.tomograms_star, tmp_path / "one")
    check_equal(tmp_path / "d", tmp_path / "one")


def test_to_do_a_part_again_changes_nothing(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=4, tilts=2)
    ta.plan(made.tomograms_star, tmp_path / "d", parts=2)
    first = ta.partition(tmp_path / "d", 0)
    there = {path: path.stat().st_mtime_ns for path in part_folder(tmp_path / "d", 0).rglob("*")}
    second = ta.partition(tmp_path / "d", 0)
    assert (first.rows, first.version) == (second.rows, second.version)
    assert {path: path.stat().st_mtime_ns for path in part_folder(tmp_path / "d", 0).rglob("*")} == there


def test_the_script_for_slurm_does_it_all(tmp_path: Path) -> None:
    """Run here as Slurm would, task after task, with a stand-in for sbatch that keeps what is to be run behind."""
    made = make_project(tmp_path / "p", tomograms=5, tilts=2)
    dataset = tmp_path / "a data'set"
    plan = ta.plan(made.tomograms_star, dataset, parts=3)
    script = tmp_path / "convert.sh"
    script.write_text(slurm_script(plan, threads=2))
    assert "#SBATCH --array=0-2\n" in script.read_text()
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "sbatch").write_text(f'#!/bin/bash\nfor each; do echo "$each"; done > {tmp_path}/behind\n')
    python = shlex.quote(sys.executable)
    (commands / "tomoarrow").write_text(f'#!/bin/bash\nexec {python} -m tomoarrow "$@"\n')
    for command in commands.iterdir():
        command.chmod(0o755)
    environment = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "SLURM_ARRAY_JOB_ID": "77"}
    environment["SLURM_CPUS_PER_TASK"] = "2"
    for task in range(plan.parts):
        subprocess.run(["bash", script], env=environment | {"SLURM_ARRAY_TASK_ID": str(task)}, check=True, timeout=120)
    behind = (tmp_path / "behind").read_text().splitlines()
    assert "--dependency=afterok:77" in behind
    wrapped = next(each.removeprefix("--wrap=") for each in behind if each.startswith("--wrap="))
    subprocess.run(["bash", "-c", wrapped], env=environment, check=True, timeout=120)
    assert ta.Dataset(dataset).tilts.collect().height == 10


def test_a_damaged_plan(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=2, tilts=2)
    ta.plan(made.tomograms_star, tmp_path / "d", parts=2)
    for text in ("", "[]", '{"format": "x"}', '{"format": "tomoarrow plan 1"}'):
        (tmp_path / "d.parts/plan.json").write_text(text)
        with pytest.raises(ta.DatasetError, match="plan cannot be read"):
            read_plan(tmp_path / "d")
    ta.plan(made.tomograms_star, tmp_path / "d", parts=2)
    rows = tmp_path / "d.parts/rows.arrow"
    whole = rows.read_bytes()
    for data in (b"", whole[:-100], b"x" * len(whole)):
        rows.write_bytes(data)
        with pytest.raises(ta.DatasetError, match="plan cannot be read"):
            ta.partition(tmp_path / "d", 1)


@pytest.mark.parametrize("table", ["tilts", "tomograms", "star", "sources"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_damaged_part_is_not_done(tmp_path: Path, table: str, how: str) -> None:
    star = write_project(tmp_path / "p", {name: loop(name, ["rlnTomoYTilt"], [["1"]]) for name in "abc"})
    ta.convert(star, tmp_path / "one")
    ta.plan(star, tmp_path / "d", parts=2)
    for part in range(2):
        ta.partition(tmp_path / "d", part)
    (file,) = (part_folder(tmp_path / "d", 1) / table).rglob("*.parquet")
    if how == "cut":
        file.write_bytes(file.read_bytes()[:50])
    else:
        file.unlink()
    with pytest.raises(ta.DatasetError, match="1 of 2 parts are not done"):
        ta.finalise(tmp_path / "d")
    ta.partition(tmp_path / "d", 1)
    ta.finalise(tmp_path / "d")
    check_equal(tmp_path / "d", tmp_path / "one")


def test_a_part_reads_its_own_rows_of_the_global_table_only(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=4, tilts=2)
    plan = ta.plan(made.tomograms_star, tmp_path / "d", parts=lambda size, tomograms: tomograms - 1)
    assert plan.parts == 3
    names = [read_rows(plan, part).column("rlnTomoName").to_pylist() for part in range(3)]
    assert [name for part in names for name in part] == ["TS_01", "TS_02", "TS_03", "TS_04"]
    assert all(names)
    # With another time its text is looked at again, which is the same.
    os.utime(made.tomograms_star)
    for part in range(3):
        assert ta.partition(tmp_path / "d", part).tomograms == len(names[part])
    ta.finalise(tmp_path / "d")
    ta.convert(made.tomograms_star, tmp_path / "one")
    check_equal(tmp_path / "d", tmp_path / "one")
