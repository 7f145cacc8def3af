"""Writing, by random tables and random texts: what is written reads back, what is read is written as it was."""

from __future__ import annotations

import io
import math
import os
import re
import struct
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from gemmi import cif
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import tomoarrow as ta

SHARED = os.environ.get("TOMOARROW_SHARED")

quick = settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
long = settings(quick, max_examples=5_000)


def written(content: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    ta.write_star(content, target, **options)
    return target.getvalue()


def tried(check: Callable[..., None], *strategies: Any) -> tuple[Callable[..., None], Callable[..., None]]:
    """Two tests of one property: for a moment, and at length."""
    at_length = long(given(*strategies)(check))
    return quick(given(*strategies)(check)), pytest.mark.slow(pytest.mark.timeout(3600)(at_length))


# ---- Random tables -------------------------------------------------------------------------------------------------

#: Pieces that mean something to one reader or another.
FRAGMENTS = [
    "a", "TS_01", "1", " ", "  ", "\t", "'", '"', "#", "_", ";", "data_", "loop_", "save_", "stop_", "global_", "DATA_",
    "[", "]", ",", "$", "?", ".", "None", "<NA>", "nan", "-", "é", "测", "\u00a0", "\ufeff", "\u0085", "\u2028", "\x01",
    "\x0b", "\x0c", "\x1a", "\x1f", "\x7f", "/", ".mrc", "\U0001f600",
]  # fmt: skip

#: Line breaks, NUL and byte 7 have no form on one line.
one_line = st.characters(exclude_categories=("Cs",), exclude_characters="\0\a\n\r")
texts = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=5).map("".join),
    st.sampled_from(["", "x", "two words", "it's", 'a "b" c']),
    st.text(one_line, max_size=8),
)

floats = st.one_of(
    st.floats(),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, math.nan, -math.nan, math.inf, -math.inf]),
    st.floats(-1e6, 1e6).map(lambda value: round(value, 3)),
)
ints = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3), st.sampled_from([2**63 - 1, -(2**63), 2**53 + 1])
)
small_ints = st.integers(-128, 127)
floats32 = st.floats(width=32)

#: Of each kind of column: its type, its values, and the type of a label that reads it.
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any], Any]] = {
    "text": (pa.string(), texts, "string"),
    "large text": (pa.large_string(), texts, "string"),
    "names": (pa.dictionary(pa.int32(), pa.string()), texts, "name"),
    "float64": (pa.float64(), st.none() | floats, "float64"),
    "float32": (pa.float32(), st.none() | floats32, "float64"),
    "int64": (pa.int64(), st.none() | ints, "int64"),
    "int8": (pa.int8(), st.none() | small_ints, "int64"),
    "bool": (pa.bool_(), st.none() | st.booleans(), "bool"),
    "floats": (pa.list_(pa.float64()), st.none() | st.lists(floats, max_size=4), "list<float64>"),
    "ints": (pa.list_(pa.int64()), st.none() | st.lists(ints, max_size=4), "list<int64>"),
    "large ints": (pa.large_list(pa.int64()), st.none() | st.lists(ints, max_size=4), "list<int64>"),
    "pairs of floats": (
        pa.list_(pa.float64(), 2),
        st.none() | st.lists(floats, min_size=2, max_size=2),
        "list<float64>",
    ),
}  # fmt: skip

names = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="#"), min_size=1, max_size=6
)


@st.composite
def tables(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(KINDS)) -> tuple[pa.Table, dict[str, ta.Label]]:
    """A table, and labels that read it as it is."""
    chosen = draw(st.lists(st.sampled_from(kinds), max_size=5))
    labels = draw(st.lists(names, min_size=len(chosen), max_size=len(chosen), unique=True))
    n_rows = draw(st.sampled_from([0, 1, 1, 2, 2, 3, 5]))
    columns = [
        pa.array(draw(st.lists(KINDS[kind][1], min_size=n_rows, max_size=n_rows)), KINDS[kind][0]) for kind in chosen
    ]
    known = {label: ta.Label(label, KINDS[kind][2]) for label, kind in zip(labels, chosen, strict=True)}
    return pa.Table.from_arrays(columns, labels), known


