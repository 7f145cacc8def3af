"""Where commands are harmed."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .cases import Ground, large_ground, small_ground
from .harness import Warm, warmed_up


@pytest.fixture(scope="session")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands have as their folder for temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory, temporary: Path) -> Iterator[Warm]:
    if shutil.which("gcc") is None and not os.environ.get("CI"):
        pytest.skip("gcc is not there, which compiles what stands between a command and the system")
    with warmed_up(tmp_path_factory.mktemp("warm"), temporary) as process:
        yield process


@pytest.fixture(scope="session")
def ground(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return small_ground(warm, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def ground_of_all_sets(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return large_ground(warm, tmp_path_factory.mktemp("large"))


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[tuple[int, str]], None]:
    """Say in the summary of the tests how many points there were, and more of them."""

    def tell(tried: tuple[int, str]) -> None:
        record_property("points", tried[0])
        record_property("told", tried[1])

    return tell
