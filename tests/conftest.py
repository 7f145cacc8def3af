"""Fixtures that several rooms need."""

import gc
import os
from collections import Counter
from pathlib import Path

import pytest

from tomoarrow.example import Example, make_project

from .memory import fill_what_is_empty

fill_what_is_empty()

# No power is cut here but in `tests.crash`, whose commands run elsewhere: the disk is not waited for. That the file is
# open is still seen to.
os.fsync = os.fstat  # type: ignore[assignment]


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not look through it time and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real and awkward STAR files, which are not part of this project."""
    folder = os.environ.get("TOMOARROW_SHARED")
    if not folder:
        pytest.skip("TOMOARROW_SHARED does not name the folder of real files")
    return Path(folder)


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """A made-up project of 7 tomograms with 5 tilts each. Read only."""
    return make_project(tmp_path_factory.mktemp("project") / "p", tomograms=7, tilts=5)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests tell of how much they tried: each with -v, and its sum for each file."""
    points: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        told = dict(report.user_properties)
        if "points" in told:
            points[report.nodeid.partition("::")[0]] += int(str(told["points"]))
            if terminalreporter.verbosity > 0:
                terminalreporter.write_line(f"{report.nodeid}: {told['told']}")
    for file, n in points.items():
        terminalreporter.write_line(f"{file}: {n} points, each of which held")
