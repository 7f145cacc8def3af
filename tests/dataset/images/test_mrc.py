"""Sizes from the headers of MRC files."""

from __future__ import annotations

import os
import sys
import tracemalloc
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import tomoarrow as ta
from tomoarrow.dataset.images.mrc import file_of_image, read_mrc_header

NAMES = [
    ("frames/a.mrc", "frames/a.mrc"),
    ("12@stack.mrcs", "stack.mrcs"),
    ("000001@job/stack.mrcs", "job/stack.mrcs"),
    ("PS/a.ctf:mrc", "PS/a.ctf"),
    ("3@PS/a.st:mrcs", "PS/a.st"),
    ("me@home/a.mrc", "me@home/a.mrc"),
    ("TS_01@2/a.mrc", "TS_01@2/a.mrc"),
]


@pytest.mark.parametrize(("name", "path"), NAMES)
def test_names_as_relion_writes_them(name: str, path: str) -> None:
    assert file_of_image(name) == path


@pytest.mark.parametrize("name", ["a.mrc", "2@a.mrc", "a.mrc:mrc", "2@a.mrc:mrcs"])
@pytest.mark.parametrize("shape", [(60, 40), (5, 60, 40)], ids=["image", "volume"])
def test_sizes_are_columns_rows_and_sections(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    with mrcfile.new(tmp_path / "a.mrc", np.zeros(shape, np.float32)) as file:
        file.voxel_size = 1.35
    header = read_mrc_header(name, tmp_path)
    assert header.size == (40, 60, 5 if len(shape) == 3 else 1)
    assert header.voxel_size_angst == pytest.approx((1.35, 1.35, 1.35))


def test_only_the_header_is_read(tmp_path: Path) -> None:
    mrcfile.new(tmp_path / "a.mrc", np.zeros((60, 40), np.float32)).close()
    (tmp_path / "cut.mrc").write_bytes((tmp_path / "a.mrc").read_bytes()[:1024])
    assert read_mrc_header(tmp_path / "cut.mrc").size == (40, 60, 1)


@pytest.mark.parametrize("content", [b"", b"data_global\n", bytes(2000)], ids=["empty", "text", "zeros"])
def test_what_is_no_mrc_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mrc").write_bytes(content)
    with pytest.raises(ta.SchemaError, match="not an MRC file"):
        read_mrc_header("a.mrc", tmp_path)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mrc")
    for name in ("pipe.mrc", "/dev/zero", "."):
        with pytest.raises(ta.SchemaError, match="no regular file"):
            read_mrc_header(name, tmp_path)


def test_an_extended_header_is_not_read_whatever_its_length(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "a.mrc", np.zeros((60, 40), np.float32)) as file:
        file.header.nsymbt = 2**31 - 1
    os.truncate(tmp_path / "a.mrc", 1 << 40)
    tracemalloc.start()
    assert read_mrc_header("a.mrc", tmp_path).size == (40, 60, 1)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ta.MissingFileError, match="No such file") as caught:
        read_mrc_header("3@b.mrc", tmp_path)
    assert caught.value.place.path == str(tmp_path / "b.mrc")


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mrcfile.mrcinterpreter", None)
    with pytest.raises(ta.UsageError, match=r"tomoarrow\[mrc\]"):
        read_mrc_header("a.mrc", tmp_path)
