"""A conversion in parts is killed, or refused by the file system, at any call of any of its commands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .cases import Ground, small_ground
from .harness import Warm
from .parts import PART_CASES, keep_plans
from .test_errors import TROUBLES, trouble_everywhere
from .test_kills import kill_everywhere


@pytest.fixture(scope="module")
def ground_of_parts(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    ground = small_ground(warm, tmp_path_factory.mktemp("parts"))
    keep_plans(ground)
    return ground


@pytest.mark.parametrize("name", PART_CASES)
def test_some_calls(name: str, ground_of_parts: Ground, told: Callable[[tuple[int, str]], None]) -> None:
    told(kill_everywhere(PART_CASES[name], ground_of_parts, stride=61))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", PART_CASES)
def test_all_calls(name: str, ground_of_parts: Ground, told: Callable[[tuple[int, str]], None]) -> None:
    told(kill_everywhere(PART_CASES[name], ground_of_parts, stride=1))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("name", PART_CASES)
def test_all_troubles(
    name: str, trouble: str, ground_of_parts: Ground, told: Callable[[tuple[int, str]], None]
) -> None:
    told(trouble_everywhere(PART_CASES[name], ground_of_parts, TROUBLES[trouble]))
