"""What the file system refuses ends a command with an error that says what and where, and harms nothing."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from .cases import CASES, READY, Case, Found, Ground, look, recover, without_harm
from .harness import Action, Calls, Harm, listing, state


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the file system does, at which calls; whether what is left cannot be removed then."""

    calls: Calls
    action: Action
    error: int = 0
    is_stuck: bool = False

    def harm(self, ground: Ground, at: int) -> Harm:
        # Only the project has files that vanish.
        folder = ground.project if self.calls is Calls.OPENS else ground.folder
        return Harm(folder, self.calls, self.action, at, self.error) if at else Harm(folder, self.calls)


TROUBLES = {
    "full": Trouble(Calls.SPACE, Action.FAIL_ON, errno.ENOSPC),
    "full for a moment": Trouble(Calls.SPACE, Action.FAIL_ONCE, errno.ENOSPC),
    "cannot change": Trouble(Calls.CHANGES, Action.FAIL_ONCE, errno.EIO),
    "cannot change any more": Trouble(Calls.CHANGES, Action.FAIL_ON, errno.EIO, is_stuck=True),
    "cannot read": Trouble(Calls.READS, Action.FAIL_ONCE, errno.EIO),
    "cannot read any more": Trouble(Calls.READS, Action.FAIL_ON, errno.EIO, is_stuck=True),
    "not allowed": Trouble(Calls.NAMES, Action.FAIL_ONCE, errno.EACCES),
    "not allowed any more": Trouble(Calls.NAMES, Action.FAIL_ON, errno.EACCES, is_stuck=True),
    "read-only": Trouble(Calls.CHANGES, Action.FAIL_ON, errno.EROFS, is_stuck=True),
    "vanished": Trouble(Calls.OPENS, Action.FAIL_ON, errno.ENOENT),
    "few bytes at a time": Trouble(Calls.SPACE | Calls.READS, Action.SHORT),
}


def is_clearing(call: str) -> bool:
    """Whether leftovers may be found and removed by a call: where it fails, something may stay until the next run."""
    what, _, path = call.partition(" ")
    return what in ("list", "lock", "look", "rmdir", "stat", "unlink") or path.endswith("manifest.json")


def is_clear(left: list[str], found: Found, before: list[str], after: list[str]) -> bool:
    """Whether no more is left than there was before, or is to be in the end."""
    if found == "new":
        # The parts that a dataset was made of may stay until the next run, where they cannot be removed.
        return after in (left, [path for path in left if not path.startswith("ds.parts")])
    # An old plan is gone for good where the new one cannot take its place, and the old one not go back.
    return left == before or (found == "nothing" and not left)


def is_ready(ground: Ground) -> bool:
    """Whether an export is to be completed by the next run."""
    return (ground.work / "out" / READY).exists()


def spread(n: int, most: int | None, seed: str) -> list[int]:
    """Some of the numbers from 1 to n, others for each seed; all where no limit is given."""
    everything = list(range(1, n + 1))
    return everything if most is None or n <= most else sorted(random.Random(seed).sample(everything, most))


def trouble_everywhere(case: Case, ground: Ground, trouble: Trouble, most: int | None = None) -> tuple[int, str]:
    """Make each call fail, or so many of them at most; return how many points there were."""
    whole, before, after = without_harm(case, ground, trouble.harm(ground, 0))
    seen: set[tuple[int, str]] = set()
    codes = []
    for at in spread(whole.counted, most, f"{case.name}{trouble}"):
        case.begin(ground)
        harm = trouble.harm(ground, at)
        outcome = case.run(ground, harm)
        where = f"{case.name}: {harm}, {outcome.calls[-1:]}, exit code {outcome.code}\n{outcome.stderr}"
        codes.append(outcome.code)
        if trouble.error:
            assert outcome.code in (0, 3), where
        else:
            assert outcome.code == 0, where
        if outcome.code == 3:
            # Arrow does not say why a file could not be closed.
            why = "error closing file" if outcome.calls[-1].startswith("close") else os.strerror(trouble.error)
            assert why in outcome.stderr or os.strerror(trouble.error) in outcome.stderr, where
            assert str(ground.folder) in outcome.stderr or ".star" in outcome.stderr, where
            assert "bug" not in outcome.stderr, where
        left = (outcome.code, state(ground.work))
        if left not in seen:
            seen.add(left)
            found = look(case, ground, where)
            assert found == "new" or outcome.code == 3, where
            if not trouble.is_stuck and not is_clearing(outcome.calls[-1]) and not is_ready(ground):
                assert is_clear(listing(ground.work), found, before, after), (where, listing(ground.work))
            recover(case, ground, found, where, after)
    return len(
        codes
    ), f"{whole.counted} calls, {len(codes)} errors, {codes.count(3)} told, {len(seen)} different states left"


#: An export reads no project of which files could vanish.
PAIRS = [(name, trouble) for name in CASES for trouble in TROUBLES if trouble != "vanished" or "convert" in name]


@pytest.mark.parametrize(("name", "trouble"), PAIRS)
def test_some_calls(name: str, trouble: str, ground: Ground, told: Callable[[tuple[int, str]], None]) -> None:
    told(trouble_everywhere(CASES[name], ground, TROUBLES[trouble], most=2))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("name", "trouble"), PAIRS)
def test_all_calls(name: str, trouble: str, ground: Ground, told: Callable[[tuple[int, str]], None]) -> None:
    told(trouble_everywhere(CASES[name], ground, TROUBLES[trouble]))


@pytest.mark.parametrize("name", CASES)
def test_nothing_uses_the_folder_for_temporary_files(name: str, ground: Ground, temporary: Path) -> None:
    """So that it may be full."""
    everything = Calls.CHANGES | Calls.READS
    outcome, _, _ = without_harm(CASES[name], ground, Harm(temporary, everything))
    assert outcome.calls == []
