"""A conversion by the workers of a dask cluster."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from dask_jobqueue import SLURMCluster
from distributed import Client, LocalCluster

import tomoarrow as ta
from tests.dataset.updating.test_update import Project, check_equal
from tomoarrow.example import make_project

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_a_cluster_gives_what_one_process_gives(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("tomoarrow.dataset.parts.cluster._LEAST_SERIES", 1)
    project = Project(tmp_path / "p", random.Random(seed))
    for _ in range(5):
        project.edit()
    options = {"missing": "skip", "on_bad_value": "null", "on_bad_file": "skip"}
    done: list[tuple[int, int]] = []
    one = ta.convert(project.star, tmp_path / "one", **options)  # type: ignore[arg-type]
    report = ta.convert(
        project.star,
        tmp_path / "d",
        client=client,
        progress=lambda *numbers: done.append(numbers),
        **options,  # type: ignore[arg-type]
    )
    assert (report.rows, report.rejects) == (one.rows, one.rejects)
    assert done[-1] == (one.tomograms, one.tomograms)
    check_equal(tmp_path / "d", tmp_path / "one")
    assert sorted(os.listdir(tmp_path)) == ["d", "one", "p"]


def test_errors_are_those_of_one_process_and_nothing_is_left(tmp_path: Path, client: Client) -> None:
    made = make_project(tmp_path / "p", tomograms=5, tilts=2)
    path = made.tomograms_star.parent / "tilt_series/TS_04.star"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ta.StarSyntaxError, match=r"TS_04.star:\d+:\d+ .*a row of") as refused:
        ta.convert(made.tomograms_star, tmp_path / "d", client=client)
    assert refused.value.place.line > 1
    with pytest.raises(ta.SchemaError, match="1 reject, more than 0"):
        ta.convert(made.tomograms_star, tmp_path / "d", client=client, on_bad_file="skip", max_rejects=0)
    for options in ({"update": True}, {"strict": True}):
        with pytest.raises(ta.UsageError):
            ta.convert(made.tomograms_star, tmp_path / "d", client=client, **options)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == ["p"]


def test_when_a_part_fails_no_other_begins(tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, number in {"_LEAST_SERIES": 1, "PARTS_A_THREAD": 30, "_RETRIES": 0}.items():
        monkeypatch.setattr(f"tomoarrow.dataset.parts.cluster.{name}", number)
    made = make_project(tmp_path / "p", tomograms=100, tilts=3)
    first = made.directory / "Tomograms/job006/tilt_series/TS_001.star"
    first.write_text(first.read_text().replace("loop_", "loop"))
    begun = tmp_path / "begun"
    begun.mkdir()
    client.run(_count_parts, begun)
    with pytest.raises(ta.StarSyntaxError):
        ta.convert(made.tomograms_star, tmp_path / "d", client=client)
    then = len(os.listdir(begun))
    time.sleep(1)
    assert len(os.listdir(begun)) == then < 30
    client.run(_count_parts, None)
    assert sorted(os.listdir(tmp_path)) == ["begun", "p"]


def _count_parts(folder: Path | None) -> None:
    """Have a worker leave a file for each part that it begins."""
    from tomoarrow.dataset.parts import cluster

    partition = getattr(cluster.partition, "counted", cluster.partition)

    def counted(dataset: str, part: int, *, threads: int) -> ta.Report:
        assert folder is not None
        (folder / str(part)).touch()
        return partition(dataset, part, threads=threads)

    counted.counted = partition  # type: ignore[attr-defined]
    cluster.partition = partition if folder is None else counted


def test_the_report_tells_how_long_all_of_it_took(tmp_path: Path, client: Client) -> None:
    made = make_project(tmp_path / "p", tomograms=5, tilts=2)
    begun, until = time.perf_counter(), 0.0

    def progress(_done: int, _total: int) -> None:
        nonlocal until
        until = time.perf_counter() - begun

    report = ta.convert(made.tomograms_star, tmp_path / "d", client=client, progress=progress)
    assert report.seconds >= until - 0.01 > 0


def test_a_worker_that_is_killed_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tomoarrow.dataset.parts.cluster._LEAST_SERIES", 100)
    made = make_project(tmp_path / "p", tomograms=1500, tilts=20)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        killed: list[int] = []

        def kill() -> None:
            while not list(tmp_path.glob("d.parts/part-*/manifest.json")):
                time.sleep(0.001)
            process = client.run(os.getpid)
            killed.append(next(iter(process.values())))
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        report = ta.convert(made.tomograms_star, tmp_path / "d", client=client)
        killer.join(60)
    assert killed
    assert report.tilts == 30_000
    ta.convert(made.tomograms_star, tmp_path / "one")
    check_equal(tmp_path / "d", tmp_path / "one")


def test_the_command_line(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=3, tilts=2)
    command = [sys.executable, "-m", "tomoarrow", "convert", str(made.tomograms_star)]
    done = subprocess.run(
        [*command, str(tmp_path / "d"), "--local-cluster", "2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "3 tomograms, 6 tilts" in done.stdout
    both = [*command, str(tmp_path / "e"), "--local-cluster", "2", "--scheduler", "tcp://127.0.0.1:9"]
    assert subprocess.run(both, capture_output=True, check=False, timeout=120).returncode == 2


def test_tables_for_dask(tmp_path: Path, client: Client) -> None:
    made = make_project(tmp_path / "p", tomograms=6, tilts=4)
    ta.convert(made.tomograms_star, tmp_path / "d")
    frame = ta.Dataset(tmp_path / "d").to_dask()
    found = frame.groupby("rlnTomoName", observed=True)["rlnDefocusU"].mean().compute().sort_index()
    tilts = ta.Dataset(tmp_path / "d").tilts.group_by("rlnTomoName").agg(pl.mean("rlnDefocusU")).collect()
    expected = dict(zip(tilts["rlnTomoName"].cast(pl.String), tilts["rlnDefocusU"], strict=True))
    assert found.to_dict() == pytest.approx(expected)
    with pytest.raises(ta.DatasetError, match="no table"):
        ta.Dataset(tmp_path / "d").to_dask("particles")


def test_a_cluster_of_slurm_as_the_readme_has_it() -> None:
    """The job script only: no Slurm is asked."""
    cluster = SLURMCluster(cores=8, processes=1, memory="16GB", walltime="01:00:00", queue="cpu")
    script = cluster.job_script()
    cluster.close()
    assert "#SBATCH --cpus-per-task=8" in script
    assert "--nthreads 8" in script
    assert "#SBATCH -p cpu" in script
