"""Which files have changed since they were read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tomoarrow.dataset.tables.sources import as_infos, as_table
from tomoarrow.dataset.tables.survey import survey
from tomoarrow.dataset.versions.manifest import SourceInfo

OLD_NS, NOW_NS = 10**18, 2 * 10**18
TEXT = b"data_\n"
SHA256 = "7203b5c8c58ae309667ec71b466adde4cbd938dd79bd1c237a02ccbe2e1cd3ea"


def write(path: Path, text: bytes = TEXT, mtime_ns: int = OLD_NS) -> None:
    path.write_bytes(text)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("become", "read_ns", "known", "changed", "gone", "is_same"),
    [
        (lambda path: None, NOW_NS, SHA256, False, False, True),
        (lambda path: write(path, mtime_ns=OLD_NS + 1), NOW_NS, SHA256, False, False, False),
        (lambda path: write(path, mtime_ns=OLD_NS + 1), NOW_NS, "", True, False, False),
        (lambda path: write(path, b"data_a\n"), NOW_NS, SHA256, True, False, False),
        (lambda path: write(path, b"_data\n", OLD_NS + 1), NOW_NS, SHA256, True, False, False),
        # Read so soon after it was written that its time may be the same.
        (lambda path: None, OLD_NS + 1, SHA256, False, False, True),
        (lambda path: write(path, b"_data\n"), OLD_NS + 1, SHA256, True, False, False),
        (Path.unlink, NOW_NS, SHA256, False, True, False),
        (replace_by_folder, NOW_NS, SHA256, True, False, False),
    ],
)
def test_one_file(
    tmp_path: Path,
    become: Callable[[Path], None],
    read_ns: int,
    known: str,
    changed: bool,
    gone: bool,
    is_same: bool,
) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b")
    sources = [SourceInfo("a", len(TEXT), OLD_NS, known), SourceInfo("b", len(TEXT), OLD_NS, SHA256)]
    become(tmp_path / "a")
    seen = survey(as_table(sources), tmp_path, read_ns)
    assert (seen.changed, seen.gone) == ({"a"} if changed else set(), {"a"} if gone else set())
    assert seen.is_same == is_same
    *first, last = as_infos(seen.sources)
    assert last == sources[1]
    assert [(each.path, each.sha256) for each in first] == ([] if gone else [("a", "" if changed else known)])
    if first:
        status = os.stat(tmp_path / "a")
        assert (first[0].bytes, first[0].mtime_ns) == (status.st_size, status.st_mtime_ns)


def test_a_path_that_cannot_be_looked_at_has_changed_and_is_not_gone(tmp_path: Path) -> None:
    write(tmp_path / "a")
    sources = [SourceInfo("x" * 300, 1, OLD_NS, SHA256), SourceInfo("a", len(TEXT), OLD_NS, SHA256)]
    seen = survey(as_table(sources), tmp_path, NOW_NS)
    assert (seen.changed, seen.gone) == ({"x" * 300}, frozenset())
    assert as_infos(seen.sources) == [SourceInfo("x" * 300, 1, OLD_NS), sources[1]]


def test_no_files(tmp_path: Path) -> None:
    assert survey(as_table([]), tmp_path, NOW_NS).is_same
