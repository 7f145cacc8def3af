"""Bytes come from a path, bytes, an open file; plain, gzip or zstd."""

import gzip
import io
import os
from pathlib import Path

import pyarrow as pa
import pytest

from tomoarrow import MissingFileError, StarSyntaxError, UsageError, read_star, read_table
from tomoarrow.star.source import PADDING, lay_out, read_slab

TEXT = b"\ndata_x\n\nloop_ \n_rlnTomoName #1 \n_rlnVoltage #2 \nTS_01 300.0 \nTS_02 200.0 \n \n"
EXPECTED = {"rlnTomoName": ["TS_01", "TS_02"], "rlnVoltage": [300.0, 200.0]}


def compressed_zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".star", bytes),
        (".star.gz", gzip.compress),
        (".star.zst", compressed_zstd),
        (".star", gzip.compress),  # Recognised by its bytes, whatever it is called.
        (".star.gz", lambda data: gzip.compress(data[:30]) + gzip.compress(data[30:])),
        (".star.zst", lambda data: compressed_zstd(data[:30]) + compressed_zstd(data[30:])),
    ],
    ids=["plain", "gzip", "zstd", "gzip without suffix", "gzip in two members", "zstd in two frames"],
)
def test_sources(tmp_path: Path, suffix: str, pack) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(pack(TEXT))
    assert read_table(path).to_pydict() == EXPECTED
    assert read_table(str(path)).to_pydict() == EXPECTED
    assert read_table(path.read_bytes()).to_pydict() == EXPECTED
    assert read_table(memoryview(path.read_bytes())).to_pydict() == EXPECTED
    with path.open("rb") as file:
        assert read_table(file).to_pydict() == EXPECTED
    assert read_table(io.BytesIO(path.read_bytes())).to_pydict() == EXPECTED


def test_a_pipe(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, TEXT)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert read_table(pipe).to_pydict() == EXPECTED


@pytest.mark.parametrize("pack", [gzip.compress, compressed_zstd], ids=["gzip", "zstd"])
def test_compressed_data_cut_short_is_refused(pack) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StarSyntaxError, match="damaged or cut short"):
        read_star(pack(TEXT * 100)[:-9])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="No such file"):
        read_star(tmp_path / "none.star")
    with pytest.raises(MissingFileError, match="directory"):
        read_star(tmp_path)
    for source in (io.StringIO("data_x"), None, 5):
        with pytest.raises(UsageError, match="binary"):
            read_star(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"data_x\n_rlnA caf\xe9\n", 2, 10),
        (b"# caf\xe9\ndata_x\n_rlnA 1\n", 1, 6),
        (b"data_x\n_rlnA \xc0\x80\n", 2, 7),
        (b"data_x\n_rlnA \xed\xa0\x80\n", 2, 7),
        (b"data_x\n_rlnA \xf4\x90\x80\x80\n", 2, 7),
        (b"data_x\n_rlnA \xe6\xb5", 2, 7),
        (b"data_x\n" + b"# padding to sixty-four bytes\n" * 4 + b"_rlnA \xff\n", 6, 7),
    ],
    ids=["latin-1", "in a comment", "overlong", "surrogate", "beyond Unicode", "cut", "after a long run of ASCII"],
)
def test_what_is_not_utf8_is_refused_with_its_place(data: bytes, line: int, column: int) -> None:
    with pytest.raises(StarSyntaxError, match="not UTF-8") as refused:
        read_star(data)
    assert (refused.value.place.line, refused.value.place.column) == (line, column)


def test_utf8_is_kept() -> None:
    text = "données/été/测试/😀.mrc"
    assert read_star(f"data_x\n_rlnMicrographName {text}\n".encode())[0].pairs["rlnMicrographName"] == text


def test_an_image_is_no_star_file() -> None:
    with pytest.raises(StarSyntaxError, match="byte 0x00"):
        read_star(b"\x00\x10\x00\x00" * 256)
    with pytest.raises(StarSyntaxError, match="0x00"):
        read_star(b"data_x\n_rlnA 1\n" + bytes(100))


def test_no_files_make_an_empty_buffer() -> None:
    text, errors = lay_out([])
    assert (len(text.buffer), len(text.begins), len(text.ends), errors) == (0, 0, 0, [])


@pytest.mark.parametrize("as_files", [False, True])
def test_files_that_are_too_large_are_told_of_and_left_empty(tmp_path: Path, as_files: bool) -> None:
    most = 60_000
    files = {
        "small": b"data_a",
        "large": bytes([10] * (most + 1)),
        "packed": gzip.compress(bytes([10] * most)),
        "packed again": gzip.compress(b"data_b"),
        "as large as may be": bytes([10] * most),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / name) for name in files]
    text, errors = read_slab(paths, [*files], most) if as_files else lay_out([*files.items()], most)
    assert (text.ends - text.begins).tolist() == [6, 0, most, 0, most]
    assert [error.place.path for error in errors] == ["large", "packed again"]


def test_files_in_one_buffer_are_apart() -> None:
    text, errors = lay_out([("a", b"data_a"), ("b", b""), ("c", b"\xff"), ("d", gzip.compress(b"data_d"))])
    assert [text.cut(b, e) for b, e in zip(text.begins.tolist(), text.ends.tolist(), strict=True)] == [
        "data_a",
        "",
        "",
        "data_d",
    ]
    assert [error.place.path for error in errors] == ["c"]
    assert all(end + PADDING <= len(text.buffer) for end in text.ends.tolist())
    assert [text.file_at(position) for position in text.begins.tolist()] == [0, 1, 2, 3]
