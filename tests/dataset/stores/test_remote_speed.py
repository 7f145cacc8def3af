"""Thousands of small objects, each of which takes its time."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tomoarrow as ta
from tests.dataset.stores import standin
from tomoarrow.example import make_project

_LATENCY_S = 0.02


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@pytest.mark.parametrize("tomograms", [200, pytest.param(5000, marks=pytest.mark.slow)])
def test_many_objects_take_little_longer_than_files(
    tomograms: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path / "p", tomograms=tomograms, tilts=41)
    ta.convert(project.tomograms_star, tmp_path / "first")
    local = min(seconds(lambda n=n: ta.convert(project.tomograms_star, tmp_path / f"local{n}")) for n in range(3))
    command = [sys.executable, standin.__file__, str(tmp_path / "p"), str(_LATENCY_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.stdout.readline().strip()}")
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
            monkeypatch.setenv("AWS_REGION", "us-east-1")
            url = f"s3://bucket/{project.tomograms_star.relative_to(project.directory).as_posix()}"
            remote = min(seconds(lambda n=n: ta.convert(url, tmp_path / f"remote{n}")) for n in range(3))
        finally:
            server.terminate()
    most = 2 * local + tomograms * _LATENCY_S / 100
    print(f"{tomograms} objects: {remote:.2f} s; the same files {local:.2f} s; at most {most:.2f} s")
    # Of few objects most of the time is that of the first requests, one after the other.
    assert remote < most + (0 if tomograms >= 5000 else 1)
    frames = [ta.Dataset(tmp_path / name).tilts.collect() for name in ("local0", "remote0")]
    assert frames[0].equals(frames[1])
