"""What must hold for any bytes: every reader reads the same or refuses the same, and what was read is written again.

`check` raises an AssertionError where something does not hold, and lets through any error that is no TomoarrowError.
"""

from __future__ import annotations

import gzip
import io
import resource
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import tomoarrow as ta
from tomoarrow.relion.labels import LABELS
from tomoarrow.star.batches import read_batches
from tomoarrow.star.faults import merged
from tomoarrow.star.lazy import scan_star
from tomoarrow.star.request import Request
from tomoarrow.star.scan import first_of, new_request, settled, sound, table_of
from tomoarrow.star.source import lay_out
from tomoarrow.star.stack import group_loops, read_stack
from tomoarrow.star.structure import Dialect, analyse
from tomoarrow.star.tables import Findings, Options

#: What one input may take, in all readers together: so long a processor, and so much memory for each byte of it, beside
#: what the libraries themselves take.
MOST_SECONDS = 10.0
MOST_BYTES_A_BYTE = 1000
MOST_OTHER_BYTES = 256 << 20

#: One input in so many is converted and exported, too.
CONVERTED = 16

DIALECTS: tuple[Dialect, ...] = ("relion", "star")

_DAMAGED = "the compressed data is damaged"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

#: A tilt-series file of labels that no other has.
_NEIGHBOUR = b"data_neighbour\n\nloop_\n_neighbour #1\n  1.500000\n 'two words'\n"


