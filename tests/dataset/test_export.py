"""STAR files again: the same bytes, or those bytes with just the edits of the tables in them."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
import starfile
from gemmi import cif

import tomoarrow as ta
from tests.dataset.projects import loop, tilts, write_project
from tomoarrow.example import Example, make_project

NAME, SERIES_FILE = "rlnTomoName", "rlnTomoTiltSeriesStarFile"
INDEX = "tilt_index"

#: Real tomogram sets: the project directory, below corpus/ of the shared files, and the global file in it.
SKELETON = "TomoBabel__cets-relion/tests/test_data/skeleton_project"
REAL = {
    "Import": (SKELETON, "Import/job001/tilt_series.star"),
    "MotionCorr": (SKELETON, "MotionCorr/job002/corrected_tilt_series.star"),
    "CtfFind": (SKELETON, "CtfFind/job003/tilt_series_ctf.star"),
    "ExcludeTiltImages": (SKELETON, "ExcludeTiltImages/job004/selected_tilt_series.star"),
    "AlignTiltSeries": (SKELETON, "AlignTiltSeries/job005/aligned_tilt_series.star"),
    "Tomograms": (SKELETON, "Tomograms/job006/tomograms.star"),
    "CtfRefine": (SKELETON, "CtfRefine/job027/tomograms.star"),
    "Polish 30": (SKELETON, "Polish/job030/tomograms.star"),
    "Polish 70": (SKELETON, "Polish/job070/tomograms.star"),
    "cylindra": ("hanjinliu__cylindra/cylindra_builtins/relion/tests/test_jobs", "Tomograms/job_tomo/tomograms.star"),
    "relion's tests": (
        "3dem__relion/src/tomography_python_programs/_tests/test_project_directory",
        "tilt_series_metadata/tilt_series.star",
    ),
}

#: Those whose every file a program wrote by RELION's rules; files of the others were edited by hand.
BY_RELION = [name for name in REAL if name != "cylindra"]


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    paths = (path for path in folder.rglob("*") if not path.is_dir())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def files_of(project: Path, star: str) -> dict[str, bytes]:
    """The files of a tomogram set: the global one, and those that gemmi finds named in it."""
    paths = list(cif.read_file(str(project / star)).find_block("global").find_values(f"_{SERIES_FILE}"))
    return {path: (project / path).read_bytes() for path in [star, *paths]}


def exported(dataset: Path, **options: Any) -> dict[str, bytes]:
    """Every file of an export."""
    out = dataset.parent / f"{dataset.name}-exported"
    report = ta.export(dataset, out, **options)
    found = files_below(out)
    assert (report.files, report.bytes) == (len(found), sum(map(len, found.values())))
    shutil.rmtree(out)
    return found


def assert_same(found: Mapping[str, bytes], expected: Mapping[str, bytes]) -> None:
    """The same files with the same bytes; where not, the first lines that differ are shown."""
    assert sorted(found) == sorted(expected)
    for path, data in expected.items():
        if found[path] != data:
            pairs = zip(found[path].splitlines(True), data.splitlines(True), strict=False)
            assert (path, []) == (path, [pair for pair in pairs if pair[0] != pair[1]][:3])
        assert found[path] == data


def values_of(data: bytes) -> list[tuple[str, dict[str, Any], list[dict[str, list[Any]]]]]:
    """What a file says, whatever its bytes: names of blocks, pairs, columns."""
    document = ta.read_star(data, on_bad_value="null")
    return [(block.name, dict(block.pairs), [table.to_pydict() for table in block.loops]) for block in document]


# ---- Unchanged: the same bytes, no file more and none less ---------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_real_projects(shared: Path, tmp_path: Path, name: str) -> None:
    folder, star = REAL[name]
    project = shared / "corpus" / folder
    ta.convert(project / star, tmp_path / "ds", project=project)
    assert_same(exported(tmp_path / "ds"), files_of(project, star))


def test_a_made_up_project(small_project: Example, tmp_path: Path) -> None:
    ta.convert(small_project.tomograms_star, tmp_path / "ds")
    done: list[tuple[int, int]] = []
    report = ta.export(tmp_path / "ds", tmp_path / "out", progress=lambda *numbers: done.append(numbers))
    assert_same(files_below(tmp_path / "out"), files_below(small_project.directory))
    assert (report.tomograms, report.tilts, report.files, report.warnings) == (7, 35, 8, [])
    assert report.to_dict()["directory"] == str(tmp_path / "out")
    assert done == [(n, 8) for n in range(1, 9)]


def test_what_is_exported_converts_to_the_same_tables(small_project: Example, tmp_path: Path) -> None:
    ta.convert(small_project.tomograms_star, tmp_path / "ds")
    ta.export(tmp_path / "ds", tmp_path / "out")
    ta.convert(tmp_path / "out" / small_project.tomograms_star.relative_to(small_project.directory), tmp_path / "again")
    for table in ("tilts", "tomograms", "star"):
        assert pq.read_table(tmp_path / "again" / table).equals(pq.read_table(tmp_path / "ds" / table))


@pytest.mark.parametrize("options", [{"threads": 4}, {"partition_by": "rlnOpticsGroupName"}], ids=str)
def test_small_slabs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    made = make_project(tmp_path / "p", tomograms=23, tilts=3)
    source = files_below(tmp_path / "p")
    monkeypatch.setattr("tomoarrow.dataset.tables.tilts._SLAB_BYTES", 6_000)
    monkeypatch.setattr("tomoarrow.dataset.text.rendering._ROWS_AT_A_TIME", 7)
    ta.convert(made.tomograms_star, tmp_path / "ds", **options)
    assert_same(exported(tmp_path / "ds"), source)


def on_rows(change: Callable[[int, str], str]) -> Callable[[str], str]:
    """A change of the lines of values."""

    def changed(text: str) -> str:
        number, lines = -1, []
        for line in text.splitlines(keepends=True):
            is_row = number >= 0 and line.strip() != ""
            lines.append(change(number, line) if is_row else line)
            number += is_row or (number < 0 and line.startswith("_") and f"\n{line}_" not in text)
        return "".join(lines)

    return changed


def on_labels(change: Callable[[int, str], str]) -> Callable[[str], str]:
    """A change of what stands behind each label."""

    def changed(text: str) -> str:
        lines = text.splitlines(keepends=True)
        return "".join(line.split()[0] + change(i, line) if line[0] == "_" else line for i, line in enumerate(lines))

    return changed


def rotated(text: str) -> str:
    """The last column first."""
    head, rows = text.split("loop_ \n")
    lines = rows.splitlines()
    labels = [line.split()[0] for line in lines if line.startswith("_")]
    body = [line.split() for line in lines if line.strip() and not line.startswith("_")]
    turned = [[row[-1], *row[:-1]] for row in body]
    return f"{head}loop_ \n" + relion_loop([label[1:] for label in labels[-1:] + labels[:-1]], turned)


def relion_loop(labels: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Labels and rows as RELION writes them: numbers aligned right to 12 bytes, other values to 10."""
    widths = [12 if all(map(is_number, column)) else 10 for column in zip(*rows, strict=True)] or [10] * len(labels)
    header = "".join(f"_{label} #{number} \n" for number, label in enumerate(labels, 1))
    lines = ["".join(f"{v:>{w}} " for v, w in zip(row, widths, strict=True)) + "\n" for row in rows]
    return header + "".join(lines) + " \n"


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


#: How files are written otherwise than RELION does.
WRITTEN: dict[str, Callable[[str], str]] = {
    "lines end in CRLF": lambda text: text.replace("\n", "\r\n"),
    "some lines end in CRLF": on_rows(lambda n, line: line[:-1] + "\r\n" if n % 2 else line),
    "byte order mark": lambda text: "\ufeff" + text,
    "byte order mark and CRLF": lambda text: "\ufeff" + text.replace("\n", "\r\n"),
    "no final newline": str.rstrip,
    "no newline behind the last value, CRLF": lambda text: text.rstrip().replace("\n", "\r\n"),
    "many blank lines at the end": lambda text: text + "\n\n \n\t\n",
    "tabs": on_rows(lambda n, line: "\t".join(line.split()) + "\n"),
    "blanks of any number": on_rows(lambda n, line: re.sub(" +", lambda m: " " * (1 + (n + m.end()) % 3), line)),
    "blanks before the labels": lambda text: text.replace("\n_", "\n   _"),
    "comments between rows": on_rows(lambda n, line: f"# row {n}\n{line}" if n % 2 else line),
    "a comment before the first row": on_rows(lambda n, line: f"# here they are\n{line}" if n == 0 else line),
    "comments that look like data": on_rows(lambda n, line: f"# loop_ data_x _rlnA\n{line}"),
    "blank lines between rows": on_rows(lambda n, line: line + "\n" * (n % 3)),
    "comments behind rows": on_rows(lambda n, line: f"{line[:-1]}# checked {n}\n"),
    "a comment behind one row": on_rows(lambda n, line: f"{line[:-1]}# not this\n" if n == 1 else line),
    "a comment behind the rows": lambda text: text + "# the end",
    "comments between labels": lambda text: text.replace("#3 \n", "#3 \n# in pixels, or not\n\n"),
    "no numbers behind labels": on_labels(lambda i, line: "\n"),
    "wrong numbers behind labels": on_labels(lambda i, line: " #7\n"),
    "comments behind labels": on_labels(lambda i, line: f"\t# what {'is' * (i % 3)} this? #{i}\n"),
    "numbers from 0": on_labels(lambda i, line: f" #{int(line.split('#')[1]) - 1}\n"),
    "one label without its number": lambda text: text.replace(" #2 \n", "\n"),
    "the last label otherwise": lambda text: re.sub(r" #(\d+) \n(?!_)", r" #\1\n", text),
    "a comment behind keywords": lambda text: text.replace("loop_ \n", "loop_ # of tilts\n").replace("\n\nl", " #\nl"),
    "no version": lambda text: text.replace("# version 50001\n\n", "").lstrip(),
    "long front": lambda text: f"# é 漢 #1 #{{n}} \\0 {'x' * 5000}\n{text}",
    "single quotes": on_rows(lambda n, line: re.sub(r"(\S*[A-Za-z]\S*) ", r"'\1' ", line, count=1)),
    "double quotes, some": on_rows(lambda n, line: re.sub(r"(\S*/\S*) ", r'"\1" ', line, count=n % 4)),
    "quotes around numbers": on_rows(lambda n, line: re.sub(r" (\d\S*) ", r" '\1' ", line, count=1)),
    "fewer digits": on_rows(lambda n, line: re.sub(r"(\.\d\d)\d{4} ", r"\1 ", line)),
    "numbers in many forms": on_rows(
        lambda n, line: re.sub(r"300.000000|85.000000", ["+300", "3e2", "300.", "3.0E+02", "0300.0"][n % 5], line)
    ),
    "words for no value": on_rows(
        lambda n, line: re.sub(r"2.700000|-4.00000", ["None", "<NA>", "N/A", "NA", "null"][n % 5], line)
    ),
    "nan and inf": on_rows(lambda n, line: re.sub(r"2.700000|-4.00000", ["nan", "-nan", "inf", "-INF"][n % 4], line)),
    "zeros of both signs": on_rows(
        lambda n, line: re.sub(r" [02]\.[07]00000 ", [" -0.000000 ", " -0 ", " 0 "][n % 3], line)
    ),
    "more digits than a double has": on_rows(lambda n, line: re.sub(r"(\.\d{6}) ", r"\g<1>000000000000000001 ", line)),
    "columns in another order": rotated,
    "letters of all kinds": lambda text: text.replace("frames/", "画像/é\u00a0ß/").replace("rec_", "¹/"),
}


