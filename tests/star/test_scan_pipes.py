"""One table from any source, as a stream and as a LazyFrame; and the kernels under it, against slow and plain ones."""

from __future__ import annotations

import gc
import gzip
import io
import math
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tomoarrow as ta
from tomoarrow.kernels import gather
from tomoarrow.kernels.tokenize import SPAN_BITS
from tomoarrow.star import lazy, scan
from tomoarrow.star.request import Request
from tomoarrow.star.scan import new_request

from ..kernels.oracle import read, run_kernel
from .test_scan import told

HEAD = b"data_x\n\nloop_\n_rlnVoltage #1\n_n #2\n_rlnTomoName #3\n"
ROWS = 3000
DATA = HEAD + b"".join(b"%d.5 %d TS_%d\n" % (i, i, i // 100) for i in range(ROWS))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the public functions read a few kilobytes at a time."""

    def new_small_request(*args: Any) -> Request:
        return replace(new_request(*args), piece_bytes=4000)

    for module in (scan, lazy):
        monkeypatch.setattr(module, "new_request", new_small_request)


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """No thread and no open file is left behind by a test."""
    before = open_files() | reading_threads()
    yield
    for _ in range(20):
        if open_files() | reading_threads() <= before:
            return
        # Polars keeps the source of a streaming query for a while, perhaps until the next.
        pl.LazyFrame({"a": [1]}).filter(pl.col("a") > 0).head(1).collect(engine="streaming")
        gc.collect()
        time.sleep(0.05)
    assert open_files() | reading_threads() <= before


def reading_threads() -> set[str]:
    """The names of the threads that read pieces."""
    return {thread.name for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name}


def open_files() -> set[str]:
    """The files of this process that are open, besides those of the system."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add(os.readlink(link))
        except OSError:
            continue
    return {name for name in found if str(tempfile.gettempdir()) in name}


# -- sources -----------------------------------------------------------------------------------------------------------


class Raw(io.RawIOBase):
    """A file that cannot be told to seek, gives `most` bytes at a time, and counts what was read of it."""

    def __init__(self, data: bytes, most: int = 10**9) -> None:
        self.file, self.most, self.count = io.BytesIO(data), most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        n = self.file.readinto(memoryview(room)[: self.most])
        self.count += n
        return n


class OnlyReads:
    """What has nothing but a method to read."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    def read(self, n: int = -1) -> bytes:
        return self.file.read(n)


class Endless(io.RawIOBase):
    """A text without an end; counts what was read of it."""

    def __init__(self) -> None:
        self.rest, self.count = HEAD, 0

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        self.rest = self.rest or b"1.5 2 x\n" * 100
        n = min(len(room), len(self.rest))
        room[:n], self.rest = self.rest[:n], self.rest[n:]
        self.count += n
        return n


@contextmanager
def fifo(folder: Path, data: bytes | Iterator[bytes]) -> Iterator[tuple[Path, list[int]]]:
    """A named pipe that a thread writes to, and how many bytes it wrote."""
    path = folder / "fifo"
    os.mkfifo(path)
    written = [0]

    def write() -> None:
        try:
            with path.open("wb", buffering=0) as file:
                for part in [data] if isinstance(data, bytes) else data:
                    view = memoryview(part)
                    while view:
                        n = file.write(view)
                        written[0] += n
                        view = view[n:]
        except BrokenPipeError:
            pass

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    yield path, written
    writer.join(10)
    assert not writer.is_alive()
    path.unlink()


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def halves(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: pack(data[:9999]) + pack(b"") + pack(data[9999:])


PACKS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstd,
    "gzip, members": halves(gzip.compress),
    "zstd, frames": halves(zstd),
    "gzip, zeros behind": lambda data: gzip.compress(data) + bytes(100),
}
READERS: dict[str, Callable[..., pa.Table]] = {
    "read_table": ta.read_table,
    "open_star": lambda *args, **options: ta.open_star(*args, **options).read_all(),
    "scan_star": lambda *args, **options: ta.scan_star(*args, **options).collect().to_arrow(),
}
EXPECTED = {
    "rlnVoltage": [i + 0.5 for i in range(ROWS)],
    "n": list(range(ROWS)),
    "rlnTomoName": [f"TS_{i // 100}" for i in range(ROWS)],
}


def is_as_expected(table: pa.Table) -> bool:
    """Of a source that is read once, columns that are not known are text."""
    read_as = table.to_pydict()
    return {**read_as, "n": list(map(int, read_as["n"]))} == EXPECTED


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("pack", PACKS)
def test_any_source(pack: str, reader: str, tmp_path: Path) -> None:
    read_all = READERS[reader]
    data = PACKS[pack](DATA)
    path = tmp_path / "x.star"
    path.write_bytes(data)
    for again in (path, str(path), data, bytearray(data), memoryview(data)):
        assert read_all(again).to_pydict() == EXPECTED
    with path.open("rb") as buffered, path.open("rb", buffering=0) as unbuffered:
        for file in (buffered, unbuffered, io.BytesIO(data), Raw(data), Raw(data, 1000), OnlyReads(data)):
            assert is_as_expected(read_all(file))
        assert not buffered.closed
        assert not unbuffered.closed
    with fifo(tmp_path, data) as (pipe, _):
        assert is_as_expected(read_all(pipe))
    with tempfile.NamedTemporaryFile() as named:
        named.write(data)
        named.seek(0)
        assert is_as_expected(read_all(named))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_a_source_that_gives_few_bytes_at_a_time(pack: str, reader: str, most: int) -> None:
    data = PACKS[pack](DATA[: DATA.index(b"\n500.5") + 1])
    assert READERS[reader](Raw(data, most)).num_rows == 500


def test_a_pipe_that_brings_its_first_byte_alone(tmp_path: Path) -> None:
    def parts() -> Iterator[bytes]:
        data = gzip.compress(DATA)
        yield data[:1]
        time.sleep(0.1)
        yield data[1:]

    with fifo(tmp_path, parts()) as (pipe, _):
        assert is_as_expected(ta.open_star(pipe).read_all())


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data[:12],
        lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 255]) + data[len(data) // 2 + 1 :],
        lambda data: data + b"rest",
        lambda data: data + data[:20],
    ],
    ids=["last byte", "half", "head", "bit flip", "rest", "cut in the next"],
)
@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_damaged(pack: str, damage: Callable[[bytes], bytes], reader: str) -> None:
    data = damage(PACKS[pack](DATA))
    whole = told(lambda: ta.read_star(data)[0].table)
    for source in (data, io.BytesIO(data)):
        in_pieces = told(lambda source=source: READERS[reader](source))
        if isinstance(whole, pa.Table):
            assert is_as_expected(in_pieces)
        else:
            assert [each[2] for each in in_pieces] == [each[2] for each in whole] == ["StarSyntaxError"]
            assert "damaged or cut short" in in_pieces[0][3]


