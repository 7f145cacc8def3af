"""Laws of files with many blocks: whatever their layout and the pieces they are read in, bytes and values come back."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tomoarrow as ta
from tomoarrow.star import pieces

NAMES = st.text("abTS/_.01-é", min_size=1, max_size=6).filter(lambda name: name not in ("0", "general"))
NUMBERS = st.one_of(
    st.floats(-1e6, 1e6).map(lambda v: f"{v:.6f}"),
    st.floats(-1, 1).map(lambda v: f"{v:.5e}"),
    st.integers(-99, 99).map(str),
    st.floats(-10, 10).map(lambda v: f"{v:12.5f}".strip()),
    st.sampled_from(["nan", "1e300", "-0.0", "+1.5", "07.50"]),
)
GAPS = st.sampled_from([" ", "  ", "\t", "     "])
FRONTS = st.sampled_from(["", "\n", "\n# version 50001\n\n", "# a word\n", " \n\n# version 50001\n\n# more\n\n"])
BETWEEN = st.sampled_from(["\n", "\n\n", "\n# loop\n\n", " # x\n\n"])
ENDS = st.sampled_from(["\n", " \n", " # a note\n", "\n\n", "\r\n"])


@st.composite
def rows(draw: st.DrawFn) -> str:
    lead, gap, end = draw(st.sampled_from(["", "  "])), draw(GAPS), draw(st.sampled_from(["\n", " \n", "\r\n"]))
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        own = draw(st.one_of(st.just(end), ENDS))
        lines.append(lead + gap.join(draw(NUMBERS) for _ in range(3)) + own)
    return "".join(lines)


@st.composite
def trajectories(draw: st.DrawFn) -> str:
    names = draw(st.lists(NAMES, min_size=1, max_size=12, unique=draw(st.booleans())))
    labels = draw(st.permutations(["rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst"]))
    front, between, number = draw(FRONTS), draw(BETWEEN), draw(st.booleans())
    text = draw(FRONTS) + "data_general\n\n_rlnParticleNumber   12\n" if draw(st.booleans()) else ""
    for name in names:
        odd = draw(st.integers(0, 9)) == 0
        header = "".join(f"_{label}{f' #{i}' if number else ''}\n" for i, label in enumerate(labels, 1))
        text += (draw(FRONTS) if odd else front) + f"data_{name}{draw(BETWEEN) if odd else between}loop_\n{header}"
        text += draw(rows())
        if draw(st.integers(0, 14)) == 0:
            text += "\ndata_empty\n"
    return text if draw(st.integers(0, 5)) else text.rstrip()


def check(text: str, piece_bytes: int, threads: int) -> None:
    """A file converts, is exported to its bytes, and its table is what `read_table` finds."""
    home = Path(tempfile.mkdtemp())
    before, pieces.PIECE_BYTES = pieces.PIECE_BYTES, piece_bytes
    try:
        (home / "motion.star").write_bytes(text.encode())
        report = ta.convert(home / "motion.star", home / "d", threads=threads)
        assert report.kind == "trajectory set"
        ta.export(home / "d", home / "out")
        assert (home / "out" / "motion.star").read_bytes() == text.encode()
        assert ta.verify(home / "d").differences == []
        expected = ta.read_table(text.encode(), "*")
        found = pq.read_table(home / "d" / "trajectories")
        columns = ["rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst"]
        # As text, because nan equals nothing.
        assert str(found.select(columns).to_pylist()) == str(expected.select(columns).to_pylist())
        names = found.column("rlnTomoParticleName").to_pylist()
        assert names == expected.column("block").cast(pa.string()).to_pylist()
    finally:
        pieces.PIECE_BYTES = before
        shutil.rmtree(home)


@st.composite
def relion4_sets(draw: st.DrawFn) -> str:
    """A tomogram set in one file: blocks in any order, some in another layout, some of no tomogram."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    number, gap = draw(st.booleans()), draw(GAPS)
    labels = ["rlnTomoProjX", "rlnDefocusU", "rlnMicrographPreExposure", "label"]
    order = draw(st.permutations(names))
    text = draw(FRONTS) + "data_global\n\nloop_\n_rlnTomoName\n_rlnTomoSizeX\n"
    text += "".join(f"{name}{gap}{i}\n" for i, name in enumerate(names)) + draw(st.sampled_from(["", "\n", " \n"]))
    if draw(st.integers(0, 5)) == 0:
        text += "\ndata_more\n\n_key value\n"
    for name in order:
        own = [*labels[:3], *draw(st.sampled_from([[], labels[3:]]))]
        header = "".join(f"_{label}{f' #{i}' if number else ''}\n" for i, label in enumerate(own, 1))
        text += draw(FRONTS) + f"data_{name}{draw(BETWEEN)}loop_\n{header}"
        for _ in range(draw(st.integers(1, 4))):
            values = [f"[{draw(NUMBERS)},0,1e-3]", *(draw(NUMBERS) for _ in own[1:])]
            text += gap.join(values) + draw(ENDS)
        if draw(st.integers(0, 8)) == 0:
            text += "\ndata_other\n_key value\n"
    return text


@settings(max_examples=10, deadline=None)
@given(relion4_sets())
def test_relion4_sets(text: str) -> None:
    check_relion4(text)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(relion4_sets())
def test_relion4_sets_long(text: str) -> None:
    check_relion4(text)


def check_relion4(text: str) -> None:
    """A set converts, is exported to its bytes, and has the rows that each block has by itself."""
    home = Path(tempfile.mkdtemp())
    try:
        (home / "tomograms.star").write_bytes(text.encode())
        ta.convert(home / "tomograms.star", home / "d")
        ta.export(home / "d", home / "out")
        assert (home / "out" / "tomograms.star").read_bytes() == text.encode()
        assert ta.verify(home / "d").differences == []
        document = ta.read_star(text.encode())
        names = document["global"].table.column("rlnTomoName").to_pylist()
        expected = [
            (name, i, str(row["rlnTomoProjX"]), str(row["rlnDefocusU"]), str(row.get("label")))
            for name in names
            for i, row in enumerate(document[name].table.to_pylist())
        ]
        found = pq.read_table(home / "d" / "tilts").to_pylist()
        assert [row[:4] for row in expected] == [
            (row["rlnTomoName"], row["tilt_index"], str(row["rlnTomoProjX"]), str(row["rlnDefocusU"])) for row in found
        ]
        assert [row[4] == "None" for row in expected] == [row.get("label") is None for row in found]
    finally:
        shutil.rmtree(home)


@settings(max_examples=10, deadline=None)
@given(trajectories(), st.sampled_from([64, 200, 1000, 1 << 20]), st.sampled_from([1, 3]))
def test_trajectories(text: str, piece_bytes: int, threads: int) -> None:
    check(text, piece_bytes, threads)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(trajectories(), st.integers(50, 2000), st.sampled_from([1, 3]))
def test_trajectories_long(text: str, piece_bytes: int, threads: int) -> None:
    check(text, piece_bytes, threads)