def bits_of(value: Any) -> Any:
    """Floats as their bits, but for what else a nan may hold."""
    if isinstance(value, list):
        return [bits_of(element) for element in value]
    if isinstance(value, float):
        return ("nan", math.copysign(1, value)) if math.isnan(value) else struct.pack("<d", value)
    return type(value), value


def values_of(table: pa.Table, change: Callable[[Any, bool], Any] = lambda value, _: value) -> list[tuple[str, Any]]:
    """Labels and values; `change` gets each with whether it is of a vector."""
    return [
        (
            label,
            [
                bits_of([change(each, True) for each in value] if isinstance(value, list) else change(value, False))
                for value in column.to_pylist()
            ],
        )
        for label, column in zip(table.column_names, table.itercolumns(), strict=True)
    ]


def read_back(star: bytes, labels: dict[str, ta.Label]) -> pa.Table:
    """The table of the middle one of three blocks."""
    document = ta.read_star(star, labels=labels)
    assert document.names == ["before", "x", "behind"]
    assert dict(document["before"].pairs) == dict(document["behind"].pairs) == {"number_of": 1}
    return document["x"].loops[0] if document["x"].loops else pa.table({})


def surrounded(table: pa.Table) -> dict[str, Any]:
    return {"before": {"number_of": 1}, "x": table, "behind": {"number_of": 1}}


def plain_text_reads_back(drawn: tuple[pa.Table, dict[str, ta.Label]]) -> None:
    table, labels = drawn
    assert values_of(read_back(written(surrounded(table), style="plain"), labels)) == values_of(table)


test_plain_text_reads_back, test_plain_text_reads_back_at_length = tried(plain_text_reads_back, tables())


def as_relion(value: Any, is_element: bool) -> Any:
    """A value as RELION's text of it has it; exponents of three digits are not cut."""
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    if is_element:
        return float(f"{value:.12g}")
    text = (("%12.5" if value < 0 else "%12.6") + ("e" if 0 < abs(value) < 1e-3 or abs(value) > 1e5 else "f")) % value
    return float(text if "e" in text else text[:12])


def relions_text_reads_back_as_rounded(drawn: tuple[pa.Table, dict[str, ta.Label]]) -> None:
    table, labels = drawn
    assert values_of(read_back(written(surrounded(table), style="relion", labels={}), labels)) == values_of(
        table, as_relion
    )


test_relions_text_reads_back_as_rounded, test_relions_text_reads_back_as_rounded_at_length = tried(
    relions_text_reads_back_as_rounded, tables()
)

EXACT = {
    "starfile": ("text", "large text", "names", "int64", "int8", "bool", "ints", "large ints", "floats"),
    "warp": tuple(KINDS),
}


def other_styles_read_back(data: st.DataObject, style: Any) -> None:
    table, labels = data.draw(tables(EXACT[style]))
    assert values_of(read_back(written(surrounded(table), style=style), labels)) == values_of(table)


test_other_styles_read_back, test_other_styles_read_back_at_length = tried(
    other_styles_read_back, st.data(), st.sampled_from(list(EXACT))
)


def no_digit_before_the_sixth_decimal_is_lost_in_starfiles_style(values: list[float]) -> None:
    star = written(surrounded(pa.table({"a": pa.array(values, pa.float64())})), style="starfile")
    read = read_back(star, {"a": ta.Label("a", "float64")}).column("a").to_pylist()
    for value, found in zip(values, read, strict=True):
        if math.isfinite(value):
            assert found == float(f"{value:.6f}") or (found == value and abs(value) <= 5e-7)
        else:
            assert bits_of(found) == bits_of(value)


(
    test_no_digit_before_the_sixth_decimal_is_lost_in_starfiles_style,
    test_no_digit_before_the_sixth_decimal_is_lost_in_starfiles_style_at_length,
) = tried(
    no_digit_before_the_sixth_decimal_is_lost_in_starfiles_style, st.lists(floats | floats32, min_size=1, max_size=5)
)