@pytest.mark.parametrize("reader", READERS)
def test_what_cannot_be_read(reader: str, tmp_path: Path) -> None:
    read_all = READERS[reader]
    with pytest.raises(ta.MissingFileError, match="No such file"):
        read_all(tmp_path / "none.star")
    with pytest.raises(ta.MissingFileError, match="directory"):
        read_all(tmp_path)
    (tmp_path / "text").write_bytes(DATA)
    with (tmp_path / "text").open() as file:
        for source in (io.StringIO("data_x"), file, None, 5):
            with pytest.raises(ta.UsageError, match="binary"):
                read_all(source)
    for empty in (b"", b"\n", gzip.compress(b""), zstd(b"")):
        with pytest.raises(ta.SchemaError, match="0 blocks"):
            read_all(empty)
    with pytest.raises(ta.UsageError, match="threads=0"):
        read_all(DATA, threads=0)


@pytest.mark.parametrize("call", ["read_table('/dev/stdin')", "open_star('/dev/stdin').read_all()"])
@pytest.mark.parametrize("is_pipe", [True, False])
def test_standard_input(call: str, is_pipe: bool, tmp_path: Path) -> None:
    (tmp_path / "x.star").write_bytes(DATA)
    command = [sys.executable, "-c", f"import tomoarrow as ta; t = ta.{call}; print(t.num_rows, t['n'].type)"]
    with (tmp_path / "x.star").open("rb") as file:
        source: dict[str, Any] = {"input": DATA} if is_pipe else {"stdin": file}
        done = subprocess.run(command, **source, capture_output=True, check=True)
    settled = "string" if is_pipe and "open" in call else "int64"
    assert done.stdout.decode().split() == [str(ROWS), settled]