@pytest.fixture(scope="module")
def plain_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as RELION writes it: 4 tomograms with 5 tilts each. Read only."""
    return make_project(tmp_path_factory.mktemp("plain") / "p", tomograms=4, tilts=5).directory


def rewritten_project(source: Path, target: Path, change: Callable[[str], str], only: str = "") -> Path:
    """A project whose files, or those with a part of the path, are written otherwise. Returns its global file."""
    shutil.copytree(source, target)
    n = 0
    for path in target.rglob("*.star"):
        if only in str(path):
            before = path.read_bytes().decode()
            path.write_bytes(change(before).encode())
            n += change(before) != before
    assert n > 0
    (star,) = target.rglob("tomograms.star")
    return star


@dataclass(frozen=True)
class Otherwise:
    """A project whose files are not written as RELION does: its files and its dataset."""

    source: dict[str, bytes]
    dataset: Path


@pytest.fixture(scope="module", params=WRITTEN)
def otherwise(
    request: pytest.FixtureRequest, plain_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Otherwise:
    folder = tmp_path_factory.mktemp("otherwise")
    star = rewritten_project(plain_project, folder / "p", WRITTEN[request.param])
    ta.convert(star, folder / "ds")
    return Otherwise(files_below(folder / "p"), folder / "ds")


def test_files_written_otherwise(otherwise: Otherwise) -> None:
    assert_same(exported(otherwise.dataset), otherwise.source)


def each_otherwise(folder: Path) -> Path:
    """A project whose tilt-series files are each written otherwise. Returns its global file."""
    star = make_project(folder, tomograms=2 * len(WRITTEN), tilts=4).tomograms_star
    paths = sorted((star.parent / "tilt_series").iterdir())
    for path, change in zip(paths, [*WRITTEN.values()] * 2, strict=True):
        path.write_bytes(change(path.read_text()).encode())
    return star


def test_files_of_one_project_each_written_otherwise(tmp_path: Path) -> None:
    star = each_otherwise(tmp_path / "p")
    source = files_below(tmp_path / "p")
    ta.convert(star, tmp_path / "ds")
    assert_same(exported(tmp_path / "ds"), source)


def by_starfile(source: Path, target: Path) -> Path:
    """A project whose every file the starfile package wrote."""
    shutil.copytree(source, target)
    for path in target.rglob("*.star"):
        starfile.write(starfile.read(path, always_dict=True), path)
    (star,) = target.rglob("tomograms.star")
    return star


def test_files_that_starfile_wrote(plain_project: Path, tmp_path: Path) -> None:
    star = by_starfile(plain_project, tmp_path / "p")
    source = files_below(tmp_path / "p")
    assert source != files_below(plain_project)
    ta.convert(star, tmp_path / "ds")
    assert_same(exported(tmp_path / "ds"), source)


ONE = "data_a\n\nloop_\n_rlnVoltage #1\n300\n"

#: Projects of a few files: the text of each tilt series by tomogram, and options of `convert`.
SETS: dict[str, tuple[Mapping[str, str], dict[str, Any]]] = {
    "different columns": (
        {
            "a": loop("a", ["rlnVoltage", "rlnA"], [[300, "x"], [200, "y"]]),
            "b": loop("b", ["rlnVoltage"], [[300], [1]]),
            "c": loop("c", ["rlnB", "rlnVoltage", "rlnA"], [[1, 300, "z"]]),
        },
        {},
    ),
    "different orders of columns": (
        {
            "a": loop("a", ["rlnVoltage", "rlnA"], [[300, "x"], [200, "y"]]),
            "b": loop("b", ["rlnA", "rlnVoltage"], [["x", 300], ["y", 200]]),
        },
        {},
    ),
    "a column without any value": (
        {
            "a": loop("a", ["rlnVoltage", "rlnA"], [["None", "x"], ["<NA>", "y"]]),
            "b": loop("b", ["rlnVoltage", "rlnA"], [["300", "x"], ["<NA>", "y"]]),
        },
        {},
    ),
    "no tilts": (
        {"a": ONE, "b": "data_b\n\nloop_\n_rlnVoltage #1\n\n", "c": "data_c\n", "d": "# d\ndata_d\n\nloop_\n_rlnB\n"},
        {},
    ),
    "no tilts at all": ({"a": "data_a\n\nloop_\n_rlnVoltage #1\n"}, {}),
    "no tilt of any tomogram, no loop": ({"a": "data_a\n", "b": "# b\n\ndata_b\n"}, {}),
    "no tomograms": ({}, {}),
    "other blocks": (
        {
            "a": f"data_x\n_rlnA  'b c'  # d\n_rlnB 2\n{ONE}\n# more\n\ndata_y\nloop_\n_rlnVoltage\n1\n2\n",
            "b": loop("z", ["rlnA"], [[1]]) + loop("b", ["rlnVoltage"], [[300], [200]]),
        },
        {},
    ),
    "other names of blocks": (
        {"a": tilts("a_", 3), "b": tilts("B", 2), "c": tilts("", 1), "d": tilts("d", 1)},
        {},
    ),
    "names like numbers": (
        {name: tilts(name, 2) for name in ("001", "1e5", "1.0", "-0", "None", "nan", "TS_0", "0x1")},
        {},
    ),
    "names of any letters": ({name: tilts(name, 2) for name in ("é", "漢字", "a'b", 'a"b', "a#b", "[a]", "a,b")}, {}),
    "a name without letters": ({"a": tilts("a", 1), "": tilts("", 2)}, {}),
    "bad values": (
        {
            "a": loop("a", ["rlnVoltage", "rlnA"], [["high", "x"], [200, "y"]]),
            "b": loop("b", ["rlnVoltage", "rlnA"], [[300, "x"], ["1,5", "y"], ["None", "z"]]),
        },
        {"on_bad_value": "null"},
    ),
    "whole numbers that no double holds, where others are fractions": (
        {
            "a": loop(
                "a",
                ["rlnTomoTiltMovieFrameCount", "rlnTomoVisibleFrames"],
                [[2**63 - 1, f"[{2**53 + 1},1]"], ["9" * 20, "[2]"], [2**53, "[x]"]],
            ),
            "b": loop("b", ["rlnTomoTiltMovieFrameCount", "rlnTomoVisibleFrames"], [["3.5", "[0.5]"], ["None", "[]"]]),
        },
        {"on_bad_value": "null"},
    ),
    "whole numbers in many forms": (
        {
            "a": loop("a", ["rlnTomoTiltMovieFrameCount", "rlnA"], [["8", "1"], ["8.000000", "2"], ["+8", "3"]]),
            "b": loop("b", ["rlnTomoTiltMovieFrameCount", "rlnA"], [["8e0", "1"], ["08", "-2"], ["-0", "3"]]),
        },
        {},
    ),
    "vectors": (
        {
            "a": loop("a", ["rlnTomoProjX", "rlnTomoVisibleFrames"], [["[1,2.50,3e0]", "[1,0]"], ["[]", "[1]"]]),
            "b": loop("b", ["rlnTomoProjX", "rlnTomoVisibleFrames"], [["[nan]", "[00,+1]"], ["None", "null"]]),
        },
        {},
    ),
    "integers that floats follow": ({"a": loop("a", ["rlnA"], [[1], [2]]), "b": loop("b", ["rlnA"], [[1.5], [2]])}, {}),
    "numbers that text follows": ({"a": loop("a", ["rlnA"], [[1], [2]]), "b": loop("b", ["rlnA"], [["x"], [2]])}, {}),
    "numbers with zeros in front": ({"a": loop("a", ["rlnA"], [["01"], ["1"]]), "b": tilts("b", 1, "rlnA")}, {}),
    "big whole numbers": (
        {
            "a": loop("a", ["rlnA"], [[2**53 + 1], [-(2**63)]]),
            "b": loop("b", ["rlnA"], [["-9007199254740993"], ["7"]]),
        },
        {},
    ),
    "text that needs quotes": (
        {"a": loop("a", ["rlnA", "rlnB"], [["''", "'b c'"], ['"it\'s"', "'#'"], ['"\'"', '" "'], ["_x", "data_y"]])},
        {},
    ),
    "text with RELION's quotes": ({"a": loop("a", ["rlnA", "rlnB"], [['"a \a" b"', 1], ['"\a"\a""', 2]])}, {}),
    "labels of both tables": (
        {"a": loop("a", [NAME, INDEX, SERIES_FILE, "tilt_count"], [["x", 7, "y", 8], ["z", 6, "w", 9]])},
        {},
    ),
    "labels without rln": ({"a": loop("a", ["wrpAngle", "_x", "a.b", "é"], [[1.50, 2, 3, 4], [1.25, 2, 3, 4]])}, {}),
}


def quoted(series: Mapping[str, str]) -> dict[str, str]:
    """The series by their names as they stand in the global table."""
    return {f"'{name}'" if '"' in name or not name else name: text for name, text in series.items()}


@pytest.mark.parametrize("slab", [1, 1 << 24], ids=["a slab each", "one slab"])
@pytest.mark.parametrize("name", SETS)
def test_sets_of_all_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, slab: int) -> None:
    series, options = SETS[name]
    star = write_project(tmp_path / "p", quoted(series))
    source = files_below(tmp_path / "p")
    monkeypatch.setattr("tomoarrow.dataset.tables.tilts._SLAB_BYTES", slab)
    ta.convert(star, tmp_path / "ds", **options)
    assert_same(exported(tmp_path / "ds"), source)


def test_blocks_beside_the_global_one(tmp_path: Path) -> None:
    extra = (
        loop("optics", ["rlnOpticsGroup", "rlnVoltage"], [[1, "300.00"], ["02", 300]]) + "data_other\n_rlnA  1 # x\n"
    )
    star = write_project(tmp_path / "p", {"a": tilts("a", 1)}, extra=extra)
    star.write_text("# mine\ndata_general\n_rlnB 'a b'\n\n\n" + star.read_text())
    source = files_below(tmp_path / "p")
    ta.convert(star, tmp_path / "ds")
    assert_same(exported(tmp_path / "ds"), source)


def test_bad_values_of_the_global_table(tmp_path: Path) -> None:
    values: dict[str, Sequence[object]] = {"a": ["high", 1], "b": [300, "x"], "c": ["None", "2.50"]}
    series = {name: tilts(name, 1) for name in values}
    star = write_project(tmp_path / "p", series, more_labels=["rlnVoltage", "rlnTomoHand"], more_values=values)
    source = files_below(tmp_path / "p")
    assert ta.convert(star, tmp_path / "ds", on_bad_value="null").rejects == 2
    assert_same(exported(tmp_path / "ds"), source)


def test_files_that_were_not_there_are_not_made(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {name: tilts(name, 2) for name in "abc"})
    (tmp_path / "p/tilt_series/1.star").unlink()
    ta.convert(star, tmp_path / "ds", missing="skip")
    assert_same(exported(tmp_path / "ds"), files_below(tmp_path / "p"))


def test_a_global_file_outside_its_project(plain_project: Path, tmp_path: Path) -> None:
    star = tmp_path / "elsewhere" / "mine.star"
    star.parent.mkdir()
    star.write_bytes((plain_project / "Tomograms/job006/tomograms.star").read_bytes())
    ta.convert(star, tmp_path / "ds", project=plain_project)
    expected = files_below(plain_project)
    expected["mine.star"] = expected.pop("Tomograms/job006/tomograms.star")
    assert_same(exported(tmp_path / "ds"), expected)


@pytest.mark.parametrize("given", [True, False], ids=["project given", "project found"])
def test_a_project_reached_through_a_symbolic_link(plain_project: Path, tmp_path: Path, given: bool) -> None:
    (tmp_path / "link").symlink_to(plain_project)
    project = tmp_path / "link" if given else None
    ta.convert(tmp_path / "link/Tomograms/job006/tomograms.star", tmp_path / "ds", project=project)
    assert_same(exported(tmp_path / "ds"), files_below(plain_project))


@pytest.mark.parametrize("label", ["rlnOpticsGroupName", "rlnTomoSizeX", "rlnTomoTiltSeriesStarFile"])
def test_partitions(plain_project: Path, tmp_path: Path, label: str) -> None:
    ta.convert(plain_project / "Tomograms/job006/tomograms.star", tmp_path / "ds", partition_by=label)
    assert_same(exported(tmp_path / "ds"), files_below(plain_project))


# ---- Rewritten by other tools: nothing was changed, and nothing changes --------------------------------------------


def parquet_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def by_polars(path: Path) -> None:
    pl.read_parquet(path, hive_partitioning=False).write_parquet(path)


def by_duckdb(path: Path) -> None:
    other = path.with_suffix(".new")
    reading = f"read_parquet('{path}', hive_partitioning=false)"
    duckdb.sql(f"COPY (SELECT * FROM {reading}) TO '{other}' (FORMAT parquet)")
    other.rename(path)


def by_pandas(path: Path) -> None:
    pq.read_table(path, partitioning=None).to_pandas(ignore_metadata=True).to_parquet(path)


def as_one_file(folder: Path, write: Callable[[Path], None]) -> None:
    """All files of a table as one."""
    files = parquet_files(folder)
    frame = pl.concat([pl.read_parquet(path) for path in files])
    for path in files:
        path.unlink()
    frame.write_parquet(folder / "all.parquet", row_group_size=7)
    write(folder / "all.parquet")


TOOLS = {"polars": by_polars, "duckdb": by_duckdb, "pandas": by_pandas}


def rewrite(dataset: Path, tool: str, *, one_file: bool = False) -> None:
    """Let another tool write the tables again."""
    for table in ("tilts", "tomograms"):
        if one_file:
            as_one_file(dataset / table, TOOLS[tool])
        else:
            for path in parquet_files(dataset / table):
                TOOLS[tool](path)


@pytest.mark.parametrize(("tool", "one_file"), [("polars", True), ("duckdb", False)])
@pytest.mark.parametrize("name", ["Polish 30", "relion's tests", "cylindra"])
def test_real_projects_rewritten(shared: Path, tmp_path: Path, name: str, tool: str, one_file: bool) -> None:
    folder, star = REAL[name]
    project = shared / "corpus" / folder
    ta.convert(project / star, tmp_path / "ds", project=project)
    rewrite(tmp_path / "ds", tool, one_file=one_file)
    source, found = files_of(project, star), exported(tmp_path / "ds")
    if name in BY_RELION:
        assert_same(found, source)
    assert {path: values_of(data) for path, data in found.items()} == {p: values_of(d) for p, d in source.items()}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_project_of_many_parquet_files_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    made = make_project(tmp_path / "p", tomograms=30, tilts=4)
    source = files_below(tmp_path / "p")
    monkeypatch.setattr("tomoarrow.dataset.layout.ROW_GROUP_ROWS", 10)
    monkeypatch.setattr("tomoarrow.dataset.layout.FILE_ROWS", 40)
    monkeypatch.setattr("tomoarrow.dataset.layout._MOST_FILES", 1)
    ta.convert(made.tomograms_star, tmp_path / "ds")
    assert len(parquet_files(tmp_path / "ds" / "tilts")) == 3
    rewrite(tmp_path / "ds", tool)
    assert_same(exported(tmp_path / "ds"), source)


@pytest.mark.parametrize("tool", ["polars", "duckdb"])
def test_partitions_rewritten(plain_project: Path, tmp_path: Path, tool: str) -> None:
    star = plain_project / "Tomograms/job006/tomograms.star"
    ta.convert(star, tmp_path / "ds", partition_by="rlnOpticsGroupName")
    rewrite(tmp_path / "ds", tool)
    assert_same(exported(tmp_path / "ds"), files_below(plain_project))


@pytest.mark.parametrize("tool", ["polars", "duckdb"])
def test_sets_of_all_kinds_rewritten(tmp_path: Path, tool: str) -> None:
    for number, (series, options) in enumerate(SETS.values()):
        star = write_project(tmp_path / f"p{number}", quoted(series))
        ta.convert(star, tmp_path / f"ds{number}", **options)
        rewrite(tmp_path / f"ds{number}", tool)
        found = exported(tmp_path / f"ds{number}")
        expected = files_below(tmp_path / f"p{number}")
        assert {p: repr(values_of(d)) for p, d in found.items()} == {p: repr(values_of(d)) for p, d in expected.items()}


@pytest.mark.parametrize("tool", ["polars", "duckdb"])
def test_files_each_written_otherwise_rewritten(tmp_path: Path, tool: str) -> None:
    star = each_otherwise(tmp_path / "p")
    ta.convert(star, tmp_path / "ds")
    rewrite(tmp_path / "ds", tool, one_file=True)
    found, source = exported(tmp_path / "ds"), files_below(tmp_path / "p")
    assert sorted(found) == sorted(source)
    for path, data in source.items():
        assert repr(values_of(found[path])) == repr(values_of(data))


# ---- Edited tables -------------------------------------------------------------------------------------------------

GLOBAL = "Tomograms/job006/tomograms.star"

#: Columns of a table: their texts, by label.
Texts = dict[str, list[str]]


def raw(data: bytes, block: str) -> Texts:
    """The texts of a block's loop, as gemmi reads it."""
    (table,) = [item.loop for item in cif.read_string(data.decode()).find_block(block) if item.loop is not None]
    values = list(table.values)
    return {tag[1:]: values[i :: table.width()] for i, tag in enumerate(table.tags)}


