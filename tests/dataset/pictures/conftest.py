"""A browser, and pages in it."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from tests.dataset.projects import loop, write_project
from tomoarrow import convert, write_page

#: What a headless browser in a container needs, and what keeps it off the network.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Opened:
    """A page in the browser, with all that it said and asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """The names of the tomograms that the table shows, from the top."""
        return self.page.locator("tbody tr[data-row] td:first-child").all_text_contents()

    def labels(self, place: str) -> list[str]:
        """What is read aloud of the points of a chart."""
        points = self.page.locator(f"#{place} .mark-symbol path[aria-label]")
        return [label for label in (point.get_attribute("aria-label") for point in points.all()) if label]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Open a page, wait until all is drawn, and see at the end that it neither complained nor asked for anything."""
    contexts, all_opened = [], []

    def open_(path: Path, **options: Any) -> Opened:
        contexts.append(browser.new_context(viewport={"width": 1360, "height": 900}, **options))
        made = Opened(contexts[-1].new_page())
        all_opened.append((path, made))
        made.page.on("console", lambda message: made.said.append(message.text))
        made.page.on("pageerror", lambda error: made.said.append(str(error)))
        made.page.on("request", lambda request: made.asked.append(request.url))
        made.page.goto(path.as_uri())
        try:
            made.page.wait_for_selector("html[data-ready]", state="attached", timeout=20_000)
        except TimeoutError as error:
            raise AssertionError(f"the page did not get ready: {made.said}") from error
        return made

    yield open_
    for path, made in all_opened:
        assert made.said == []
        assert made.asked == [path.as_uri()]
    for context in contexts:
        context.close()


#: Names that would be markup, were they not escaped; tomogram 4 and 7 of `NAMES`.
EVIL = ("</script><b>bold", "<img/src=x/onerror=alert(1)>")
NAMES = [f"TS_{i}" for i in range(1, 13)]
NAMES[3], NAMES[6] = EVIL
ANGLES = (-20.0, -10.0, 0.0, 10.0, 20.0)


def motion(i: int, tilt: int) -> float:
    """The motion of a tilt of tomogram `i`, in angstrom; the one of tomogram 9 is unlike the others."""
    return (50.0 if i == 9 else 2.0 + i / 10) + tilt / 100


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 tomograms of 5 tilts, but the last, which has 3; and a pixel size each."""
    series = {}
    labels = ["rlnTomoYTilt", "rlnMicrographPreExposure", "rlnAccumMotionTotal", "rlnDefocusU", "rlnDefocusV"]
    for i, name in enumerate(NAMES):
        rows = [[angle, 3 * t, motion(i, t), 30000 + 100 * i, 29000 + 100 * i] for t, angle in enumerate(ANGLES)]
        series[name] = loop("x", labels, rows[: 3 if i == 11 else 5])
    return write_project(
        tmp_path_factory.mktemp("pictures") / "p",
        series,
        more_labels=["rlnTomoTiltSeriesPixelSize"],
        more_values={name: [1.35] for name in NAMES},
    )


@pytest.fixture(scope="session")
def dataset(project: Path) -> Path:
    convert(project, project.parent / "ds")
    return project.parent / "ds"


@pytest.fixture(scope="session")
def page(dataset: Path) -> Path:
    return write_page(dataset, dataset.parent / "report.html")