@pytest.mark.parametrize("style", ["relion", "starfile", "warp", "plain"])
def test_a_thousand_columns(style: Any) -> None:
    table = pa.table({f"c{i}": [i, -i] if i % 2 else [f"{i}", "two words"] for i in range(1000)})
    labels = {f"c{i}": ta.Label(f"c{i}", "int64" if i % 2 else "string") for i in range(1000)}
    assert values_of(read_back(written(surrounded(table), style=style), labels)) == values_of(table)


PAIR_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": texts,
    "int64": st.none() | ints,
    "float64": st.none() | floats,
    "bool": st.none() | st.booleans(),
    "list<int64>": st.none() | st.lists(ints, max_size=3),
    "list<float64>": st.none() | st.lists(floats, max_size=3),
}


def pairs_read_back(data: st.DataObject, chosen: list[tuple[str, Any]]) -> None:
    pairs = {label: data.draw(PAIR_VALUES[kind]) for label, kind in chosen}
    labels = {label: ta.Label(label, kind) for label, kind in chosen}
    (block,) = ta.read_star(written({"x": pairs}, style="plain"), labels=labels)
    assert list(block.pairs) == list(pairs)
    assert bits_of(list(block.pairs.values())) == bits_of(list(pairs.values()))


test_pairs_read_back, test_pairs_read_back_at_length = tried(
    pairs_read_back,
    st.data(),
    st.lists(st.tuples(names, st.sampled_from(list(PAIR_VALUES))), max_size=5, unique_by=lambda x: x[0]),
)


def names_of_blocks_read_back(name: str, drawn: tuple[pa.Table, dict[str, ta.Label]]) -> None:
    table, labels = drawn
    for style in ("relion", "starfile", "warp", "plain"):
        assert ta.read_star(written({name: table, "x": {"n": 1}}, style=style), labels=labels).names == [name, "x"]  # type: ignore[arg-type]


test_names_of_blocks_read_back, test_names_of_blocks_read_back_at_length = tried(
    names_of_blocks_read_back, names, tables(("text", "int64"))
)

# ---- Other readers -------------------------------------------------------------------------------------------------

#: Why a text that RELION writes is another one to gemmi, which reads CIF.
NOT_FOR_GEMMI: dict[str, re.Pattern[str]] = {
    "letters beyond ASCII, and control bytes": re.compile(r"[^\t -~]"),
    "a name of a save frame, or what CIF reserves": re.compile(r"\A[$\[\]]"),
    "RELION quotes none of these": re.compile(r"\A(_|;|data_|loop_|save_|stop_|global_)", re.IGNORECASE),
    "a quote before a blank or in the last place but one: RELION puts byte 7 before it": re.compile(r'"([\t ]|.\Z)'),
    "no word of CIF but ? and . stands for nothing": re.compile(r"\A[?.]\Z"),
}

#: Why a text that RELION writes is another one to starfile, which reads by pandas.
NOT_FOR_STARFILE: dict[str, re.Pattern[str]] = {
    "blanks of Unicode, and control bytes, end its lines or are cut off": re.compile(r"[^\t -~\u00e9\u6d4b]"),
    "it makes both quotes one, and knows none inside a text": re.compile("[\"']"),
    "anything behind # is a comment": re.compile("#"),
    "words that stand for nothing": re.compile(r"\A(nan|NaN|<NA>)\Z"),
    "a row that begins so is a label, or a block": re.compile(r"\A(_|data_)"),
}

#: It takes -nan for a text.
no_nan = floats.filter(lambda value: not math.isnan(value))


def fit_for(reasons: dict[str, re.Pattern[str]]) -> st.SearchStrategy[str]:
    return texts.filter(lambda text: not any(pattern.search(text) for pattern in reasons.values()))


@st.composite
def simple_tables(
    draw: st.DrawFn, strings: st.SearchStrategy[str], numbers: st.SearchStrategy[float] = floats
) -> pa.Table:
    n = draw(st.integers(1, 4))
    kinds: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
        "s": (pa.string(), strings), "f": (pa.float64(), numbers), "i": (pa.int64(), ints), "t": (pa.string(), strings),
    }  # fmt: skip
    order = draw(st.permutations(list(kinds)))
    return pa.table(
        {label: pa.array(draw(st.lists(kinds[label][1], min_size=n, max_size=n)), kinds[label][0]) for label in order}
    )


