"""Writing: RELION's own bytes, files as they were read, edits that touch nothing else, and what is refused."""

from __future__ import annotations

import csv
import functools
import gzip
import io
import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tomoarrow as ta

SHARED = os.environ.get("TOMOARROW_SHARED")
needs_shared = pytest.mark.skipif(SHARED is None, reason="TOMOARROW_SHARED is not set: no corpus to read")


def written(content: Any, **options: Any) -> bytes:
    """What `write_star` writes."""
    target = io.BytesIO()
    report = ta.write_star(content, target, **options)
    assert report.bytes == len(target.getvalue())
    return target.getvalue()


def reported(content: Any, **options: Any) -> ta.WriteReport:
    return ta.write_star(content, io.BytesIO(), **options)


def text(marked: str) -> bytes:
    """A text whose lines end in $, so that the blanks at their ends can be seen."""
    return marked.replace("$\n", "\n").encode()


def contents(document: ta.Document) -> dict[str, Any]:
    """The values of a document, without how they were written."""
    return {block.name: dict(block.pairs) if block.table is None else block.table for block in document}


def rows_of(star: bytes) -> list[str]:
    """The lines behind the last label, to the end of the block."""
    lines = star.decode().splitlines()
    last = max(i for i, line in enumerate(lines) if line.startswith("_"))
    return [line for line in lines[last + 1 :] if line.strip()]


def relion_double(value: float) -> str:
    """As ``src/metadata_container.cpp`` has it; but exponents of three digits are not cut."""
    if math.isnan(value):
        return ("-nan" if math.copysign(1, value) < 0 else "nan").rjust(12)
    kind = "e" if 0 < abs(value) < 1e-3 or abs(value) > 1e5 else "f"
    written_ = (("%12.5" if value < 0 else "%12.6") + kind) % value
    return written_[:12] if kind == "f" else written_


# ---- RELION's own files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["example_out", "edge_out"])
def test_values_of_relions_files_give_its_bytes(shared: Path, name: str) -> None:
    path = shared / "reference" / "golden" / f"{name}.star"
    assert written(contents(ta.read_star(path)), style="relion") == path.read_bytes()


#: Values of rlnVoltage, in order. RELION cut 1e-300 to 1.000000e-30 and -1e-100 to -1.00000e-10: here those are meant.
EDGES = [
    math.nan, -math.nan, math.inf, -math.inf, 1e-30, 100000.0, 100000.0000001, -99999.999999, 0.0009999999,
    0.0010000001, 12345.6789, -0.0, 999999.5, -1e-10, 999999.95,
]  # fmt: skip

NAMES = [
    "", "a b", "#x", "'x", "x'y", 'a "b" c', "a\tb", "_x", 'a "b"', 'a "b', '"', ";x", "data_x", "loop_",
]  # fmt: skip

#: What RELION itself cannot read back: a comment, and byte 7 in a loop. By its row, what is written instead.
SAFE = {
    '        #x     1.000000            1 ': '      "#x"     1.000000            1 ',
    '"a "b\a" c"     1.000000            1 ': " 'a \"b\" c'     1.000000            1 ",
}  # fmt: skip


def test_relions_edge_cases(shared: Path) -> None:
    golden = (shared / "reference" / "golden" / "edge_write.star").read_text()
    n = len(EDGES)
    vectors = [[0.1, 1e-7, 123456789.123, {1e-30: 1e-300, -1e-10: -1e-100}.get(value, value)] for value in EDGES]
    # A text that is in the golden file only up to its first 12 characters would not tell which value it was.
    assert all(relion_double(value) in golden for value in EDGES)
    t = pa.table(
        {
            "rlnVoltage": EDGES,
            "rlnTomoName": ["n"] * n,
            "rlnTomoSubTomosAre2DStacks": [True] * n,
            "rlnTomoSizeX": [-7] * n,
            "rlnTomoVisibleFrames": [[1, 0]] * n,
            "rlnTomoProjX": vectors,
        }
    )
    u = pa.table({"rlnTomoName": NAMES, "rlnVoltage": [1.0] * len(NAMES), "rlnTomoSizeX": [1] * len(NAMES)})
    expected = "\n".join(SAFE.get(line, line) for line in golden.split("\n"))
    assert sum(line in SAFE for line in golden.split("\n")) == 2
    assert written({"t": t, "u": u}, style="relion").decode() == expected


def test_relions_text_of_2030_doubles(shared: Path) -> None:
    with (shared / "reference" / "golden" / "golden_double_format.csv").open(newline="") as file:
        golden = [(float(row["value"]), row["text"]) for row in csv.DictReader(file)]
    assert len(golden) == 2030
    expected = [relion_double(value) for value, _ in golden]
    for (_, cut), whole in zip(golden, expected, strict=True):
        assert whole == cut or (len(whole) == 13 and whole[:12] == cut and whole[-4] in "+-")
    found = rows_of(written({"x": pa.table({"rlnVoltage": [value for value, _ in golden]})}, style="relion"))
    assert found == [f"{each} " for each in expected]


def test_pairs_as_relion_writes_them() -> None:
    pairs = {"rlnTomoSubTomosAre2DStacks": True, "rlnVoltage": 300.0, "rlnTomoName": "TS 1", "rlnTomoSizeX": 7}
    # 12 more blanks than the longest label, and numbers aligned right to 12.
    values = {"rlnTomoSubTomosAre2DStacks": f"{1:12}", "rlnVoltage": "  300.000000", "rlnTomoName": '"TS 1"'}
    values["rlnTomoSizeX"] = f"{7:12}"
    body = "".join(f"_{label}{' ' * (12 + 26 - len(label))}{value}\n" for label, value in values.items())
    assert written({"g": pairs}, style="relion") == f"\n# version 50001\n\ndata_g\n\n{body} \n".encode()


NUMBERS_BY_LABEL: list[tuple[str, list[float], str]] = [
    ("rlnVoltage", [300, 200], "a float label, given integers"),
    ("rlnTomoSizeX", [4096.0, -7.0], "an integer label, given floats without fractions"),
    ("rlnTomoSizeX", [4096.5, -7.0], "an integer label, given fractions: nothing is cut"),
    ("labNumber", [4096.0, 7.0], "an unknown label: as given"),
    ("labNumber", [4096, 7], "an unknown label: as given"),
]


@pytest.mark.parametrize(
    ("label", "values", "is_float"),
    [
        (label, values, is_float)
        for (label, values, _), is_float in zip(NUMBERS_BY_LABEL, [True, False, True, True, False], strict=True)
    ],
    ids=[reason for *_, reason in NUMBERS_BY_LABEL],
)
@pytest.mark.parametrize("kind", ["table", "pairs"])
def test_numbers_have_the_type_of_their_label(kind: str, label: str, values: list[float], is_float: bool) -> None:
    expected = [relion_double(value) if is_float else f"{int(value):12}" for value in values]
    if kind == "table":
        assert rows_of(written({"x": pa.table({label: values})}, style="relion")) == [f"{each} " for each in expected]
    else:
        assert written({"x": {label: values[0]}}, style="relion").decode().split("\n")[5].endswith(expected[0])


# ---- Files as they were read ---------------------------------------------------------------------------------------


def folders() -> list[str]:
    """The projects of the corpus, and the awkward files."""
    root = Path(SHARED or "/nowhere")
    return ["awkward", *sorted(f"corpus/{path.name}" for path in (root / "corpus").glob("*") if path.is_dir())]


@functools.cache
def round_trips(folder: str) -> dict[str, bool]:
    """Whether each file of a folder that reads is written as it was."""
    found = {}
    for path in sorted((Path(SHARED or "") / folder).rglob("*")):
        if path.suffix not in (".star", ".cif", ".str"):
            continue
        try:
            document = ta.read_star(path, dialect="relion" if path.suffix == ".star" else "star", on_bad_value="null")
        except ta.TomoarrowError:
            continue
        found[str(path.relative_to(SHARED or ""))] = written(document) == path.read_bytes()
    return found


@needs_shared
@pytest.mark.parametrize("folder", folders())
def test_what_is_read_is_written_as_it_was(folder: str) -> None:
    assert [name for name, is_same in round_trips(folder).items() if not is_same] == []


@needs_shared
def test_every_file_that_reads_is_written_as_it_was() -> None:
    outcomes = [is_same for folder in folders() for is_same in round_trips(folder).values()]
    assert (len(outcomes) >= 460, outcomes.count(False)) == (True, 0)