# -- a stream of batches -----------------------------------------------------------------------------------------------


def test_a_stream_has_its_schema_before_its_rows() -> None:
    reader = ta.open_star(DATA, columns=["n", "rlnVoltage"])
    assert reader.schema.equals(ta.read_table(DATA, columns=["n", "rlnVoltage"]).schema, check_metadata=True)
    batches = list(reader)
    assert len(batches) > 5
    assert all(batch.schema.equals(reader.schema, check_metadata=True) for batch in batches)
    assert pa.Table.from_batches(batches).to_pydict() == {label: EXPECTED[label] for label in ("n", "rlnVoltage")}


def test_a_stream_of_no_rows() -> None:
    reader = ta.open_star(HEAD)
    assert reader.read_all().num_rows == 0
    assert reader.schema.names == ["rlnVoltage", "n", "rlnTomoName"]


@pytest.mark.parametrize("how", ["close", "delete", "with"])
def test_a_stream_that_is_not_read_to_its_end(how: str, tmp_path: Path) -> None:
    path = tmp_path / "x.star"
    path.write_bytes(DATA)
    endless = Endless()
    for source in (path, endless):
        reader = ta.open_star(source, threads=2)
        assert reader.read_next_batch().num_rows
        if how == "close":
            reader.close()
        elif how == "with":
            with reader:
                reader.read_next_batch()
        del reader
        gc.collect()
        assert not reading_threads()
        assert str(path) not in open_files()
    assert endless.count < 100_000
    assert not endless.closed


#: Rows, which block they are in, and the dialect.
KINDS_OF_ROWS = {
    "plain": (b"TS_%d 1.5\n", None, "relion"),
    "comments behind": (b"TS_%d 1.5 # c\n", None, "relion"),
    "quotes": (b"'TS %d' 1.5\n", None, "relion"),
    "blank lines": (b"TS_%d 1.5\n\n", None, "relion"),
    "comments": (b"TS_%d 1.5\n# c\n", None, "relion"),
    "CR CR LF": (b"TS_%d 1.5\r\r\n", None, "relion"),
    "blocks": (b"TS_%d 1.5\n\ndata_TS\n\nloop_\n_rlnTomoName\n_rlnVoltage\n", "*", "relion"),
    "star": (b"TS_%d\n1.5\n", None, "star"),
    "star: quotes": (b"TS_%d\n'1.5'\n", None, "star"),
    "star: text fields": (b";TS_%d\n;\n1.5\n", None, "star"),
}


def rows_like(rows: bytes, n: int, dialect: str) -> bytes:
    frame = b"save_f _a 1 save_\n" if dialect == "star" else b""
    return b"data_x\n\n" + frame + b"loop_\n_rlnTomoName\n_rlnVoltage\n" + b"".join(rows % i for i in range(n))


@pytest.mark.parametrize("kind", KINDS_OF_ROWS)
def test_memory_is_bounded_whatever_rows_look_like(kind: str) -> None:
    rows, block, dialect = KINDS_OF_ROWS[kind]
    data = rows_like(rows, 2000, dialect)
    assert len(list(ta.open_star(data, block, dialect=dialect))) > 3  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS_OF_ROWS)
