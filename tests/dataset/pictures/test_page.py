"""The page in a real browser: it loads alone, filters, sorts and draws."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.dataset.pictures.conftest import ANGLES, EVIL, NAMES, Opened, motion
from tests.dataset.projects import loop, tilts, write_project
from tests.test_cli import run, run_here
from tomoarrow import Dataset, convert, write_page
from tomoarrow.example import make_project

Open = Callable[..., Opened]
MINUS = "\N{MINUS SIGN}"


def test_the_page_holds_all_it_needs(page: Path, opened: Open) -> None:
    shown = opened(page)
    assert shown.names() == NAMES
    assert shown.page.title() == "ds · tomoarrow report"
    tiles = dict(
        zip(
            shown.page.locator(".tiles dt").all_text_contents(),
            shown.page.locator(".tiles dd").all_text_contents(),
            strict=True,
        )
    )
    assert tiles == {
        "Tomograms": "12" + "2 with outliers",
        "Tilts": "58" + "3\N{EN DASH}5 each",
        "Defocus": "29,500\N{EN DASH}30,600Å",
        "Dose": "0\N{EN DASH}12e⁻/Å²",
        "Pixel size": "1.35Å",
    }
    policy = shown.page.locator('meta[http-equiv="Content-Security-Policy"]').get_attribute("content")
    assert policy is not None
    assert policy.startswith("default-src 'none';")


def test_the_filter_filters(page: Path, opened: Open) -> None:
    shown = opened(page)
    for text, names in [
        ("TS_1", ["TS_1", "TS_10", "TS_11", "TS_12"]),
        ("ts_12", ["TS_12"]),
        ("motion>3.05", ["TS_10", "TS_12"]),
        ("motion>3.05 motion<40", ["TS_12"]),
        ("tilts>=5 TS_11", ["TS_11"]),
        ("tilts<5", ["TS_12"]),
        ("", NAMES),
        ("tilts=3", ["TS_12"]),
        ("defocus<=29600", ["TS_1", "TS_2"]),
        ("</script>", [EVIL[0]]),
        ("none", []),
    ]:
        shown.page.get_by_label("Filter tomograms").fill(text)
        count = "12 tomograms" if not text else f"{len(names)} of 12 tomograms"
        expect(shown.page.locator("#count")).to_contain_text(count)
        assert shown.names() == names, text


def test_a_filter_that_cannot_be_read_is_told_and_changes_nothing(page: Path, opened: Open) -> None:
    shown = opened(page)
    for text, problem in [
        ("color>3", "There is no column color: tilts, defocus"),
        ("motion>", "motion> needs a number."),
        ("tilts<x", "tilts< needs"),
    ]:
        shown.page.locator("#filter").fill(text)
        expect(shown.page.get_by_role("alert")).to_contain_text(problem)
        assert shown.names() == NAMES, text


def test_distributions_follow_the_filter(page: Path, opened: Open) -> None:
    shown = opened(page)
    # Two layers of bars: all tilts, and those that the filter leaves, which are 3 of doses 0, 3 and 6.
    bars = shown.page.locator("#distributions-dose .mark-rect").nth(1).locator("path")
    heights = "paths => paths.map(p => Number(/v(-?[0-9.]+)/.exec(p.getAttribute('d'))?.[1] ?? 0))"
    before = bars.evaluate_all(heights)
    assert all(before)
    assert len(before) == 5
    shown.page.locator("#filter").fill("TS_12")
    shown.page.wait_for_timeout(300)
    after = bars.evaluate_all(heights)
    assert [height > 0 for height in after] == [True, True, True, False, False]
    assert after[0] == pytest.approx(before[0] / 12, rel=0.01)


def test_outliers_are_marked_by_the_rule_that_is_said(page: Path, opened: Open) -> None:
    shown = opened(page)
    marked = shown.page.locator("td.out")
    assert [text.replace("●", "") for text in marked.all_text_contents()] == ["50.02", "3", "6"]
    assert (marked.first.get_attribute("title") or "").startswith("outlier: robust z-score ")
    shown.page.get_by_label("outliers only").check()
    assert shown.names() == ["TS_10", "TS_12"]
    expect(shown.page.locator("#filter-help")).to_contain_text("beyond 3.5")


@pytest.mark.parametrize(
    ("clicks", "first", "direction"),
    [
        (["Motion"], ["TS_10", "TS_12", "TS_11"], "descending"),
        (["Motion", "Motion"], ["TS_1", "TS_2", "TS_3"], "ascending"),
        (["Tomogram", "Tomogram"], ["TS_12", "TS_11", "TS_10"], "descending"),
    ],
)
def test_columns_sort(page: Path, opened: Open, clicks: list[str], first: list[str], direction: str) -> None:
    shown = opened(page)
    for title in clicks:
        shown.page.locator("th button", has_text=re.compile(f"^{title}")).click()
    assert shown.names()[:3] == first
    sorted_by = shown.page.locator("th:not([aria-sort=none])")
    assert sorted_by.get_attribute("aria-sort") == direction


def test_a_selected_tomogram_is_drawn(page: Path, opened: Open) -> None:
    shown = opened(page)
    shown.page.locator("tbody tr", has_text="TS_3").click()
    expect(shown.page.locator("#h-selected")).to_have_text("TS_3")
    expect(shown.page.locator("tbody tr[aria-selected=true] td").first).to_have_text("TS_3")
    shown.page.wait_for_timeout(200)
    assert sorted(shown.labels("series-motion")) == sorted(
        f"Tilt angle (°): {angle:g}; Motion (Å): {motion(2, t):g}; tilt angle: {angle:.2f}; "
        f"motion: {motion(2, t):g}; dose: {3 * t}".replace("-", MINUS)
        for t, angle in enumerate(ANGLES)
    )
    expect(shown.page.locator("#series-motion")).to_contain_text("Motion (Å)")
    expect(shown.page.locator("#series-motion")).to_contain_text("Tilt angle (°)")


def test_keys_do_what_the_mouse_does(page: Path, opened: Open) -> None:
    shown = opened(page)
    shown.page.locator("#filter").fill("TS_1")
    shown.page.locator("tbody").focus()
    heading = shown.page.locator("#h-selected")
    for key, name in [("Home", "TS_1"), ("ArrowDown", "TS_10"), ("End", "TS_12"), ("ArrowUp", "TS_11")]:
        shown.page.keyboard.press(key)
        if key == "Home":
            shown.page.keyboard.press(key)
        expect(heading).to_have_text(name)
    shown.page.get_by_role("button", name="next").click()
    expect(heading).to_have_text("TS_12")
    assert shown.page.get_by_role("button", name="next").is_disabled()


def test_a_point_selects_its_tomogram(page: Path, opened: Open) -> None:
    shown = opened(page)
    shown.page.locator("#metric").select_option("motion")
    shown.page.wait_for_timeout(300)
    shown.page.locator("#scatter .mark-symbol path").nth(4).click()
    expect(shown.page.locator("#h-selected")).to_have_text("TS_5")


def test_names_are_text(page: Path, opened: Open) -> None:
    shown = opened(page)
    for name in EVIL:
        shown.page.locator("tbody tr[data-row]", has_text=name).click()
        expect(shown.page.locator("#h-selected")).to_have_text(name)
    assert shown.page.locator("main b, main img").count() == 0


def test_light_and_dark(page: Path, opened: Open) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    bar = "document.querySelectorAll('#distributions-motion .mark-rect')[1].querySelector('path').getAttribute('fill')"
    shown = opened(page, color_scheme="light")
    light = shown.page.evaluate(f"[{paper}, {bar}]")
    dark = opened(page, color_scheme="dark").page.evaluate(f"[{paper}, {bar}]")
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    shown.page.emulate_media(color_scheme="dark")
    shown.page.wait_for_function(f"{bar} === '{dark[1]}'")


def test_what_a_dataset_lacks_is_left_out_with_a_note(tmp_path: Path, opened: Open) -> None:
    star = write_project(tmp_path / "p", {"a": tilts("a", 3), "b": loop("b", ["rlnMicrographPreExposure"], [])})
    convert(star, tmp_path / "ds")
    shown = opened(write_page(tmp_path / "ds", tmp_path / "r.html"))
    note = shown.page.locator("#distributions-section .note").last
    expect(note).to_contain_text("CTF resolution (rlnCtfMaxResolution)")
    expect(note).to_contain_text("Particles (a particle set)")
    assert shown.page.locator("#distributions .card h3").all_text_contents() == ["Dose"]
    assert shown.names() == ["a", "b"]
    shown.page.locator("tbody tr", has_text="b").click()
    expect(shown.page.locator("#selected-note")).to_have_text("0 tilts")
    expect(shown.page.locator("#series-dose")).to_contain_text("Position in the series")


def test_a_file_that_is_no_set_and_findings(tmp_path: Path, opened: Open) -> None:
    star = tmp_path / "x.star"
    star.write_text(loop("a<i>", ["rlnVoltage", "rlnComment<u>"], [["<b>no</b>", 1], [300, 2]]))
    report = convert(star, tmp_path / "ds", on_bad_value="null")
    assert report.rejects == 1
    shown = opened(write_page(tmp_path / "ds", tmp_path / "r.html"))
    expect(shown.page.locator(".findings")).to_contain_text("<b>no</b>")
    assert shown.page.locator("#table").count() == 0
    assert shown.page.locator("main b, main u, main i").count() == 0


def test_findings_of_the_project(project: Path, dataset: Path, tmp_path: Path, opened: Open) -> None:
    from tomoarrow import validate

    expected = validate(project).findings
    assert expected
    shown = opened(write_page(dataset, tmp_path / "r.html", checked=True))
    texts = shown.page.locator(".findings li").all_text_contents()
    own = len(Dataset(dataset).warnings)
    for text, each in zip(texts[own:], expected, strict=True):
        assert text.startswith(f"{each.severity}{each.message} [{each.code}]")


def test_particles_per_tomogram(tmp_path: Path, opened: Open) -> None:
    made = make_project(tmp_path / "p", tomograms=3, tilts=5, particles=4)
    assert made.optimisation_set_star is not None
    convert(made.optimisation_set_star, tmp_path / "ds")
    shown = opened(write_page(tmp_path / "ds", tmp_path / "r.html"))
    bars = shown.page.locator("#particles .mark-rect path")
    assert [bar.get_attribute("aria-label") for bar in bars.all()] == [
        f"Tomogram: TS_0{i}; Particles: 4; tomogram: TS_0{i}; particles: 4" for i in (1, 2, 3)
    ]


@pytest.mark.slow
def test_five_thousand_tomograms(tmp_path: Path, opened: Open) -> None:
    made = make_project(tmp_path / "p", tomograms=5000, tilts=41)
    convert(made.tomograms_star, tmp_path / "ds")
    path = write_page(tmp_path / "ds", tmp_path / "r.html")
    assert path.stat().st_size < 10e6
    shown = opened(path)
    took = shown.page.evaluate("performance.now()")
    assert took < 15_000
    typed = """text => {
        const filter = document.getElementById("filter"), began = performance.now();
        filter.value = text;
        filter.dispatchEvent(new Event("input"));
        document.body.offsetHeight;
        return performance.now() - began;
    }"""
    assert min(shown.page.evaluate(typed, text) for text in ("TS_1", "resolution>9", "motion<8 TS_2")) < 200
    expect(shown.page.locator("#count")).to_contain_text("of 5,000 tomograms")
    # Only rows in sight are in the document.
    assert shown.page.locator("tbody tr").count() < 60
    shown.page.locator("#filter").fill("TS_4999")
    assert shown.names() == ["TS_4999"]


def test_the_command(dataset: Path, tmp_path: Path) -> None:
    done = run("report", dataset, "-o", tmp_path / "r.html")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\S+/r\.html: \d\.\d MB, opens in any browser, without network\n", done.stdout)
    refused = run_here("report", tmp_path, "-o", tmp_path / "none.html")
    assert refused.returncode == 3
    assert not (tmp_path / "none.html").exists()
    assert run_here("report").returncode == 2
    assert run_here("report", dataset, "-o", tmp_path / "no" / "r.html").returncode == 3