def relion_double(value: float) -> str:
    """RELION's text of a double: 12 bytes, with an exponent below 0.001 and above 100000."""
    kind = "e" if 0 < abs(value) < 1e-3 or abs(value) > 1e5 else "f"
    text = (("%12.5" if value < 0 else "%12.6") + kind) % value
    return (text[:12] if kind == "f" else text).strip()


class Model:
    """A project as texts, to be edited by hand as its dataset is by Polars; and its files by RELION's rules."""

    def __init__(self, source: Mapping[str, bytes]) -> None:
        self.tomograms = raw(source[GLOBAL], "global")
        paths = zip(self.tomograms[NAME], self.tomograms[SERIES_FILE], strict=True)
        self.series = {name: raw(source[path], name) for name, path in paths}

    def put(self, label: str, text: str, name: str, *rows: int) -> Model:
        for row in rows:
            self.series[name][label][row] = text
        return self

    def keep(self, name: str, rows: Sequence[int]) -> Model:
        """Leave some rows of a tilt series, in an order."""
        self.series[name] = {label: [column[row] for row in rows] for label, column in self.series[name].items()}
        return self

    def keep_tomograms(self, rows: Sequence[int]) -> None:
        """Leave some rows of the global table, in an order."""
        self.tomograms = {label: [column[row] for row in rows] for label, column in self.tomograms.items()}

    def add(self, label: str, text: str) -> None:
        for table in self.series.values():
            table[label] = [text] * len(table["rlnDefocusU"])

    def by_path(self) -> dict[str, tuple[str, Texts]]:
        """The name of the block and the table of each file."""
        paths = zip(self.tomograms[NAME], self.tomograms[SERIES_FILE], strict=True)
        return {GLOBAL: ("global", self.tomograms)} | {path: (name, self.series[name]) for name, path in paths}

    def files(self) -> dict[str, bytes]:
        return {path: relion_file(name, table) for path, (name, table) in self.by_path().items()}