def test_time_is_linear_whatever_rows_look_like(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    rows, block, dialect = KINDS_OF_ROWS[kind]
    data = rows_like(rows, 80_000, dialect)
    start = time.process_time()
    assert ta.read_table(data, block, dialect=dialect).num_rows >= 80_000  # type: ignore[arg-type]
    assert time.process_time() - start < 2


def test_a_pipe_is_read_as_far_as_batches_are_taken(tmp_path: Path) -> None:
    def rows() -> Iterator[bytes]:
        yield HEAD
        while True:
            yield b"1.5 2 x\n" * 100

    with fifo(tmp_path, rows()) as (pipe, written):
        reader = ta.open_star(pipe, threads=2)
        for _ in range(3):
            assert reader.read_next_batch().schema.field("n").type == pa.string()
        time.sleep(0.05)
        assert written[0] < 300_000
        reader.close()
        del reader


@pytest.mark.parametrize(
    ("line", "kind", "column"),
    [(b"oops 1 x", ta.SchemaError, 1), (b"1 2", ta.StarSyntaxError, 1), (b"1 \xff x", ta.StarSyntaxError, 3)],
)
def test_errors_travel_through_a_stream_as_they_are(line: bytes, kind: type[Exception], column: int) -> None:
    data = DATA + line + b"\n"
    known = {"n": ta.Label("n", "int64"), **ta.LABELS}
    for source in (data, io.BytesIO(data), Raw(data)):
        reader = ta.open_star(source, labels=known)
        assert reader.read_next_batch().num_rows
        with pytest.raises(kind) as raised:
            list(reader)
        place = raised.value.place  # type: ignore[attr-defined]
        assert (place.line, place.column) == (7 + ROWS, column)
        with pytest.raises(kind):
            ta.open_star(data, labels=known).read_all()
    with pytest.raises(kind):
        # The file is looked through for the types of labels that are not known, perhaps as soon as it is opened.
        pa.Table.from_batches(ta.open_star(data))


def test_a_stream_of_a_file_with_another_loop_further_on() -> None:
    reader = ta.open_star(io.BytesIO(DATA + b"\ndata_y\nloop_\n_n\n1\n"))
    with pytest.raises(ta.SchemaError, match="2 blocks with a loop"):
        reader.read_all()
    with pytest.raises(ta.SchemaError, match="'data_x', 'data_y'"):
        ta.open_star(DATA + b"\ndata_y\nloop_\n_n\n1\n").read_all()


def test_one_block_with_two_loops_is_not_called_one_block() -> None:
    with pytest.raises(ta.SchemaError) as raised:
        ta.read_table(b"data_x\nloop_\n_n\n1\n\nloop_\n_m\n1\n")
    assert not re.search(r"\b1 blocks? with a loop, not one", str(raised.value))


def test_a_source_read_once_has_no_end_to_count_from() -> None:
    with pytest.raises(ta.UsageError, match="no end to count from"):
        ta.open_star(io.BytesIO(DATA), -1)
    assert ta.read_table(io.BytesIO(DATA), -1).num_rows == ROWS


def test_columns_that_are_not_there() -> None:
    for source in (DATA, io.BytesIO(DATA)):
        with pytest.raises(ta.SchemaError, match="no column nope"):
            ta.open_star(source, columns=["n", "nope"])


# -- a LazyFrame -------------------------------------------------------------------------------------------------------

BAD = HEAD.replace(b"_n ", b"_rlnDefocusU ") + b"".join(b"%d.5 oops TS_%d\n" % (i, i // 100) for i in range(ROWS))


def test_columns_that_are_not_asked_for_are_not_converted() -> None:
    frame = ta.scan_star(BAD.replace(b"oops", b"1", 1000))
    assert frame.select("rlnVoltage").collect()["rlnVoltage"].to_list() == EXPECTED["rlnVoltage"]
    assert frame.select(pl.len()).collect().item() == ROWS
    assert frame.filter(pl.col("rlnTomoName") == "TS_7").select(pl.col("rlnVoltage").sum()).collect().item() == 75000.0
    assert frame.select("rlnDefocusU").head(900).collect()["rlnDefocusU"].sum() == 900
    with pytest.raises(ta.SchemaError, match="'oops' is not a number") as raised:
        frame.collect()
    assert (raised.value.place.line, raised.value.place.column, raised.value.place.label) == (1007, 8, "rlnDefocusU")


QUERIES: dict[str, Callable[[pl.LazyFrame], pl.LazyFrame]] = {
    "all": lambda frame: frame,
    "some columns": lambda frame: frame.select("rlnTomoName", "n"),
    "no columns": lambda frame: frame.select(pl.len()),
    "filter": lambda frame: frame.filter(pl.col("n") % 7 == 3),
    "filter by a name": lambda frame: frame.filter(pl.col("rlnTomoName").cast(pl.String) == "TS_11"),
    "filter by a column that is not kept": lambda frame: frame.filter(pl.col("rlnVoltage") > 100).select("n"),
    "head": lambda frame: frame.head(777),
    "head of none": lambda frame: frame.head(0),
    "tail": lambda frame: frame.tail(5),
    "slice": lambda frame: frame.slice(1000, 500),
    "slice from the end": lambda frame: frame.slice(-10, 4),
    "slice beyond the end": lambda frame: frame.slice(ROWS - 2, 100),
    "head of a filter": lambda frame: frame.filter(pl.col("n") > 1234).head(3),
    "filter of a head": lambda frame: frame.head(1234).filter(pl.col("n") > 1230),
    "row numbers": lambda frame: frame.with_row_index().filter(pl.col("index") > 2990),
    "groups": lambda frame: frame.group_by("rlnTomoName").agg(pl.col("n").sum()).sort("n"),
    "joined to itself": lambda frame: frame.join(frame, on="n", maintain_order="left"),
    "joined to groups": lambda frame: frame.join(
        frame.group_by("rlnTomoName").agg(pl.col("n").max().alias("most")), on="rlnTomoName", maintain_order="left"
    ),
    "twice": lambda frame: pl.concat([frame, frame.filter(pl.col("n") < 3)]),
    "sorted": lambda frame: frame.sort("n", descending=True).head(10),
    "last": lambda frame: frame.select(pl.col("n").last(), pl.col("rlnTomoName").n_unique()),
}


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_queries(query: Callable[[pl.LazyFrame], pl.LazyFrame], engine: Any) -> None:
    whole = pl.from_arrow(ta.read_table(DATA))
    assert isinstance(whole, pl.DataFrame)
    found = query(ta.scan_star(DATA)).collect(engine=engine)
    expected = query(whole.lazy()).collect()
    assert found.equals(expected)
    assert found.schema == expected.schema


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_reading_ends_with_the_last_row_that_is_needed(engine: Any) -> None:
    endless = Endless()
    assert ta.scan_star(endless, threads=2).head(1000).collect(engine=engine).height == 1000
    assert endless.count < 150_000
    counted = Raw(DATA)
    assert (
        ta.scan_star(counted, threads=1).filter(pl.col("rlnVoltage") > 100).head(5).collect(engine=engine).height == 5
    )


def test_a_pipe_is_scanned_once(tmp_path: Path) -> None:
    with fifo(tmp_path, DATA) as (pipe, _):
        frame = ta.scan_star(pipe)
        assert frame.collect_schema()["n"] == pl.String
        assert frame.filter(pl.col("rlnVoltage") > 2990).collect().height == 10
        with pytest.raises(ta.UsageError, match="can be read only once"):
            frame.collect()
    once = ta.scan_star(io.BytesIO(DATA))
    assert once.select("rlnVoltage").collect()["rlnVoltage"].to_list() == EXPECTED["rlnVoltage"]
    with pytest.raises(ta.UsageError, match="<file> can be read only once"):
        once.collect()


def test_a_scan_that_is_never_collected(tmp_path: Path) -> None:
    path = tmp_path / "x.star"
    path.write_bytes(DATA)
    ta.scan_star(path)
    ta.scan_star(Endless())
    with path.open("rb") as file:
        frame = ta.scan_star(file)
        del frame


def test_errors_of_a_scan_are_those_of_the_file() -> None:
    for line, kind in ((b"oops 1 x\n", ta.SchemaError), (b"1 2\n", ta.StarSyntaxError)):
        for engine in ("in-memory", "streaming"):
            with pytest.raises(kind) as raised:
                ta.scan_star(DATA + line).collect(engine=engine)  # type: ignore[call-overload]
            assert raised.value.place.line == 7 + ROWS
    assert ta.scan_star(DATA + b"oops 1 x\n", on_bad_value="null").select(pl.all().null_count()).collect().row(0) == (
        1,
        0,
        0,
    )


def test_a_scan_into_parquet(tmp_path: Path) -> None:
    ta.scan_star(DATA).sink_parquet(tmp_path / "x.parquet")
    found = pl.read_parquet(tmp_path / "x.parquet")
    assert {**found.to_dict(as_series=False)} == EXPECTED


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_scan_of_many_blocks(engine: Any) -> None:
    data = b"".join(
        b"data_TS_%d\n\nloop_\n_rlnTomoName\n_n\n" % i
        + b"".join(b"T%d %d\n" % (i % 3, j) for j in range(i * 20))
        + b"\n"
        for i in range(20)
    )
    frame = ta.scan_star(data, "TS_*")
    counts = frame.group_by("block", "rlnTomoName").agg(pl.len(), pl.col("n").max()).sort("len").collect(engine=engine)
    expected = [(f"TS_{i}", f"T{i % 3}", i * 20, i * 20 - 1) for i in range(1, 20)]
    assert counts.with_columns(pl.col("block", "rlnTomoName").cast(pl.String)).rows() == expected
    chosen = frame.filter(pl.col("block") == "TS_3").select("n").collect(engine=engine)
    assert chosen["n"].to_list() == list(range(60))
    assert frame.select("block").collect(engine=engine)["block"].cast(pl.String).to_list() == [
        f"TS_{i}" for i in range(20) for _ in range(i * 20)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_memory_does_not_grow_with_the_file(pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.undo()
    path = tmp_path / "large.star"
    part = b"".join(b"%12.6f %d TS_%d\n" % (i / 7, i, i // 100) for i in range(100_000))
    with gzip.open(path, "wb", 1) if pack is gzip.compress else path.open("wb") as file:
        file.write(HEAD)
        for _ in range(200_000_000 // len(part)):
            file.write(part)
    reader = ta.open_star(path)
    start, rows, most = resident(), 0, 0
    for batch in reader:
        rows += batch.num_rows
        most = max(most, resident())
    assert rows == 200_000_000 // len(part) * 100_000
    assert most - start < 150_000_000


def resident() -> int:
    """The bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- numbers -----------------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
TRICKY = [
    "12.", ".5", "+1", "-", "1e5", "1.5e-07", "00012", "12345678901234567", "-0", "-0.0", "1.", "-.", ".", "+", "1e",
    "1e+", "1e+5", "1E+05", "1.5E-07", "1e-07", "12345678.12345678", "99999999.99999999", "90071992.54740993",
    "00000000.00000001", "123456789.5", "1.123456789", "12345678e+14", "1.2345678e+22", "1.2345678e+23", "1-1", "1e5.0",
    "1..2", "1.2.3", "1,5", "1e+5-", "12e+0a", "12:34", "1/2", "0x10", "1_0", "9007199254740993",
    "-9223372036854775808",
    "9223372036854775808", "1.5e-99", "9.99e+99", "1e-22", "12345678e-22", "1.0000000", "1.00000000000", "1.5d+03",
    "12345678.", "123456789.", "1.e+05", "0.00000000", "1.5e+0", "1.5e+007", "2.5e+00", "-1.5e-05", "--1",
]  # fmt: skip
NUMBERS = st.lists(
    st.one_of(
        st.text("0123456789.eE+-", min_size=1, max_size=20),
        st.from_regex(r"\A[+-]?[0-9]{0,9}\.?[0-9]{0,9}([eE][+-]?[0-9]{1,3})?\Z").filter(bool),
        st.sampled_from(TRICKY),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.integers(-(2**64), 2**64).map(str),
    ).filter(lambda text: text[0] not in "_#;'\" " and " " not in text),
    min_size=1,
    max_size=60,
)


def column_of(texts: list[str], kind: Any, **options: Any) -> list[Any]:
    data = "data_\nloop_\n_n\n_x\n" + "".join(f"{i} {text}\n" for i, text in enumerate(texts))
    labels = {"x": ta.Label("x", kind)}
    read_as = ta.open_star(data.encode(), labels=labels, on_bad_value="null", **options).read_all()
    values: list[Any] = read_as.column("x").to_pylist()
    return values


def float_of(text: str) -> float | None:
    """A float as its text says; None where it is none."""
    value = float(text) if NUMBER.fullmatch(text) else math.inf
    return None if math.isinf(value) else value


def int_of(text: str) -> int | None:
    """An integer; also one of few digits with an exponent. Not a fraction, nor what int64 does not hold."""
    if WHOLE.fullmatch(text):
        value = int(text.split(".", maxsplit=1)[0])
        return value if -(2**63) <= value < 2**63 else None
    number = float_of(text)
    if number is None or not number.is_integer() or not re.search("[eE]", text):
        return None
    return int(number) if len(re.split("[eE]", text)[0]) <= 16 and abs(number) <= 2**53 else None


@settings(max_examples=150, deadline=None)
@given(NUMBERS)
@example(TRICKY)
def test_floats_are_those_of_python(texts: list[str]) -> None:
    found = column_of(texts, "float64")
    for text, value in zip(texts, found, strict=True):
        expected = float_of(text)
        assert (value is None) == (expected is None), text
        assert value is None or value.hex() == expected.hex(), text  # type: ignore[union-attr]


@settings(max_examples=150, deadline=None)
@given(NUMBERS)
@example(TRICKY)
def test_ints_are_those_of_python(texts: list[str]) -> None:
    assert dict(zip(texts, column_of(texts, "int64"), strict=True)) == {text: int_of(text) for text in texts}


def test_the_first_eight_digits_in_every_place() -> None:
    texts = [
        f"{sign}{'1234567890123456'[:whole]}{point}{'6543210987654321'[:decimals]}{exponent}"
        for sign in ("", "-", "+")
        for whole in range(12)
        for point in ("", ".")
        for decimals in (range(12) if point else (0,))
        for exponent in ("", "e+03", "E-12", "e-3", "e+003", "e05")
        if whole or decimals
    ]
    found = column_of(texts, "float64")
    assert [value.hex() for value in found] == [float(text).hex() for text in texts]


VECTORS = [
    "[1,1,0]", "[12,-3]", "[]", "[1,,2]", "1,2", "[1,2", "1,2]", "[,]", "[1,]", "[,1]", "[1,2,3,4]", "[1,2,3,4,]",
    "[1,2,3,4,5,6,7,8]", "[1,2,3,4,5,6,7,8,9]", "[-1,2,3,4,5]", "[10,2,3,4,5,6]", "[1,2,3,40,5]", "[1;2,3,4,5]", "[+1]",
    "[--1]", "[-]", "[1-2]", "[01,-0]", "[123456789012345678]", "[1234567890123456789]", "[9223372036854775808]",
    "[1.0,2]", "[1:2,3,4,5]", "['1']", "[1,2,3,:,5]", "[1,2,3,4]]", "[[1]", "[1,?,1,1,1]", "[1e3]", "[1,None]", "None",
    "'[1, 2]'", "'[]'", "[0,1,0,1,0,1,0,1,1,1,1,1,1,1,1,1,0]", "[/,1,1,1,1]", "]", "[", "5", "[1,2,3,4,5,6,7,8,a]",
]  # fmt: skip


def vector_of(numbers: list[int]) -> str:
    return f"[{','.join(map(str, numbers))}]"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.lists(st.integers(-12, 12), max_size=40).map(vector_of),
            st.lists(st.integers(0, 9), max_size=20).map(vector_of),
            st.lists(st.integers(-(10**18) + 1, 10**18 - 1), max_size=3).map(vector_of),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_vectors_of_integers(texts: list[str]) -> None:
    expected = [[int(element) for element in text[1:-1].split(",") if element] for text in texts]
    assert column_of(texts, "list<int64>") == expected
    assert column_of([*texts, "1,2"], "list<int64>") == [*expected, [1, 2]]


@settings(max_examples=300, deadline=None)
@given(st.text("[]0123456789,-", max_size=14).map(lambda text: f"[{text}]") | st.text("[]0123456789,-", min_size=1))
def test_a_vector_in_the_fast_way_and_the_slow(text: str) -> None:
    # A vector without brackets is read in the slow way, and with it all of its column.
    assert column_of([text], "list<int64>") == column_of([text, "1,2"], "list<int64>")[:1]


@pytest.mark.parametrize("text", VECTORS)
def test_odd_vectors_in_the_fast_way_and_the_slow(text: str) -> None:
    assert column_of([text], "list<int64>") == column_of([text, "1,2"], "list<int64>")[:1]
    assert column_of(["[1,0]", text], "list<int64>")[1:] == column_of([text, "1,2"], "list<int64>")[:1]


# -- bytes, 64 at a time -----------------------------------------------------------------------------------------------

CHARACTERS = [bytes([i]) for i in (0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED)]
CHARACTERS += [bytes([i]) for i in (0xEE, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF)]
CHARACTERS += [text.encode() for text in ("a", "é", "߿", "ࠀ", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff")]


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 70), st.integers(0, 140), st.lists(st.sampled_from(CHARACTERS), max_size=9), st.integers(0, 140))
def test_utf8_is_what_python_decodes(offset: int, before: int, characters: list[bytes], behind: int) -> None:
    data = b"x" * before + b"".join(characters) + b"y" * behind
    try:
        data.decode()
        expected = -1
    except UnicodeDecodeError as error:
        expected = offset + error.start
    # Behind the end stands what would go on with a character.
    buffer = np.frombuffer(b"\xff" * offset + data + b"\x80" * 3 + b"\xff" * 61, np.uint8)
    assert gather.find_invalid_utf8(buffer, offset, offset + len(data)) == expected


ODD = [bytes([i]) for i in b"'\"#\t\x0b\x0c\r\x1a\x01\x00\x07\x1f\x7f \n;_\xff"]
ODD += [b"\xc3\xa9", b"data_", b"loop_", b" '", b"' ", b' "', b" #", b"\n#", b"\n;", b"\n_", b"\n\n", b"\r\n"]
ODD += [b"\ndata_", b"\nloop_ x"]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("dialect", ["relion", "star"])
def test_an_odd_character_anywhere(odd: bytes, dialect: Any) -> None:
    text = b"data_x\nloop_\n_a #1\n_b #2\n" + b"abcdefghi jklmnopqr\n" * 6 + b"x y\n" * 3 + b"p" * 70 + b" q\n1 2\n"
    places = range(20, len(text)) if dialect == "relion" else range(20, len(text), 3)
    texts = [text[:at] + odd + text[at:] for at in places]
    texts += [text[:at] + odd + text[at + len(odd) :] for at in places]
    for given_text, found in zip(texts, run_kernel(texts, dialect), strict=True):
        assert found == read(given_text, dialect), given_text


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 3),
    st.lists(
        st.tuples(st.integers(1, 70), st.sampled_from([b" ", b" ", b" ", b"\n", b"\t", b"  ", b" \n", b"\n ", *ODD])),
        max_size=14,
    ),
    st.booleans(),
)
def test_words_and_windows(labels: int, words: list[tuple[int, bytes]], ends: bool) -> None:
    header = b"data_x\nloop_\n" + b"".join(b"_l%d\n" % i for i in range(labels))
    text = header + b"".join(b"w" * length + gap for length, gap in words) + b"\n" * ends
    assert run_kernel([text], "relion") == [read(text, "relion")]


@pytest.mark.parametrize("behind", [b"\n\n_a b\n", b"\n", b" y\n\n\n# c\n_a b\n", b"\n  \n\ndata_y\n", b"\n_a b\n"])
def test_values_without_labels_are_no_rows_that_memory_could_tell_from_blank_lines(behind: bytes) -> None:
    text = b"data_x\nloop_ x" + behind
    assert run_kernel([text], "relion") == [read(text, "relion")]


def test_lines_are_counted_as_they_are_told() -> None:
    data = np.frombuffer(b"a\nb\r\nc\rd\r\r\n\n\re\r\n" + b"\n" * 64, np.uint8)
    assert gather.count_lines(data, 0, 17) == 9
    assert [gather.count_lines(data, 0, n) for n in (0, 1, 2, 5, 7)] == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("row", [b"1 ", b""])
def test_words_longer_than_a_span_are_refused(row: bytes) -> None:
    data = b"data_x\nloop_\n_a\n_b\n" + b"1 2\n" * 2000 + row + b"x" * 2**SPAN_BITS + b" 1\n"[len(row) :]
    whole = told(lambda: ta.read_star(data))
    assert "more than 16 million" in whole[0][3]
    assert told(lambda: ta.read_table(data)) == whole