def gemmi_reads_the_same(table: pa.Table) -> None:
    document = cif.read_string(written(surrounded(table), style="relion"))
    assert [block.name for block in document] == ["before", "x", "behind"]
    for label, column in zip(table.column_names, table.itercolumns(), strict=True):
        raws = [str(raw) for raw in document[1].find_values(f"_{label}")]
        if label == "i":
            assert [int(raw) for raw in raws] == column.to_pylist()
        elif label == "f":
            expected = [as_relion(value, False) for value in column.to_pylist()]
            assert [bits_of(float(raw)) for raw in raws] == [bits_of(value) for value in expected]
        else:
            assert [cif.as_string(raw) for raw in raws] == column.to_pylist()


test_gemmi_reads_the_same, test_gemmi_reads_the_same_at_length = tried(
    gemmi_reads_the_same, simple_tables(fit_for(NOT_FOR_GEMMI))
)


def starfile_reads_the_same(table: pa.Table) -> None:
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        import starfile

        path = Path(folder) / "x.star"
        ta.write_star(surrounded(table), path, style="relion")
        frame = starfile.read(path, always_dict=True, parse_as_string=["s", "t"])["x"]
    assert list(frame.columns) == table.column_names
    for label, column in zip(table.column_names, table.itercolumns(), strict=True):
        if label == "f":
            for found, value in zip(frame[label].tolist(), column.to_pylist(), strict=True):
                # It reads decimals to within a few units of the last place.
                assert math.isclose(found, as_relion(value, False), rel_tol=1e-14)
        else:
            assert frame[label].tolist() == column.to_pylist()


test_starfile_reads_the_same, test_starfile_reads_the_same_at_length = tried(
    starfile_reads_the_same, simple_tables(fit_for(NOT_FOR_STARFILE), no_nan)
)

# ---- Random texts --------------------------------------------------------------------------------------------------


def mostly(usual: list[str], seldom: list[str]) -> st.SearchStrategy[str]:
    """One of the usual strings, or one time in ten or so of the others."""
    return st.sampled_from(usual * max(1, 10 * len(seldom) // len(usual)) + seldom)


gaps = mostly([" ", "  ", "     "], ["\t", " \t ", "\t\t\t", "\x0b", " " * 30])
ends = mostly(["", "", " "], ["\t", " # c", "\t# it's data_ loop_ _a", " #"])
fillers = mostly(["", "", "", ""], ["\n", "# c\n", " \n", "\n\n", "\t\n", "# data_z\n", "  # loop_\n", ";c\n"])
suffixes = mostly([" #{n}", " #{n} ", ""], [" # {n}", "\t#{n}", "   #{n}", " #7", " #{n} # _b", " # c\n# d", "#{n}"])
labels_ = mostly(
    ["a", "b", "ab", "rlnTomoName", "rlnVoltage"],
    ["rlnTomoVisibleFrames", "rlnTomoSizeX", "rlnTomoSubTomosAre2DStacks", "rlnTomoProjX", "x.y", "été", "A"],
)
numbers = st.one_of(
    st.sampled_from(
        ["0", "1", "-1", "300", "1.5", "-2.500000", "1.200000e-04", "100000.00000", "1e3", "+1", ".5", "5."]
    ),
    st.floats(-1e6, 1e6).map("{:.6f}".format),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**6), 10**6).map(str),
)
words = mostly(
    ["x", "TS_01", "a/b.mrc", "frames/TS_01_001.mrc", '""', '"two words"', "[1,0,1]", "[]", "None"],
    ["'a b'", "''", "it's", 'a"b', "a#1", "'#'", '"a  b"', "nan", "-nan", "inf", "?", ".", "<NA>", "[1,]", "1,2", "é",
     "007", "1e400", "99999999999999999999", "[1,x]", "True", "0x10", "'_x'", '"x', "_y", "data_y", "loop_", ";y",
     "'say \a' x'", '"a\a"b"', "stop_", "$f"],
)  # fmt: skip
cells = st.one_of(numbers, words, words)
text_fields = st.sampled_from(["\n;a\nb\n;", "\n;\n;", "\n; 'a\n\n ;\n;"])


