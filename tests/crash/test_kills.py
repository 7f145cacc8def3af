"""A command that is killed at any call of the system loses nothing, and the next run makes up for it."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from .cases import CASES, Case, Ground, look, recover, without_harm
from .harness import Action, Calls, Harm, state

KILLS = (Action.KILL_BEFORE, Action.KILL_AFTER, Action.KILL_TORN)


def kill_everywhere(case: Case, ground: Ground, stride: int) -> tuple[int, str]:
    """Kill a command at each of its calls that change files, or at each n-th; return how many points there were."""
    whole, _, after = without_harm(case, ground, Harm(ground.folder, Calls.CHANGES))
    seen: set[str] = set()
    points = 0
    for at in range(1, whole.counted + 1, stride):
        for action in KILLS:
            case.begin(ground)
            harm = Harm(ground.folder, Calls.CHANGES, action, at)
            outcome = case.run(ground, harm)
            where = f"{case.name}: {harm}, {outcome.calls[-1:]}"
            assert outcome.code == -signal.SIGKILL, (where, outcome)
            points += 1
            left = state(ground.work)
            if left not in seen:
                seen.add(left)
                recover(case, ground, look(case, ground, where), where, after)
    return points, f"{whole.counted} calls, {points} kills, {len(seen)} different states left"


@pytest.mark.parametrize("name", CASES)
def test_some_calls(name: str, ground: Ground, told: Callable[[tuple[int, str]], None]) -> None:
    told(kill_everywhere(CASES[name], ground, stride=61))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CASES)
def test_all_calls(name: str, ground: Ground, told: Callable[[tuple[int, str]], None]) -> None:
    told(kill_everywhere(CASES[name], ground, stride=1))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CASES)
def test_all_calls_of_all_sets(name: str, ground_of_all_sets: Ground, told: Callable[[tuple[int, str]], None]) -> None:
    told(kill_everywhere(CASES[name], ground_of_all_sets, stride=1))