AS_READ = {
    "nothing": b"",
    "only a comment": b"# nothing here\n",
    "an empty block": b"data_\n",
    "no end of line behind a pair": b"data_x\n_a 1",
    "no end of line behind a row": b"data_x\nloop_\n_a\n1",
    "no rows": b"data_x\nloop_\n_a\n_b\n",
    "CR LF": b"data_x\r\n\r\nloop_\r\n_a #1\r\n_b #2\r\n1 2\r\n3 4\r\n",
    "two blocks of one name": b"data_x\n_a 1\ndata_x\n_a 1\n",
    "pairs, two loops, pairs": b"data_x\n_a 1\nloop_\n_b\n1\n2\n\nloop_\n_c\n_d\nx y\n\n_e 5\n",
    "an empty vector": b"data_x\n\nloop_\n_rlnTomoVisibleFrames\n[]\n[1,]\n1,2\n[ 1 ]\n",
    "an empty vector of a pair": b"data_x\n\n_rlnTomoVisibleFrames []\n",
    "a vector of a pair": b"data_x\n\n_rlnTomoVisibleFrames [1,0,]\n",
    "a missing vector of a pair": b"data_x\n\n_rlnTomoVisibleFrames None\n",
    "a bad integer of a pair": b"data_x\n\n_rlnTomoSizeX 99999999999999999999\n",
    "a bad boolean of a pair": b"data_x\n\n_rlnTomoSubTomosAre2DStacks 1.5\n",
    "a bad word of a pair": b"data_x\n\n_rlnTomoSubTomosAre2DStacks yes\n",
    "a bad integer of a loop": b"data_x\n\nloop_\n_rlnTomoSizeX\n99999999999999999999\n1e400\nx\n",
    "words for nothing": b"data_x\nloop_\n_rlnVoltage\n_rlnTomoName\nNone None\n<NA> <NA>\nN/A nan\nnan ?\n",
    "numbers of every form": b"data_x\nloop_\n_rlnVoltage\n+1\n1.\n.5\n1E5\n1e+05\n-0\n00.5\n1.500000000000000001\n",
    "comments at all places": b"# a\ndata_x # b\n# c\nloop_ # d\n_a #1 # e\n# f\n_b #2 g\n# h\n1 2 # i\n# j\n3 4\n#\n",
    "save frames": b"data_x\nsave_f\n_a 1\nloop_\n_b\n1\nsave_\n_c 2\n",
    "text fields": b"data_x\n_a\n;one\ntwo\n;\nloop_\n_b\n_c\n1\n;three\n;\n;four\n\n; 2\n",
    "rows that share lines": b"data_x loop_ _a _b 1 2 3 4\n5\n6 stop_ _c 7 data_y _d 8",
    "rows over several lines": b"data_x\nloop_\n_a\n_b\n1\n  2\n3\n  4\n",
}


@pytest.mark.parametrize("star", AS_READ.values(), ids=AS_READ)
@pytest.mark.parametrize("dialect", ["relion", "star"])
def test_small_files_are_written_as_they_were(star: bytes, dialect: Any) -> None:
    try:
        document = ta.read_star(star, dialect=dialect, on_bad_value="null")
    except ta.StarSyntaxError:
        assert dialect == "relion" or b"# b" not in star
        return
    assert written(document) == star


def test_blocks_that_were_chosen_are_written_as_they_were() -> None:
    star = b"# first\n\ndata_a\n\n_x 1\n\n# second\n\ndata_b\n\nloop_\n_y\n1\n2\n\n# third\n\ndata_c\n\n_z 3\n"
    assert written(ta.read_star(star, blocks=["a", "b", "c"])) == star
    assert b"loop_\n_y\n1\n2\n" in written(ta.read_star(star, blocks="b"))
    assert ta.read_star(written(ta.read_star(star, blocks=["c", "a"]))).names == ["c", "a"]
    assert ta.read_star(written(ta.read_star(star, blocks=[]))).names == []


def test_a_style_that_is_given_comes_before_the_one_that_was_read() -> None:
    document = ta.read_star(b"data_x\nloop_\n_rlnTomoName\n_rlnVoltage\nTS_1 300\n")
    assert written(document, style="plain") == b"data_x\n\nloop_\n_rlnTomoName #1\n_rlnVoltage #2\nTS_1\t300.0\n"
    assert written(document, style="relion") == written(contents(document), style="relion")


# ---- Styles of other programs --------------------------------------------------------------------------------------


def by_starfile(blocks: Mapping[str, Any], folder: Path) -> bytes:
    """What the starfile package writes, without the first line, which tells the time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import starfile

        starfile.write(dict(blocks), folder / "by_starfile.star")
    return (folder / "by_starfile.star").read_bytes().split(b"\n", 1)[1]


STARFILE: dict[str, Any] = {
    "floats": pd.DataFrame({"a": [1.5, -2.25, 1e10, 0.0, -0.0, 1e-6, 123.4567895, 1e22, np.inf, -np.inf]}),
    "floats of 32 bits": pd.DataFrame({"a": np.array([0.1, -2.25, 1e10, 1e-5], np.float32)}),
    "integers": pd.DataFrame({"a": [1, -2, 2**63 - 1, -(2**63)], "b": np.array([1, 2, 3, 4], np.uint8)}),
    "text": pd.DataFrame({"a": ["x", "two words", "", " ", "it's", "été", "a  b", "x/y_z-1.mrc"]}),
    "booleans": pd.DataFrame({"a": [True, False]}),
    "missing": pd.DataFrame(
        {
            "a": [1.5, math.nan, 3.0],
            "b": pd.array([1, None, 3], dtype="Int64"),
            "c": pd.array([True, None, False], dtype="boolean"),
            "d": pd.array(["x", None, "two words"], dtype="string"),
            "e": pd.array([None, 0.25, 1.0], dtype="Float64"),
        }
    ),
    "categories": pd.DataFrame({"a": pd.Categorical(["x", "two words", "x"])}),
    "all together": pd.DataFrame({"a": ["x", "y z"], "b": [1.5, -0.5], "c": [1, 2], "d": [True, False]}),
    "pairs": {"a": 1, "b": "two words", "c": "", "d": True, "e": "x"},
    "pairs of floats": {"a": 2.5, "b": 300.0, "c": 2.7e-9},
}


@pytest.mark.parametrize("content", STARFILE.values(), ids=STARFILE)
def test_starfiles_own_bytes(content: Any, tmp_path: Path) -> None:
    blocks = {"one": content, "two": content}
    first, _, rest = written(blocks, style="starfile").partition(b"\n")
    assert first.startswith(b"# Created by tomoarrow")
    assert rest == by_starfile(blocks, tmp_path)


@pytest.mark.parametrize("value", [2.7e-9, -2.7e-9, 4.9e-7, -4.9e-7, 5e-7, -5e-7, 5e-324])
def test_a_small_value_does_not_become_zero_in_starfiles_style(value: float) -> None:
    assert (f"{value:.6f}").strip("-") == "0.000000"
    star = written({"x": pa.table({"a": [1.0, value, 0.0]})}, style="starfile")
    assert rows_of(star) == ["1.000000", repr(value), "0.000000"]


@pytest.mark.parametrize("value", [5.1e-7, -5.1e-7, 1e-6, 0.0, -0.0, 2 / 3])
def test_any_other_value_has_six_decimals_in_starfiles_style(value: float) -> None:
    assert rows_of(written({"x": pa.table({"a": [value]})}, style="starfile")) == [f"{value:.6f}"]


def test_warps_style() -> None:
    table = pa.table(
        {
            "wrpName": ["TS_1", "a longer name", ""],
            "wrpX": [1.5, -500.0, 0.0],
            "wrpN": [1, -20, 300],
            "wrpIs": [True, False, True],
        }
    )
    expected = """\
$
data_points$
$
loop_$
_wrpName #1$
_wrpX #2$
_wrpN #3$
_wrpIs #4$
             TS_1   1.5    1  1$
  "a longer name"  -500  -20  0$
               ""     0  300  1$
"""
    assert written({"points": table}, style="warp") == text(expected)


@needs_shared
@pytest.mark.parametrize("name", ["reference1d", "reference2d", "reference3d"])
def test_values_of_warps_files_give_its_bytes(name: str) -> None:
    path = Path(SHARED or "") / "corpus" / "warpem__warpylib" / "testdata" / f"{name}.star"
    assert written(contents(ta.read_star(path)), style="warp") == path.read_bytes()


def test_the_plain_style() -> None:
    table = pa.table(
        {"a": [0.1, 1e-300, -0.0, 5e-324], "b": ["", "x y", 'a "b" c', "one\ntwo"], "c": [[], [1], [1, 2], []]}
    )
    star = written({"g": {"n": 1, "f": 0.1, "s": "x y"}, "t": table}, style="plain")
    expected = """\
data_g

_n 1
_f 0.1
_s "x y"

data_t