@st.composite
def aligned_cells(draw: st.DrawFn) -> Callable[[int], str]:
    """Cells of one column, as a program writes them: a rule, with a few that break it."""
    usual = draw(st.sampled_from([numbers, words, st.sampled_from(["x", "yy", "zzz"])]))
    width = draw(st.sampled_from([0, 0, 0, 10, 12, -10, 5]))
    odd = draw(st.sets(st.integers(0, 5), max_size=1))

    def cell(row: int) -> str:
        text = draw(cells if row in odd else usual)
        return text.ljust(-width) if width < 0 else text.rjust(width)

    return cell


@st.composite
def random_loops(draw: st.DrawFn) -> str:
    width = draw(st.integers(1, 4))
    suffix = draw(suffixes)
    header = ""
    for n, label in enumerate(draw(st.lists(labels_, min_size=width, max_size=width, unique=True)), 1):
        header += f"{draw(mostly([''], [' ']))}_{label}{suffix.format(n=n)}\n{draw(fillers)}"
        suffix = draw(mostly([suffix], ["", " #{n} # c"]))
    columns = [draw(aligned_cells()) for _ in range(width)]
    between, behind, before = [draw(gaps) for _ in range(width)], draw(ends), draw(mostly([""], [" ", "\t"]))
    rows = ""
    for row in range(draw(st.sampled_from([0, 1, 1, 2, 3, 6]))):
        rows += before
        for c, column in enumerate(columns):
            rows += (draw(mostly([between[c]], [" ", "\t "])) if c else "") + column(row)
        rows += draw(mostly([behind], ["", " # d", "  "])) + "\n" + draw(fillers)
    return f"{draw(mostly(['loop_'], ['  loop_', 'LOOP_']))}{draw(ends)}\n{draw(fillers)}{header}{rows}"


random_pairs = st.builds(
    lambda before, label, gap, value, end: f"{before}_{label}{gap}{value}{end}\n",
    mostly([""], [" ", "\t"]), labels_, gaps, cells | st.sampled_from(["two words", "a b # c"]) | text_fields, ends,
)  # fmt: skip


@st.composite
def random_blocks(draw: st.DrawFn) -> str:
    name = draw(mostly(["x", "particles", "", "TS_01/1"], ["été", "two words", "a#b"]))
    items = st.one_of(random_loops(), random_pairs, fillers, st.sampled_from(["\n", "save_f\n_a 1\nsave_\n"]))
    return f"data_{name}{draw(ends)}\n{draw(fillers)}" + "".join(draw(st.lists(items, max_size=5)))


@st.composite
def random_files(draw: st.DrawFn) -> bytes:
    """A file as programs and hands leave it."""
    text = draw(mostly([""], ["\ufeff", "# c\n", "\n# version 50001\n\n", "(null)\n"]))
    text += "".join(
        block + draw(mostly(["", "\n", "\n\n", " \n"], ["# v\n"]))
        for block in draw(st.lists(random_blocks(), max_size=3))
    )
    text = draw(
        mostly([text], [text.rstrip("\n"), text.replace("\n", "\r\n"), text.replace("\n", "\r\n", 2), text + "\x1a"])
    )
    return text.encode()


#: Words of the general dialect, with whatever may stand between them.
loose_words = mostly(
    ["1", "x", "'a b'", "-1.5", "_a", "_b", "data_x", "loop_ _a", "loop_ _a _b"],
    ["?", ".", "stop_", "save_f", "save_", "_c", "_d 1", '"it\'s"', "\n;t\nu\n;", "DATA_y", "LOOP_ _c _d", "[1,2]"],
)
loose_blanks = mostly([" ", "\n", "  "], ["\t", "\n\n", " # c\n", "\r\n", "\n   ", "\r", "# c"])


@st.composite
def loose_files(draw: st.DrawFn) -> bytes:
    parts = draw(st.lists(st.tuples(loose_words, loose_blanks), max_size=25))
    return ("data_a " + "".join(word + blank for word, blank in parts)).encode()


