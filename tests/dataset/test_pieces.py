"""A single STAR file is converted in pieces: the dataset, and the file it is exported to, are the same whatever
the pieces are."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pytest

from tomoarrow import SchemaError, TomoarrowError, convert, export, read_star, verify
from tomoarrow.example import Example

PARTICLES = (
    """
# version 50001

data_general

_rlnTomoSubTomosAre2DStacks                       1


data_optics

loop_
_rlnOpticsGroup #1
_rlnVoltage #2
           1   300.000000


# a word before the particles
data_particles

loop_
_rlnTomoName #1
_rlnCoordinateX #2
_rlnOpticsGroup #3
_note #4
"""
    + "".join(
        f"TS_{i % 5:02d} {i * 1.25:12.6f} {1:12d} {i if i < 60 else i + 0.5 if i < 90 else 'text'}\n"
        for i in range(120)
    )
    + """TS_01   7   1  'by hand'   # with a comment
TS_01 \t 8.00  1  "x"

data_more
_first a
_second 'b c'

loop_
_rlnCoordinateX
1.5
2.5e3
"""
).encode()


def tables_of(dataset: Path) -> dict[str, pa.Table]:
    folders = [path.name for path in dataset.iterdir() if path.is_dir() and path.name != "star"]
    return {name: pads.dataset(dataset / name).to_table() for name in folders}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("piece_bytes", [1, 37, 200, 333, 1000, 5000, None])
def test_any_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int | None, threads: int) -> None:
    source = tmp_path / "particles.star"
    source.write_bytes(PARTICLES)
    if piece_bytes:
        monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    report = convert(source, tmp_path / "d", threads=threads)
    assert report.rows == {"optics": 1, "particles": 122, "more": 2, "pairs": 3}
    document = read_star(source)
    found = tables_of(tmp_path / "d")
    for name in ("optics", "particles", "more"):
        expected = document[name].table
        assert expected is not None
        own = found[name].select(expected.column_names)
        assert pl.from_arrow(own).equals(pl.from_arrow(expected))  # type: ignore[union-attr, arg-type]
        assert [str(t) for t in own.schema.types] == [str(t) for t in expected.schema.types]
    # Beside each particle what is known of its optics group.
    assert found["particles"].column("rlnVoltage").to_pylist() == [300.0] * 122
    assert found["pairs"].drop_columns(["file"]).to_pylist() == [
        {"block_index": 0, "block": "general", "label": "rlnTomoSubTomosAre2DStacks", "value": "1"},
        {"block_index": 3, "block": "more", "label": "first", "value": "a"},
        {"block_index": 3, "block": "more", "label": "second", "value": "b c"},
    ]
    export(tmp_path / "d", tmp_path / "out")
    assert (tmp_path / "out" / "particles.star").read_bytes() == PARTICLES
    assert verify(tmp_path / "d").differences == []


def test_any_pieces_of_real_files(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes come back, whatever a file is: each that converts whole converts in pieces."""
    paths = sorted(path for path in (shared / "corpus").rglob("*.star") if 5_000 < path.stat().st_size < 200_000)
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", 1999)
    n = 0
    for path in paths[::8]:
        try:
            report = convert(path, tmp_path / str(n), on_bad_value="null")
        except TomoarrowError:
            continue
        if report.kind in ("STAR file", "particle set"):
            export(tmp_path / str(n), tmp_path / f"{n}.out")
            assert (tmp_path / f"{n}.out" / path.name).read_bytes() == path.read_bytes(), path
            n += 1
    assert n > 8


def test_edits_of_a_file_kept_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "particles.star"
    source.write_bytes(PARTICLES)
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", 500)
    convert(source, tmp_path / "d")
    parts = sorted((tmp_path / "d" / "particles").glob("*.parquet"))
    frame = pl.read_parquet(parts)
    edited = frame.with_columns(
        pl.when(pl.col("note") == "3").then(9.5).otherwise("rlnCoordinateX").alias("rlnCoordinateX")
    )
    for part in parts[1:]:
        part.unlink()
    for rows, name in ((edited, "changed"), (edited.head(50), "fewer"), (pl.concat([edited, edited]), "more")):
        rows.write_parquet(parts[0])
        export(tmp_path / "d", tmp_path / name)
        table = read_star(tmp_path / name / "particles.star")["particles"].table
        assert table is not None
        again = pl.from_arrow(table)
        assert isinstance(again, pl.DataFrame)
        columns = ["rlnTomoName", "rlnCoordinateX", "rlnOpticsGroup"]
        assert again.select(columns).equals(rows.select(columns))
    lines = zip(
        PARTICLES.splitlines(), (tmp_path / "changed" / "particles.star").read_bytes().splitlines(), strict=True
    )
    assert [(one, other) for one, other in lines if one != other] == [
        (b"TS_03     3.750000            1 3", b"TS_03     9.500000            1 3")
    ]


@pytest.mark.parametrize("piece_bytes", [100, 1000, None])
def test_a_bad_value_has_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int | None) -> None:
    source = tmp_path / "x.star"
    source.write_bytes(PARTICLES + b"\n# end\n\ndata_last\nloop_\n_rlnCoordinateX\n_rlnOpticsGroup\n1 2\nbad 3\n")
    if piece_bytes:
        monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    with pytest.raises(SchemaError) as caught:
        convert(source, tmp_path / "d")
    place = caught.value.place
    assert (place.line, place.column, place.block, place.label) == (
        PARTICLES.count(b"\n") + 9,
        1,
        "last",
        "rlnCoordinateX",
    )
    assert not (tmp_path / "d").exists()
    report = convert(source, tmp_path / "d", on_bad_value="null")
    assert (report.rejects, report.exit_code) == (1, 1)


@pytest.mark.parametrize("most_held", [100, 1 << 20])
def test_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_held: int) -> None:
    """What can be read only once: types are those of labels, and text where these are not known."""
    monkeypatch.setattr("tomoarrow.dataset.convert.MOST_HELD", most_held)
    pipe = tmp_path / "particles.star"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=pipe.write_bytes, args=(PARTICLES,))
    feeder.start()
    report = convert(pipe, tmp_path / "d")
    feeder.join()
    assert report.rows["particles"] == 122
    export(tmp_path / "d", tmp_path / "out")
    assert (tmp_path / "out" / "particles.star").read_bytes() == PARTICLES


def test_a_tomogram_set_from_a_pipe(tmp_path: Path, small_project: Example) -> None:
    star = small_project.tomograms_star
    pipe = tmp_path / "tomograms.star"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=pipe.write_bytes, args=(star.read_bytes(),))
    feeder.start()
    report = convert(pipe, tmp_path / "d", project=small_project.directory)
    feeder.join()
    assert (report.kind, report.tomograms) == ("tomogram set", 7)


@pytest.mark.parametrize("what", ["a set", "a file"])
def test_the_same_bytes_for_any_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_project: Example, what: str
) -> None:
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", 500)
    monkeypatch.setattr("tomoarrow.dataset.tables.tilts._SLAB_BYTES", 3000)
    source = small_project.tomograms_star
    if what == "a file":
        source = tmp_path / "particles.star"
        source.write_bytes(PARTICLES)
    written = []
    for threads in (1, 2, 3, 8):
        convert(source, tmp_path / f"d{threads}", threads=threads)
        parts = sorted((tmp_path / f"d{threads}").rglob("*.parquet"))
        written.append({part.relative_to(tmp_path / f"d{threads}"): part.read_bytes() for part in parts})
    assert len(written[0]) >= 3
    assert all(each == written[0] for each in written)
