"""Objects that are kept in one file come out of it as they went in."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from tomoarrow import DatasetError
from tomoarrow.dataset.stores import pack
from tomoarrow.dataset.stores.objects import Entry
from tomoarrow.dataset.stores.pack import new_pack


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


def test_what_many_threads_add_is_there() -> None:
    random = Random(1)
    objects = {str(n): random.randbytes(random.choice([0, 1, 100, 5000])) for n in range(500)}
    with new_pack() as packed, ThreadPoolExecutor(16) as pool:
        entries = {key: Entry(len(data), n, None) for n, (key, data) in enumerate(objects.items())}
        list(pool.map(lambda key: packed.add(key, entries[key], in_pieces(objects[key], 700)), objects))
        copies = packed.copies()
    assert {key: (bytes(copy.data), copy.mtime_ns) for key, copy in copies.items()} == {
        key: (data, n) for n, (key, data) in enumerate(objects.items())
    }


@pytest.mark.parametrize("objects", [[], [b""]])
def test_nothing_is_there(objects: list[bytes]) -> None:
    with new_pack() as packed:
        for data in objects:
            packed.add("a", Entry(len(data), 1, None), iter([data]))
        assert [bytes(copy.data) for copy in packed.copies().values()] == objects


@pytest.mark.parametrize("pieces", [[], [b"ab"], [b"ab", b"c"], [b"abcde"], [b"ab", b"cde"]])
def test_an_object_of_another_size_than_it_should_have_is_refused(pieces: list[bytes]) -> None:
    with new_pack() as packed:
        packed.add("a", Entry(2, 1, None), iter([b"xy"]))
        with pytest.raises(OSError, match="another size than 4 bytes"):
            packed.add("b", Entry(4, 1, None), iter(pieces))
        packed.add("c", Entry(3, 1, None), iter([b"xyz"]))
        assert {key: bytes(copy.data) for key, copy in packed.copies().items()} == {"a": b"xy", "c": b"xyz"}


def test_an_object_that_is_gone_halfway_is_not_there() -> None:
    def gone() -> Iterator[bytes]:
        yield b"xy"
        raise FileNotFoundError

    with new_pack() as packed:
        packed.add("a", Entry(2, 1, None), iter([b"xy"]))
        with pytest.raises(FileNotFoundError):
            packed.add("b", Entry(4000, 1, None), gone())
        assert [*packed.copies()] == ["a"]


def test_a_full_disk_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with new_pack() as packed:
        monkeypatch.setattr(pack.os, "pwrite", full)
        with pytest.raises(DatasetError, match="cannot write: No space left on device"):
            packed.add("a", Entry(2, 1, None), iter([b"xy"]))