def check(data: bytes, *, converts: bool | None = None, piece_bytes: Sequence[int] = ()) -> int:
    """Check all that must hold for some bytes; return how many times they were read.

    Parameters
    ----------
    data : bytes
    converts : bool, optional
        Whether they are converted to a dataset; by default one input in `CONVERTED` is, by its checksum.
    piece_bytes : sequence of int
        How long pieces are that they are read in; by default two lengths that follow from the checksum.
    """
    choice = zlib.crc32(data)
    sizes = piece_bytes or (max(1 + choice % 61, len(data) // 40), 1 + choice // 7 % (len(data) + 1))
    before, started = _peak_bytes(), time.process_time()
    reads = 0
    for dialect in DIALECTS:
        whole = outcome(lambda dialect=dialect: ta.read_star(data, dialect=dialect))
        reads += 1 + _check_strict_and_null(data, dialect, whole)
        reads += _check_packed(data, dialect, whole)
        reads += _check_pieces(data, dialect, whole, choice, sizes)
        if isinstance(whole, ta.Document):
            _check_valid(whole)
            check_written(data, whole)
    reads += _check_slab(data)
    if choice % CONVERTED == 0 if converts is None else converts:
        _check_converted(data)
        reads += 1
    seconds, taken = time.process_time() - started, _peak_bytes() - before
    assert seconds < MOST_SECONDS, f"{seconds:.1f} s for {len(data)} bytes"
    most = MOST_OTHER_BYTES + MOST_BYTES_A_BYTE * len(data)
    assert taken < most or data[:4].startswith((_GZIP, _ZSTD)), f"{taken >> 20} MB for {len(data)} bytes"
    return reads


def outcome(read: Callable[[], Any]) -> Any:
    """What is read; or the errors, as text: where, of which class, and which."""
    try:
        return read()
    except ta.TomoarrowError as error:
        return sorted((each.place.line, each.place.column, type(each).__name__, str(each)) for each in error.errors)


def same_tables(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables have the same schema and values, nan for nan."""
    if not one.schema.equals(other.schema, check_metadata=True):
        return False
    # Polars has no tables of rows without columns.
    return one.num_rows == other.num_rows and (not one.num_columns or _frame(one).equals(_frame(other)))


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _same(one: Any, other: Any) -> bool:
    """Whether two outcomes are the same. Of what is packed and damaged, some readers see what is wrong in the text."""
    if isinstance(one, pa.Table) and isinstance(other, pa.Table):
        return same_tables(one, other)
    if isinstance(one, ta.Document) and isinstance(other, ta.Document):
        return (
            [_pairs(block) for block in _blocks(one)] == [_pairs(block) for block in _blocks(other)]
            and len(_tables(one)) == len(_tables(other))
            and all(same_tables(*each) for each in zip(_tables(one), _tables(other), strict=True))
            and one.warnings == other.warnings
        )
    if isinstance(one, list) and isinstance(other, list) and any(_DAMAGED in each[3] for each in (*one, *other)):
        return True
    return type(one) is type(other) and bool(one == other)


def _blocks(document: ta.Document) -> Iterator[ta.Block]:
    """Blocks and save frames, with those inside."""
    waiting = list(document)[::-1]
    while waiting:
        block = waiting.pop()
        yield block
        waiting.extend(block.frames[::-1])


def _pairs(block: ta.Block) -> tuple[str, int, str]:
    # As text, because nan equals nothing.
    return block.name, len(block.loops), repr(dict(block.pairs))


def _tables(document: ta.Document) -> list[pa.Table]:
    return [loop for block in _blocks(document) for loop in block.loops]


def _check_valid(document: ta.Document) -> None:
    for table in _tables(document):
        table.validate(full=True)


def _check_strict_and_null(data: bytes, dialect: Dialect, whole: Any) -> int:
    """`strict` refuses what there are warnings of, and only that; nulls are read where values are refused."""
    strict = outcome(lambda: ta.read_star(data, dialect=dialect, strict=True))
    if isinstance(whole, ta.Document) and whole.warnings:
        assert isinstance(strict, list), "strict lets a warning pass"
    else:
        assert _same(strict, whole), f"strict reads otherwise: {_shown(strict)}, not {_shown(whole)}"
    null = outcome(lambda: ta.read_star(data, dialect=dialect, on_bad_value="null"))
    if isinstance(whole, ta.Document):
        assert _same(null, whole), f"on_bad_value='null' reads otherwise: {_shown(null)}"
        assert not null.rejects
    elif isinstance(null, ta.Document):
        assert null.rejects, f"refused for no reject: {_shown(whole)}"
        _check_valid(null)
        refused = {each[:2] for each in whole}
        places = {(reject.place.line, reject.place.column) for reject in null.rejects}
        # Of a column full of bad values only the first are told of.
        assert refused <= places, f"refused, and no reject: {_shown(whole)}"
    return 2


def _check_packed(data: bytes, dialect: Dialect, whole: Any) -> int:
    """What is packed, or comes from a file that is read once, is read as it is by itself."""
    if not data.startswith((_GZIP, _ZSTD)):
        packed = gzip.compress(data, 1, mtime=0)
        read = outcome(lambda: ta.read_star(packed, dialect=dialect))
        assert _same(read, whole), f"gzip reads otherwise: {_shown(read)}, not {_shown(whole)}"
        return 1
    return 0


def _request(
    data: bytes,
    block: str | int | None,
    dialect: Dialect,
    piece_bytes: int | None,
    *,
    threads: int = 1,
) -> Request:
    made = new_request(data, block, dialect, None, False, "error", LABELS, threads)
    return replace(made, piece_bytes=piece_bytes)


def _check_pieces(data: bytes, dialect: Dialect, whole: Any, choice: int, sizes: Sequence[int]) -> int:
    """One table is the same whole, in pieces of any size, as batches, as a LazyFrame, and of the document."""
    n_blocks = len(whole) if isinstance(whole, ta.Document) else 1
    blocks: list[str | int | None] = [None, "*", *{choice % max(n_blocks, 1), 0}]
    reads = 0
    for block in blocks:
        table = outcome(lambda block=block: table_of(_request(data, block, dialect, None)))
        for size in sizes if block is None else sizes[:-1]:
            asked = _request(data, block, dialect, size)
            read = outcome(lambda asked=asked: table_of(asked))
            assert _same(read, table), (
                f"block {block!r} in pieces of {asked.piece_bytes}: {_shown(read)}, not {_shown(table)}"
            )
            reads += 1
        if isinstance(table, pa.Table):
            table.validate(full=True)
        _check_stream(asked, table)
        reads += _check_ways(data, block, dialect, sizes[choice % len(sizes)])
        reads += 2
        if isinstance(block, int) and isinstance(whole, ta.Document) and block < len(whole):
            loops = whole[block].loops
            if len(loops) == 1:
                assert _same(table, loops[0]), f"block {block}: {_shown(table)}, not {_shown(loops[0])}"
            else:
                assert isinstance(table, list), f"block {block} has {len(loops)} loops, and is read as one table"
    return reads


def _check_ways(data: bytes, block: str | int | None, dialect: Dialect, size: int) -> int:
    """Pieces on several threads refuse, warn of and leave out what the whole does."""
    whole, pieces = _request(data, block, dialect, None), _request(data, block, dialect, size, threads=3)
    for read in (_strictly, _with_nulls):
        one, other = (outcome(lambda read=read, asked=asked: read(asked)) for asked in (whole, pieces))
        if isinstance(one, tuple) and isinstance(other, tuple):
            assert _same(one[0], other[0]), f"{_shown(other[0])}, not {_shown(one[0])}, in pieces of {size}"
            one, other = one[1:], other[1:]
        assert _same(one, other), (
            f"block {block!r}{read.__name__} in pieces of {size}: {_shown(other)}, not {_shown(one)}"
        )
    return 4


def _strictly(asked: Request) -> pa.Table:
    return table_of(replace(asked, strict=True))


def _with_nulls(asked: Request) -> tuple[pa.Table, list[str], list[str]]:
    """A table, what is said of its text, and what is left out of it, its types being settled beforehand."""
    asked = replace(asked, options=replace(asked.options, on_bad_value="null"))
    # All that is wrong: to settle the types tells only of what is wrong first.
    table_of(asked)
    asked = settled(asked)
    table, found = table_of(asked), Findings()
    list(read_batches(asked, found))
    return table, sorted(map(str, merged(found.notices))), sorted(map(str, found.rejects))


def _check_stream(asked: Request, table: Any) -> None:
    """Batches are the table, or are refused: because the table is, or because its integers gave way to fractions."""
    options = {"block": asked.block, "dialect": asked.dialect, "labels": LABELS, "threads": 1}
    batches = outcome(lambda: _streamed(asked))
    scanned = outcome(lambda: scan_star(asked.source, **options).collect())
    assert isinstance(batches, pa.Table) == isinstance(scanned, pl.DataFrame), "open_star and scan_star differ"
    if isinstance(batches, pa.Table):
        batches.validate(full=True)
        assert isinstance(table, pa.Table), f"open_star reads what read_table refuses: {_shown(table)}"
        assert same_tables(batches, table), f"open_star reads otherwise: {_shown(batches)}, not {_shown(table)}"
        assert not batches.num_columns or scanned.equals(_frame(table)), "scan_star reads otherwise"
    elif isinstance(table, pa.Table):
        of_integers = [name for name in table.column_names if name in LABELS and "int64" in LABELS[name].type]
        assert any(f"label _{name})" in text for name in of_integers for *_, text in batches), _shown(batches)


def _streamed(asked: Request) -> pa.Table:
    """All that `open_star` gives, were its pieces as small as asked for."""
    schema, tables = first_of(sound(settled(asked)))
    return pa.concat_tables([schema.empty_table(), *tables]).unify_dictionaries()


def _check_slab(data: bytes) -> int:
    """In a slab, between others, a file is what it is by itself."""
    alone = _slab_tables([data])
    among = _slab_tables([data, _NEIGHBOUR, data])
    assert among[1] == [["neighbour", "1.500000", "two words"]], among[1]
    assert among[0] == alone[0], f"in a slab: {_shown(among[0])}, not {_shown(alone[0])}"
    assert among[2] == alone[0], f"last in a slab: {_shown(among[2])}, not {_shown(alone[0])}"
    return 2


def _slab_tables(files: list[bytes]) -> list[Any]:
    """What a slab has of each file: what is wrong with it; or its columns, of the first loop of it, as text."""
    names = [f"file {f}" for f in range(len(files))]
    text, errors = lay_out(list(zip(names, files, strict=True)))
    structure = analyse(text, "relion")
    wrong: dict[str, Any] = {}
    for error in [*errors, *structure.faults]:
        wrong.setdefault(error.place.path, str(error).replace(error.place.path, "", 1))
    owners = structure.file[structure.loop_container].tolist()
    firsts = [owners.index(f) for f in sorted(set(owners))]
    found = Findings()
    groups = group_loops(structure, np.array(firsts, np.int64), found)
    stack, _ = read_stack(structure, structure, groups, names, Options(LABELS), found)
    stack.table.validate(full=True)
    for error in found.errors:
        wrong.setdefault(error.place.path, str(error).replace(error.place.path, "", 1))
    labels_of = {owners[loop]: labels for labels, loops in groups.items() for loop in loops}
    outcomes: list[Any] = []
    begin = 0
    for f, (name, count) in enumerate(zip(names, stack.counts.tolist(), strict=True)):
        own = stack.table.slice(begin, count)
        begin += count
        columns = [[label, *_as_text(own.column(label))] for label in labels_of.get(f, ())]
        outcomes.append(wrong.get(name, columns))
    return outcomes


def _as_text(column: pa.ChunkedArray) -> list[str]:
    return [str(value) for value in column.to_pylist()]


def check_written(data: bytes, document: ta.Document) -> None:
    """What was read and not changed is written as it was."""
    target = io.BytesIO()
    ta.write_star(document, target, threads=1)
    raw = _unpacked(data)
    assert target.getvalue() == raw, f"written otherwise, from byte {_first_difference(target.getvalue(), raw)}"


def _unpacked(data: bytes) -> bytes:
    if data.startswith(_GZIP):
        return gzip.decompress(data)
    if data.startswith(_ZSTD):
        return bytes(pa.input_stream(pa.BufferReader(data), compression="zstd").read())
    return data


def _first_difference(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _check_converted(data: bytes) -> None:
    """A dataset gives the bytes back, and holds tables that are valid; nothing is written beside it."""
    home = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        source = home / "in" / "file.star"
        source.parent.mkdir()
        source.write_bytes(data)
        report = outcome(lambda: ta.convert(source, home / "d", missing="skip", threads=1))
        if isinstance(report, ta.Report):
            for path in (home / "d").rglob("*.parquet"):
                pq.ParquetFile(path).read().validate(full=True)
            ta.export(home / "d", home / "out")
            assert [path.read_bytes() for path in (home / "out").rglob("*.star")] == [_unpacked(data)], "exported"
        assert {path.name for path in home.iterdir()} <= {"in", "d", "out"}, "something is left beside the dataset"
        assert isinstance(report, ta.Report) or not (home / "d").exists(), "something is left of a refused dataset"
    finally:
        shutil.rmtree(home)


def _peak_bytes() -> int:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _shown(outcome: Any) -> str:
    if isinstance(outcome, pa.Table):
        outcome = {
            **dict(zip(outcome.column_names, map(str, outcome.schema.types), strict=True)),
            **outcome.to_pydict(),
        }
    return repr(outcome)[:600]
