"""Fixtures that several rooms need."""

import os
from pathlib import Path

import pytest

from tomoarrow.example import Example, make_project


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
    """Show what tests tell: how much they tried."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "told":
                terminalreporter.write_line(f"{report.nodeid}: {value}")
