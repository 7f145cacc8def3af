"""Writers and readers at the same time: one writer, and each reader sees one version, whole."""

import json
import os
import signal
import socket
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import polars as pl
import pytest

import tomoarrow as ta
from tests.dataset.processes import PROCESSES
from tests.dataset.projects import loop, write_project
from tomoarrow.dataset.versions.lock import locked

NAMES = [f"T{i}" for i in range(6)]


def lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def series(name: str, version: int) -> str:
    """A tilt series whose values, and number of rows, say which version it is of."""
    return loop(name, ["rlnTomoYTilt"], [[version]] * (2 + version % 3))


def write_version(home: Path, version: int) -> None:
    """One tilt series changes from version to version; all are of one of the last six."""
    path = home / f"tilt_series/{version % len(NAMES)}.star"
    path.write_text(series(NAMES[version % len(NAMES)], version))


def expected(version: int) -> list[int]:
    """The version of each tomogram's file."""
    return [max((v for v in range(version + 1) if v % len(NAMES) == i), default=0) for i in range(len(NAMES))]


def read_until(begun: Event, stop: Event, dataset: Path, out: Path) -> None:
    """Read again and again; each time all tables must be of one version."""
    seen: list[int] = []
    try:
        while not stop.is_set():
            opened = ta.Dataset(dataset)
            version = opened.manifest["version"] - 1
            tomograms, counts = opened.tomograms, expected(version)
            tilts = opened.tilts.group_by("rlnTomoName", maintain_order=True).agg(
                pl.len(), pl.col("rlnTomoYTilt").first()
            )
            found = tilts.collect()
            assert found["rlnTomoYTilt"].to_list() == [float(v) for v in counts], version
            assert found["len"].to_list() == [2 + v % 3 for v in counts], version
            assert tomograms.collect()["tilt_count"].to_list() == [2 + v % 3 for v in counts], version
            assert opened.tomogram("T2")["rlnTomoYTilt"].to_list() == [float(counts[2])] * (2 + counts[2] % 3), version
            assert opened.sql("SELECT COUNT(*) FROM tilts").collect().item() == sum(2 + v % 3 for v in counts)
            assert len(opened.sources) == 7
            seen.append(version)
            begun.set()
    except BaseException as error:
        out.write_text(f"{type(error).__name__}: {error}")
        raise
    out.write_text(json.dumps(seen))


@pytest.mark.parametrize(
    ("how", "replacements"),
    [
        ("update", 30),
        pytest.param("update", 100, marks=pytest.mark.slow),
        pytest.param("force", 100, marks=pytest.mark.slow),
    ],
)
def test_readers_during_replacements_see_whole_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, replacements: int
) -> None:
    monkeypatch.setattr("tomoarrow.dataset.layout.ROW_GROUP_ROWS", 4)
    star = write_project(tmp_path / "p", {name: series(name, 0) for name in NAMES})
    ta.convert(star, tmp_path / "d")
    begun, stop = [PROCESSES.Event() for _ in range(2)], PROCESSES.Event()
    outs = [tmp_path / f"out{i}" for i in range(2)]
    readers = [
        PROCESSES.Process(target=read_until, args=(begun[i], stop, tmp_path / "d", out)) for i, out in enumerate(outs)
    ]
    for reader in readers:
        reader.start()
    assert all(each.wait(60) for each in begun)
    for version in range(1, replacements + 1):
        write_version(tmp_path / "p", version)
        report = ta.convert(star, tmp_path / "d", **{how: True})  # type: ignore[arg-type]
        assert report.version == version + 1
    stop.set()
    for reader in readers:
        reader.join(60)
        assert reader.exitcode == 0, [out.read_text() for out in outs if out.exists()]
    seen = [json.loads(out.read_text()) for out in outs]
    assert all(len(set(versions)) > replacements // 10 for versions in seen)
    assert sorted(os.listdir(tmp_path)) == ["d", "out0", "out1", "p"]


def test_a_dataset_that_was_opened_stays_what_it_was(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {name: series(name, 0) for name in NAMES})
    ta.convert(star, tmp_path / "d")
    opened = ta.Dataset(tmp_path / "d")
    lazy = opened.tilts
    write_version(tmp_path / "p", 7)
    ta.convert(star, tmp_path / "d", update=True)
    assert lazy.collect().height == opened.tilts.collect().height == 12
    assert opened.verify().damages == []
    assert ta.Dataset(tmp_path / "d").tilts.collect().height == 13


def hold(target: Path, is_held: Event) -> None:
    """Lock a dataset, and never let go."""
    with locked(lock_of(target), target):
        is_held.set()
        time.sleep(600)


def test_a_second_writer_is_told_who_the_first_is_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {"T0": series("T0", 0)})
    is_held = PROCESSES.Event()
    holder = PROCESSES.Process(target=hold, args=(tmp_path / "d", is_held))
    holder.start()
    assert is_held.wait(60)
    with pytest.raises(ta.DatasetError, match="another run is writing") as refused:
        ta.convert(star, tmp_path / "d")
    assert f"host {socket.gethostname()}, process {holder.pid}" in str(refused.value)
    assert not (tmp_path / "d").exists()
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert (tmp_path / ".d.lock").exists()
    ta.convert(star, tmp_path / "d")
    assert sorted(os.listdir(tmp_path)) == ["d", "p"]


def write_counting(target: Path, count: Path, n: int) -> None:
    """Add one to a number in a file, so often, each time under the lock."""
    done = 0
    while done < n:
        try:
            with locked(lock_of(target), target):
                count.write_text(str(int(count.read_text()) + 1))
                done += 1
        except ta.DatasetError:
            time.sleep(0.001)


@pytest.mark.parametrize("locks", ["flock", "none"])
def test_no_two_writers_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: str) -> None:
    count = tmp_path / "count"
    count.write_text("0")
    target = write_counting if locks == "flock" else write_counting_without_flock
    writers = [PROCESSES.Process(target=target, args=(tmp_path / "d", count, 100)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    assert count.read_text() == "300"
    assert os.listdir(tmp_path) == ["count"]


def write_counting_without_flock(target: Path, count: Path, n: int) -> None:
    """The same on a file system that has no locks."""
    import errno
    import fcntl

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    fcntl.flock = flock  # type: ignore[assignment]
    write_counting(target, count, n)


def test_where_there_are_no_locks_a_dead_holder_of_this_host_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("tomoarrow.dataset.versions.lock.fcntl.flock", flock)
    dead = PROCESSES.Process(target=int)
    dead.start()
    dead.join()
    mark = tmp_path / ".d.writer"
    for host, process, is_free in (
        (socket.gethostname(), dead.pid, True),
        (socket.gethostname(), os.getpid(), False),
        ("elsewhere", dead.pid, False),
    ):
        mark.write_text(json.dumps({"host": host, "process": process, "since": "x"}))
        if is_free:
            with locked(lock_of(tmp_path / "d"), tmp_path / "d"):
                assert mark.exists()
            assert not mark.exists()
        else:
            with (
                pytest.raises(ta.DatasetError, match="another run is writing"),
                locked(lock_of(tmp_path / "d"), tmp_path / "d"),
            ):
                pass
            mark.unlink()
