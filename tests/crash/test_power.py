"""A power cut at any call of a command loses what was not flushed: the old is there whole, or the new."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .cases import CASES, Case, Ground, look, recover, without_harm
from .disk import LOSSES, Disk, Loss
from .harness import Action, Calls, Harm, state


def losses(ground: Ground, disk: Disk) -> Iterator[Loss]:
    """Make the files what is left of them with each loss, one after the other."""
    kept = ground.folder.with_name("kept for losses")
    copy(ground.folder, kept)
    for loss in LOSSES:
        copy(kept, ground.folder)
        disk.lose(loss)
        yield loss


def copy(source: Path, to: Path) -> None:
    """Make a folder the same as another one, links between its files and their times too."""
    shutil.rmtree(to, ignore_errors=True)
    subprocess.run(["cp", "-a", source, to], check=True)


def cut_everywhere(case: Case, ground: Ground, stride: int) -> tuple[int, str]:
    """Cut the power behind each call of a command, or behind each n-th; return how many points there were."""
    whole, _, after = without_harm(case, ground, Harm(ground.folder, Calls.CHANGES))
    seen: set[str] = set()
    points = 0
    for at in range(1, whole.counted + 1, stride):
        case.begin(ground)
        disk = Disk.of(ground.folder)
        outcome = case.run(ground, Harm(ground.folder, Calls.CHANGES, Action.KILL_AFTER, at))
        assert outcome.code == -signal.SIGKILL, outcome
        for call in outcome.calls:
            disk.follow(call, ground.folder)
        for loss in losses(ground, disk):
            points += 1
            left = state(ground.work)
            if left not in seen:
                seen.add(left)
                where = f"{case.name}: {loss} lost behind call {at}, {outcome.calls[-1]}"
                recover(case, ground, look(case, ground, where), where, after)
    return points, f"{whole.counted} calls, {points} power cuts, {len(seen)} different states left"


@pytest.mark.parametrize("name", CASES)
def test_some_calls(name: str, ground: Ground, told: Callable[[tuple[int, str]], None]) -> None:
    told(cut_everywhere(CASES[name], ground, stride=61))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CASES)
def test_all_calls(name: str, ground: Ground, told: Callable[[tuple[int, str]], None]) -> None:
    told(cut_everywhere(CASES[name], ground, stride=1))


@pytest.mark.parametrize("name", CASES)
def test_what_is_done_stays(name: str, ground: Ground) -> None:
    """What a command has reported as done is there after a power cut."""
    case = CASES[name]
    case.begin(ground)
    disk = Disk.of(ground.folder)
    outcome = case.run(ground, Harm(ground.folder, Calls.CHANGES))
    assert outcome.code == 0, outcome.stderr
    for call in outcome.calls:
        disk.follow(call, ground.folder)
    for loss in losses(ground, disk):
        assert look(case, ground, f"{name}: {loss} lost at the end") == "new", (loss, disk.names)


def write_new(folder: Path) -> None:
    (folder / "a").write_bytes(b"new")


def replace_old(folder: Path) -> None:
    (folder / "a").write_bytes(b"new")
    (folder / "a").rename(folder / "old")


def remove_old(folder: Path) -> None:
    (folder / "old").unlink()


OLD, WRITTEN = {"old": b"old"}, ["open /a", "write /a"]


@pytest.mark.parametrize(
    ("do", "calls", "loss", "left"),
    [
        (write_new, [*WRITTEN, "fsync /a", "fsync "], "names", OLD | {"a": b"new"}),
        (write_new, [*WRITTEN, "fsync /a"], "names", OLD),
        (write_new, [*WRITTEN, "fsync "], "names", OLD | {"a": b""}),
        (write_new, WRITTEN, "bytes", OLD | {"a": b""}),
        (replace_old, [*WRITTEN, "fsync /a", "rename /old < /a"], "bytes", {"old": b"new"}),
        (replace_old, [*WRITTEN, "fsync /a", "rename /old < /a"], "names", OLD),
        (replace_old, [*WRITTEN, "rename /old < /a", "fsync "], "names", {"old": b""}),
        (remove_old, ["unlink /old"], "names", OLD),
        (remove_old, ["unlink /old", "fsync "], "names", {}),
    ],
)
def test_disk(tmp_path: Path, do: Callable[[Path], None], calls: list[str], loss: Loss, left: dict[str, bytes]) -> None:
    (tmp_path / "old").write_bytes(b"old")
    disk = Disk.of(tmp_path)
    do(tmp_path)
    for call in calls:
        disk.follow(call, tmp_path)
    disk.lose(loss)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == left
