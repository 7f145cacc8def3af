"""Files made to harm who reads them are refused, soon and in little memory; whatever reads them."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tomoarrow as ta
from tomoarrow.star import limits, pieces
from tomoarrow.star.cuts import Cut
from tomoarrow.star.structure import Dialect

READERS: dict[str, Callable[..., object]] = {
    "read_star": ta.read_star,
    "read_table": ta.read_table,
    "open_star": lambda source, **options: ta.open_star(source, **options).read_all(),
}

FRONT = b"data_a\nloop_\n_rlnTomoName\n"


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


# ---- Compressed data -----------------------------------------------------------------------------------------------

BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd,
    "many members": lambda data: b"".join(gzip.compress(data[i : i + 500_000]) for i in range(0, len(data), 500_000)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("pack", BOMBS)
def test_a_bomb_is_refused(reader: str, pack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALWAYS_UNPACKED_BYTES", 1 << 20)
    data = BOMBS[pack](FRONT + b"1.25\n" * 1_000_000)
    (tmp_path / "x.star").write_bytes(data)
    for source in (tmp_path / "x.star", data, io.BytesIO(data)):
        with pytest.raises(ta.StarSyntaxError, match="unpacks to more than") as refused:
            READERS[reader](source)
        assert "unpack it and read that" in str(refused.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_small_file_may_pack_as_well_as_it_likes(reader: str) -> None:
    READERS[reader](gzip.compress(FRONT + b"1.25\n" * 1_000_000))


def test_a_bomb_takes_no_more_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALWAYS_UNPACKED_BYTES", 1 << 20)
    data = gzip.compress(FRONT + b"1.25\n" * 10_000_000)
    tracemalloc.start()
    with pytest.raises(ta.StarSyntaxError, match="unpacks to more than"):
        ta.read_star(data)
    assert tracemalloc.get_traced_memory()[1] < 3 * limits.most_unpacked(len(data)) + (32 << 20)
    tracemalloc.stop()


# ---- Long lines ----------------------------------------------------------------------------------------------------

LINES = {
    "a value": FRONT + b"%s\n",
    "a comment": FRONT + b"1\n# %s\n2\n",
    "a name": b"data_%s\n_rlnA 1\n",
    "a label": b"data_a\nloop_\n_%s\n1\n",
    "the last line": FRONT + b"1\n# %s",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CR LF"])
def test_a_line_that_is_too_long_is_refused(
    reader: str, kind: str, end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_LINE_BYTES", 1 << 16)
    monkeypatch.setattr("tomoarrow.star.source.MOST_UNSEEN_BYTES", 1 << 16)
    data = (LINES[kind] % (b"x" * ((1 << 16) + 1))).replace(b"\n", end)
    (tmp_path / "x.star").write_bytes(data)
    for source in (tmp_path / "x.star", data, io.BytesIO(data), gzip.compress(data)):
        with pytest.raises(ta.StarSyntaxError, match="a line of more than"):
            READERS[reader](source)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CR LF", "CR"])
@pytest.mark.parametrize("length", [0, 1, 99, 100])
@pytest.mark.parametrize("part", [1, 7, 100, 1000])
def test_lines_are_measured_whatever_the_parts(
    end: bytes, length: int, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_LINE_BYTES", 100)

    def see(data: bytes) -> None:
        lines = limits.Lines("x")
        for i in range(0, len(data), part):
            lines.see(np.frombuffer(data[i : i + part], np.uint8))

    # The CR of a CR LF counts as an end already.
    see((b"x" * length + end) * 5 + b"x" * length)
    with pytest.raises(ta.StarSyntaxError, match=f"{len(end) + 3} bytes behind the front"):
        see(b"abc" + end + b"x" * 101 + end + b"x")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("reader", READERS)
def test_a_line_of_1_gb(reader: str, tmp_path: Path) -> None:
    with (tmp_path / "x.star").open("wb") as file:
        file.write(FRONT)
        for _ in range(1 << 10):
            file.write(b"x" * (1 << 20))
    started = time.process_time()
    tracemalloc.start()
    with pytest.raises(ta.StarSyntaxError, match="a line of more than 64 MB"):
        READERS[reader](tmp_path / "x.star")
    assert tracemalloc.get_traced_memory()[1] < 6 * limits.MOST_LINE_BYTES
    tracemalloc.stop()
    assert time.process_time() - started < 10


# ---- Lines that are skipped ----------------------------------------------------------------------------------------

SKIPPED = {"blank": b"\n", "blanks": b" \t \n", "comments": b"# x y\n", "CR LF": b" #\r\n\r\n"}


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BETWEEN_BYTES", 1 << 16)
    monkeypatch.setattr(limits, "MOST_BEFORE_BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr("tomoarrow.star.source.MOST_UNSEEN_BYTES", 1 << 16)


@pytest.mark.usefixtures("low_limits")
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", SKIPPED)
def test_lines_that_are_skipped_have_an_end(reader: str, kind: str, tmp_path: Path) -> None:
    line = SKIPPED[kind]
    n = (1 << 16) // len(line) - 2
    few, many = line * n, line * (n + 4)
    READERS[reader](FRONT + b"1 # a row\n" + few + b"2 # a row\n" + few + b"#")
    for place in (
        many + FRONT + b"1\n",
        FRONT + many + b"1\n",
        FRONT + b"1 #\n" + many + b"2\n",
        FRONT + b"1\n" + many,
    ):
        (tmp_path / "x.star").write_bytes(place)
        for source in (tmp_path / "x.star", place, io.BytesIO(place), gzip.compress(place)):
            with pytest.raises(ta.StarSyntaxError, match="blank lines and comments of more than"):
                READERS[reader](source)


@pytest.mark.usefixtures("low_limits")
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", [b"y\n", b"1 2 dat a_\n", b"_label 1\n"])
def test_the_first_block_is_near_the_front(reader: str, text: bytes) -> None:
    front = text * ((1 << 16) // len(text) + 4)
    for data in (front, front + FRONT + b"1\n"):
        for source in (data, io.BytesIO(data), gzip.compress(data)):
            with pytest.raises(ta.StarSyntaxError, match="no data block in the first"):
                READERS[reader](source)


#: Whether there are more than 20 bytes of lines that are skipped, counted from the end of the line before.
BETWEEN = [
    (b"a" + b"\n" * 20 + b"b", False),
    (b"a" + b"\n" * 21 + b"b", True),
    (b"\n" * 21, True),
    (b"\n" * 20 + b"a" * 50 + b"\n" * 20 + b"a", False),
    (b"\n" * 20 + b"a" * 50 + b"\n" * 21 + b"a", True),
    (b"\n" * 20 + b"a # " + b"b " * 50 + b"\r\n# a" + b"\n" * 15 + b"b", False),
    (b"\n" * 20 + b"a # " + b"b " * 50 + b"\r\n# a" + b"\n" * 16 + b"b", True),
    (b"a\n \t# " + b"b" * 14 + b"\nb", False),
    (b"a\n \t# " + b"b" * 15 + b"\nb", True),
    (b"a\n \t; " + b"b" * 15 + b"\nb", True),
    (b"a\r#" + b" " * 14 + b"\r   b", False),
    (b"a\r#" + b" " * 15 + b"\r   b", True),
    (b"a #\nb ;\n" * 50, False),
    (b"a" + b" " * 50 + b"\nb" + b" " * 50, False),
]


@pytest.mark.parametrize(("data", "is_too_long"), BETWEEN)
@pytest.mark.parametrize("part", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("near", [1, 3, 1 << 12])
def test_lines_that_are_skipped_are_measured_whatever_the_parts(
    data: bytes, is_too_long: bool, part: int, near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_BETWEEN_BYTES", 20)
    monkeypatch.setattr(limits, "_NEAR_BYTES", near)
    lines = limits.Lines("x")

    def see() -> None:
        for i in range(0, len(data), part):
            lines.see(np.frombuffer(data[i : i + part], np.uint8))

    if is_too_long:
        with pytest.raises(ta.StarSyntaxError, match="blank lines and comments"):
            see()
    else:
        see()


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_lines_that_are_skipped_are_not_read_to_their_end(reader: str) -> None:
    class Endless(io.RawIOBase):
        def __init__(self, front: bytes, line: bytes) -> None:
            self.rest, self.more = front, line * (1 << 16)

        def readable(self) -> bool:
            return True

        def readinto(self, room: object, /) -> int:
            view = memoryview(room)  # type: ignore[arg-type]
            self.rest = self.rest or self.more
            n = min(len(view), len(self.rest))
            view[:n], self.rest = self.rest[:n], self.rest[n:]
            return n

    for front, line in ((b"", b"y\n"), (FRONT + b"1\n", b"\n"), (FRONT + b"1\n", b"# a comment\n")):
        started = time.process_time()
        with pytest.raises(ta.StarSyntaxError, match=r"more than 64 MB|in the first 64 MB"):
            READERS[reader](Endless(front, line))  # type: ignore[arg-type]
        assert time.process_time() - started < 20


# ---- Texts that cannot be cut --------------------------------------------------------------------------------------

ROWS = b"abc def\n" * 10_000

UNCUT: dict[str, tuple[Dialect, bytes]] = {
    "an open text field": ("star", FRONT + b"1\n;\n" + ROWS),
    "a text field": ("star", FRONT + b"1\n;\n" + ROWS + b";\n2\n"),
    "an open save frame": ("star", b"data_a\nsave_b\nloop_\n_c\n" + ROWS),
    "a save frame": ("star", b"data_a\nsave_b\nloop_\n_c\n" + ROWS + b"save_\n"),
    "a label that ends in a number": ("relion", b"data_a\nloop_\n_b#1#1\n_c\n" + ROWS),
    "wide rows": ("star", b"data_a\nloop_\n" + b"".join(b"_l%d\n" % i for i in range(10_000)) + ROWS),
}


@pytest.mark.parametrize(("dialect", "data"), UNCUT.values(), ids=UNCUT)
def test_a_text_that_cannot_be_cut_is_not_taken_apart_over_and_over(
    dialect: Dialect, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    take_apart = pieces._take_apart

    def counting(cut: Cut, *args: Any) -> pieces.Piece:
        taken.append(cut.end - cut.begin)
        return take_apart(cut, *args)

    monkeypatch.setattr(pieces, "_take_apart", counting)
    with contextlib.suppress(ta.StarSyntaxError):
        read = pieces.read_pieces(data, dialect, len_of, stands=pieces.always, threads=1, piece_bytes=1 << 10)
        assert sum(each.result for each in read) == len(data)
    assert sum(taken) < 12 * len(data)


def len_of(piece: pieces.Piece) -> int:
    return int(piece.structure.text.ends[0]) - piece.begin


# ---- Many labels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("rows", [b"", b"1 " * 1_000_000 + b"\n"], ids=["no row", "a row"])
def test_a_loop_of_a_million_labels_is_refused(reader: str, rows: bytes) -> None:
    labels = b"".join(b"_l%d\n" % i for i in range(1_000_000))
    started = time.process_time()
    with pytest.raises(ta.StarSyntaxError, match="a loop of 1000000 labels") as refused:
        READERS[reader](b"data_a\nloop_\n" + labels + rows)
    assert refused.value.place.line == 3
    assert time.process_time() - started < 20


def test_a_loop_of_the_most_labels_is_read() -> None:
    labels = b"".join(b"_l%d\n" % i for i in range(limits.MOST_LABELS))
    data = b"data_a\nloop_\n" + labels + b"1 " * limits.MOST_LABELS + b"\n"
    assert ta.read_table(data).num_columns == limits.MOST_LABELS
    with pytest.raises(ta.StarSyntaxError, match=f"a loop of {limits.MOST_LABELS + 1} labels"):
        ta.read_table(data.replace(b"loop_\n", b"loop_\n_more\n") + b"1\n")


# ---- Many blocks and pairs -----------------------------------------------------------------------------------------

#: What there is at most of, and texts of one more than ten, by the line of the eleventh.
MANY: dict[str, tuple[str, str, bytes, int]] = {
    "empty blocks": ("BLOCKS", "10 blocks", b"data_a\n" * 11, 11),
    "blocks": ("BLOCKS", "10 blocks", b"data_a\nloop_\n_b\n1\n2\n" * 11, 51),
    "rows behind": ("BLOCKS", "10 blocks", b"data_a\n" * 11 + b"loop_\n_b\n" + b"1\n" * 99, 11),
    "pairs": ("PAIRS", "10 labels with one value", b"data_a\n" + b"".join(b"_b%d 1\n" % i for i in range(11)), 12),
    "pairs before loops": ("PAIRS", "10 labels with one value", b"data_a\n_a 1\nloop_\n_b\n1\n2\n" * 11, 62),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("piece_bytes", [1, 20, 1 << 20])
@pytest.mark.parametrize(("what", "told", "data", "line"), MANY.values(), ids=MANY)
def test_blocks_and_pairs_are_counted(
    reader: str, piece_bytes: int, what: str, told: str, data: bytes, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", piece_bytes)
    for module in ("structure", "pieces", "limits"):
        monkeypatch.setattr(f"tomoarrow.star.{module}.MOST_{what}", 10)
    with pytest.raises(ta.StarSyntaxError, match=f"more than {told}") as refused:
        READERS[reader](data, block="*") if reader != "read_star" else ta.read_star(data)
    assert (refused.value.place.line, refused.value.place.column) == (line, 1)
    for module in ("structure", "pieces"):
        monkeypatch.setattr(f"tomoarrow.star.{module}.MOST_{what}", 11)
    with contextlib.suppress(ta.SchemaError):
        READERS[reader](data, block="*") if reader != "read_star" else ta.read_star(data)


#: Loops that many others are like, among which one may be another.
ALIKE = {
    "all alike": "1.5 2",
    "an integer": "1 2",
    "a fraction": "1.5 2.5",
    "nan": "nan 2",
    "missing": "None None",
    "no number": "1.5 x",
    "two rows": "1.5 2\n1.5 3",
    "no row": "",
}


@pytest.mark.parametrize("columns", [None, ["rlnOriginXAngst"], ["rlnBeamTiltClass", "rlnOriginXAngst"]])
@pytest.mark.parametrize("odd", ALIKE.values(), ids=ALIKE)
@pytest.mark.parametrize("second", ["rlnBeamTiltClass", "rlnUnknown", "rlnMicrographName"])
def test_loops_that_are_read_at_once_are_what_they_are_alone(
    columns: list[str] | None, odd: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["1.5 2", "0 0\n3 4"] * 10
    rows[7] = odd
    data = "".join(f"data_{i}\nloop_\n_rlnOriginXAngst\n_{second}\n{row}\n\n" for i, row in enumerate(rows))

    def read() -> object:
        try:
            document = ta.read_star(data.encode(), columns=columns, on_bad_value="null")
        except ta.TomoarrowError as error:
            return str(error)
        tables = [block.loops[0] for block in document]
        # As text: nan is nan then.
        return [(str(table.schema), str(table.to_pydict())) for table in tables], document.warnings, document.rejects

    monkeypatch.setattr("tomoarrow.star.reader._MOST_AT_ONCE", 6)
    at_once = read()
    monkeypatch.setattr("tomoarrow.star.reader._FEW", 1000)
    assert at_once == read()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_blocks_are_read() -> None:
    block = b"data_%d\nloop_\n_rlnOriginXAngst\n_rlnOriginYAngst\n1 2\n3 4\n\n"
    data = b"".join(block % i for i in range(1_000_000))
    started = time.process_time()
    assert len(ta.read_star(data)) == 1_000_000
    assert time.process_time() - started < 60


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", [b"data_a\n", b"_a 1\n"])
def test_ten_million_blocks_or_pairs(reader: str, text: bytes) -> None:
    data = b"data_b\n" + text * 10_000_000
    started = time.process_time()
    with pytest.raises(ta.StarSyntaxError, match="more than"):
        READERS[reader](data)
    assert time.process_time() - started < 20


# ---- What is no text -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
def test_devices_and_images_are_not_read_to_their_end(reader: str, tmp_path: Path) -> None:
    (tmp_path / "image.star").write_bytes(b"\x00\x10\x00\x00" * 256)
    os.truncate(tmp_path / "image.star", 1 << 40)
    for path in (Path("/dev/zero"), tmp_path / "image.star"):
        with pytest.raises(ta.TomoarrowError, match=r"byte 0x00|a line of more than"):
            READERS[reader](path)


def test_many_blank_lines_take_time_in_proportion() -> None:
    started = time.process_time()
    assert ta.read_table(FRONT + b"1\n" + b"\n" * (16 << 20) + b"2\n").num_rows == 2
    assert time.process_time() - started < 20