def relion_file(block: str, table: Texts) -> bytes:
    rows = list(zip(*table.values(), strict=True))
    return f"\n# version 50001\n\ndata_{block}\n\nloop_ \n{relion_loop(list(table), rows)}".encode()


@pytest.fixture
def model(plain_project: Path) -> Model:
    return Model(files_below(plain_project))


@pytest.fixture(scope="module")
def plain_dataset(plain_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = tmp_path_factory.mktemp("plain") / "ds"
    ta.convert(plain_project / GLOBAL, dataset)
    return dataset


@pytest.fixture
def dataset(plain_dataset: Path, tmp_path: Path) -> Path:
    """The dataset of the made-up project, to be edited."""
    return Path(shutil.copytree(plain_dataset, tmp_path / "ds"))


Change = Callable[[pl.DataFrame], pl.DataFrame]


def edit(dataset: Path, table: str, change: Change) -> None:
    """Let Polars change a table."""
    frame = change(pl.read_parquet(dataset / table))
    for path in parquet_files(dataset / table):
        path.unlink()
    frame.write_parquet(dataset / table / "edited.parquet")


def tilt(name: str, *index: int) -> pl.Expr:
    """Some tilts of a tomogram; all where none is named."""
    named = pl.col(NAME).cast(pl.String) == name
    return named & pl.col(INDEX).is_in(index) if index else named


def put(label: str, value: Any, where: pl.Expr) -> Change:
    """Set a value in some rows."""
    return lambda frame: frame.with_columns(
        pl.when(where).then(pl.lit(value, frame.schema[label])).otherwise(pl.col(label)).alias(label)
    )


def test_the_model_is_right(plain_project: Path, dataset: Path, model: Model) -> None:
    assert model.files() == files_below(plain_project) == exported(dataset)


#: The same values in other types and orders.
SAME: dict[str, Change] = {
    "the index as int64": lambda frame: frame.with_columns(pl.col(INDEX).cast(pl.Int64)),
    "the index as uint8": lambda frame: frame.with_columns(pl.col(INDEX).cast(pl.UInt8)),
    "the index as a float": lambda frame: frame.with_columns(pl.col(INDEX).cast(pl.Float64)),
    "names as text": lambda frame: frame.with_columns(pl.col(NAME).cast(pl.String)),
    "names as an enum": lambda frame: frame.with_columns(
        pl.col(NAME).cast(pl.Enum(frame[NAME].cast(pl.String).unique().sort(descending=True)))
    ),
    "paths as categories": lambda frame: frame.with_columns(pl.col("rlnMicrographName").cast(pl.Categorical)),
    "small integers": lambda frame: frame.with_columns(pl.col("rlnTomoTiltMovieFrameCount").cast(pl.Int16)),
    "unsigned integers": lambda frame: frame.with_columns(pl.col("rlnTomoTiltMovieFrameCount").cast(pl.UInt64)),
    "columns backwards": lambda frame: frame.select(frame.columns[::-1]),
    "rows backwards": lambda frame: frame.reverse(),
    "rows shuffled": lambda frame: frame.sample(fraction=1, shuffle=True, seed=3),
    "without columns of the global table": lambda frame: frame.drop("rlnVoltage", SERIES_FILE, "rlnTomoSizeX"),
}


@pytest.mark.parametrize("how", SAME)
def test_other_types_and_orders_change_nothing(plain_project: Path, dataset: Path, how: str) -> None:
    edit(dataset, "tilts", SAME[how])
    assert_same(exported(dataset), files_below(plain_project))


@dataclass(frozen=True)
class Edit:
    """An edit of the tables, the same edit of texts, and a part of the warning that it is told with."""

    tilts: Change | None
    tomograms: Change | None
    texts: Callable[[Model], object]
    warning: str = ""


def doubles(label: str, *values: float) -> Edit:
    """The first values of a column set to others, and their texts by RELION's rule."""

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        for row, value in enumerate(values):
            frame = put(label, value, tilt("TS_02", row))(frame)
        return frame

    def texts(model: Model) -> None:
        for row, value in enumerate(values):
            model.put(label, relion_double(value), "TS_02", row)

    return Edit(change, None, texts)


def column(dtype: Any, value: Any, text: str, label: str = "labNew") -> Edit:
    """A new column of one value, and its text by RELION's rule."""
    return Edit(
        lambda frame: frame.with_columns(pl.lit(value, dtype).alias(label)),
        None,
        lambda model: model.add(label, text),
    )


def dropped(*labels: str) -> Edit:
    return Edit(
        lambda frame: frame.drop(labels),
        None,
        lambda model: [table.pop(label) for table in model.series.values() for label in labels],
    )


def chosen(keep: Mapping[str, Sequence[int]]) -> pl.Expr:
    """Some rows of each tomogram; of those not named, all."""
    named = pl.col(NAME).cast(pl.String)
    some = [(named == name) & pl.col(INDEX).is_in(list(rows)) for name, rows in keep.items()]
    return pl.any_horizontal(~named.is_in(list(keep)), *some)


def kept(keep: Mapping[str, Sequence[int]]) -> Edit:
    return Edit(
        lambda frame: frame.filter(chosen(keep)),
        None,
        lambda model: [model.keep(name, rows) for name, rows in keep.items()],
    )


def like_another(name: str, like: str) -> Edit:
    """A tomogram with the tilts of another, in a file of its own."""

    def tilts_too(frame: pl.DataFrame) -> pl.DataFrame:
        frame = frame.with_columns(pl.col(NAME).cast(pl.String))
        return pl.concat([frame, frame.filter(tilt(like)).with_columns(pl.lit(name).alias(NAME))])

    def tomograms_too(frame: pl.DataFrame) -> pl.DataFrame:
        frame = frame.with_columns(pl.col(NAME).cast(pl.String))
        row = frame.filter(tilt(like)).with_columns(
            pl.lit(name).alias(NAME), pl.lit("new/file.star").alias(SERIES_FILE)
        )
        return pl.concat([frame, row])

    def texts(model: Model) -> None:
        row = model.tomograms[NAME].index(like)
        model.keep_tomograms([*range(len(model.tomograms[NAME])), row])
        model.tomograms[NAME][-1], model.tomograms[SERIES_FILE][-1] = name, "new/file.star"
        model.series[name] = model.series[like]

    return Edit(tilts_too, tomograms_too, texts)


def another_row(index: int, at: int) -> Edit:
    """A tilt more, like the first but for its defocus."""

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        row = frame.filter(tilt("TS_02", 0)).with_columns(
            pl.lit(index, pl.Int32).alias(INDEX), pl.lit(-1234.5).alias("rlnDefocusU")
        )
        return pl.concat([row, frame])

    def texts(model: Model) -> None:
        rows = list(range(5))
        model.keep("TS_02", [*rows[:at], 0, *rows[at:]])
        model.put("rlnDefocusU", relion_double(-1234.5), "TS_02", at)

    return Edit(change, None, texts)


def renamed(before: str, after: str) -> Edit:
    def change(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.col(NAME).cast(pl.String).replace(before, after))

    def texts(model: Model) -> None:
        model.tomograms[NAME][model.tomograms[NAME].index(before)] = after
        model.series[after] = model.series[before]

    return Edit(change, change, texts)


def global_text(label: str, text: str, row: int) -> Callable[[Model], object]:
    def texts(model: Model) -> None:
        model.tomograms[label][row] = text

    return texts


EDITS: dict[str, Edit] = {
    "a row dropped": kept({"TS_02": [0, 1, 3, 4]}),
    "the first row dropped": kept({"TS_01": [1, 2, 3, 4]}),
    "the last row dropped": kept({"TS_04": [0, 1, 2, 3]}),
    "rows of several tomograms dropped": kept({"TS_01": [4], "TS_02": [0, 2], "TS_04": [1, 2, 3]}),
    "the common double": doubles("rlnDefocusU", 12345.678901234, 3.0, -3.0, 99999.9999999, 0.0),
    "doubles with exponents": doubles("rlnDefocusV", 1.5e-5, -2.25e-7, 250000.0, -1e12, 100000.5),
    "doubles at the bounds": doubles("rlnDefocusAngle", 0.001, 0.0009999, 100000.0, -0.001, -99999.5),
    "a whole number": Edit(
        put("rlnTomoTiltMovieFrameCount", 12, tilt("TS_03", 1, 2)),
        None,
        lambda model: model.put("rlnTomoTiltMovieFrameCount", "12", "TS_03", 1, 2),
    ),
    "a text": Edit(
        put("rlnMicrographName", "x/y.mrc", tilt("TS_03", 0)),
        None,
        lambda model: model.put("rlnMicrographName", "x/y.mrc", "TS_03", 0),
    ),
    "a column of a constant": Edit(
        lambda frame: frame.with_columns(pl.lit(0.5).alias("rlnCtfScalefactor")),
        None,
        lambda model: [model.put("rlnCtfScalefactor", "0.500000", name, *range(5)) for name in model.series],
    ),
    "a column of a whole constant, where RELION has doubles": column(pl.Int32, 2, "2.000000", "rlnCtfScalefactor"),
    "a column more, of whole numbers, where RELION has doubles": column(pl.Int64, 7, "7.000000", "rlnPhaseShift"),
    "a column more, of doubles": column(pl.Float64, 2.5, "2.500000"),
    "a column more, of floats": column(pl.Float32, 2.5, "2.500000"),
    "a column more, of decimals": column(pl.Decimal(10, 2), 2.5, "2.500000"),
    "a column more, of whole numbers": column(pl.Int64, 7, "7"),
    "a column more, of small whole numbers": column(pl.UInt8, 7, "7"),
    "a column more, of booleans": column(pl.Boolean, True, "1"),
    "a column more, of text": column(pl.String, "ab/c", "ab/c"),
    "a column more, of categories": column(pl.Categorical, "abc", "abc"),
    "a column more, of vectors": column(pl.List(pl.Float64), [1.0, 2.5], "[1,2.5]"),
    "a column more, of arrays": column(pl.Array(pl.Int64, 2), [1, 2], "[1,2]"),
    "the first column dropped": dropped("rlnMicrographMovieName"),
    "the last column dropped": dropped("rlnCtfScalefactor"),
    "columns dropped": dropped("rlnTomoTiltMovieFrameCount", "rlnCtfImage", "rlnDefocusU", "rlnTomoZRot"),
    "all columns but one dropped, the first not text": Edit(
        lambda frame: frame.select(NAME, INDEX, "rlnDefocusU"),
        None,
        lambda model: model.series.update(
            {name: {"rlnDefocusU": table["rlnDefocusU"]} for name, table in model.series.items()}
        ),
    ),
    "a tomogram dropped from the tilts": Edit(
        lambda frame: frame.filter(~tilt("TS_03")), None, lambda model: model.keep_tomograms([0, 1, 3]), "TS_03"
    ),
    "a tomogram dropped from the tomograms": Edit(
        None, lambda frame: frame.filter(~tilt("TS_03")), lambda model: model.keep_tomograms([0, 1, 3]), "5 tilts"
    ),
    "a tomogram dropped from both": Edit(
        lambda frame: frame.filter(~tilt("TS_01")),
        lambda frame: frame.filter(~tilt("TS_01")),
        lambda model: model.keep_tomograms([1, 2, 3]),
    ),
    "all tomograms but one dropped": Edit(
        None, lambda frame: frame.tail(1), lambda model: model.keep_tomograms([3]), "15 tilts"
    ),
    "a tilt of no tomogram": Edit(
        lambda frame: pl.concat([frame, frame.head(1).with_columns(pl.lit(None, pl.Categorical).alias(NAME))]),
        None,
        lambda model: None,
        "1 tilt whose",
    ),
    "a tomogram more": like_another("TS_05", "TS_02"),
    "a tomogram more, of a number": like_another("005", "TS_02"),
    "a tilt more at the end": another_row(5, 5),
    "a tilt more, far behind": another_row(1000, 5),
    "a tilt more in front": another_row(-1, 0),
    "tomograms in another order": Edit(
        None, lambda frame: frame.reverse(), lambda model: model.keep_tomograms([3, 2, 1, 0])
    ),
    "a tomogram renamed": renamed("TS_02", "TS_99"),
    "a path changed": Edit(
        None,
        put(SERIES_FILE, "other/place/2.star", tilt("TS_02")),
        global_text(SERIES_FILE, "other/place/2.star", 1),
    ),
    "a value of the global table": Edit(
        None, put("rlnVoltage", 200.0, tilt("TS_02")), global_text("rlnVoltage", "200.000000", 1)
    ),
    "a column of the global table of a whole constant, where RELION has doubles": Edit(
        None,
        lambda frame: frame.with_columns(pl.lit(200).alias("rlnVoltage")),
        lambda model: model.tomograms.update(rlnVoltage=["200.000000"] * 4),
    ),
    "a whole number of the global table": Edit(
        None, put("rlnTomoSizeZ", 1500, tilt("TS_04")), global_text("rlnTomoSizeZ", "1500", 3)
    ),
    "a column of the global table more": Edit(
        None,
        lambda frame: frame.with_columns(pl.lit(0.25).alias("labNew")),
        lambda model: model.tomograms.update(labNew=["0.250000"] * 4),
    ),
    "columns of the global table dropped": Edit(
        None,
        lambda frame: frame.drop("rlnTomoHand", "rlnEtomoDirectiveFile", "tilt_count"),
        lambda model: [model.tomograms.pop(label) for label in ("rlnTomoHand", "rlnEtomoDirectiveFile")],
    ),
    "columns of the global table in another order": Edit(
        None, lambda frame: frame.select(frame.columns[::-1]), lambda model: None
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_edits(dataset: Path, model: Model, case: str) -> None:
    """Each file is RELION's text of the tables as they are now: what was not edited has its bytes."""
    done = EDITS[case]
    for table, change in (("tilts", done.tilts), ("tomograms", done.tomograms)):
        if change is not None:
            edit(dataset, table, change)
    done.texts(model)
    report = ta.export(dataset, dataset.parent / "out")
    assert_same(files_below(dataset.parent / "out"), model.files())
    assert len(report.warnings) == bool(done.warning)
    assert all(done.warning in warning for warning in report.warnings)


def test_duckdb_edits_as_polars_does(dataset: Path, model: Model) -> None:
    part = parquet_files(dataset / "tilts")[0]
    duckdb.sql(
        f"COPY (SELECT * REPLACE (rlnDefocusU + 1000000 AS rlnDefocusU), rlnDefocusU < 0 AS labNew FROM '{part}' "
        f"WHERE NOT ({NAME} = 'TS_02' AND {INDEX} IN (1, 2)) ORDER BY random()) TO '{part}.new' (FORMAT parquet)"
    )
    Path(f"{part}.new").rename(part)
    model.keep("TS_02", [0, 3, 4])
    for table in model.series.values():
        table["rlnDefocusU"] = [relion_double(float(text) + 1000000) for text in table["rlnDefocusU"]]
    model.add("labNew", "0")
    assert_same(exported(dataset), model.files())


def test_tilts_in_files_with_other_columns(dataset: Path, model: Model) -> None:
    frame = pl.read_parquet(dataset / "tilts")
    first = frame.head(10).with_columns(pl.col(NAME).cast(pl.String), pl.lit(1.5).alias("labNew"))
    first.write_parquet(dataset / "tilts" / "a.parquet")
    frame.slice(10).select(frame.columns[::-1]).write_parquet(dataset / "tilts" / "b.parquet")
    (dataset / "tilts" / "part-00000.parquet").unlink()
    found = exported(dataset, where="rlnDefocusU > 0")
    for number, (path, (name, table)) in enumerate(model.by_path().items()):
        new = ["1.500000" if number < 3 else "<NA>"] * 5
        assert raw(found[path], name) == (table if path == GLOBAL else {**table, "labNew": new})


def test_no_tilt_left(dataset: Path) -> None:
    edit(dataset, "tilts", lambda frame: frame.clear())
    found = exported(dataset)
    assert list(found) == [GLOBAL]
    table = ta.read_star(found[GLOBAL])["global"].table
    assert table is not None
    assert (table.num_rows, table.column_names[0]) == (0, NAME)


#: Columns of each kind, and what may not be there.
NULLS = ["rlnDefocusU", "rlnTomoTiltMovieFrameCount", "rlnAccumMotionTotal"]


@pytest.mark.parametrize("label", NULLS)
@pytest.mark.parametrize("rows", [(1,), (0, 1, 2, 3, 4)], ids=["one", "all of a file"])
def test_null_reads_back_as_null(dataset: Path, model: Model, label: str, rows: tuple[int, ...]) -> None:
    before = ta.read_table(_series_file(dataset, model, "TS_03")).to_pydict()
    edit(dataset, "tilts", put(label, None, tilt("TS_03", *rows)))
    found = exported(dataset)
    path = model.tomograms[SERIES_FILE][2]
    after = ta.read_table(found.pop(path)).to_pydict()
    if label in after:
        # A column without any value might as well not be there.
        assert [after[label][row] for row in rows] == [None] * len(rows)
        assert [value is None for value in after[label]].count(True) == len(rows)
    else:
        assert len(rows) == 5
    assert {k: v for k, v in after.items() if k != label} == {k: v for k, v in before.items() if k != label}
    assert_same(found, {p: data for p, data in model.files().items() if p != path})


def _series_file(dataset: Path, model: Model, name: str) -> bytes:
    return model.files()[model.tomograms[SERIES_FILE][model.tomograms[NAME].index(name)]]


def test_null_is_a_word_for_no_value_though_bad_values_were_null_too(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {"a": loop("a", ["rlnVoltage"], [["high"], [300], [200]])})
    ta.convert(star, tmp_path / "ds", on_bad_value="null")
    edit(tmp_path / "ds", "tilts", put("rlnVoltage", None, tilt("a", 1)))
    texts = raw(exported(tmp_path / "ds")["tilt_series/0.star"], "a")["rlnVoltage"]
    assert texts[::2] == ["high", "200"]
    assert texts[1] in ("None", "<NA>", "N/A", "NA", "null")


@pytest.mark.parametrize("tool", ["polars", "duckdb"])
def test_values_of_all_kinds_survive_edits_of_others(tmp_path: Path, tool: str) -> None:
    rows = [["a b", "[1,2.5]", 8, "nan", "1e-300"], ["''", "[]", 9, "-0.0", "inf"], ["x", "[nan]", 10, "None", ".1"]]
    labels = ["rlnMicrographName", "rlnTomoProjX", "rlnTomoTiltMovieFrameCount", "rlnDefocusU", "rlnDefocusV"]
    text = loop("a", labels, [[f"'{row[0]}'" if " " in str(row[0]) else row[0], *row[1:]] for row in rows])
    star = write_project(tmp_path / "p", {"a": text})
    ta.convert(star, tmp_path / "ds")
    rewrite(tmp_path / "ds", tool)
    edit(tmp_path / "ds", "tilts", lambda frame: frame.filter(pl.col(INDEX) != 1))
    found = ta.read_table(exported(tmp_path / "ds")["tilt_series/0.star"]).to_pydict()
    assert repr(found) == repr(
        {
            "rlnMicrographName": ["a b", "x"],
            "rlnTomoProjX": [[1.0, 2.5], [math.nan]],
            "rlnTomoTiltMovieFrameCount": [8, 10],
            "rlnDefocusU": [math.nan, None],
            "rlnDefocusV": [1e-300, 0.1],
        }
    )


# ---- Edits of files that others than RELION wrote ------------------------------------------------------------------


def lines_of(data: bytes) -> list[list[str]]:
    """The rows of a file with tabs between its values."""
    return [line.split("\t") for line in data.decode().splitlines() if "\t" in line]


def test_edits_of_files_that_starfile_wrote(plain_project: Path, tmp_path: Path) -> None:
    star = by_starfile(plain_project, tmp_path / "p")
    source = files_below(tmp_path / "p")
    ta.convert(star, tmp_path / "ds")
    edit(tmp_path / "ds", "tilts", lambda frame: frame.filter(~tilt("TS_02", 1)))
    edit(tmp_path / "ds", "tilts", put("rlnDefocusU", 12345.678901234, tilt("TS_03", 1)))
    edit(tmp_path / "ds", "tilts", put("rlnDefocusV", -250000.5, tilt("TS_03", 4)))
    edit(tmp_path / "ds", "tilts", put("rlnTomoTiltMovieFrameCount", 12, tilt("TS_03", 4)))
    edit(tmp_path / "ds", "tilts", put("rlnMicrographName", "a b", tilt("TS_03", 0)))
    found = exported(tmp_path / "ds")
    folder = "Tomograms/job006/tilt_series"
    second = source[f"{folder}/TS_02.star"].splitlines(keepends=True)
    del second[[i for i, line in enumerate(second) if b"\t" in line][1]]
    assert found[f"{folder}/TS_02.star"] == b"".join(second)
    labels = list(raw(source[f"{folder}/TS_03.star"], "TS_03"))
    third = source[f"{folder}/TS_03.star"].decode()
    rows = [line.split("\t") for line in third.splitlines() if "\t" in line]
    head = third[: third.index(rows[0][0])]
    rows[1][labels.index("rlnDefocusU")] = f"{12345.678901234:.6f}"
    rows[4][labels.index("rlnDefocusV")] = f"{-250000.5:.6f}"
    rows[4][labels.index("rlnTomoTiltMovieFrameCount")] = "12"
    rows[0][labels.index("rlnMicrographName")] = '"a b"'
    tail = third[third.rindex("\t") :].partition("\n")[2]
    expected = head + "".join("\t".join(row) + "\n" for row in rows) + tail
    assert found[f"{folder}/TS_03.star"].decode() == expected
    for path in (GLOBAL, f"{folder}/TS_01.star", f"{folder}/TS_04.star"):
        assert found[path] == source[path]


def test_a_column_added_to_files_that_starfile_wrote(plain_project: Path, tmp_path: Path) -> None:
    star = by_starfile(plain_project, tmp_path / "p")
    source = files_below(tmp_path / "p")
    ta.convert(star, tmp_path / "ds")
    edit(tmp_path / "ds", "tilts", lambda frame: frame.with_columns((pl.col(INDEX) / 3).alias("labThird")))
    found = exported(tmp_path / "ds")
    assert found.pop(GLOBAL) == source.pop(GLOBAL)
    for path, data in found.items():
        (tmp_path / "one.star").write_bytes(data)
        frame = starfile.read(tmp_path / "one.star")
        assert frame["labThird"].to_list() == pytest.approx([i / 3 for i in range(5)], abs=5e-7)
        assert list(frame.columns) == [*raw(source[path], Path(path).stem), "labThird"]
        assert f"_labThird #{len(frame.columns)}\n".encode() in data
        assert lines_of(source[path]) == [row[:-1] for row in lines_of(data)]


def test_edits_of_files_written_otherwise(otherwise: Otherwise, tmp_path: Path) -> None:
    """Whatever stood around the values: files read as the tables are now."""
    shutil.copytree(otherwise.dataset, tmp_path / "ds")
    keep = {"TS_01": [1, 2, 3, 4], "TS_02": [0, 2, 4], "TS_03": [0, 1, 2, 3], "TS_04": []}
    away = ["rlnMicrographMovieName", "rlnCtfScalefactor", "rlnDefocusU"]
    edit(tmp_path / "ds", "tilts", lambda frame: frame.filter(chosen(keep)))
    first = exported(tmp_path / "ds")
    edit(tmp_path / "ds", "tilts", lambda frame: frame.drop(away).with_columns((pl.col(INDEX) * 0.25).alias("labNew")))
    edit(tmp_path / "ds", "tomograms", lambda frame: frame.reverse())
    second = exported(tmp_path / "ds")
    assert len(first) == len(second) == 4
    for path in first:
        ((name, _, (before,)),) = values_of(otherwise.source[path])
        rows = keep.get(name, [0, 1, 2])
        expected = {label: [column[row] for row in rows] for label, column in before.items()}
        assert repr(values_of(first[path])) == repr([(name, {}, [expected])])
        if name == "global":
            expected = {label: column[::-1] for label, column in expected.items()}
        else:
            expected = {label: column for label, column in expected.items() if label not in away}
            expected["labNew"] = [row * 0.25 for row in rows]
        assert repr(values_of(second[path])) == repr([(name, {}, [expected])])
    # Rows of the global file in another order keep their words, and comments behind them: a row begins with its name.
    words = [
        [line.split() for line in data.decode().splitlines() if re.match(r"\W*TS_", line)]
        for data in (second[GLOBAL], otherwise.source[GLOBAL])
    ]
    assert words[0] == words[1][2::-1]


def test_rows_keep_their_comments_and_texts_wherever_they_are(tmp_path: Path) -> None:
    rows = ["1.50 a # one", "# before two", "2.250 'b' # two", "", "3 c # three", "4e0 d # four"]
    text = "data_a\nloop_\n_rlnVoltage\n_labName\n" + "\n".join(rows) + "\n"
    star = write_project(tmp_path / "p", {"a": text})
    ta.convert(star, tmp_path / "ds")
    edit(tmp_path / "ds", "tilts", lambda frame: frame.filter(~pl.col(INDEX).is_in([0, 2])).reverse())
    lines = exported(tmp_path / "ds")["tilt_series/0.star"].decode().splitlines()
    kept_rows = [line.split() for line in lines if line[:1].isdigit()]
    assert kept_rows == [["2.250", "'b'", "#", "two"], ["4e0", "d", "#", "four"]]


# ---- A selection ---------------------------------------------------------------------------------------------------

SELECTIONS: dict[str, tuple[dict[str, Any], Callable[[str, dict[str, float]], bool]]] = {
    "one tomogram": ({"tomograms": ["TS_02"]}, lambda name, _: name == "TS_02"),
    "some, in any order": ({"tomograms": ["TS_04", "TS_01", "TS_04"]}, lambda name, _: name in ("TS_01", "TS_04")),
    "where": ({"where": "rlnTomoYTilt > -1"}, lambda _, row: row["rlnTomoYTilt"] > -1),
    "where of a name": ({"where": "rlnTomoName = 'TS_03'"}, lambda name, _: name == "TS_03"),
    "where of names": ({"where": "rlnTomoName IN ('TS_03', 'TS_01')"}, lambda name, _: name in ("TS_01", "TS_03")),
    "where of both": (
        {"where": "rlnTomoName != 'TS_03' AND (tilt_index = 1 OR ABS(rlnTomoYTilt) < 1)"},
        lambda name, row: name != "TS_03" and (row[INDEX] == 1 or abs(row["rlnTomoYTilt"]) < 1),
    ),
    "where of the global table": (
        {"where": "rlnOpticsGroupName = 'optics1'"},
        lambda name, _: name in ("TS_01", "TS_03"),
    ),
    "tomograms and where": (
        {"tomograms": ["TS_01", "TS_02"], "where": "rlnTomoYTilt > 4 AND rlnTomoName <> 'TS_01'"},
        lambda name, row: name == "TS_02" and row["rlnTomoYTilt"] > 4,
    ),
    "all": ({"where": "tilt_index >= 0"}, lambda *_: True),
    "none": ({"where": "tilt_index > 99"}, lambda *_: False),
    "no tomograms": ({"tomograms": []}, lambda *_: False),
}


#: In a dataset of Hive folders, the rows of a tomogram are found in another order.
IN_FOLDERS = ["where", "where of the global table", "tomograms and where"]


@pytest.mark.parametrize(
    ("case", "partition_by"),
    [(case, None) for case in SELECTIONS] + [(case, "rlnOpticsGroupName") for case in IN_FOLDERS],
)
def test_selections(plain_project: Path, tmp_path: Path, model: Model, case: str, partition_by: str | None) -> None:
    """The same files as RELION would write of the rows that are chosen; they are a project of their own."""
    ta.convert(plain_project / GLOBAL, tmp_path / "ds", partition_by=partition_by)
    options, chosen = SELECTIONS[case]
    left = []
    for number, name in enumerate(list(model.series)):
        table = model.series[name]
        keep = [i for i in range(5) if chosen(name, {"rlnTomoYTilt": float(table["rlnTomoYTilt"][i]), INDEX: float(i)})]
        model.keep(name, keep)
        left += [number] * bool(keep)
    model.keep_tomograms(left)
    report = ta.export(tmp_path / "ds", tmp_path / "out", **options)
    found = files_below(tmp_path / "out")
    if left:
        assert_same(found, model.files())
    assert sorted(found) == sorted(model.by_path())
    assert (report.tomograms, report.files) == (len(left), len(left) + 1)
    again = ta.convert(tmp_path / "out" / GLOBAL, tmp_path / "again")
    assert (again.tomograms, again.tilts) == (report.tomograms, report.tilts)


BAD_SELECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown tomogram": ({"tomograms": ["TS_01", "TS_1"]}, "TS_1"),
    "several": ({"tomograms": ["x", "y"]}, "x, y"),
    "no column": ({"where": "noSuchLabel > 1"}, "noSuchLabel"),
    "no SQL": ({"where": "rlnDefocusU >"}, "rlnDefocusU >"),
    "brackets": ({"where": "(("}, r"\(\("),
    "nothing": ({"where": ""}, "where="),
    "no condition": ({"where": "rlnDefocusU"}, "condition"),
    "a text": ({"where": "rlnTomoName"}, "condition"),
    "a number": ({"where": "max(rlnDefocusU) > 1"}, "condition"),
    "other types": ({"where": "rlnDefocusU > 'many'"}, "where="),
    "a statement": ({"where": "SELECT * FROM tilts"}, "where="),
    "two": ({"where": "tilt_index = 1; tilt_index = 2"}, "where="),
}


@pytest.mark.parametrize("case", BAD_SELECTIONS)
def test_bad_selections_are_refused(plain_dataset: Path, tmp_path: Path, case: str) -> None:
    options, message = BAD_SELECTIONS[case]
    with pytest.raises(ta.UsageError, match=message):
        ta.export(plain_dataset, tmp_path / "out", **options)
    assert os.listdir(tmp_path) == []


# ---- Paths ---------------------------------------------------------------------------------------------------------

#: Paths of a tilt series, as the global table has them, and where below the target the file goes.
PATHS = {
    "plain.star": "plain.star",
    "./plain.star": "plain.star",
    "a//b/./c.star": "a/b/c.star",
    "../up.star": "up.star",
    "../../../../../../../../etc/up.star": "etc/up.star",
    "/abs/olute.star": "abs/olute.star",
    "//abs/olute.star": "abs/olute.star",
    "a/b/../../../../up.star": None,
    "...": "...",
    "..a/b..": "..a/b..",
    "a\\..\\b.star": "a\\..\\b.star",
    "~/home.star": "~/home.star",
    "a b/é漢.star": "a b/é漢.star",
    "no-extension": "no-extension",
}


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    """A folder that holds a file; exports go below it."""
    folder = tmp_path / "outside"
    (folder / "below").mkdir(parents=True)
    (folder / "precious.star").write_text("precious")
    return folder


@pytest.mark.parametrize("path", PATHS)
def test_files_stay_below_the_target(dataset: Path, sentinel: Path, path: str) -> None:
    edit(dataset, "tomograms", put(SERIES_FILE, path, tilt("TS_02")))
    report = ta.export(dataset, sentinel / "below" / "out")
    found = files_below(sentinel)
    assert found.pop("precious.star") == b"precious"
    assert len(found) == 5
    assert all(file.startswith("below/out/") for file in found)
    if PATHS[path] is not None:
        assert b"data_TS_02\n" in found[f"below/out/{PATHS[path]}"]
    leads_out = path.startswith("/") or os.path.normpath(path).startswith("../")
    assert [path in warning for warning in report.warnings] == [True] * leads_out
    # The global file keeps the path as it is in the table.
    assert raw(found[f"below/out/{GLOBAL}"], "global")[SERIES_FILE][1].strip("'\"") == path


@pytest.mark.parametrize(
    ("path", "goes_to"),
    [("a/../b.star", "b.star"), ("Tomograms/job006/../job005/x.star", "Tomograms/job005/x.star")],
)
def test_a_path_that_leads_up_and_stays_inside_goes_where_it_leads(dataset: Path, path: str, goes_to: str) -> None:
    edit(dataset, "tomograms", put(SERIES_FILE, path, tilt("TS_02")))
    assert goes_to in exported(dataset)


def test_a_project_with_paths_that_lead_up_comes_back_as_it_was(plain_project: Path, tmp_path: Path) -> None:
    star = rewritten_project(
        plain_project, tmp_path / "p", lambda text: text.replace("job006/tilt_", "job006/../job006/tilt_"), GLOBAL
    )
    source = files_below(tmp_path / "p")
    ta.convert(star, tmp_path / "ds")
    assert_same(exported(tmp_path / "ds"), source)


@pytest.mark.parametrize("path", ["", ".", "..", "/", "../..", "a\0b.star", None], ids=repr)
def test_paths_that_are_none_are_refused(dataset: Path, sentinel: Path, path: str | None) -> None:
    edit(dataset, "tomograms", put(SERIES_FILE, path, tilt("TS_02")))
    with pytest.raises(ta.TomoarrowError):
        ta.export(dataset, sentinel / "below" / "out")
    assert {file for file in files_below(sentinel) if not file.startswith("below/out/")} == {"precious.star"}


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("x.star", "x.star"),
        ("x.star", "./x.star"),
        ("../x.star", "x.star"),
        ("/x.star", "x.star"),
        (GLOBAL, "x.star"),
        ("x.star", "x.star/y.star"),
        ("x.star/y.star", "x.star"),
        ("x" * 300, "y.star"),
    ],
)
def test_files_that_cannot_all_be_there_are_refused(dataset: Path, sentinel: Path, path: str, other: str) -> None:
    edit(dataset, "tomograms", put(SERIES_FILE, path, tilt("TS_02")))
    edit(dataset, "tomograms", put(SERIES_FILE, other, tilt("TS_03")))
    with pytest.raises(ta.TomoarrowError):
        ta.export(dataset, sentinel / "below" / "out")
    assert {file for file in files_below(sentinel) if not file.startswith("below/out/")} == {"precious.star"}


