"""One table of a file, read in pieces: the same whatever the pieces are, and the same as read whole."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tomoarrow as ta
from tomoarrow.relion.labels import LABELS
from tomoarrow.star import lazy, scan
from tomoarrow.star.batches import count_rows, read_batches, read_evidence
from tomoarrow.star.request import Request
from tomoarrow.star.scan import new_request, table_of
from tomoarrow.star.tables import Findings

SMALL = b"""
# version 50001

data_general

_rlnParticleNbr 3

# version 50001

data_TS_01/1

loop_
_rlnOriginXAngst #1
_rlnTomoName #2
_note #3
  1.500000 TS_01  7
 -2.500000 TS_01  8
# a comment
  nan      TS_02  'a b'

data_TS_01/2

loop_
_rlnTomoName #1
_rlnOriginXAngst #2
_note #3
x 1e-3 "it's"

y -0.0 None
"""


def request(
    source: object,
    block: str | int | None = None,
    *,
    dialect: str = "relion",
    on_bad_value: str = "error",
    **changes: object,
) -> Request:
    made = new_request(source, block, dialect, None, False, on_bad_value, LABELS, None)  # type: ignore[arg-type]
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the public functions read 50 bytes at a time."""

    def new_small_request(*args: Any) -> Request:
        return replace(new_request(*args), piece_bytes=50)

    for module in (scan, lazy):
        monkeypatch.setattr(module, "new_request", new_small_request)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("block", ["TS_01/1", "TS_01/2", "TS_01/*", "*", 1, 2])
def test_cut_everywhere(block: str | int, threads: int) -> None:
    whole = ta.read_table(SMALL, block)
    notices = notices_of(request(SMALL, block))
    for piece_bytes in range(threads, len(SMALL) + 2, 5):
        in_pieces = request(SMALL, block, piece_bytes=piece_bytes, threads=threads)
        assert same(table_of(in_pieces), whole), piece_bytes
        assert notices_of(in_pieces) == notices, piece_bytes