loop_
_a #1
_b #2
_c #3
0.1\t""\t[]
1e-300\t"x y"\t[1]
-0.0\t'a "b" c'\t[1,2]
5e-324\t
;one
two
;\t[]
"""
    assert star.decode() == expected
    back = ta.read_star(star, dialect="star", labels={"c": ta.Label("c", "list<int64>")})
    assert back["t"].table is not None
    assert back["t"].table.to_pydict() == table.to_pydict()
    assert dict(back["g"].pairs) == {"n": 1, "f": 0.1, "s": "x y"}


# ---- Words that mean something else to a reader --------------------------------------------------------------------

LIKE_SYNTAX = [
    "", " ", "\t", "'", '"', "a'", 'a"', "it's", 'a "b" c', "a' b", "'a'", '"a"', "#x", "x#y", "_x", ";x", "x;y",
    "data_", "data_x", "DATA_x", "loop_", "Loop_", "stop_", "save_", "save_x", "global_", "[1,2]", "$x", "?", ".",
    "None", "<NA>", "nan", "1", "01", "été", "\u00a0", "\ufeff", "\x01", "a\x0bb", "a\x0cb", "\x1a", "\x7f",
    "a\u2028b", "a\" b' c", "a' b\" c", "\" '", "x" * 5000,
]  # fmt: skip


def reads_back(star: bytes, table: pa.Table, dialect: Any) -> None:
    labels = {label: ta.Label(label, "string") for label in table.column_names}
    back = ta.read_star(star, dialect=dialect, labels=labels)
    assert back.names == ["before", "x", "behind"]
    assert back["x"].table is not None
    assert back["x"].table.to_pydict() == table.to_pydict()


@pytest.mark.parametrize("value", LIKE_SYNTAX, ids=lambda value: ascii(value[:20]))
@pytest.mark.parametrize(
    ("style", "dialect"),
    [
        ("relion", "relion"),
        ("starfile", "relion"),
        ("warp", "relion"),
        ("plain", "relion"),
        ("starfile", "star"),
        ("warp", "star"),
        ("plain", "star"),
    ],
)
@pytest.mark.parametrize("columns", [1, 2])
def test_any_text_reads_back(value: str, style: Any, dialect: str, columns: int) -> None:
    if dialect == "star" and "' " in value and '" ' in value:
        # No text of one line is read as this in both dialects: RELION's escape is none in the other.
        return
    for values in ([value, "a"], ["a", value], [value, value]):
        table = pa.table({f"c{i}": values for i in range(columns)})
        reads_back(written({"before": {"n": 1}, "x": table, "behind": {"n": 1}}, style=style), table, dialect)


@pytest.mark.parametrize("value", LIKE_SYNTAX, ids=lambda value: ascii(value[:20]))
@pytest.mark.parametrize("style", ["relion", "starfile", "warp", "plain"])
def test_any_text_of_a_pair_reads_back(value: str, style: Any) -> None:
    labels = {"s": ta.Label("s", "string")}
    back = ta.read_star(written({"x": {"s": value, "n": 1}}, style=style), labels=labels)
    assert dict(back["x"].pairs) == {"s": value, "n": 1}


# ---- Edits ---------------------------------------------------------------------------------------------------------

RELION = text(
    """\
$
# version 50001$
$
data_general$
$
_rlnTomoSubTomosAre2DStacks                       1$
_rlnVoltage                              300.000000$
_labNote                               "two words"$
 $
$
# version 50001$
$
data_optics$
$
loop_ $
_rlnOpticsGroup #1 $
_rlnOpticsGroupName #2 $
           1 opticsGroup1 $
 $
$
# version 50001$
$
data_particles$
# by hand$
$
loop_ $
_rlnTomoName #1 $
_rlnCenteredCoordinateXAngst #2 $
_rlnOpticsGroup #3 $
_rlnTomoVisibleFrames #4 $
_rlnTomoParticleName #5 $
     TS_01     1.500000            1    [1,0,1]    TS_01/1 $
     TS_01 1.200000e-04            1         []    TS_01/2 $
     TS_02     -2.50000            2      [0,1]  "TS 02/1" $
 $
"""
)

STARFILE_TEXT = text(
    """\
# Created by the starfile Python package (version 0.5.13) at 10:00:00 on 01/01/2025$
$
$
data_general$
$
_rlnTomoSubTomosAre2DStacks\t\t\t1$
$
$
data_particles$
$
loop_$
_rlnTomoName #1$
_rlnCenteredCoordinateXAngst #2$
_rlnOpticsGroup #3$
_rlnTomoParticleName #4$
TS_01\t1.500000\t1\tTS_01/1$
TS_01\t0.000120\t1\t""$
TS_02\t-2.500000\t2\t"TS_02 / 1"$
$
$
"""
)

HAND = text(
    """\