LINKS = [
    "Tomograms",
    "Tomograms/job006",
    "Tomograms/job006/tilt_series",
    "Tomograms/job006/tilt_series/TS_03.star",
    GLOBAL,
]


@pytest.mark.parametrize("link", LINKS)
def test_symbolic_links_in_the_target_are_not_followed(plain_dataset: Path, sentinel: Path, link: str) -> None:
    out = sentinel / "below" / "out"
    (out / link).parent.mkdir(parents=True)
    to = sentinel / "precious.star" if link.endswith(".star") else sentinel / "elsewhere"
    if not link.endswith(".star"):
        to.mkdir()
    (out / link).symlink_to(to)
    with pytest.raises(ta.DatasetError, match="symbolic link"):
        ta.export(plain_dataset, out, force=True)
    outside = {file: data for file, data in files_below(sentinel).items() if not file.startswith("below/out/")}
    assert outside == {"precious.star": b"precious"}


# ---- The target ----------------------------------------------------------------------------------------------------


def test_a_folder_that_holds_files_is_left_alone_without_force(
    plain_project: Path, plain_dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "out" / "Tomograms" / "job006").mkdir(parents=True)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (tmp_path / "out" / GLOBAL).write_text("old")
    before = files_below(tmp_path)
    with pytest.raises(ta.DatasetError, match="--force"):
        ta.export(plain_dataset, tmp_path / "out")
    assert files_below(tmp_path) == before
    ta.export(plain_dataset, tmp_path / "out", force=True)
    assert files_below(tmp_path / "out") == {**files_below(plain_project), "notes.txt": b"mine"}