def is_written_as_it_was(star: bytes, dialect: Any) -> bool:
    """False where it does not even read."""
    try:
        document = ta.read_star(star, dialect=dialect, on_bad_value="null")
    except ta.TomoarrowError:
        return False
    assert written(document) == star
    return True


def files_are_written_as_they_were(star: bytes) -> None:
    for dialect in ("relion", "star"):
        is_written_as_it_was(star, dialect)


test_files_are_written_as_they_were, test_files_are_written_as_they_were_at_length = tried(
    files_are_written_as_they_were, random_files()
)


def loose_files_are_written_as_they_were(star: bytes) -> None:
    assume(is_written_as_it_was(star, "star"))


test_loose_files_are_written_as_they_were, test_loose_files_are_written_as_they_were_at_length = tried(
    loose_files_are_written_as_they_were, loose_files()
)


@given(st.lists(random_files(), min_size=50, max_size=50))
@settings(deadline=None, max_examples=1, suppress_health_check=list(HealthCheck))
def test_many_of_the_random_files_read(stars: list[bytes]) -> None:
    """Or else the properties above say little."""
    assert sum(is_readable(star, dialect) for star in stars for dialect in ("relion", "star")) > 10


def is_readable(star: bytes, dialect: Any) -> bool:
    try:
        ta.read_star(star, dialect=dialect, on_bad_value="null")
    except ta.TomoarrowError:
        return False
    return True


# ---- Real files, with a few things inserted and deleted ------------------------------------------------------------


@cache
def small_real_files() -> list[tuple[str, bytes]]:
    """Files of the corpus and the awkward ones that are small, with their dialects."""
    root = Path(SHARED or "/nowhere")
    found = [
        ("relion" if path.suffix == ".star" else "star", path.read_bytes())
        for folder in ("corpus", "awkward")
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in (".star", ".cif", ".str") and path.stat().st_size < 4000
    ]
    return [(dialect, star) for dialect, star in found if is_readable(star, dialect)]


INSERTED = [
    b" ",
    b" ",
    b"\t",
    b"   ",
    b"\n",
    b"\n\n",
    b"# c",
    b" # c\n",
    b"\n# data_\n",
    b"'",
    b'"',
    b"x",
    b"1",
    b"\r\n",
]


def changed(star: bytes, kind: str, at: float, inserted: bytes) -> bytes:
    lines = star.splitlines(keepends=True) or [b""]
    line, byte = int(at * len(lines)), int(at * (len(star) + 1))
    if kind == "insert bytes":
        byte = star.find(b" ", byte) if inserted.isspace() and b" " in star[byte:] else byte
        return star[:byte] + inserted + star[byte:]
    if kind == "delete bytes":
        return star[:byte] + star[byte + len(inserted) :]
    if kind == "insert a line":
        return b"".join([*lines[:line], b"# c\n" if len(inserted) > 1 else b"\n", *lines[line:]])
    if kind == "delete a line":
        return b"".join([*lines[:line], *lines[line + 1 :]])
    if kind == "repeat a line":
        return b"".join([*lines[: line + 1], *lines[line:]])
    return star.replace(b"\n", b"\r\n")


CHANGES = ["insert bytes", "delete bytes", "insert a line", "delete a line", "repeat a line"]
changes = st.lists(
    st.tuples(
        st.sampled_from([*CHANGES * 3, "CR LF"]),
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(INSERTED),
    ),
    min_size=1,
    max_size=4,
)


def real_files_that_were_changed_are_written_as_they_are(
    data: st.DataObject, many: list[tuple[str, float, bytes]]
) -> None:
    if SHARED is None:
        pytest.skip("TOMOARROW_SHARED is not set: no corpus to change")
    dialect, star = data.draw(st.sampled_from(small_real_files()))
    for kind, at, inserted in many:
        star = changed(star, kind, at, inserted)
    assume(is_written_as_it_was(star, dialect))


(
    test_real_files_that_were_changed_are_written_as_they_are,
    test_real_files_that_were_changed_are_written_as_they_are_at_length,
) = tried(real_files_that_were_changed_are_written_as_they_are, st.data(), changes)