# measured by hand$
data_tilts$
$
loop_$
_rlnMicrographName   #1$
# degrees$
_rlnTomoYTilt        #2$
frames/a.mrc    -3.0   # good$
frames/b.mrc     0.0$
# frames/c.mrc was dark$
'frames/d e.mrc'    3.0$
$
$
# end of file$
"""
)


def with_particles(**columns: Any) -> Callable[[ta.Document], ta.Document]:
    """The edit that sets columns of the table of particles."""

    def edit(document: ta.Document) -> ta.Document:
        block = document["particles"]
        for label, values in columns.items():
            block = block.with_column(label, values)
        return document.replace("particles", block)

    return edit


def without(*labels: str) -> Callable[[ta.Document], ta.Document]:
    return lambda document: document.replace("particles", document["particles"].without_column(*labels))


def with_rows(function: Callable[[pa.Table], pa.Table]) -> Callable[[ta.Document], ta.Document]:
    """The edit that makes another table of the table of particles."""
    return lambda document: document.replace("particles", function(document["particles"].table))


Edit = tuple[bytes, Callable[[ta.Document], ta.Document], list[tuple[str, str]]]

#: What is edited, how, and all that is another text then.
EDITS: dict[str, Edit] = {
    "nothing": (RELION, lambda document: document, []),
    "nothing, by a table of equal values": (RELION, with_rows(lambda table: pa.table(table.to_pydict())), []),
    "a number": (
        RELION,
        with_particles(rlnCenteredCoordinateXAngst=[1.5, 1.2e-4, 1e-5]),
        [("    -2.50000 ", "1.000000e-05 ")],
    ),
    "a number that RELION rounds": (
        RELION,
        with_particles(rlnCenteredCoordinateXAngst=[2 / 3, 1.2e-4, -2.5]),
        [("    1.500000 ", "    0.666667 ")],
    ),
    "a number becomes missing": (
        RELION,
        with_particles(rlnCenteredCoordinateXAngst=[1.5, 1.2e-4, None]),
        [("    -2.50000 ", "        <NA> ")],
    ),
    "an integer": (
        RELION,
        with_particles(rlnOpticsGroup=[1, 12345, 2]),
        [("1.200000e-04            1", "1.200000e-04        12345")],
    ),
    "a vector": (
        RELION,
        with_particles(rlnTomoVisibleFrames=[[1, 0, 1], [1], [0, 1]]),
        [("        [] ", "       [1] ")],
    ),
    "text": (
        RELION,
        with_particles(rlnTomoName=["TS_01", "TS_1", "TS_02"]),
        [("     TS_01 1.200000e-04", "      TS_1 1.200000e-04")],
    ),
    "text that wants quotes": (
        RELION,
        with_particles(rlnTomoName=["TS_01", "TS_01", "two words"]),
        [("     TS_02 ", '"two words" ')],
    ),
    "a column of numbers more": (
        RELION,
        with_particles(rlnAngleRot=[1.0, -1.0, 1e6]),
        [
            ("_rlnTomoParticleName #5 \n", "_rlnTomoParticleName #5 \n_rlnAngleRot #6 \n"),
            ("    TS_01/1 ", "    TS_01/1     1.000000 "),
            ("    TS_01/2 ", "    TS_01/2     -1.00000 "),
            ('"TS 02/1" ', '"TS 02/1" 1.000000e+06 '),
        ],
    ),
    "a column of text more": (
        RELION,
        with_particles(labNote=["", "x", "two words"]),
        [
            ("_rlnTomoParticleName #5 \n", "_rlnTomoParticleName #5 \n_labNote #6 \n"),
            ("    TS_01/1 ", '    TS_01/1         "" '),
            ("    TS_01/2 ", "    TS_01/2          x "),
            ('"TS 02/1" ', '"TS 02/1" "two words" '),
        ],
    ),
    "a column less, the last": (
        RELION,
        without("rlnTomoParticleName"),
        [("_rlnTomoParticleName #5 \n", ""), ("    TS_01/1", ""), ("    TS_01/2", ""), ('  "TS 02/1"', "")],
    ),
    "a column less, inside": (
        RELION,
        without("rlnCenteredCoordinateXAngst"),
        [
            ("_rlnCenteredCoordinateXAngst #2 \n", ""),
            ("_rlnOpticsGroup #3 \n", "_rlnOpticsGroup #2 \n"),
            ("_rlnTomoVisibleFrames #4 ", "_rlnTomoVisibleFrames #3 "),
            ("_rlnTomoParticleName #5 ", "_rlnTomoParticleName #4 "),
            ("    1.500000 ", ""),
            ("1.200000e-04 ", ""),
            ("    -2.50000 ", ""),
        ],
    ),
    "a column less, the first": (
        RELION,
        without("rlnTomoName"),
        [
            ("_rlnTomoName #1 \n", ""),
            ("_rlnCenteredCoordinateXAngst #2 \n", "_rlnCenteredCoordinateXAngst #1 \n"),
            ("_rlnOpticsGroup #3 \n", "_rlnOpticsGroup #2 \n"),
            ("_rlnTomoVisibleFrames #4 ", "_rlnTomoVisibleFrames #3 "),
            ("_rlnTomoParticleName #5 ", "_rlnTomoParticleName #4 "),
            ("     TS_01     1.5", "    1.5"),
            ("     TS_01 1.2", "1.2"),
            ("     TS_02     -2.5", "    -2.5"),
        ],
    ),
    "rows less": (
        RELION,
        with_rows(lambda table: table.slice(0, 2)),
        [('     TS_02     -2.50000            2      [0,1]  "TS 02/1" \n', "")],
    ),
    "rows less, in front": (
        RELION,
        with_rows(lambda table: table.slice(2)),
        [
            ("     TS_01     1.500000            1    [1,0,1]    TS_01/1 \n", ""),
            ("     TS_01 1.200000e-04            1         []    TS_01/2 \n", ""),
        ],
    ),
    "rows more": (
        RELION,
        with_rows(lambda table: pa.concat_tables([table, table.slice(0, 1)])),
        [
            (
                '[0,1]  "TS 02/1" \n',
                '[0,1]  "TS 02/1" \n     TS_01     1.500000            1    [1,0,1]    TS_01/1 \n',
            )
        ],
    ),
    "a frame of Polars": (
        RELION,
        with_rows(lambda table: pl.DataFrame(table).with_columns(rlnOpticsGroup=pl.Series([1, 7, 2]))),
        [("1.200000e-04            1", "1.200000e-04            7")],
    ),
    "a pair": (
        RELION,
        lambda document: document.replace("general", {**document["general"].pairs, "labNote": "other words"}),
        [('"two words"', '"other words"')],
    ),
    "a pair that is a number": (
        RELION,
        lambda document: document.replace("general", {**document["general"].pairs, "rlnVoltage": 20.5}),
        [("300.000000", " 20.500000")],
    ),
    "a pair more": (
        RELION,
        lambda document: document.replace("general", {**document["general"].pairs, "rlnTomoName": "TS_01"}),
        [('"two words"\n', '"two words"\n_rlnTomoName' + " " * (12 + 26 - 11) + "TS_01\n")],
    ),
    "a pair less": (
        RELION,
        lambda document: document.replace(
            "general", {label: each for label, each in document["general"].pairs.items() if label != "rlnVoltage"}
        ),
        [("_rlnVoltage                              300.000000\n", "")],
    ),
    "a block less, the last": (
        RELION,
        lambda document: document.drop("particles"),
        [(RELION.decode()[RELION.index(b"\n# version 50001\n\ndata_particles") :], "")],
    ),
    "a block more": (
        RELION,
        lambda document: document.add("new", {"rlnVoltage": 300.0}),
        [
            (
                '[0,1]  "TS 02/1" \n \n',
                '[0,1]  "TS 02/1" \n \n\n# version 50001\n\ndata_new\n\n_rlnVoltage' + " " * 14 + "300.000000\n \n",
            )
        ],
    ),
    "starfile: a number": (
        STARFILE_TEXT,
        with_particles(rlnCenteredCoordinateXAngst=[1.5, 2 / 3, -2.5]),
        [("0.000120", "0.666667")],
    ),
    "starfile: text": (
        STARFILE_TEXT,
        with_particles(rlnTomoParticleName=["TS_01/1", "a b", "x"]),
        [('""', '"a b"'), ('"TS_02 / 1"', "x")],
    ),
    "starfile: a column more": (
        STARFILE_TEXT,
        with_particles(rlnClassNumber=[1, 2, 3]),
        [
            ("_rlnTomoParticleName #4\n", "_rlnTomoParticleName #4\n_rlnClassNumber #5\n"),
            ("TS_01/1\n", "TS_01/1\t1\n"),
            ('""\n', '""\t2\n'),
            ('"TS_02 / 1"\n', '"TS_02 / 1"\t3\n'),
        ],
    ),
    "starfile: a column less": (
        STARFILE_TEXT,
        without("rlnTomoName"),
        [
            ("_rlnTomoName #1\n", ""),
            ("_rlnCenteredCoordinateXAngst #2", "_rlnCenteredCoordinateXAngst #1"),
            ("_rlnOpticsGroup #3", "_rlnOpticsGroup #2"),
            ("_rlnTomoParticleName #4", "_rlnTomoParticleName #3"),
            ("TS_01\t1.5", "1.5"),
            ("TS_01\t0.0", "0.0"),
            ("TS_02\t", ""),
        ],
    ),
    "starfile: no rows": (
        STARFILE_TEXT,
        with_rows(lambda table: table.slice(0, 0)),
        [('TS_01\t1.500000\t1\tTS_01/1\nTS_01\t0.000120\t1\t""\nTS_02\t-2.500000\t2\t"TS_02 / 1"\n', "")],
    ),
    "starfile: a pair": (
        STARFILE_TEXT,
        lambda document: document.replace("general", {"rlnTomoSubTomosAre2DStacks": False}),
        [("\t\t\t1\n", "\t\t\t0\n")],
    ),
    "starfile: a pair more": (
        STARFILE_TEXT,
        lambda document: document.replace("general", {"rlnTomoSubTomosAre2DStacks": True, "labNote": "x"}),
        [("\t\t\t1\n", "\t\t\t1\n_labNote\t\t\tx\n")],
    ),
    "by hand: text": (
        HAND,
        lambda document: document.replace(
            0, document[0].with_column("rlnMicrographName", ["frames/a.mrc", "frames/x.mrc", "frames/d e.mrc"])
        ),
        [("frames/b.mrc", "frames/x.mrc")],
    ),
    "by hand: a number": (
        HAND,
        lambda document: document.replace(0, document[0].with_column("rlnTomoYTilt", [-3.0, 0.5, 3.0])),
        [("0.0\n", "0.5\n")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("star", "edit", "changes"), EDITS.values(), ids=EDITS)
def test_an_edit_changes_nothing_else(star: bytes, edit: Any, changes: list[tuple[str, str]]) -> None:
    assert written(ta.read_star(star)) == star
    expected = star.decode()
    for before, after in changes:
        assert expected.count(before) == 1, before
        expected = expected.replace(before, after)
    assert written(edit(ta.read_star(star))).decode() == expected


#: Text is aligned right to 10 bytes, and numbers to 12, also where some of it is longer.
OVERFLOWING = text(
    """\
$
# version 50001$
$
data_particles$
$
loop_ $
_rlnTomoName #1 $
_rlnTomoParticleName #2 $
_rlnOpticsGroup #3 $
     TS_01    TS_01/1            1 $
     TS_01    TS_01/2            1 $
TS_02_a_longer_name TS_02_a_longer_name/1            1 $
 $