@pytest.mark.parametrize("what", ["file", "link to a file", "dangling link"])
@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_folder_is_never_replaced(plain_dataset: Path, tmp_path: Path, what: str, force: bool) -> None:
    out = tmp_path / "out"
    if what == "file":
        out.write_text("precious")
    else:
        (tmp_path / "other").write_text("precious")
        out.symlink_to(tmp_path / ("other" if what == "link to a file" else "nothing"))
    before = sorted(tmp_path.rglob("*")), files_below(tmp_path) if what != "dangling link" else None
    with pytest.raises(ta.DatasetError):
        ta.export(plain_dataset, out, force=force)
    assert (sorted(tmp_path.rglob("*")), files_below(tmp_path) if what != "dangling link" else None) == before


def test_an_empty_folder_and_the_current_one_are_fine_targets(
    plain_project: Path, plain_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    ta.export(plain_dataset, ".")
    assert_same(files_below(tmp_path / "a"), files_below(plain_project))


def test_a_target_that_cannot_be_made(plain_dataset: Path) -> None:
    with pytest.raises(ta.TomoarrowError):
        ta.export(plain_dataset, "/proc/nowhere/out")


def test_a_project_is_written_over_itself_with_force(plain_project: Path, tmp_path: Path) -> None:
    shutil.copytree(plain_project, tmp_path / "p")
    ta.convert(tmp_path / "p" / GLOBAL, tmp_path / "ds")
    ta.export(tmp_path / "ds", tmp_path / "p", force=True)
    assert_same(files_below(tmp_path / "p"), files_below(plain_project))


# ---- What is no dataset --------------------------------------------------------------------------------------------


def _break(dataset: Path, what: str) -> None:
    if what == "no manifest":
        (dataset / "manifest.json").unlink()
    elif what.startswith("no "):
        shutil.rmtree(dataset / what.removeprefix("no "))
    elif what == "a damaged file":
        parquet_files(dataset / "tilts")[0].write_bytes(b"PAR1")
    else:
        table, _, column_ = what.partition(" without ")
        edit(dataset, table, lambda frame: frame.drop(column_))


@pytest.mark.parametrize(
    "what",
    [
        "no manifest",
        "no tilts",
        "no tomograms",
        "no star",
        "a damaged file",
        f"tilts without {NAME}",
        f"tilts without {INDEX}",
        f"tomograms without {NAME}",
        f"tomograms without {SERIES_FILE}",
    ],
)
def test_damaged_datasets_are_refused(dataset: Path, what: str) -> None:
    _break(dataset, what)
    with pytest.raises(ta.DatasetError):
        ta.export(dataset, dataset.parent / "out")
    assert not (dataset.parent / "out").exists()


BAD_EDITS: dict[str, tuple[str, Change]] = {
    "text of two lines": ("tilts", put("rlnMicrographName", "a\nb", tilt("TS_02", 1))),
    "values that have no text": ("tilts", lambda frame: frame.with_columns(pl.lit(b"x").alias("labNew"))),
    "dates": ("tilts", lambda frame: frame.with_columns(pl.date(2024, 1, 1).alias("labNew"))),
    "a label with a blank": ("tilts", lambda frame: frame.with_columns(pl.lit(1.0).alias("lab New"))),
    "an empty label": ("tomograms", lambda frame: frame.with_columns(pl.lit(1.0).alias(""))),
    "a label with a blank, global": ("tomograms", lambda frame: frame.with_columns(pl.lit(1.0).alias("lab New"))),
    "no name of a block": ("both", lambda f: f.with_columns(pl.col(NAME).cast(pl.String).replace("TS_02", "a b"))),
    "a tomogram twice": ("tomograms", lambda frame: pl.concat([frame, frame.head(1)])),
    "a tomogram without a name": ("tomograms", put(NAME, None, tilt("TS_02"))),
}


@pytest.mark.parametrize("case", BAD_EDITS)
def test_edits_that_no_star_file_can_hold_are_refused(dataset: Path, case: str) -> None:
    table, change = BAD_EDITS[case]
    for each in ("tilts", "tomograms") if table == "both" else (table,):
        edit(dataset, each, change)
    with pytest.raises(ta.TomoarrowError):
        ta.export(dataset, dataset.parent / "out")


# ---- Sets that are odd ---------------------------------------------------------------------------------------------


def test_series_without_tilts_do_not_move_the_quotes_of_others(tmp_path: Path) -> None:
    def series(name: str, values: Sequence[str]) -> str:
        return loop(name, ["rlnMicrographName", "rlnMicrographPreExposure"], [[value, "1.0"] for value in values])

    names = {"A": ['"_x"', "_y"], "B": [], "C": ['"_x"', "_y"], "D": ['"_x"', "_y"]}
    star = write_project(tmp_path / "p", {name: series(name, values) for name, values in names.items()})
    ta.convert(star, tmp_path / "ds")
    assert_same(exported(tmp_path / "ds"), files_below(tmp_path / "p"))


def test_two_tomograms_in_one_file(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {"A": tilts("A", 3) + tilts("B", 2), "B": ""})
    star.write_text(star.read_text().replace("tilt_series/1.star", "tilt_series/0.star"))
    (tmp_path / "p" / "tilt_series" / "1.star").unlink()
    ta.convert(star, tmp_path / "ds")
    assert_same(exported(tmp_path / "ds"), files_below(tmp_path / "p"))
    # Each file knows the other block as it was: they can no longer both be right.
    edit(tmp_path / "ds", "tilts", lambda frame: frame.with_columns(rlnMicrographPreExposure=pl.lit(9.0)))
    with pytest.raises(ta.DatasetError, match="two different files"):
        ta.export(tmp_path / "ds", tmp_path / "out")


@pytest.mark.parametrize("label", ["rln#x", "rlnFoo\u00a0bar"])
def test_labels_that_were_there_are_written_whatever_they_are(tmp_path: Path, label: str) -> None:
    star = write_project(tmp_path / "p", {"A": tilts("A", 3, label)})
    ta.convert(star, tmp_path / "ds")
    assert_same(exported(tmp_path / "ds"), files_below(tmp_path / "p"))


def test_a_tomogram_that_is_renamed_keeps_its_layout(tmp_path: Path) -> None:
    text = "# mine\ndata_A\nloop_\n_rlnMicrographPreExposure #1 # dose\n  1.50\n  2.25 # last\n"
    star = write_project(tmp_path / "p", {"A": text, "B": tilts("B", 2)})
    ta.convert(star, tmp_path / "ds")
    for table in ("tilts", "tomograms"):
        edit(tmp_path / "ds", table, lambda f: f.with_columns(pl.col(NAME).cast(pl.String).replace("A", "A2")))
    assert exported(tmp_path / "ds")["tilt_series/0.star"].decode() == text.replace("data_A", "data_A2")


def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/j\xff")
    star = write_project(Path(folder), {"A": tilts("A", 3)})
    ta.convert(star, tmp_path / "ds")
    assert_same(exported(tmp_path / "ds"), files_below(Path(folder)))


def test_a_dataset_is_not_exported_into_itself(plain_project: Path, tmp_path: Path) -> None:
    ta.convert(plain_project / GLOBAL, tmp_path / "ds")
    for target in (tmp_path / "ds", tmp_path / "ds" / "out"):
        with pytest.raises(ta.UsageError, match="in the dataset"):
            ta.export(tmp_path / "ds", target, force=True)


def test_what_a_larger_export_left_is_told_of(plain_project: Path, tmp_path: Path) -> None:
    ta.convert(plain_project / GLOBAL, tmp_path / "ds")
    assert ta.export(tmp_path / "ds", tmp_path / "out").warnings == []
    report = ta.export(tmp_path / "ds", tmp_path / "out", tomograms=["TS_02"], force=True)
    assert [warning.partition(" in the folder")[0] for warning in report.warnings] == ["3 STAR files"]
    assert report.exit_code == 0


def test_no_label_left_of_the_tilt_series(plain_project: Path, tmp_path: Path) -> None:
    ta.convert(plain_project / GLOBAL, tmp_path / "ds")
    edit(tmp_path / "ds", "tilts", lambda frame: frame.select(NAME, "tilt_index"))
    with pytest.raises(ta.DatasetError, match="no label"):
        ta.export(tmp_path / "ds", tmp_path / "out")


def test_pairs_of_a_single_file_are_changed_added_and_left_out(tmp_path: Path) -> None:
    star = tmp_path / "job.star"
    star.write_text("data_a\n\n_one 1 # first\n_two 'b c'\n_three x\n\ndata_b\n\nloop_\n_n\n1 # kept\n2\n")
    ta.convert(star, tmp_path / "ds")
    assert exported(tmp_path / "ds") == {"job.star": star.read_bytes()}
    new = pl.DataFrame({"file": ["job.star"], "block_index": [0], "block": ["a"], "label": ["four"], "value": ["d e"]})

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        kept = frame.filter(pl.col("label") != "three").with_columns(pl.col("value").replace("1", "7"))
        return pl.concat([kept, new.cast(dict(kept.schema))])

    edit(tmp_path / "ds", "pairs", change)
    expected = star.read_text().replace("_one 1", "_one 7").replace("_three x\n", '_four "d e"\n')
    assert exported(tmp_path / "ds")["job.star"].decode() == expected
    edit(tmp_path / "ds", "pairs", lambda frame: frame.with_columns(block_index=pl.lit(9)))
    with pytest.raises(ta.DatasetError, match="names no block"):
        ta.export(tmp_path / "ds", tmp_path / "out")


def test_one_name_is_a_selection_too(tmp_path: Path) -> None:
    ta.convert(write_project(tmp_path / "p", {"TS_1": tilts("TS_1", 2), "TS_2": tilts("TS_2", 2)}), tmp_path / "d")
    assert ta.export(tmp_path / "d", tmp_path / "out", tomograms="TS_2").tomograms == 1
