"""Comparing a dataset with STAR files: what counts as the same value, what as the same bytes, and what is told."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tomoarrow as ta
from tests.dataset.projects import loop, tilts, write_project
from tests.dataset.test_export import GLOBAL, INDEX, SERIES_FILE, SETS, edit, files_below, put, quoted, rewrite, tilt
from tomoarrow.example import make_project

SECOND = "Tomograms/job006/tilt_series/TS_02.star"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project ``p`` of 3 tomograms with 4 tilts each, and its dataset ``ds``. Read only."""
    folder = tmp_path_factory.mktemp("made")
    ta.convert(make_project(folder / "p", tomograms=3, tilts=4).tomograms_star, folder / "ds")
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """The project, to be changed."""
    return Path(shutil.copytree(made / "p", tmp_path / "p"))


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> Path:
    """The dataset, to be changed; it was converted from the project that is read only."""
    return Path(shutil.copytree(made / "ds", tmp_path / "ds"))


def kinds(report: ta.VerifyReport) -> dict[str, set[str]]:
    """The kinds of differences of each file."""
    return {each.file: {d.kind for d in report.differences if d.file == each.file} for each in report.differences}


def test_what_was_converted_is_equal(made: Path) -> None:
    before = files_below(made)
    done: list[tuple[int, int]] = []
    report = ta.verify(made / "ds", progress=lambda *numbers: done.append(numbers))
    assert (report.files, report.values_equal, report.bytes_equal, report.differences) == (4, 4, 4, [])
    assert (report.exit_code, report.dataset, report.against) == (0, str(made / "ds"), str(made / "p"))
    assert report.to_dict()["values_equal"] == 4
    assert done[-1] == (4, 4)
    assert files_below(made) == before


@pytest.mark.parametrize("name", SETS)
def test_sets_of_all_kinds(tmp_path: Path, name: str) -> None:
    series, options = SETS[name]
    star = write_project(tmp_path / "p", quoted(series))
    ta.convert(star, tmp_path / "ds", **options)
    report = ta.verify(tmp_path / "ds")
    assert report.differences == []
    assert report.files == report.values_equal == report.bytes_equal == len(files_below(tmp_path / "p"))


@pytest.mark.parametrize("star", ["Polish/job030/tomograms.star", "Import/job001/tilt_series.star"])
def test_real_projects(shared: Path, tmp_path: Path, star: str) -> None:
    project = shared / "corpus/TomoBabel__cets-relion/tests/test_data/skeleton_project"
    ta.convert(project / star, tmp_path / "ds", project=project)
    report = ta.verify(tmp_path / "ds")
    assert (report.files, report.values_equal, report.bytes_equal, report.differences) == (6, 6, 6, [])


def in_line(number: int, before: str, after: str) -> Callable[[str], str]:
    """A change of the line of a row."""

    def change(text: str) -> str:
        lines = text.splitlines(keepends=True)
        first = next(i for i, line in enumerate(lines) if line.split()[:1] and len(line.split()) > 10)
        assert before in lines[first + number]
        lines[first + number] = lines[first + number].replace(before, after, 1)
        return "".join(lines)

    return change


def without_line(number: int) -> Callable[[str], str]:
    return lambda text: "".join(line for i, line in enumerate(text.splitlines(keepends=True)) if i != number)


def turned(text: str) -> str:
    """The first two columns in the other order."""
    head, _, rest = text.partition("_rlnMicrographMovieName #1 \n_rlnTomoTiltMovieFrameCount #2 \n")
    lines = [line.split(" ") for line in rest.splitlines()]
    rows = [" ".join([*line[1:14], line[0], *line[14:]]) if len(line) > 20 else " ".join(line) for line in lines]
    return f"{head}_rlnTomoTiltMovieFrameCount #1 \n_rlnMicrographMovieName #2 \n" + "\n".join(rows) + "\n"