def same(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables have the same schema and values, nan for nan."""
    frames = pl.from_arrow(one), pl.from_arrow(other)
    assert isinstance(frames[0], pl.DataFrame)
    assert isinstance(frames[1], pl.DataFrame)
    return one.schema.equals(other.schema, check_metadata=True) and frames[0].equals(frames[1])


def notices_of(asked: Request) -> list[tuple[str, object, int]]:
    found = Findings()
    for _ in read_batches(asked, found):
        pass
    merged: dict[str, tuple[str, object, int]] = {}
    for notice in found.notices:
        code, place, count = merged.get(notice.code, (notice.code, notice.place, 0))
        merged[notice.code] = code, place, count + notice.count
    return sorted(merged.values(), key=lambda each: each[0])


def tables_of(path: Path, dialect: str) -> Iterator[tuple[int, pa.Table]]:
    """The blocks of a file that have one table, by position."""
    document = ta.read_star(path, dialect=dialect, on_bad_value="null")  # type: ignore[arg-type]
    for position, block in enumerate(document):
        if len(block.loops) == 1 and block.loops[0].num_columns:
            yield position, block.loops[0]


def real_files() -> list[str]:
    folder = os.environ.get("TOMOARROW_SHARED")
    if not folder:
        return []
    paths = [path for path in Path(folder).rglob("*") if path.suffix in (".star", ".cif") and path.is_file()]
    return sorted(str(path.relative_to(folder)) for path in paths if path.stat().st_size < 3_000_000)


@pytest.mark.parametrize("name", real_files())
def test_real_files_as_read_whole(shared: Path, name: str) -> None:
    dialect = "star" if name.endswith(".cif") else "relion"
    try:
        tables = dict(tables_of(shared / name, dialect))
    except ta.TomoarrowError:
        return
    size = (shared / name).stat().st_size
    for position in list(tables)[:3]:
        for piece_bytes in {max(size // 7 + 1, 100), max(size // 50 + 1, 100)}:
            read = table_of(
                request(shared / name, position, dialect=dialect, piece_bytes=piece_bytes, on_bad_value="null")
            )
            expected = tables[position]
            assert read.schema.equals(expected.schema, check_metadata=True)
            assert pl.from_arrow(read).equals(pl.from_arrow(expected))


class Text(NamedTuple):
    """A text, the table that is read from one of its blocks, and where each notice stands first, with its count."""

    data: bytes
    columns: dict[str, list[Any]]
    notices: dict[str, tuple[int, int]] = {}  # noqa: RUF012  (count, line)
    block: str | int | None = None
    dialect: str = "relion"


LOOP = b"data_x\n\nloop_\n_a #1\n_b #2\n"
FIELDS = b"""data_x loop_ _a _b
1
;one
2 two
3 three
;
2 'three' 3
;
data_y loop_
_a 1
1 1
2 2
;
4
5
"""
FRAMES = b"""data_x
save_f
loop_ _a _b
1 2
3 4
5 6
save_
LOOP_ _a _b
7 8
9 10
_c 3
loop_ _d 1 2
3 4
"""
TEXTS = {
    "rows": Text(LOOP + b"1 2\n3 4\n5 6\n\n", {"a": [1, 3, 5], "b": [2, 4, 6]}),
    "no final line feed": Text(LOOP + b"1 2\n3 4\n5 6", {"a": [1, 3, 5], "b": [2, 4, 6]}),
    "CR LF": Text(
        LOOP.replace(b"\n", b"\r\n") + b"1 2\r\n3 4\r\n5 6\r\n", {"a": [1, 3, 5], "b": [2, 4, 6]}, {"crlf": (8, 1)}
    ),
    "CR": Text(LOOP.replace(b"\n", b"\r") + b"1 2\r3 4\r5 6\r", {"a": [1, 3, 5], "b": [2, 4, 6]}),
    "CR CR LF": Text(
        LOOP + b"1 2\r\r\n3 4\r\r\n5 6\r\r\n7 8\r\r\n",
        {"a": [1, 3, 5, 7], "b": [2, 4, 6, 8]},
        {"crlf": (4, 7), "blank-line-in-loop": (3, 7)},
    ),
    "CR among LF": Text(LOOP + b"1 2\r3 4\n5 6\n7 8\r9 0\n", {"a": [1, 3, 5, 7, 9], "b": [2, 4, 6, 8, 0]}),
    "BOM": Text(b"\xef\xbb\xbf" + LOOP + b"1 2\n3 4\n\xef\xbb\xbf5 6\n", {"a": ["1", "3", "\ufeff5"], "b": [2, 4, 6]}),
    "blank lines": Text(
        LOOP + b"1 2\n\n3 4\n5 6\n\n\n7 8\n9 0\n\n",
        {"a": [1, 3, 5, 7, 9], "b": [2, 4, 6, 8, 0]},
        {"blank-line-in-loop": (2, 7)},
    ),
    "comments": Text(
        LOOP + b"1 2 # one\n3 4\n# two\n5 6\n7 8\n #\n9 0\n",
        {"a": [1, 3, 5, 7, 9], "b": [2, 4, 6, 8, 0]},
        {"comment-in-loop": (2, 8)},
    ),
    "rows like keywords": Text(
        LOOP + b"data_x 1\nda 2\nloop_ 3\ndata 4\n_c 5\nstop_ 6\nglobal_ 7\n",
        {"a": ["data_x", "da", "loop_", "data", "_c", "stop_", "global_"], "b": [1, 2, 3, 4, 5, 6, 7]},
        {"keyword-row": (3, 6)},
    ),
    "quotes": Text(
        LOOP + b"'a b' \"\"\n\"it's\" 'x'\n#\no'x '2'\np \x0b q\n",
        {"a": ["a b", "it's", "o'x", "p"], "b": ["", "x", "2", "q"]},
        {"comment-in-loop": (1, 8)},
    ),
    "escaped quotes": Text(
        LOOP + b"'a\x07' b' 1\n'c' 2\nd 3\n\"\x07\" e\x07' \" 4\nf 5\n",
        {"a": ["a' b", "c", "d", "\" e\x07' ", "f"], "b": [1, 2, 3, 4, 5]},
    ),
    "pairs": Text(
        b"data_x\n_p 1\n_q 'a b'\n\nloop_\n_a\n1\n2\n3\n\n_r 4\n", {"a": [1, 2, 3]}, {"list-and-loop": (1, 5)}
    ),
    "pairs between loops": Text(
        b"data_x\nloop_\n_a\n1\n2\n3\n\n_p 1\nloop_\n_b\n1\n2\n3\n\nloop_\n_c\n1\n2\n\ndata_y\nloop_\n_d\n1\n2\n3\n",
        {"d": [1, 2, 3]},
        {"list-and-loop": (2, 9)},
        "y",
    ),
    "loops without rows": Text(
        b"data_e\n\nloop_\n_a\n_c\n\ndata_x\n\nloop_\n_a\n1\n2\n3\n\ndata_f\n\nloop_\n_a\n_c\n",
        {"a": [1, 2, 3]},
        {"no-rows": (1, 7)},
        "x",
    ),
    "the one without rows": Text(
        b"data_e\n\nloop_\n_a\n1\n2\n3\n\ndata_x\n\nloop_\n_rlnVoltage\n_c\n_rlnTomoName\n",
        {"rlnVoltage": [], "c": [], "rlnTomoName": []},
        {},
        "x",
    ),
    "no blank before a block": Text(
        b"data_e\nloop_\n_a\n_b\n1 2\n3 4\ndata_x\nloop_\n_a\n_b\n5 6\n7 8\ndata_f\n_a 3\n",
        {"a": [5, 7], "b": [6, 8]},
        {"no-blank-before-block": (2, 7)},
        "x",
    ),
    "names with blanks": Text(
        b"data_x y\nloop_\n_a\n1\n2\n3\n\ndata_z w\nloop_\n_a\n4\n5\n", {"a": [4, 5]}, {"blanks-in-name": (2, 1)}, "z w"
    ),
    "# in labels": Text(
        b"data_x\nloop_\n_a#1\n_b#c #2\n1 2\n3 4\n5 6\n", {"a": [1, 3, 5], "b#c": [2, 4, 6]}, {"hash-in-label": (1, 3)}
    ),
    "two # in a label": Text(
        b"data_x\nloop_\n_a#1#1\n_b\n1 2\n3 4\n5 6\n", {"a#1": [1, 3, 5], "b": [2, 4, 6]}, {"hash-in-label": (1, 3)}
    ),
    "all on the line of loop_": Text(b"data_x\nloop_ _a _b 1 2\n3 4\n5 6\n", {"a": [1, 3, 5], "b": [2, 4, 6]}),
    "text before the first block": Text(
        b"this is\nno table\nof rows\n\n" + LOOP + b"1 2\n3 4\n",
        {"a": [1, 3], "b": [2, 4]},
        {"text-before-block": (3, 1)},
    ),
    "lines that begin with ;": Text(
        b"data_x\n; a\n_p 1\nb\n"[:-2] + b"; c\nloop_\n_a\n1\n2\n3\n",
        {"a": [1, 2, 3]},
        {"semicolon-line": (2, 2), "list-and-loop": (1, 5)},
    ),
    "end-of-file marks": Text(LOOP + b"1 2\n3 4\n5 6\n\x1a\x1a\n\x1a", {"a": [1, 3, 5], "b": [2, 4, 6]}),
    "several loops elsewhere": Text(
        b"data_e\nloop_\n_a\n1\n2\n\nloop_\n_a\n3\n4\n\ndata_x\nloop_\n_a\n5\n6\n\ndata_f\nloop_\n_a\n7\n8\n",
        {"a": [5, 6]},
        {},
        "x",
    ),
    "blocks of the same name": Text(
        b"data_\nloop_\n_a\n1\n2\n\ndata_\nloop_\n_a\n3\n4\n\ndata_\nloop_\n_a\n5\n6\n", {"a": [3, 4]}, {}, 1
    ),
    "types": Text(
        b"data_x\nloop_\n_rlnTomoName\n_rlnVoltage\n_rlnTomoVisibleFrames\n_rlnMicrographName\n_n\n"
        b"001 1e3 [1,0] 7 None\n001 -.5 [] 8 <NA>\nNone None [-12] None 3\nx inf [1,2,3] 1.0 None\n",
        {
            "rlnTomoName": ["001", "001", "None", "x"],
            "rlnVoltage": [1000.0, -0.5, None, math.inf],
            "rlnTomoVisibleFrames": [[1, 0], [], [-12], [1, 2, 3]],
            "rlnMicrographName": ["7", "8", "None", "1.0"],
            "n": [None, None, 3, None],
        },
        {"missing": (4, 8), "not-finite": (1, 11)},
    ),
    "unicode": Text(
        LOOP + b"".join(f"{'x' * i}é{'y' * (61 - i)}😀 {i}\n".encode() for i in range(0, 62, 7)),
        {"a": [f"{'x' * i}é{'y' * (61 - i)}😀" for i in range(0, 62, 7)], "b": list(range(0, 62, 7))},
    ),
    "star: rows": Text(
        LOOP.replace(b" #", b" # ") + b"1 ?\n3 4\n. 6\n", {"a": [1, 3, None], "b": [None, 4, 6]}, dialect="star"
    ),
    "star: rows over lines": Text(
        b"data_x loop_ _a _b _c 1 2\n3\n4\n5 6 7 8 9\n10 11\n12\n",
        {"a": [1, 4, 7, 10], "b": [2, 5, 8, 11], "c": [3, 6, 9, 12]},
        dialect="star",
    ),
    "star: text fields": Text(
        FIELDS,
        {"a": [1, 2, 3, 4], "b": ["one\n2 two\n3 three", "three", "\ndata_y loop_\n_a 1\n1 1\n2 2", "5"]},
        dialect="star",
    ),
    "star: text fields, CR LF": Text(
        FIELDS.replace(b"\n", b"\r\n"),
        {"a": [1, 2, 3, 4], "b": ["one\r\n2 two\r\n3 three", "three", "\r\ndata_y loop_\r\n_a 1\r\n1 1\r\n2 2", "5"]},
        dialect="star",
    ),
    "star: save frames": Text(
        FRAMES.replace(b"_c 3\nloop_ _d 1 2\n3 4\n", b""), {"a": [7, 9], "b": [8, 10]}, dialect="star"
    ),
    "star: save frames between": Text(
        b"data_x loop_ _a\n1\n2\n3\nsave_g loop_ _b\n4\n5\nsave_\ndata_y loop_ _c\n6\n7\n",
        {"a": [1, 2, 3]},
        {},
        "x",
        "star",
    ),
    "star: stop_ and keywords": Text(
        b"DATA_x Loop_ _a _b\n1 2\n3 4\nStop_ _c 'loop_'\ndata_y loop_ _a\n1\n2\n",
        {"a": [1, 3], "b": [2, 4]},
        {},
        "x",
        "star",
    ),
    "star: quotes": Text(
        b"data_x loop_ _a\n'a'b'\n\"data_\"\n'_c'\nd;e\n';'\n#f\n[g]\n",
        {"a": ["a'b", "data_", "_c", "d;e", ";", "[g]"]},
        dialect="star",
    ),
    "star: pairs": Text(
        b"data_w loop_ _a\n1\n2\ndata_x _p 1 loop_ _a\n1\n2\n3\n_q 2\n_r 3\n", {"a": [1, 2, 3]}, {}, "x", "star"
    ),
}


def first_notices(found: Findings) -> dict[str, tuple[int, int]]:
    """Of each kind of notice how many there are, and the first line."""
    lines: dict[str, tuple[int, int]] = {}
    for notice in found.notices:
        count, line = lines.get(notice.code, (0, notice.place.line))
        lines[notice.code] = count + notice.count, min(line, notice.place.line)
    return lines


def check_cuts(text: Text, stride: int) -> None:
    """Whatever the length of its pieces, a text is read as it is whole."""
    block = 0 if text.block is None else text.block
    document = ta.read_star(text.data, blocks=block, dialect=text.dialect)  # type: ignore[arg-type]
    whole = document[0].table
    assert whole is not None
    assert whole.to_pydict() == text.columns
    asked = request(text.data, text.block, dialect=text.dialect)
    typed = replace(asked, options=replace(asked.options, evidence=read_evidence(asked)))
    for piece_bytes in range(1, len(text.data) + 2, stride):
        assert same(table_of(replace(asked, piece_bytes=piece_bytes, threads=1)), whole), piece_bytes
        found = Findings()
        list(read_batches(replace(typed, piece_bytes=piece_bytes, threads=3), found))
        assert first_notices(found) == text.notices, piece_bytes


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_cuts_do_not_show(text: Text) -> None:
    # Cuts are between lines: most lengths that are next to each other make the same.
    check_cuts(text, stride=3 * (len(text.data) // 250 + 1))


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_no_cut_shows(text: Text) -> None:
    check_cuts(text, stride=1)


def told(read: Callable[[], Any]) -> Any:
    """What is read, or the errors: class, place and message of each, in the order of the text."""
    try:
        return read()
    except ta.TomoarrowError as error:
        return sorted((each.place.line, each.place.column, type(each).__name__, str(each)) for each in error.errors)


def alike(one: Any, other: Any) -> bool:
    return same(one, other) if isinstance(one, pa.Table) and isinstance(other, pa.Table) else bool(one == other)


WORDS = st.sampled_from(
    ["1", "-7", "2.5", "1e3", "x", "None", "nan", "01", "'a b'", '""', "data_x", "loop_", "_v", "it's", "é", "#c", ";",
     "9007199254740993", "save_", "?", "[1,2]"]
)  # fmt: skip
LABEL_NAMES = ["a", "rlnVoltage", "rlnTomoName", "rlnAreaId", "b", "rlnTomoVisibleFrames"]


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Files that hold mostly what they should."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        lines.append(f"data_{draw(st.sampled_from(['', 'x', 'y', 'TS_01']))}")
        for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
            lines += draw(st.sampled_from([[], [], [""], ["_p 1"], ["# c"], [";", "text data_", ";"]]))
            labels = draw(st.lists(st.sampled_from(LABEL_NAMES), min_size=1, max_size=3, unique=True))
            lines += ["loop_", *(f"_{label}" for label in labels)]
            words = draw(st.lists(WORDS, min_size=1, max_size=2))
            for _ in range(draw(st.integers(0, 8))):
                row = [draw(st.sampled_from(["1", "2", *words])) for _ in labels]
                lines.append(draw(st.sampled_from(["", " ", "\t"])) + " ".join(row))
            lines += draw(st.sampled_from([[], [""], ["1"], ["# data_", ""], ["", "1 2"]]))
    end = draw(st.sampled_from(["\n", "\n", "\n", "\r\n", "\r"]))
    return end.join(lines).encode() + draw(st.sampled_from([b"", end.encode(), b"\x1a"]))


@settings(max_examples=150, deadline=None)
@given(texts(), st.integers(1, 90), st.sampled_from([None, 0, 1, "x", "TS_01"]), st.sampled_from(["relion", "star"]))
def test_texts_in_pieces_as_whole(data: bytes, piece_bytes: int, block: str | int | None, dialect: str) -> None:
    whole = told(lambda: table_of(request(data, block, dialect=dialect)))
    assert alike(told(lambda: table_of(request(data, block, dialect=dialect, piece_bytes=piece_bytes))), whole)
    if block is not None:

        def read() -> Any:
            document = ta.read_star(data, blocks=block, dialect=dialect)  # type: ignore[arg-type]
            return document[0].table

        table = told(read)
        if isinstance(table, pa.Table) or isinstance(whole, pa.Table):
            assert alike(table, whole)


@settings(max_examples=60, deadline=None)
@given(texts(), st.integers(1, 90), st.sampled_from(["*", "TS*", "*0*"]), st.sampled_from(["relion", "star"]))
def test_stacked_texts_in_pieces_as_whole(data: bytes, piece_bytes: int, block: str, dialect: str) -> None:
    whole = told(lambda: table_of(request(data, block, dialect=dialect)))
    assert alike(told(lambda: table_of(request(data, block, dialect=dialect, piece_bytes=piece_bytes))), whole)


def test_a_header_longer_than_the_room_in_front_of_a_piece() -> None:
    labels = [f"label_of_a_very_wide_table_{i}" for i in range(900)]
    header = "data_x\nloop_\n" + "".join(f"_{label} #{i}\n" for i, label in enumerate(labels, 1))
    data = (header + (" ".join(map(str, range(900))) + "\n") * 20).encode()
    read = table_of(request(data, piece_bytes=5000))
    assert read.column_names == labels
    assert read.to_pylist() == [dict(zip(labels, range(900), strict=True))] * 20


def test_a_line_much_longer_than_a_piece() -> None:
    data = LOOP + b"1 2\n3 " + b"x" * 100_000 + b"\n" + b"'" + b"y " * 50_000 + b"' 4\n5 6\n"
    read = table_of(request(data, piece_bytes=1000))
    assert read.to_pydict() == {"a": ["1", "3", "y " * 50_000, "5"], "b": ["2", "x" * 100_000, "4", "6"]}


# -- errors ------------------------------------------------------------------------------------------------------------

ROWS = 100
HEAD = b"data_x\n\nloop_\n_rlnVoltage #1\n_note #2\n"
MISTAKES = {
    "ragged": (b"1 2 3", "StarSyntaxError", 1, None),
    "short": (b"1", "StarSyntaxError", 1, None),
    "value": (b" oops 2", "SchemaError", 2, "rlnVoltage"),
    "range": (b"1e999 2", "SchemaError", 1, "rlnVoltage"),
    "quote": (b"1 'open", "StarSyntaxError", 3, None),
    "control": (b"\xc3\xa9 \x01", "StarSyntaxError", 3, None),
    "NUL": (b"1 2\x00", "StarSyntaxError", 4, None),
    "encoding": (b"\xc3\xa9 \xff", "StarSyntaxError", 3, None),
    "label": (b"_x", "StarSyntaxError", 1, None),
    "text field": (b";", "StarSyntaxError", 1, None),
}


@pytest.mark.parametrize("row", [0, 1, ROWS // 2, ROWS - 2, ROWS - 1])
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_place_of_a_mistake(mistake: tuple[bytes, str, int, str | None], row: int, small_pieces: None) -> None:
    line, kind, column, label = mistake
    if line in (b"_x", b";") and row == 0:
        # In front of all rows it is no mistake.
        row = 1
    rows = [b"%d.5 %d" % (i, i) for i in range(ROWS)]
    rows[row] = line
    data = HEAD + b"\n".join(rows) + b"\n"
    in_block = None if line.endswith(b"\xff") else "x"
    whole = told(lambda: ta.read_star(data))
    readings: list[Callable[[], Any]] = [
        *(lambda n=n: table_of(request(data, piece_bytes=n)) for n in (10**6, 333, 100, 11)),
        lambda: ta.read_table(data, threads=1),
        lambda: ta.read_table(io.BytesIO(data), threads=3),
        lambda: ta.open_star(data).read_all(),
        lambda: list(ta.open_star(io.BytesIO(data))),
        lambda: ta.scan_star(data).collect(),
    ]
    for read in readings:
        with pytest.raises(ta.TomoarrowError) as raised:
            read()
        place = raised.value.place
        found = type(raised.value).__name__, place.line, place.column, place.block, place.label
        assert found == (kind, 6 + row, column, in_block, label)
        assert told(read)[0][3].replace("<file>", "<bytes>") in {each[3] for each in whole}


def test_rows_before_a_mistake_are_read(small_pieces: None) -> None:
    data = HEAD + b"".join(b"%d.5 %d\n" % (i, i) for i in range(ROWS)) + b"oops 1\n"
    reader = ta.open_star(data)
    read: list[int] = []

    def take_all() -> None:
        for batch in reader:
            read.extend(batch.column("note").to_pylist())

    with pytest.raises(ta.SchemaError) as raised:
        take_all()
    assert raised.value.place.line == 6 + ROWS
    assert read == list(range(len(read)))
    assert len(read) > ROWS // 2


def stacked(blocks: int, rows: int, header: bytes = b"_rlnVoltage #1\n_y #2\n") -> bytes:
    return b"".join(
        b"data_TS_%d\n\nloop_\n%s" % (i, header) + b"".join(b"%d %d\n" % (j, i) for j in range(rows)) + b"\n"
        for i in range(blocks)
    )


@pytest.mark.parametrize("block", ["*", "TS_*"])
@pytest.mark.parametrize(
    ("line", "kind"), [(b"oops 4", "SchemaError"), (b"1 2 3", "StarSyntaxError"), (b"1 '2", "StarSyntaxError")]
)
def test_a_mistake_is_in_its_own_block(line: bytes, kind: str, block: str) -> None:
    data = stacked(6, 8).replace(b"6 4", line)
    for piece_bytes in range(1, len(data), 3):
        with pytest.raises(ta.TomoarrowError) as raised:
            table_of(request(data, block, piece_bytes=piece_bytes, threads=1))
        place = raised.value.place
        found = type(raised.value).__name__, place.line, place.block
        assert found == (kind, 68, "TS_4"), piece_bytes


def test_a_mistake_behind_a_save_frame_is_in_the_block() -> None:
    with pytest.raises(ta.SchemaError) as raised:
        ta.read_table(b"data_b\nsave_f\n_x 1\nsave_\nloop_\n_rlnVoltage\nabc\n", dialect="star")
    assert raised.value.place.block == "b"


@pytest.mark.parametrize(
    "lines",
    [
        {10: b"oops 1", 40: b"1 2 3"},
        {10: b"oops 1", 20: b"1e999 1", 40: b"-- 1", 41: b"x 1"},
        {2: b"1 'a", 3: b"_x"},
    ],
)
def test_of_two_mistakes_the_same_are_told(lines: dict[int, bytes]) -> None:
    rows = [lines.get(i, b"%d.5 %d" % (i, i)) for i in range(60)]
    data = HEAD + b"\n".join(rows) + b"\n"
    whole = told(lambda: ta.read_star(data))
    for piece_bytes in (10**6, 500, 100, 30, 7):
        assert told(lambda n=piece_bytes: table_of(request(data, piece_bytes=n))) == whole, piece_bytes


@pytest.mark.parametrize(
    ("lines", "line", "problem"),
    [
        ({10: b"1 2 3", 40: b"\xff 2"}, 16, "a row of 3 values"),
        ({10: b"1 \xff", 40: b"1 2 3"}, 16, "not UTF-8"),
        ({10: b"1 \xff", 40: b"\x00 2"}, 16, "not UTF-8"),
        ({10: b"\x00 1", 40: b"\xff 2"}, 16, "byte 0x00"),
    ],
)
def test_of_two_mistakes_the_first_is_told(lines: dict[int, bytes], line: int, problem: str) -> None:
    rows = [lines.get(i, b"%d.5 %d" % (i, i)) for i in range(60)]
    data = HEAD + b"\n".join(rows) + b"\n"
    for piece_bytes in (10**6, 500, 100, 30, 7):
        with pytest.raises(ta.StarSyntaxError, match=problem) as raised:
            table_of(request(data, piece_bytes=piece_bytes))
        assert raised.value.place.line == line, piece_bytes


@pytest.mark.parametrize("labels", [b"_x\n_x\n", b"_rlnVoltage\n_x\n_rlnVoltage\n"])
def test_a_label_twice(labels: bytes) -> None:
    data = b"data_a\nloop_\n" + labels + b"1 2 3\n"[: 2 * labels.count(b"_")][:-1] + b"\n"
    whole = told(lambda: ta.read_star(data))
    assert whole[0][2] == "StarSyntaxError"
    for read in (ta.read_table, ta.open_star, ta.scan_star):
        assert told(lambda read=read: read(data)) == whole


def test_a_row_not_full_in_the_general_language() -> None:
    data = b"data_a\nloop_ _x _y\n" + b"1 2\n" * 50 + b"3\n"
    whole = told(lambda: ta.read_star(data, dialect="star"))
    for read in (ta.read_table, ta.open_star, ta.scan_star):
        assert told(lambda read=read: read(data, dialect="star")) == whole


def test_strict_refuses_the_same() -> None:
    data = (
        b"data_x\r\n\nloop_\n_rlnVoltage\n_b\n"
        + b"1 2\n" * 20
        + b"\n3 4\nnan 5\n# c\n5 6\n"
        + b"1 2\n" * 20
        + b"None 3\n"
    )
    whole = told(lambda: ta.read_star(data, strict=True))
    assert len(whole) == 5
    for piece_bytes in (10**6, 100, 30, 7):
        asked = replace(request(data, piece_bytes=piece_bytes), strict=True)
        assert told(lambda asked=asked: table_of(asked)) == whole, piece_bytes


def test_strict_refuses_repeated_blocks() -> None:
    data = b"".join(b"data_%s\n\nloop_\n_a\n1\n\n" % name for name in (b"x", b"y", b"x", b"x", b"y"))
    (one, other) = (each for each in ta.read_star(data).warnings if each.code == "repeated-block")
    assert [(each.place.line, each.place.block, each.count) for each in (one, other)] == [(13, "x", 2), (25, "y", 1)]
    whole = told(lambda: ta.read_star(data, blocks=0, strict=True))
    assert "repeated-block" in whole[0][3]
    assert told(lambda: ta.read_table(data, 0, strict=True)) == whole


# -- types -------------------------------------------------------------------------------------------------------------

#: Values behind 40 others; the type of all.
TYPES: dict[str, tuple[str, str, list[str], str]] = {
    "int": ("x", "1", ["2"], "int64"),
    "floats late": ("x", "1", ["2.5"], "double"),
    "text late": ("x", "1", ["2.5", "x"], "string"),
    "a quoted number": ("x", "1", ["'2'"], "string"),
    "a leading zero": ("x", "1", ["02"], "string"),
    "an underscore": ("x", "1", ["1_0"], "string"),
    "beyond int64": ("x", "1", [str(2**63)], "string"),
    "the largest": ("x", "1", [str(2**63 - 1), str(-(2**63))], "int64"),
    "large beside floats": ("x", "1.5", [str(2**53 + 1)], "string"),
    "large beside floats, apart": ("x", str(2**53 + 1), ["1", "1", "1.5"], "string"),
    "not large beside floats": ("x", "1.5", [str(2**53)], "double"),
    "minus zero": ("x", "1", ["-0"], "double"),
    "missing early": ("x", "None", ["1"], "int64"),
    "missing early, floats late": ("x", "None", ["1", "1.5"], "double"),
    "missing late": ("x", "1", ["<NA>", "N/A"], "int64"),
    "missing only": ("x", "None", ["null"], "string"),
    "missing, then text": ("x", "None", ["1", "x"], "string"),
    "not finite": ("x", "1", ["nan"], "double"),
    "an exponent": ("x", "1", ["1e3"], "double"),
    "int label": ("rlnAreaId", "1", ["2.000", "-3"], "int64"),
    "int label, fractions late": ("rlnAreaId", "1", ["2.5"], "double"),
    "int label, fractions early": ("rlnAreaId", "2.5", ["1"], "double"),
    "int label, nan late": ("rlnAreaId", "1", ["nan"], "double"),
    "int label, exponent": ("rlnAreaId", "1", ["1e3"], "int64"),
    "int label, exponent and fraction": ("rlnAreaId", "1e3", ["1.5"], "double"),
    "vector label, fractions late": ("rlnTomoVisibleFrames", "[1,0]", ["[1,0.5]"], "list<item: double>"),
    "vector label, large": ("rlnTomoVisibleFrames", "[1,0]", ["[]", f"[{2**62},{-(2**63)}]"], "list<item: int64>"),
    "string label": ("rlnMicrographName", "1", ["None", "02"], "string"),
    "name label": ("rlnTomoName", "001", ["None", "02"], "dictionary<values=string, indices=int32, ordered=0>"),
}


def one_column(label: str, values: list[str]) -> bytes:
    return f"data_x\n\nloop_\n_{label}\n_n\n".encode() + b"".join(
        f"{value} {i}\n".encode() for i, value in enumerate(values)
    )


@pytest.mark.parametrize(("label", "early", "late", "expected"), TYPES.values(), ids=TYPES)
def test_types_come_from_all_values(label: str, early: str, late: list[str], expected: str, small_pieces: None) -> None:
    data = one_column(label, [early] * 40 + late)
    whole = ta.read_star(data)[0].table
    assert whole is not None
    assert str(whole.schema.field(label).type) == expected
    for piece_bytes in (10**6, 100, 60, 11):
        assert same(table_of(request(data, piece_bytes=piece_bytes)), whole), piece_bytes
    if label == "x" or "double" not in expected:
        assert same(ta.open_star(data).read_all(), whole)
        assert ta.scan_star(data).collect().equals(pl.from_arrow(whole))


@pytest.mark.parametrize(
    ("label", "early", "late"),
    [("rlnAreaId", "1", "2.5"), ("rlnAreaId", "1", "nan"), ("rlnTomoVisibleFrames", "[1]", "[0.5]")],
)
def test_a_stream_does_not_widen_integers(label: str, early: str, late: str, small_pieces: None) -> None:
    data = one_column(label, [early] * 40 + [late, early])
    for read in (lambda: ta.open_star(data).read_all(), lambda: ta.scan_star(data).collect()):
        with pytest.raises(ta.SchemaError, match="not an integer") as raised:
            read()
        place = raised.value.place
        assert (place.line, place.column, place.block, place.label) == (46, 1, "x", label)
    read_as_null = ta.open_star(data, on_bad_value="null").read_all().column(label)
    assert read_as_null.null_count == 1
    assert read_as_null.type in (pa.int64(), pa.list_(pa.int64()))


@pytest.mark.parametrize(
    "values",
    [
        [str(2**53 + 1)] + ["1"] * 40 + ["1.5"],
        [str(2**64)] + ["1"] * 40 + ["1.5"],
        ["x"] + ["1"] * 40 + ["1.5"] + ["1"] * 40 + [str(2**60)],
        ["1.5"] * 40 + ["x"],
        ["1e30"] + ["1"] * 40 + ["1.5"],
    ],
)
@pytest.mark.parametrize("label", ["rlnAreaId"])
def test_what_does_not_fit_beside_fractions(label: str, values: list[str]) -> None:
    data = one_column(label, values)
    whole = told(lambda: ta.read_star(data)[0].table)
    null = ta.read_star(data, on_bad_value="null")[0].table
    assert null is not None
    for piece_bytes in (10**6, 100, 11):
        assert alike(told(lambda n=piece_bytes: table_of(request(data, piece_bytes=n))), whole), piece_bytes
        assert same(table_of(request(data, piece_bytes=piece_bytes, on_bad_value="null")), null), piece_bytes


@pytest.mark.parametrize("columns", ["x", ["n", "x"], ["x", "x"], ["n"]])
def test_columns(columns: str | list[str], small_pieces: None) -> None:
    data = one_column("x", ["1"] * 40 + ["2.5"])
    whole = ta.read_star(data, columns=columns)[0].table
    assert whole is not None
    assert same(ta.read_table(data, columns=columns), whole)
    assert same(ta.open_star(data, columns=columns).read_all(), whole)


def test_rejects_are_in_their_rows() -> None:
    data = one_column("rlnVoltage", [f"{'x' if i % 7 == 3 else i}" for i in range(60)])
    whole = [(each.row, each.text, each.place) for each in ta.read_star(data, on_bad_value="null").rejects]
    assert [row for row, _, _ in whole] == list(range(3, 60, 7))
    for piece_bytes in (10**6, 100, 33, 7):
        found = Findings()
        list(read_batches(request(data, on_bad_value="null", piece_bytes=piece_bytes), found))
        assert [(each.row, each.text, each.place) for each in found.rejects] == whole, piece_bytes


# -- which block -------------------------------------------------------------------------------------------------------

BLOCKS = b"""data_general

_rlnParticleNbr 3

data_TS_01/1

loop_
_a #1
_b #2
1 2
3 4

data_TS_02/1

loop_
_b #1
_a #2
6 5

data_none

data_TS_01/2

loop_
_a
_b
7 8
9 10

data_other

loop_
_c
11

data_TS_01/1

loop_
_a #1
_b #2
11 12

data_two

loop_
_a
1

loop_
_a
2
"""
AB = {"a": [7, 9], "b": [8, 10]}
STACK = {
    "block": ["TS_01/1", "TS_01/1", "TS_01/2", "TS_01/2", "TS_01/1"],
    "a": [1, 3, 7, 9, 11],
    "b": [2, 4, 8, 10, 12],
}
SELECTIONS: list[tuple[str | int | None, dict[str, list[Any]] | tuple[type[Exception], str]]] = [
    ("TS_01/2", AB),
    (4, AB),
    (-4, AB),
    (1, {"a": [1, 3], "b": [2, 4]}),
    ("TS_02/1", {"b": [6], "a": [5]}),
    ("other", {"c": [11]}),
    ("TS_01/*", STACK),
    ("TS_0*", {"block": [*STACK["block"][:2], "TS_02/1", *STACK["block"][2:]],
               "a": [1, 3, 5, 7, 9, 11], "b": [2, 4, 6, 8, 10, 12]}),
    ("*/2", {"block": ["TS_01/2"] * 2, **AB}),
    ("tw*", {"block": ["two", "two"], "a": [1, 2]}),
    (None, (ta.SchemaError, r"01/1', 'data_TS_02/1', 'data_TS_01/2', 'data_other', 'data_TS_01/1', 'data_two'")),
    ("*", (ta.SchemaError, "other labels.*: a, b, c")),
    ("TS_01/1", (ta.SchemaError, r"2 blocks are named 'data_TS_01/1'[^$]*\[1, 6\]")),
    ("two", (ta.SchemaError, "'data_two' has 2 loops")),
    (7, (ta.SchemaError, "'data_two' has 2 loops")),
    ("general", (ta.SchemaError, "'data_general' has no loop")),
    ("none", (ta.SchemaError, "'data_none' has no loop")),
    (3, (ta.SchemaError, "'data_none' has no loop")),
    ("absent", (ta.BlockNotFoundError, "no block 'data_absent'[^$]*'data_general', 'data_TS_01/1'")),
    (8, (ta.BlockNotFoundError, "no block at position 8[^$]*8 blocks")),
    (-9, (ta.BlockNotFoundError, "no block at position -9[^$]*8 blocks")),
    ("gen*", (ta.SchemaError, "no block fits 'gen\\*', or none has a loop")),
    ("absent*", (ta.SchemaError, "no block fits")),
]  # fmt: skip


@pytest.mark.parametrize(("block", "expected"), SELECTIONS, ids=[repr(block) for block, _ in SELECTIONS])
def test_which_block(block: str | int | None, expected: Any, small_pieces: None) -> None:
    def read_whole() -> pa.Table:
        return ta.open_star(BLOCKS, block).read_all()

    readings: list[Callable[[], pa.Table]] = [
        lambda: ta.read_table(BLOCKS, block),
        read_whole,
        lambda: ta.scan_star(BLOCKS, block).collect().to_arrow(),
    ]
    if not (isinstance(block, int) and block < 0):
        readings += [
            lambda n=n: table_of(request(BLOCKS, block, piece_bytes=n, threads=1)) for n in range(1, len(BLOCKS) + 2, 5)
        ]
    for read in readings:
        if isinstance(expected, dict):
            assert read().to_pydict() == expected
        else:
            with pytest.raises(expected[0], match=expected[1]):
                read()


def test_blocks_are_stacked_in_their_order_whatever_their_headers_look_like() -> None:
    headers = [b"_a #1\n_b #2\n", b"_a\n_b\n", b"_a #1\n_b\n", b"_b\n_a\n", b"_a #1\n_b #2\n", b"_a\n_b\n"]
    data = b"".join(
        b"data_%d\nloop_\n%s" % (i, header) + b"%d 9\n" % i * (i % 3) + b"\n" for i, header in enumerate(headers)
    )
    expected = [str(i) for i in range(6) for _ in range(i % 3)]
    for piece_bytes in (10**6, *range(1, 150, 7)):
        read = table_of(request(data, "*", piece_bytes=piece_bytes)).to_pydict()
        assert read["block"] == expected
        assert [b if name == "3" else a for name, a, b in zip(*read.values(), strict=True)] == [
            int(i) for i in expected
        ]


def test_rejects_of_stacked_blocks_are_in_their_rows() -> None:
    headers = [b"_rlnVoltage #1\n_b #2\n", b"_b\n_rlnVoltage\n", b"_rlnVoltage\n_b\n", b"_rlnVoltage #1\n_b #2\n"]
    data = b"".join(b"data_%d\nloop_\n%s1 1\nx x\n\n" % (i, header) for i, header in enumerate(headers))
    for piece_bytes in (10**6, *range(1, len(data), 7)):
        found = Findings()
        asked = request(data, "*", on_bad_value="null", piece_bytes=piece_bytes)
        read = pl.concat([pl.from_arrow(table).drop("b") for table in read_batches(asked, found)], how="vertical")  # type: ignore[union-attr]
        nulls = [i for i, value in enumerate(read["rlnVoltage"]) if value is None]
        assert sorted(each.row for each in found.rejects) == nulls == [1, 3, 5, 7]
        assert {each.place.block for each in found.rejects} == {"0", "1", "2", "3"}


def test_notices_of_stacked_blocks_are_in_their_block() -> None:
    data = stacked(5, 6).replace(b"3 2\n", b"nan 2\n").replace(b"4 3\n", b"inf 3\n")
    for piece_bytes in (10**6, *range(1, len(data), 5)):
        found = Findings()
        list(read_batches(request(data, "*", piece_bytes=piece_bytes), found))
        assert first_notices(found) == {"not-finite": (2, 33)}, piece_bytes
        places = {(each.place.line, each.place.block) for each in found.notices}
        assert places <= {(33, "TS_2"), (46, "TS_3")}, piece_bytes


def test_rows_are_counted_by_block_also_where_names_repeat() -> None:
    sizes = [("TS_1", 5), ("TS_1", 3), ("TS_2", 0), ("TS_1", 4), ("TS_1", 30), ("TS_3", 1)]
    data = b"".join(b"data_%s\nloop_\n_x #1\n_y #2\n%s\n" % (name.encode(), b"1 2\n" * n) for name, n in sizes)
    expected = tuple(map(list, zip(*[(name, n) for name, n in sizes if n], strict=True)))
    for piece_bytes in (10**6, *range(1, len(data), 5)):
        assert count_rows(request(data, "*", piece_bytes=piece_bytes), Findings()) == expected, piece_bytes


def test_a_label_named_block(small_pieces: None) -> None:
    data = stacked(5, 6, b"_block #1\n_y #2\n")
    read = ta.read_table(data, "*")
    assert read.column_names == ["block_", "block", "y"]
    assert same(ta.open_star(data, "*").read_all(), read)
    lazy = ta.scan_star(data, "*")
    assert lazy.collect().equals(pl.from_arrow(read))
    assert lazy.select("block_", "y").collect().equals(pl.from_arrow(read.select(["block_", "y"])))


def test_blocks_that_change_while_pieces_are_read_ahead(small_pieces: None) -> None:
    data = b"".join(
        b"data_%s_%d\n%s\nloop_\n_%s\n_y\n" % (kind, i, b"_p 1\n" * (i % 2), kind)
        + b"".join(b"%d %d\n" % (j, i) for j in range(i % 4 * 9))
        + b"\n"
        for i in range(20)
        for kind in (b"a", b"b")
    )
    for kind in "ab":
        read = ta.read_table(data, f"{kind}_*", threads=3).to_pydict()
        expected = [(f"{kind}_{i}", j, i) for i in range(20) for j in range(i % 4 * 9)]
        assert list(zip(*read.values(), strict=True)) == expected