"""
)

OVERFLOWING_EDITS: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "text of another length": (
        with_particles(rlnTomoName=["TS_1", "TS_01", "x"]),
        [("     TS_01    TS_01/1", "      TS_1    TS_01/1"), ("TS_02_a_longer_name ", "         x ")],
    ),
    "rows less": (
        with_rows(lambda table: table.slice(2)),
        [(f"     TS_01    TS_01/{i}            1 \n", "") for i in (1, 2)],
    ),
    "a column less": (
        without("rlnTomoName"),
        [
            ("_rlnTomoName #1 \n", ""),
            ("_rlnTomoParticleName #2", "_rlnTomoParticleName #1"),
            ("_rlnOpticsGroup #3", "_rlnOpticsGroup #2"),
            ("     TS_01    TS_01/1", "   TS_01/1"),
            ("     TS_01    TS_01/2", "   TS_01/2"),
            ("TS_02_a_longer_name ", ""),
        ],
    ),
}


@pytest.mark.parametrize(("edit", "changes"), OVERFLOWING_EDITS.values(), ids=OVERFLOWING_EDITS)
def test_columns_with_text_that_is_too_long_stay_aligned(edit: Any, changes: list[tuple[str, str]]) -> None:
    test_an_edit_changes_nothing_else(OVERFLOWING, edit, changes)


HARD_EDITS: dict[str, tuple[bytes, Any]] = {
    "rows behind one without an end of line": (b"data_x\nloop_\n_a\n1", pa.table({"a": [1, 23]})),
    "rows behind two without an end of line": (b"data_x\nloop_\n_a\n1\n2", pa.table({"a": [1, 2, 3]})),
    "rows behind one that shares its line": (b"data_x loop_ _a _b 1 2 stop_", pa.table({"a": [1, 3], "b": [2, 4]})),
    "rows where there were none": (b"data_x\nloop_\n_a\n_b\n", pa.table({"a": [1, 3], "b": [2, 4]})),
    "rows where there were none, nor an end of line": (b"data_x\nloop_\n_a", pa.table({"a": [1, 3]})),
    "a pair behind one without an end of line": (b"data_x\n_a 1", {"a": 1, "b": 2}),
    "a pair behind one with a comment": (b"data_x\n_a 1 # one\n", {"a": 1, "b": 2}),
    "pairs where there were none": (b"data_x\n", {"a": 1, "b": 2}),
    "pairs where there was not even an end of line": (b"data_x", {"a": 1, "b": 2}),
    "other pairs": (b"data_x\n_a 1\n_b 2", {"c": 3}),
    "a table where there were pairs": (b"data_x\n_a 1", pa.table({"b": [1, 2]})),
    "columns that swap": (b"data_x\nloop_\n_a\n_b\n1 x\n22 yy\n", pa.table({"b": ["x", "yy"], "a": [1, 22]})),
    "another type": (b"data_x\nloop_\n_a\n_b\n1 x\n22 yy\n", pa.table({"a": ["p q", ""], "b": [1.5, None]})),
    "text becomes missing numbers": (b"data_x\nloop_\n_a\nx\n'y'\n", pa.table({"a": pa.array([1.5, None])})),
    "a comment on a label that names the next": (b"data_x\nloop_\n_a #1 not _b\n_b #2\n1 2\n", pa.table({"a": [1]})),
    "a comment on a label": (b"data_x\nloop_\n_a # one\n_b # two\n1 2\n", pa.table({"b": [2], "a": [1], "c": [3]})),
    "text fields that move": (
        b"data_x\nloop_\n_a\n_b\n;t1\n;\n1\n;t2\n;\n2\n",
        pa.table({"b": [1, 2], "a": ["t1\nu", "t2"]}),
    ),
    "text fields in a row": (b"data_x\nloop_\n_a\n_b\nx 1\n", pa.table({"a": ["x\ny", "z"], "b": [1, 2]})),
    "a vector that has a fixed size": (
        b"data_x\nloop_\n_rlnTomoVisibleFrames\n[1,0,]\n[1]\n",
        pa.table({"rlnTomoVisibleFrames": pa.array([[1, 0], [1, 1]], pa.list_(pa.int64(), 2))}),
    ),
    "a vector of 32 bits": (
        b"data_x\nloop_\n_rlnTomoProjX\n[1,0.5,]\n[1]\n",
        pa.table({"rlnTomoProjX": pa.array([[1.0, 0.5], [1, 1]], pa.list_(pa.float32()))}),
    ),
    "an empty vector of a pair": (b"data_x\n_rlnTomoVisibleFrames [1]\n", {"rlnTomoVisibleFrames": []}),
    "missing text of Polars": (
        b"data_x\nloop_\n_a\nx\n'y'\n",
        pl.DataFrame({"a": ["x", "it is"]}),
    ),
    "the first column of a table with a comment before it": (
        b"data_x\nloop_\n_a\n_b\n# one\n1 x\n# two\n2 y\n",
        pa.table({"b": ["x", "y"]}),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("star", "content"), HARD_EDITS.values(), ids=HARD_EDITS)
def test_what_an_edit_puts_in_reads_back(star: bytes, content: Any) -> None:
    edited = ta.read_star(star, dialect="star").replace("x", content)
    back = ta.read_star(written(edited), dialect="star")
    assert back.names == ["x"]
    if isinstance(content, Mapping):
        assert dict(back["x"].pairs) == content
    else:
        assert back["x"].table is not None
        assert back["x"].table.to_pydict() == pa.table(content).to_pydict()


#: One line alone between keyword and rows would be no test of where comments go.
COMMENTS_OF_LABELS = b"data_x\nloop_\n_a #1 # one\n# between\n_b #2 # two\n1 2\n"


@pytest.mark.parametrize("label", ["c", "b"])
def test_comments_of_labels_stay_with_their_labels(label: str) -> None:
    block = ta.read_star(COMMENTS_OF_LABELS)["x"]
    edited = block.with_column("c", [5]) if label == "c" else block.without_column("b")
    found = written(edited).decode()
    assert found.count("# one") == 1
    assert found.count("# between") == 1
    assert "_a #1 # one\n" in found
    assert found.count("# two") == (label == "c")


def test_a_document_without_its_last_block_is_empty() -> None:
    assert ta.read_star(written(ta.read_star(b"# c\ndata_a\n_x 1\n").drop("a"))).names == []


@pytest.mark.parametrize("star", [RELION, STARFILE_TEXT, b"data_a\n_x 1\ndata_b\nloop_\n_y\n1\n2"], ids=["r", "s", "h"])
def test_blocks_are_dropped_added_and_moved(star: bytes) -> None:
    document = ta.read_star(star)
    first, last = document.names[0], document.names[-1]
    for edited, names in (
        (document.drop(first), document.names[1:]),
        (document.drop(last), document.names[:-1]),
        (document.add("new", {"a": 1}), [*document.names, "new"]),
        (document.add("new", pa.table({"a": [1]}), position=0), ["new", *document.names]),
        (document.add("new", document[0], position=1), [first, "new", *document.names[1:]]),
        (ta.Document(tuple(reversed(document.blocks))), document.names[::-1]),
        (ta.Document((*document.blocks, *ta.read_star(RELION).blocks)), [*document.names, *ta.read_star(RELION).names]),
    ):
        back = ta.read_star(written(edited))
        assert back.names == names
        for block, same in zip(back, edited, strict=True):
            assert (dict(block.pairs), block.loops) == (dict(same.pairs), same.loops)


def test_a_block_is_renamed() -> None:
    document = ta.read_star(RELION)
    renamed = document.replace("optics", replace(document["optics"], name="lenses"))
    assert written(renamed) == RELION.replace(b"data_optics", b"data_lenses")


def test_edits_leave_the_document_as_it_was() -> None:
    document = ta.read_star(RELION)
    document.drop("optics").replace("general", {"a": 1}).add("x", {"b": 2})
    document["particles"].with_column("rlnOpticsGroup", [7, 8, 9]).without_column("rlnTomoName")
    assert written(document) == RELION


# ---- What is refused -----------------------------------------------------------------------------------------------

X = b"data_x\nloop_\n_a\n_b\n1 2\n"
PAIR = b"data_x\n_a 1\n"
FRAMES = b"data_x\nsave_f\n_a 1\nsave_\n"


def wrong(label: str) -> pa.Table:
    return pa.table({label: [1]})


#: What is written, by what call; each is an error of the package.
REFUSED: dict[str, tuple[type[ta.TomoarrowError], Callable[[], Any], dict[str, Any]]] = {
    "a block that is not there, replaced": (ta.BlockNotFoundError, lambda: ta.read_star(X).replace("y", {}), {}),
    "a block that is not there, dropped": (ta.BlockNotFoundError, lambda: ta.read_star(X).drop("y"), {}),
    "a position that is not there, replaced": (ta.TomoarrowError, lambda: ta.read_star(X).replace(1, {}), {}),
    "a position that is not there, dropped": (ta.TomoarrowError, lambda: ta.read_star(X).drop(1), {}),
    "a loop that is not there": (ta.TomoarrowError, lambda: ta.read_star(X)[0].with_table(wrong("a"), loop=1), {}),
    "a column that is not there": (ta.SchemaError, lambda: ta.read_star(X)["x"].without_column("a", "c"), {}),
    "a column of another length": (ta.TomoarrowError, lambda: ta.read_star(X)["x"].with_column("c", [1, 2]), {}),
    "a column where there is no loop": (ta.UsageError, lambda: ta.read_star(b"data_x\n")[0].with_column("c", [1]), {}),
    "save frames": (ta.SchemaError, lambda: ta.read_star(FRAMES, dialect="star"), {"style": "relion"}),
    "a label with a blank": (ta.SchemaError, lambda: {"x": wrong("a b")}, {}),
    "an empty label": (ta.SchemaError, lambda: {"x": wrong("")}, {}),
    "a label with a #": (ta.SchemaError, lambda: {"x": wrong("a#1")}, {}),
    "a label with a line break": (ta.SchemaError, lambda: {"x": {"a\nb": 1}}, {}),
    "a label with a control byte": (ta.SchemaError, lambda: {"x": {"a\x01b": 1}}, {}),
    "a label twice": (ta.SchemaError, lambda: pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), {}),
    "a label twice, by an edit": (
        ta.SchemaError,
        lambda: ta.read_star(X).replace("x", pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])),
        {},
    ),
    "a label with a blank, by an edit": (ta.SchemaError, lambda: ta.read_star(X)["x"].with_column("a b", [1]), {}),
    "a label of a pair, by an edit": (ta.SchemaError, lambda: ta.read_star(PAIR)[0].with_pairs({"a b": 1}), {}),
    "a label of a first pair, by an edit": (ta.SchemaError, lambda: ta.read_star(X)[0].with_pairs({"a b": 1}), {}),
    "a label of a first loop, by an edit": (ta.SchemaError, lambda: ta.read_star(PAIR)[0].with_table(wrong("a b")), {}),
    "a name with a blank": (ta.SchemaError, lambda: {"a b": wrong("a")}, {}),
    "a name with a line break": (ta.SchemaError, lambda: {"a\nb": wrong("a")}, {}),
    "a name with a control byte": (ta.SchemaError, lambda: {"a\x01b": wrong("a")}, {}),
    "a name that is no text": (ta.TomoarrowError, lambda: {1: wrong("a")}, {}),
    "a name with a blank, of a block that was read": (ta.SchemaError, lambda: {"a b": ta.read_star(X)["x"]}, {}),
    "a name with a blank, by an edit": (ta.SchemaError, lambda: ta.read_star(X).add("a b", ta.read_star(X)["x"]), {}),
    "a name that is no Unicode": (ta.TomoarrowError, lambda: {"a\ud800": wrong("a")}, {}),
    "text of two lines": (ta.SchemaError, lambda: {"x": pa.table({"a": ["x", "a\nb"]})}, {"style": "relion"}),
    "text of two lines of a pair": (ta.SchemaError, lambda: {"x": {"a": "a\nb"}}, {"style": "starfile"}),
    "text of two lines, by an edit": (ta.SchemaError, lambda: ta.read_star(X)["x"].with_column("a", ["a\nb"]), {}),
    "text with a carriage return": (ta.SchemaError, lambda: {"x": pa.table({"a": ["a\rb"]})}, {"style": "plain"}),
    "text with NUL": (ta.SchemaError, lambda: {"x": pa.table({"a": ["a\0b"]})}, {"style": "plain"}),
    "text that would close a text field": (ta.SchemaError, lambda: pa.table({"a": ["a\n;b"]}), {"style": "plain"}),
    "bytes": (ta.SchemaError, lambda: pa.table({"a": [b"x"]}), {}),
    "dates": (ta.SchemaError, lambda: pa.table({"a": pa.array([1], pa.date32())}), {}),
    "lists of text": (ta.SchemaError, lambda: pa.table({"a": [["x"]]}), {}),
    "structures": (ta.SchemaError, lambda: pa.table({"a": [{"b": 1}]}), {}),
    "dates, by an edit": (ta.SchemaError, lambda: ta.read_star(X)[0].with_column("a", pa.array([1], pa.date32())), {}),
    "lists of text, by an edit": (ta.SchemaError, lambda: ta.read_star(X)["x"].with_column("a", [["x"]]), {}),
    "a pair of an odd type": (ta.TomoarrowError, lambda: {"x": {"a": object()}}, {}),
    "a pair of a mixed list": (ta.TomoarrowError, lambda: {"x": {"a": [1, "b"]}}, {}),
    "a pair beyond 64 bits": (ta.TomoarrowError, lambda: {"x": {"a": 2**70}}, {}),
    "no table": (ta.UsageError, lambda: {"x": 5}, {}),
    "nothing at all": (ta.UsageError, lambda: None, {}),
    "no such style": (ta.UsageError, lambda: {"x": wrong("a")}, {"style": "relion5"}),
}  # fmt: skip


@pytest.mark.parametrize(("error", "make", "options"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_leaves_the_target_as_it_was(
    error: type[Exception], make: Callable[[], Any], options: dict[str, Any], tmp_path: Path
) -> None:
    target = tmp_path / "x.star"
    target.write_bytes(b"before")
    with pytest.raises(error):
        ta.write_star(make(), target, **options)
    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["x.star"]


def test_the_place_of_what_is_in_no_file_is_its_block() -> None:
    with pytest.raises(ta.SchemaError, match=r"^block 'data_x': 'a b' cannot be a label"):
        ta.write_star({"x": pa.table({"a b": [1]})}, io.BytesIO())


def test_an_error_late_in_a_file_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "x.star"
    target.write_bytes(b"before")
    table = pa.table({"rlnTomoName": ["x"] * 200_000 + ["a\nb"]})
    for threads in (1, 2):
        with pytest.raises(ta.SchemaError, match="row 200000 of the column rlnTomoName"):
            ta.write_star({"x": table}, target, threads=threads)
        assert target.read_bytes() == b"before"
        assert [path.name for path in tmp_path.iterdir()] == ["x.star"]


# ---- Where it goes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("name", ["x.star", "x.star.gz", "x.star.zst", "x", "é" * 125, f"{'x' * 250}.star"])
def test_paths(name: str, as_text: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"before")
    report = ta.write_star(ta.read_star(RELION), str(path) if as_text else path)
    raw = path.read_bytes()
    if name.endswith(".gz"):
        raw = gzip.decompress(raw)
    elif name.endswith(".zst"):
        raw = pa.input_stream(pa.BufferReader(raw), compression="zstd").read()
    assert raw == RELION
    assert report.bytes == len(RELION)
    assert written(ta.read_star(path)) == RELION
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_file_may_be_written_over_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.star"
    path.write_bytes(RELION)
    document = ta.read_star(path)
    ta.write_star(document, path)
    ta.write_star(document, path)
    assert path.read_bytes() == RELION


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x.star").write_bytes(b"before")
    (tmp_path / "link.star").symlink_to(tmp_path / "there" / "x.star")
    ta.write_star(ta.read_star(RELION), tmp_path / "link.star")
    assert (tmp_path / "link.star").is_symlink()
    assert (tmp_path / "there" / "x.star").read_bytes() == RELION


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    ta.write_star(ta.read_star(RELION), path)
    is_written = path.is_fifo() and os.read(reader, 1 << 16) == RELION
    os.close(reader)
    assert is_written
    assert os.listdir(tmp_path) == ["pipe"]


def test_open_files(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.write(b"# mine\n")
        ta.write_star(ta.read_star(RELION), file)
        file.write(b"# mine too\n")
    assert (tmp_path / "x").read_bytes() == b"# mine\n" + RELION + b"# mine too\n"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda folder: folder / "none" / "x.star", ta.MissingFileError),
        (lambda folder: folder, ta.MissingFileError),
        (lambda _: 5, ta.UsageError),
        (lambda _: io.StringIO(), ta.UsageError),
    ],
    ids=["no folder", "a folder", "a number", "text mode"],
)
def test_targets_that_cannot_be(make: Callable[[Path], Any], error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        ta.write_star({"x": {"a": 1}}, make(tmp_path))
    assert list(tmp_path.iterdir()) == []


# ---- Tables of other libraries, columns of other types -------------------------------------------------------------

TABLE = pa.table(
    {"rlnTomoName": ["TS_1", "two words", ""], "rlnVoltage": [300.0, -1.5, 2e-4], "rlnTomoSizeX": [1, -2, 3]}
)

CONTENTS: dict[str, Callable[[], Any]] = {
    "pyarrow.RecordBatch": lambda: TABLE.to_batches()[0],
    "pyarrow.RecordBatchReader": TABLE.to_reader,
    "Polars": lambda: pl.DataFrame(TABLE),
    "Polars, lazily": lambda: pl.DataFrame(TABLE).lazy(),
    "pandas": TABLE.to_pandas,
    "DuckDB": lambda: duckdb.from_arrow(TABLE),
    "a block": lambda: ta.Block("y", {}, (TABLE,)),
    "a list of tables": lambda: [TABLE],
}


@pytest.mark.parametrize("style", ["relion", "starfile", "warp", "plain"])
@pytest.mark.parametrize("make", CONTENTS.values(), ids=CONTENTS)
def test_tables_of_other_libraries(make: Callable[[], Any], style: Any) -> None:
    expected = written({"x": TABLE}, style=style)
    assert written({"x": make()}, style=style) == expected


@pytest.mark.parametrize("make", [c for name, c in CONTENTS.items() if "list" not in name and "block" not in name])
def test_a_table_alone_is_a_block_without_a_name(make: Callable[[], Any]) -> None:
    assert written(make()) == written({"": TABLE})
    assert b"data_\n" in written(make())


def test_a_block_keeps_its_name_and_a_mapping_gives_its_own() -> None:
    block = ta.read_star(X)["x"]
    assert written(block) == X
    assert written({"y": block}) == X.replace(b"data_x", b"data_y")


def dictionary(values: list[Any], type_: pa.DataType, index: pa.DataType | None = None) -> pa.Array:
    encoded = pa.array(values, type_).dictionary_encode()
    return encoded.cast(pa.dictionary(index, type_)) if index else encoded


STRINGS, STRING_TEXTS = ["x", "two words", "", "x"], ["x", '"two words"', '""', "x"]
MISSING_STRINGS, MISSING_TEXTS = ["x", None, "two words", ""], ["x", "<NA>", '"two words"', '""']
INTS, INT_TEXTS = [0, 1, 127, None], ["0", "1", "127", "<NA>"]
FLOATS, FLOAT_TEXTS = [0.5, 2.25, 300.0, None], ["0.5", "2.25", "300.0", "<NA>"]
VECTORS, VECTOR_TEXTS = [[1, 2], [], None, [3]], ["[1,2]", "[]", "<NA>", "[3]"]

#: Columns, and the text of each value in the plain style.
COLUMNS: dict[str, tuple[Any, list[str]]] = {
    **{
        f"{type_}": (pa.array(STRINGS, type_), STRING_TEXTS)
        for type_ in (pa.string(), pa.large_string(), pa.string_view())
    },
    **{
        f"{type_}, some missing": (pa.array(MISSING_STRINGS, type_), MISSING_TEXTS)
        for type_ in (pa.string(), pa.large_string(), pa.string_view())
    },
    "dictionary of text": (dictionary(STRINGS, pa.string()), STRING_TEXTS),
    "dictionary of text, some missing": (dictionary(MISSING_STRINGS, pa.string()), MISSING_TEXTS),
    "dictionary of large text": (dictionary(STRINGS, pa.large_string(), pa.int8()), STRING_TEXTS),
    "dictionary of integers": (dictionary(INTS, pa.int64()), INT_TEXTS),
    "dictionary of floats": (dictionary(FLOATS, pa.float64()), FLOAT_TEXTS),
    "Polars text": (pl.Series(MISSING_STRINGS), MISSING_TEXTS),
    "Polars categories": (pl.Series(MISSING_STRINGS, dtype=pl.Categorical), MISSING_TEXTS),
    "Polars enum": (pl.Series(["x", None, "y z"], dtype=pl.Enum(["x", "y z", "q"])), ["x", "<NA>", '"y z"']),
    "pandas categories": (pd.Series(pd.Categorical(MISSING_STRINGS)), MISSING_TEXTS),
    "pandas categories of integers": (pd.Series(pd.Categorical([1, 2, 1])), ["1", "2", "1"]),
    **{
        f"{type_}": (pa.array(INTS, type_), INT_TEXTS)
        for type_ in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
    },
    "limits of int64": (pa.array([2**63 - 1, -(2**63)]), ["9223372036854775807", "-9223372036854775808"]),
    "limits of uint64": (
        pa.array([0, 2**63, 2**64 - 1, None], pa.uint64()),
        ["0", "9223372036854775808", "18446744073709551615", "<NA>"],
    ),
    **{f"{type_}": (pa.array(FLOATS, type_), FLOAT_TEXTS) for type_ in (pa.float16(), pa.float32(), pa.float64())},
    **{
        f"{type_}": (pa.array([None if x is None else Decimal(x) for x in FLOATS], type_), FLOAT_TEXTS)
        for type_ in (pa.decimal32(5, 2), pa.decimal128(18, 3), pa.decimal256(60, 20))
    },
    "whole decimals": (
        pa.array([Decimal(2**53 + 1), Decimal(-7), None], pa.decimal128(18, 0)),
        ["9007199254740993", "-7", "<NA>"],
    ),
    "decimals of more digits than doubles": (
        pa.array([Decimal("0.1000000000000000055511151231257827"), Decimal("0.3")], pa.decimal128(38, 34)),
        ["0.1", "0.3"],
    ),
    "booleans": (pa.array([True, False, None]), ["1", "0", "<NA>"]),
    "nothing but missing": (pa.nulls(2), ["<NA>", "<NA>"]),
    **{
        f"{type_}": (pa.array(VECTORS, type_), VECTOR_TEXTS)
        for type_ in (pa.list_(pa.int64()), pa.large_list(pa.int64()), pa.list_(pa.int32()), pa.list_(pa.uint8()))
    },
    "a fixed size": (
        pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2)),
        ["[1,2]", "<NA>", "[3,4]"],
    ),
    "list of float32": (pa.array([[0.5, 2.0], []], pa.list_(pa.float32())), ["[0.5,2.0]", "[]"]),
    "missing elements": (pa.array([[1.5, None], [None]]), ["[1.5,<NA>]", "[<NA>]"]),
    "nothing but empty vectors": (pa.array([[], []]), ["[]", "[]"]),
    "Polars list": (pl.Series([[1, 2], [], None]), ["[1,2]", "[]", "<NA>"]),
    "Polars array": (pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int16, 2)), ["[1,2]", "[3,4]"]),
}


def as_content(column: Any) -> Any:
    if isinstance(column, pl.Series):
        return pl.DataFrame({"a": column})
    return pd.DataFrame({"a": column}) if isinstance(column, pd.Series) else pa.table({"a": column})


@pytest.mark.parametrize(("column", "texts"), COLUMNS.values(), ids=COLUMNS)
def test_columns_of_other_types(column: Any, texts: list[str]) -> None:
    assert rows_of(written({"x": as_content(column)}, style="plain")) == texts


@pytest.mark.parametrize(("column", "texts"), COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("style", ["relion", "starfile", "warp"])
def test_columns_of_other_types_in_other_styles(column: Any, texts: list[str], style: Any) -> None:
    found = [row.strip() for row in rows_of(written({"x": as_content(column)}, style=style))]
    as_styled = {"relion": {}, "starfile": {"1": "1.000000"}, "warp": {}}[style]
    assert len(found) == len(texts)
    for one, other in zip(found, texts, strict=True):
        is_number = other.replace(".", "").lstrip("-").isdigit()
        if is_number and one != "True" and one != "False":
            assert float(one) == float(as_styled.get(other, other))
        elif "." not in other:
            assert {"True": "1", "False": "0"}.get(one, one) == other


@pytest.mark.parametrize("wide", ["float64", "int64", "bool"])
def test_numbers_are_aligned_to_12_and_other_values_to_10(wide: str) -> None:
    number = {"float64": "1.000000", "int64": "1", "bool": "1"}[wide]
    table = pa.table({"a": pa.array([1]).cast(wide), "b": ["x"], "c": pa.array([1]).cast(wide), "d": [[1]]})
    assert rows_of(written({"x": table}, style="relion")) == [f"{number:>12} {'x':>10} {number:>12} {'[1]':>10} "]


def test_widths_count_bytes() -> None:
    table = pa.table({"a": ["été", "x"]})
    assert rows_of(written({"x": table}, style="relion")) == ["     été ", "         x "]


def test_no_rows_and_no_columns() -> None:
    empty = pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())})
    for style in ("relion", "starfile", "warp", "plain"):
        back = ta.read_star(written({"x": empty, "y": {"n": 1}}, style=style))
        assert (back.names, back["x"].loops[0].to_pydict()) == (["x", "y"], {"a": [], "b": []})
        for none in (pa.table({}), pa.table({"a": [1, 2]}).select([]), {}):
            back = ta.read_star(written({"x": none, "y": {"n": 1}}, style=style))
            assert (back.names, back["x"].loops, dict(back["x"].pairs)) == (["x", "y"], (), {})


# ---- Warnings ------------------------------------------------------------------------------------------------------

#: A column, and what is said of it: codes with how often.
WARNED: dict[str, tuple[Any, dict[str, int]]] = {
    "tame": (pa.array([1.5, -2.0, 0.0, math.inf, math.nan]), {}),
    "exponent": (pa.array([1e100, -1e100, 1e-100, -5e-324, 9.9e99, 1e-99, 0.0, math.inf, math.nan]), {"exponent": 4}),
    "exponent, by rounding": (pa.array([9.9999999e99]), {"exponent": 1}),
    "no exponent, by rounding": (pa.array([9.99999999e-100]), {}),
    "long-integer": (
        pa.array([10**12, -(10**11), 10**12 - 1, -(10**11) + 1, 2**63 - 1, -(2**63)]),
        {"long-integer": 4},
    ),
    "long-integer, unsigned": (pa.array([2**64 - 1, 1], pa.uint64()), {"long-integer": 1}),
    "quoted": (pa.array(["#x", "x#y", "# x", "x"]), {"quoted": 2}),
    "quoted, large": (pa.array(["#x", "y"], pa.large_string()), {"quoted": 1}),
    "quoted, views": (pa.array(["#x", "y"], pa.string_view()), {"quoted": 1}),
    "quoted, dictionary": (pa.array(["#x", "y", "#x"]).dictionary_encode(), {"quoted": 2}),
    "missing": (pa.array([1.5, None]), {"missing": 1}),
    "missing integers": (pa.array([1, None, None]), {"missing": 2}),
    "missing booleans": (pa.array([True, None]), {"missing": 1}),
    "missing vectors": (pa.array([[1], None]), {"missing": 1}),
    "missing-text": (pa.array(["x", None]), {"missing-text": 1}),
    "missing-text, views": (pa.array(["x", None], pa.string_view()), {"missing-text": 1}),
    "missing-text, dictionary": (pa.array(["x", None]).dictionary_encode(), {"missing-text": 1}),
    "long and missing": (pa.array([10**12, None]), {"long-integer": 1, "missing": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("column", "codes"), WARNED.values(), ids=WARNED)
def test_what_relion_would_not_have_written_is_told_of(column: pa.Array, codes: dict[str, int]) -> None:
    report = reported({"first": {"n": 1}, "x": pa.table({"before": [1] * len(column), "a": column})}, style="relion")
    assert {notice.code: notice.count for notice in report.warnings} == codes
    assert {(notice.place.block, notice.place.label) for notice in report.warnings} <= {("x", "a")}
    assert all(notice.message for notice in report.warnings)


@pytest.mark.parametrize("label", ["rlnComment", "rlnSortedIndex"])
def test_columns_that_relion_never_writes_are_told_of(label: str) -> None:
    (notice,) = reported({"x": pa.table({label: ["a"]})}, style="relion").warnings
    assert (notice.code, notice.place.label) == ("column", label)


def test_tables_without_rows_are_told_of() -> None:
    (notice,) = reported({"x": TABLE.slice(0, 0)}, style="relion").warnings
    assert (notice.code, notice.place.block) == ("zero-rows", "x")


def test_missing_values_of_pairs_are_told_of() -> None:
    (notice,) = reported({"x": {"rlnVoltage": None}}, style="relion").warnings
    assert (notice.code, notice.place.label) == ("missing", "rlnVoltage")


@pytest.mark.parametrize("style", ["starfile", "warp", "plain"])
def test_only_relions_style_is_measured_by_relion(style: Any) -> None:
    table = pa.table({"a": [1e100, None], "b": ["#x", None], "rlnComment": [10**13, None]})
    assert reported({"x": table}, style=style).warnings == ()


# ---- Pieces --------------------------------------------------------------------------------------------------------


def many(n: int) -> pa.Table:
    """A table of every kind of column, of which some rows are missing."""
    dice = np.random.default_rng(5)
    return pa.table(
        {
            "f": pa.array(dice.normal(size=n), mask=dice.random(n) < 0.1),
            "i": pa.array(dice.integers(-(10**6), 10**6, n), mask=dice.random(n) < 0.1),
            "s": pa.array([f"TS {i}" if i % 7 else "" for i in range(n)], mask=dice.random(n) < 0.1),
            "d": pa.array([f"name{i % 5}" for i in range(n)], mask=dice.random(n) < 0.1).dictionary_encode(),
            "b": pa.array(dice.random(n) < 0.5, mask=dice.random(n) < 0.1),
            "v": pa.array([[i % 2] * (i % 4) if i % 9 else None for i in range(n)], pa.list_(pa.int64())),
            "x": pa.array([[i / 2, -0.5] if i % 9 else None for i in range(n)], pa.list_(pa.float64(), 2)),
        }
    )


@pytest.fixture(scope="module")
def big() -> pa.Table:
    return many(50_000)


@pytest.mark.parametrize("style", ["relion", "starfile", "warp", "plain"])
def test_threads_chunks_and_slices_do_not_show(big: pa.Table, style: Any) -> None:
    expected = written({"x": big}, style=style, threads=1)
    chunks = [big.slice(begin, 7_919) for begin in range(0, big.num_rows, 7_919)]
    assert written({"x": big}, style=style, threads=2) == expected
    assert written({"x": pa.concat_tables(chunks)}, style=style, threads=2) == expected
    assert written({"x": pa.concat_tables([big.slice(0, 0), *chunks, big.slice(0, 0)])}, style=style) == expected
    part = big.slice(1_003, 301)
    assert written({"x": part}, style=style) == written({"x": pa.table(part.to_pydict(), part.schema)}, style=style)


def test_dictionaries_that_differ_between_chunks_do_not_show() -> None:
    one, other = pa.array(["x", "y z"]).dictionary_encode(), pa.array(["q", "x", None]).dictionary_encode()
    table = pa.table({"a": pa.chunked_array([one, other])})
    assert rows_of(written({"x": table}, style="plain")) == ["x", '"y z"', "q", "x", "<NA>"]


def test_threads_do_not_show_in_what_was_read(big: pa.Table) -> None:
    star = written({"x": big.select(["f", "i", "s", "b", "v"])}, style="relion").replace(b",1] \n", b",1]\t# odd\n")
    document = ta.read_star(star)
    assert star.count(b"# odd") > 1000
    assert written(document, threads=1) == star
    assert written(document, threads=2) == star


# ---- Edits that must not harm what stands beside them ---------------------------------------------------------------


def test_a_dropped_block_takes_nothing_of_the_save_frame_before_it() -> None:
    star = b"data_a\n_x 1\nsave_f\n# note\n_y 2\nsave_\n\n# of b\ndata_b\n_z 3\n"
    document = ta.read_star(star, dialect="star")
    assert written(document.drop("b")) == b"data_a\n_x 1\nsave_f\n# note\n_y 2\nsave_\n"
    with pytest.raises(ta.SchemaError, match="save frames"):
        written(document.replace("a", replace(document["a"], frames=())))


def test_a_reject_beside_a_number_that_widened_its_column_keeps_its_text() -> None:
    star = b"data_x\nloop_\n_rlnTomoVisibleFrames\n_rlnTomoSizeX\nx y\nnan 1.5\n"
    document = ta.read_star(star, on_bad_value="null")
    assert len(document.rejects) == 2
    assert written(document) == star


@pytest.mark.parametrize(
    ("there", "value", "text"),
    [
        ("1e-05", 1.5e-05, "1.5e-05"),
        ("1e-05", -2e-05, "-2e-05"),
        ("1.2e-05", 123.456, "123.456"),
        ("1.2e-05", math.inf, "inf"),
        ("1.234560e-05", 123.456789012, "1.234568e+02"),
        ("1.5", 1.25, "1.25"),
    ],
)
def test_few_decimals_of_the_values_that_were_there_round_no_other(there: str, value: float, text: str) -> None:
    star = "data_x\nloop_\n_a\n{0}\n{0}\n{1}\n".format
    document = ta.read_star(star(there, there).encode())
    edited = document["x"].with_column("a", [float(there), float(there), value])
    assert written(document.replace("x", edited)) == star(there, text).encode()


def test_comments_behind_rows_do_not_move_to_others() -> None:
    document = ta.read_star(b"data_x\nloop_\n_a\n_b\n1 a\n2 b # bad one\n3 c\n")
    assert document["x"].table is not None
    fewer = document.replace("x", document["x"].table.slice(1))
    assert written(fewer) == b"data_x\nloop_\n_a\n_b\n2 b\n3 c\n"


@pytest.mark.parametrize(
    ("values", "code"), [([1e100, 1.0], "exponent"), ([None, 1.0], "missing")], ids=["exponent", "missing"]
)
def test_edits_of_what_relion_wrote_are_told_of_too(values: list[Any], code: str) -> None:
    star = written({"x": pa.table({"rlnVoltage": [300.0, 200.0]})})
    document = ta.read_star(star)
    assert reported(document).warnings == ()
    edited = document.replace("x", document["x"].with_column("rlnVoltage", values))
    assert [(warning.code, warning.count) for warning in reported(edited).warnings] == [(code, 1)]


def test_numbers_get_the_types_of_their_labels_in_edits_too() -> None:
    document = ta.read_star(written({"x": pa.table({"rlnClassNumber": [1, 2], "rlnVoltage": [300.0, 200.0]})}))
    edited = document["x"].with_column("rlnClassNumber", [2.0, 3.0]).with_column("rlnVoltage", [300, 100])
    assert rows_of(written(document.replace("x", edited))) == [
        "           2   300.000000 ",
        "           3   100.000000 ",
    ]


@pytest.mark.parametrize("value", [np.float32(1.5), np.int32(5), np.float64(2.5), np.bool_(True)], ids=repr)
def test_pairs_take_numbers_of_numpy(value: Any) -> None:
    back = ta.read_star(written({"x": {"rlnOwn": value}}))
    assert back["x"].pairs["rlnOwn"] == value


@pytest.mark.parametrize(
    "call",
    [
        lambda: written(pl.Series([1])),
        lambda: ta.read_star(b"data_x\nloop_\n_a\n1\n")["x"].with_column("a", object()),
        lambda: written({"x": pa.table({"a": [1]})}, threads=0),
        lambda: ta.read_star(b"data_x\n_a 1\n").add("y", {"b": 1}, position=-1),
    ],
)
def test_wrong_calls_say_so(call: Callable[[], object]) -> None:
    with pytest.raises(ta.UsageError):
        call()


@pytest.mark.parametrize("values", [[{"b": 1}], [["text"]]], ids=str)
def test_values_of_another_kind_in_a_column_that_departs(values: list[Any]) -> None:
    document = ta.read_star(b"data_x\nloop_\n_a\n1e0\n")
    edited = document.replace("x", document["x"].with_column("a", pa.array(values)))
    with pytest.raises(ta.SchemaError, match="no form"):
        written(edited)


def test_integers_beyond_int64_in_a_column_that_departs() -> None:
    document = ta.read_star(b"data_x\nloop_\n_a\n1e0\n")
    edited = document["x"].with_column("a", pa.array([2**63], pa.uint64()))
    assert rows_of(written(document.replace("x", edited))) == ["9223372036854775808"]


def test_a_file_of_many_blocks_is_learned_once() -> None:
    """Blocks that look alike are learned together: else the 3,000 here would take most of a minute."""
    blocks = {f"TS_01/{i}": pa.table({"rlnOriginXAngst": [i / 2, 1.0]}) for i in range(3000)}
    star = written(blocks)
    assert written(ta.read_star(star)) == star


def test_who_may_read_a_file_may_read_what_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "x.star"
    path.touch(mode=0o640)
    path.chmod(0o664)
    ta.write_star(pa.table({"a": [1]}), path)
    assert path.stat().st_mode & 0o777 == 0o664