#: Changes of one file of a project, the kinds of difference that they are, and what is said of the values.
CHANGES: dict[str, tuple[str, Callable[[str], str], set[str], str]] = {
    "a byte of a comment": (SECOND, lambda t: t.replace("50001", "50002"), {"bytes"}, ""),
    "a blank more": (SECOND, in_line(0, " 85.0", "  85.0"), {"bytes"}, ""),
    "a newline less at the end": (SECOND, lambda t: t[:-1], {"bytes"}, ""),
    "CRLF": (SECOND, lambda t: t.replace("\n", "\r\n"), {"bytes"}, ""),
    "a value in other words": (SECOND, in_line(2, "85.000000", "8.50e+1"), {"bytes"}, ""),
    "another name of the block": (SECOND, lambda t: t.replace("data_TS_02", "data_TS_2"), {"bytes"}, ""),
    "columns in another order": (SECOND, turned, {"bytes"}, ""),
    "a value": (SECOND, in_line(2, "85.000000", "85.000001"), {"values", "bytes"}, "row 2"),
    "a value, its label": (SECOND, in_line(1, "85.0", "86.0"), {"values", "bytes"}, "rlnTomoNominalTiltAxisAngle"),
    "a zero's sign": (SECOND, in_line(3, " 0.000000", "-0.000000"), {"values", "bytes"}, "row 3"),
    "nan": (SECOND, in_line(0, "85.000000", "nan"), {"values", "bytes"}, "nan"),
    "no value": (SECOND, in_line(0, "85.000000", "None"), {"values", "bytes"}, "None"),
    "a text": (SECOND, in_line(0, "frames/", "frame/"), {"values", "bytes"}, "rlnMicrographMovieName"),
    "a whole number that is none": (SECOND, in_line(0, " 8 ", " 8.5 "), {"values", "bytes"}, "FrameCount"),
    "another label": (SECOND, lambda t: t.replace("rlnDefocusU", "rlnDefocusX"), {"values", "bytes"}, "rlnDefocus"),
    "a row less": (SECOND, without_line(-1 + 35), {"values", "bytes"}, "3 rows"),
    "a value less": (SECOND, in_line(1, "85.000000", ""), {"unreadable", "bytes"}, ""),
    "a text for a number": (SECOND, in_line(1, "85.000000", "x"), {"values", "bytes"}, ""),
    "no block": (SECOND, lambda _: "# nothing\n", {"unreadable", "bytes"}, ""),
    "nothing": (SECOND, lambda _: "", {"unreadable", "bytes"}, ""),
    "not text": (SECOND, lambda t: t.replace("frames", "fr\udcffames"), {"unreadable"}, ""),
    "a byte of the global file": (GLOBAL, lambda t: t.replace("50001", "50002"), {"bytes"}, ""),
    "a value of the global file": (GLOBAL, in_line(1, "300.00000", "200.00000"), {"values", "bytes"}, "rlnVoltage"),
    "a tomogram less": (GLOBAL, without_line(23), {"values", "bytes"}, "2 rows"),
    "tomograms in another order": (
        GLOBAL,
        lambda t: t.replace("TS_01", "@").replace("TS_02", "TS_01").replace("@", "TS_02"),
        {"values", "bytes"},
        "row 0",
    ),
    "no global table": (GLOBAL, lambda _: "data_x\n", {"unreadable", "bytes"}, ""),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_of_one_source_is_found(made: Path, project: Path, case: str) -> None:
    path, change, expected, told = CHANGES[case]
    before = (project / path).read_text()
    (project / path).write_bytes(change(before).encode(errors="surrogateescape"))
    assert (project / path).read_bytes() != before.encode()
    report = ta.verify(made / "ds", against=project)
    assert set(kinds(report)) == {path}
    # That a file cannot be read, or not as it could, is enough to be told.
    assert kinds(report)[path] - {"bytes"} == expected - {"bytes"}
    assert "unreadable" in expected or kinds(report)[path] == expected
    assert report.files == 4
    assert (report.values_equal, report.bytes_equal) == (3 if expected != {"bytes"} else 4, 3)
    assert report.exit_code == 1
    assert all(told in each.what for each in report.differences if each.kind == "values")


def test_bytes_are_told_by_their_line(made: Path, project: Path) -> None:
    text = (project / SECOND).read_text()
    (project / SECOND).write_text(text.replace("_rlnDefocusU #16 \n", "_rlnDefocusU #16\n"))
    (difference,) = ta.verify(made / "ds", against=project).differences
    number = text.splitlines().index("_rlnDefocusU #16 ") + 1
    assert f"line {number}: '_rlnDefocusU #16'" in difference.what
    assert "'_rlnDefocusU #16 '" in difference.what


def test_several_files_are_told_each(made: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tomoarrow.dataset.verify._FILES_AT_A_TIME", 2)
    monkeypatch.setattr("tomoarrow.dataset.text.rendering._ROWS_AT_A_TIME", 5)
    for name in ("TS_01", "TS_03"):
        path = project / SECOND.replace("TS_02", name)
        path.write_text(in_line(0, "85.0", "86.0")(path.read_text()))
    (project / SECOND).unlink()
    (project / GLOBAL).unlink()
    report = ta.verify(made / "ds", against=project)
    both, gone = {"values", "bytes"}, {"missing"}
    series = {SECOND.replace("TS_02", name): kind for name, kind in (("TS_01", both), ("TS_02", gone), ("TS_03", both))}
    assert kinds(report) == {**series, GLOBAL: gone}
    assert (report.files, report.values_equal, report.bytes_equal) == (4, 0, 0)


def test_a_project_that_is_gone(tmp_path: Path) -> None:
    star = make_project(tmp_path / "p", tomograms=2, tilts=2).tomograms_star
    ta.convert(star, tmp_path / "ds")
    shutil.move(tmp_path / "p", tmp_path / "moved")
    report = ta.verify(tmp_path / "ds")
    assert [each.kind for each in report.differences] == ["missing"] * 3
    assert (report.files, report.values_equal, report.bytes_equal, report.exit_code) == (3, 0, 0, 1)
    assert ta.verify(tmp_path / "ds", against=tmp_path / "moved").differences == []


# ---- The dataset was changed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nextafter(85.0, 86), 85.0000001])
def test_a_double_that_prints_as_the_one_that_was_there(dataset: Path, value: float) -> None:
    edit(dataset, "tilts", put("rlnTomoNominalTiltAxisAngle", value, tilt("TS_02", 1)))
    report = ta.verify(dataset)
    (difference,) = report.differences
    assert (difference.file, difference.kind) == (SECOND, "values")
    assert (report.values_equal, report.bytes_equal, report.exit_code) == (3, 4, 1)
    assert all(text in difference.what for text in ("row 1", "rlnTomoNominalTiltAxisAngle", "85.0", repr(value)))


def test_a_double_of_the_global_table_that_prints_as_the_one_that_was_there(dataset: Path) -> None:
    edit(dataset, "tomograms", put("rlnVoltage", 300.0000001, tilt("TS_02")))
    report = ta.verify(dataset)
    assert kinds(report) == {GLOBAL: {"values"}}
    assert (report.values_equal, report.bytes_equal) == (3, 4)


@pytest.mark.parametrize("tool", ["polars", "duckdb"])
def test_tables_that_were_only_rewritten_are_equal(dataset: Path, tool: str) -> None:
    rewrite(dataset, tool, one_file=True)
    edit(dataset, "tilts", lambda frame: frame.sample(fraction=1, shuffle=True, seed=1))
    report = ta.verify(dataset)
    assert (report.values_equal, report.bytes_equal, report.differences) == (4, 4, [])


def test_a_tomogram_that_is_gone_is_an_extra_file(dataset: Path) -> None:
    edit(dataset, "tilts", lambda frame: frame.filter(~tilt("TS_02")))
    report = ta.verify(dataset)
    assert kinds(report) == {SECOND: {"extra"}, GLOBAL: {"values", "bytes"}}
    assert (report.files, report.values_equal, report.bytes_equal, report.exit_code) == (3, 2, 2, 1)


def test_a_tomogram_more_is_a_missing_file(dataset: Path) -> None:
    def more(frame: pl.DataFrame) -> pl.DataFrame:
        frame = frame.with_columns(pl.col("rlnTomoName").cast(pl.String))
        own = frame.filter(tilt("TS_02")).with_columns(pl.lit("TS_04").alias("rlnTomoName"))
        return pl.concat([frame, own.with_columns(pl.lit("x/4.star").alias(SERIES_FILE))])

    edit(dataset, "tilts", more)
    edit(dataset, "tomograms", more)
    report = ta.verify(dataset)
    assert kinds(report) == {"x/4.star": {"missing"}, GLOBAL: {"values", "bytes"}}
    assert (report.files, report.values_equal, report.bytes_equal) == (5, 3, 3)


#: Edits of tilts, whether RELION's text holds every value, and the tilt-series files that they change.
EDITS: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], bool, list[str]]] = {
    "a row dropped": (lambda f: f.filter(~tilt("TS_02", 1)), True, ["TS_02"]),
    "a value": (put("rlnDefocusU", 12345.25, tilt("TS_02", 1)), True, ["TS_02"]),
    "a value of many digits": (put("rlnDefocusU", 1 / 3, tilt("TS_02", 1)), False, ["TS_02"]),
    "null": (put("rlnDefocusU", None, tilt("TS_02", 1)), True, ["TS_02"]),
    "a text": (put("rlnMicrographName", "a b", tilt("TS_01", 0)), True, ["TS_01"]),
    "a column more": (lambda f: f.with_columns((pl.col(INDEX) * 0.5).alias("labA")), True, ["TS_01", "TS_02", "TS_03"]),
    "a column less": (lambda f: f.drop("rlnDefocusU"), True, ["TS_01", "TS_02", "TS_03"]),
    "rows shuffled": (lambda f: f.sample(fraction=1, shuffle=True, seed=1), True, []),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edited_dataset_differs_from_its_sources_and_not_from_its_export(dataset: Path, case: str) -> None:
    change, is_exact, names = EDITS[case]
    edit(dataset, "tilts", change)
    report = ta.verify(dataset)
    assert kinds(report) == {SECOND.replace("TS_02", name): {"values", "bytes"} for name in names}
    ta.export(dataset, dataset.parent / "out")
    report = ta.verify(dataset, against=dataset.parent / "out")
    assert (report.files, report.bytes_equal) == (4, 4)
    assert report.values_equal == (4 if is_exact else 3)
    assert kinds(report) == ({} if is_exact else {SECOND: {"values"}})


# ---- Other datasets ------------------------------------------------------------------------------------------------


def test_rejects_are_no_difference(tmp_path: Path) -> None:
    series = {"a": loop("a", ["rlnVoltage"], [["high"], [300]]), "b": tilts("b", 2)}
    options: dict[str, Any] = {"on_bad_value": "null", "missing": "skip"}
    star = write_project(tmp_path / "p", {**series, "c": tilts("c", 1)})
    (tmp_path / "p/tilt_series/2.star").unlink()
    assert ta.convert(star, tmp_path / "ds", **options).rejects == 2
    report = ta.verify(tmp_path / "ds")
    assert (report.files, report.values_equal, report.bytes_equal, report.differences) == (3, 3, 3, [])


def test_a_global_file_outside_its_project(made: Path, tmp_path: Path) -> None:
    star = tmp_path / "elsewhere" / "mine.star"
    star.parent.mkdir()
    star.write_bytes((made / "p" / GLOBAL).read_bytes())
    ta.convert(star, tmp_path / "ds", project=made / "p")
    assert ta.verify(tmp_path / "ds").differences == []
    ta.export(tmp_path / "ds", tmp_path / "out")
    assert ta.verify(tmp_path / "ds", against=tmp_path / "out").differences == []


@pytest.mark.parametrize("what", ["manifest.json", "tilts", "tomograms", "star"])
def test_damaged_datasets_are_refused(dataset: Path, what: str) -> None:
    if what == "manifest.json":
        (dataset / what).unlink()
    else:
        shutil.rmtree(dataset / what)
    with pytest.raises(ta.DatasetError):
        ta.verify(dataset)


def test_an_export_is_looked_for_below_its_folder_even_where_paths_are_absolute(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {"A": tilts("A", 3)})
    absolute = tmp_path / "p" / "tilt_series" / "0.star"
    star.write_text(star.read_text().replace("tilt_series/0.star", str(absolute)))
    ta.convert(star, tmp_path / "ds")
    ta.export(tmp_path / "ds", tmp_path / "out")
    assert ta.verify(tmp_path / "ds").exit_code == 0
    assert ta.verify(tmp_path / "ds", against=tmp_path / "out").exit_code == 0
    copy = tmp_path / "out" / absolute.relative_to("/")
    copy.write_text(copy.read_text().replace("2.0", "2.5"))
    (difference, _) = ta.verify(tmp_path / "ds", against=tmp_path / "out").differences
    assert difference.file == str(absolute)


def test_files_outside_of_the_project_are_read_only_if_they_may(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {"A": tilts("A", 3), "B": tilts("B", 2)})
    (tmp_path / "p" / "tilt_series" / "0.star").rename(tmp_path / "0.star")
    star.write_text(star.read_text().replace("tilt_series/0.star", "../0.star"))
    with pytest.raises(ta.MissingFileError, match="leads out"):
        ta.convert(star, tmp_path / "ds", missing="skip")
    ta.convert(star, tmp_path / "ds", allow_outside=True)
    assert ta.verify(tmp_path / "ds", allow_outside=True).differences == []
    report = ta.verify(tmp_path / "ds")
    assert [(each.file, each.kind) for each in report.differences] == [("../0.star", "outside")]
    assert (report.files, report.values_equal, report.bytes_equal, report.exit_code) == (3, 2, 2, 1)
