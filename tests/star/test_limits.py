"""Files made to harm who reads them are refused, soon and in little memory; whatever reads them."""

from __future__ import annotations

import gzip
import io
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import tomoarrow as ta
from tomoarrow.star import limits

READERS: dict[str, Callable[..., object]] = {
    "read_star": ta.read_star,
    "read_table": ta.read_table,
    "open_star": lambda source: ta.open_star(source).read_all(),
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
    monkeypatch.setattr("tomoarrow.star.source.MOST_LINE_BYTES", 1 << 16)
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
    started = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(ta.StarSyntaxError, match="a line of more than 64 MB"):
        READERS[reader](tmp_path / "x.star")
    assert tracemalloc.get_traced_memory()[1] < 6 * limits.MOST_LINE_BYTES
    tracemalloc.stop()
    assert time.perf_counter() - started < 10


# ---- Many labels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("rows", [b"", b"1 " * 1_000_000 + b"\n"], ids=["no row", "a row"])
def test_a_loop_of_a_million_labels_is_refused(reader: str, rows: bytes) -> None:
    labels = b"".join(b"_l%d\n" % i for i in range(1_000_000))
    started = time.perf_counter()
    with pytest.raises(ta.StarSyntaxError, match="a loop of 1000000 labels") as refused:
        READERS[reader](b"data_a\nloop_\n" + labels + rows)
    assert refused.value.place.line == 3
    assert time.perf_counter() - started < 20


def test_a_loop_of_the_most_labels_is_read() -> None:
    labels = b"".join(b"_l%d\n" % i for i in range(limits.MOST_LABELS))
    data = b"data_a\nloop_\n" + labels + b"1 " * limits.MOST_LABELS + b"\n"
    assert ta.read_table(data).num_columns == limits.MOST_LABELS
    with pytest.raises(ta.StarSyntaxError, match=f"a loop of {limits.MOST_LABELS + 1} labels"):
        ta.read_table(data.replace(b"loop_\n", b"loop_\n_more\n") + b"1\n")


# ---- What is no text -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
def test_devices_and_images_are_not_read_to_their_end(reader: str, tmp_path: Path) -> None:
    (tmp_path / "image.star").write_bytes(b"\x00\x10\x00\x00" * 256)
    os.truncate(tmp_path / "image.star", 1 << 40)
    for path in (Path("/dev/zero"), tmp_path / "image.star"):
        with pytest.raises(ta.TomoarrowError, match=r"byte 0x00|a line of more than"):
            READERS[reader](path)


def test_many_blank_lines_take_time_in_proportion() -> None:
    started = time.perf_counter()
    assert ta.read_table(FRONT + b"1\n" + b"\n" * (16 << 20) + b"2\n").num_rows == 2
    assert time.perf_counter() - started < 20
