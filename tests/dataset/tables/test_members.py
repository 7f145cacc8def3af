"""Everything that a project has besides its tomogram sets: converted, joined, checked against each other, exported."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tomoarrow as ta
from tomoarrow.relion.kinds import kind_of

OPTICS = """
# version 50001

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnImageSize #4
1 first 300.0 64
2 second 200.0 128

"""

PARTICLES = """
# version 50001

data_particles

loop_
_rlnTomoName #1
_rlnTomoParticleName #2
_rlnOpticsGroup #3
_rlnVoltage #4
_rlnCenteredCoordinateXAngst #5
_rlnTomoVisibleFrames #6
T1 T1/1 2 1.0 10.5 [1,1,0]
T2 T2/1 1 2.0 -20.25 [0,1]
T1 T1/2 2 3.0 30.0 [1,0,1]

"""

GENERAL = "\ndata_general\n\n_rlnTomoSubTomosAre2DStacks   1\n\n"


def table(dataset: Path, name: str) -> pa.Table:
    return pq.read_table(dataset / name)


def rows(dataset: Path, name: str, *columns: str) -> list[tuple[Any, ...]]:
    found = pl.from_arrow(table(dataset, name).select(list(columns)))
    assert isinstance(found, pl.DataFrame)
    return found.rows()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def exported(dataset: Path, **options: Any) -> dict[str, str]:
    out = dataset.parent / "out"
    ta.export(dataset, out, force=True, **options)
    return {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*.star")}


def codes(report: ta.Report) -> dict[str, int]:
    return {warning.code: warning.count for warning in report.warnings}


def messages(report: ta.Report) -> str:
    return "\n".join(warning.message for warning in report.warnings)


# --- particle sets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece_bytes", [1, 100, 4 << 20])
@pytest.mark.parametrize("order", ["optics first", "optics last"])
def test_particles_stand_beside_their_optics(
    tmp_path: Path, order: str, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    text = GENERAL + (OPTICS + PARTICLES if order == "optics first" else PARTICLES + OPTICS)
    write(tmp_path, {"particles.star": text})
    dataset = tmp_path / "dataset"
    report = ta.convert(tmp_path / "particles.star", dataset)
    assert (report.kind, report.warnings) == ("particle set", [])
    assert report.rows == {"optics": 2, "particles": 3, "pairs": 1}
    found = rows(dataset, "particles", "rlnTomoParticleName", "rlnVoltage", "rlnVoltage_optics", "rlnOpticsGroupName")
    assert found == [("T1/1", 1.0, 200.0, "second"), ("T2/1", 2.0, 300.0, "first"), ("T1/2", 3.0, 200.0, "second")]
    assert rows(dataset, "particles", "rlnTomoVisibleFrames", "rlnImageSize") == [
        ([1, 1, 0], 128),
        ([0, 1], 64),
        ([1, 0, 1], 128),
    ]
    assert rows(dataset, "pairs", "file", "block", "label", "value") == [
        ("particles.star", "general", "rlnTomoSubTomosAre2DStacks", "1")
    ]
    assert exported(dataset) == {"particles.star": text}


def test_a_group_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    write(tmp_path, {"particles.star": OPTICS + PARTICLES.replace("T2/1 1", "T2/1 7")})
    report = ta.convert(tmp_path / "particles.star", tmp_path / "dataset")
    assert codes(report) == {"particle-optics": 1}
    assert "(7)" in messages(report)
    found = rows(tmp_path / "dataset", "particles", "rlnOpticsGroup", "rlnOpticsGroupName")
    assert found == [(2, "second"), (7, None), (2, "second")]


def test_particles_without_optics(tmp_path: Path) -> None:
    write(tmp_path, {"particles.star": PARTICLES})
    report = ta.convert(tmp_path / "particles.star", tmp_path / "dataset")
    assert report.rows == {"particles": 3}
    assert "rlnVoltage_optics" not in table(tmp_path / "dataset", "particles").column_names
    assert exported(tmp_path / "dataset") == {"particles.star": PARTICLES}


def test_a_type_that_changes_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", 400)
    lines = "".join(f"T1 {i} {i}.0 {i if i < 99 else 'x'}\n" for i in range(100))
    text = f"data_particles\nloop_\n_rlnTomoName\n_rlnOpticsGroup\n_rlnCoordinateX\n_note\n{lines}"
    write(tmp_path, {"particles.star": OPTICS + text})
    ta.convert(tmp_path / "particles.star", tmp_path / "dataset")
    assert rows(tmp_path / "dataset", "particles", "note")[98:] == [("98",), ("x",)]
    assert exported(tmp_path / "dataset") == {"particles.star": OPTICS + text}


# --- trajectories ------------------------------------------------------------------------------------------------


def motion(names: list[str], n_tilts: Callable[[str], int], *, front: bool = True) -> str:
    blocks = [
        f"\n# version 50001\n\ndata_{name}\n\nloop_ \n"
        + "".join(f"_rlnOrigin{axis}Angst #{number} \n" for number, axis in enumerate("XYZ", 1))
        + "".join(f"    {i}.{t}00000     -{t}.00000     0.500000 \n" for t in range(n_tilts(name)))
        + " \n"
        for i, name in enumerate(names, 1)
    ]
    general = f"\n# version 50001\n\ndata_general\n\n_rlnParticleNumber {len(names):>27}\n \n"
    return (general if front else "") + "".join(blocks)


@pytest.mark.parametrize("piece_bytes", [100, 333, 1000, 4 << 20])
@pytest.mark.parametrize("threads", [1, 3])
def test_trajectories_are_one_table(
    tmp_path: Path, piece_bytes: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    text = motion([f"T{i % 2}/{i}" for i in range(9)], lambda name: 1 + int(name[-1]) % 3)
    write(tmp_path, {"motion.star": text})
    report = ta.convert(tmp_path / "motion.star", tmp_path / "dataset", threads=threads)
    assert (report.kind, report.warnings) == ("trajectory set", [])
    found = rows(tmp_path / "dataset", "trajectories", *KEYS, "rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
    assert found[:4] == [
        ("T0", "T0/0", 0, 1.0, 0.0, 0.5),
        ("T1", "T1/1", 0, 2.0, 0.0, 0.5),
        ("T1", "T1/1", 1, 2.1, -1.0, 0.5),
        ("T0", "T0/2", 0, 3.0, 0.0, 0.5),
    ]
    assert len(found) == 18
    assert exported(tmp_path / "dataset") == {"motion.star": text}
    assert ta.verify(tmp_path / "dataset").exit_code == 0
    assert table(tmp_path / "dataset", "star").num_rows == 2


KEYS = ("rlnTomoName", "rlnTomoParticleName", "tilt_index")

GLOBAL = """
data_global

loop_
_rlnTomoName #1
_rlnTomoTiltSeriesStarFile #2
_rlnTomoHand #3
T1 series/T1.star -1
T2 series/T2.star 1

"""

SET = "\ndata_\n\n_rlnTomoParticlesFile   p.star\n_rlnTomoTomogramsFile   t.star\n_rlnTomoTrajectoriesFile   m.star\n"


def series(name: str, n: int) -> str:
    tilts = "".join(f"{3 * i}.0 {i}.0\n" for i in range(n))
    return f"\ndata_{name}\n\nloop_\n_rlnMicrographPreExposure #1\n_rlnTomoYTilt #2\n{tilts}\n"


def project(folder: Path, **changed: str) -> Path:
    """Two tomograms of 3 and 2 tilts, three particles, their trajectories, and what names them all."""
    files = {
        "set.star": SET,
        "t.star": GLOBAL,
        "series/T1.star": series("T1", 3),
        "series/T2.star": series("T2", 2),
        "p.star": GENERAL + OPTICS + PARTICLES,
        "m.star": motion(["T1/1", "T1/2", "T2/1"], lambda name: 3 if name < "T2" else 2),
    }
    write(folder, files | {name.replace("__", "/") + ".star": text for name, text in changed.items()})
    return folder / "set.star"


def sources(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*.star")
        if "out" not in path.parts
    }


@pytest.mark.parametrize("form", ["list", "loop", "loop with an empty path"])
def test_an_optimisation_set_pulls_in_what_it_names(tmp_path: Path, form: str) -> None:
    home = tmp_path / "project"
    given = project(home)
    if form != "list":
        labels = ["Particles", "Tomograms", "Trajectories"] + ["Manifolds"] * (form != "loop")
        header = "".join(f"_rlnTomo{label}File #{i}\n" for i, label in enumerate(labels, 1))
        empty = ' ""' * (form != "loop")
        write(home, {"set.star": f"data_optimisation_set\n\nloop_\n{header}p.star\tt.star\tm.star{empty}\n\n"})
    report = ta.convert(given, tmp_path / "dataset")
    assert (report.kind, report.warnings, report.rejects) == ("optimisation set", [], 0)
    expected = {"tilts": 5, "tomograms": 2, "optics": 2, "particles": 3, "trajectories": 8}
    assert {name: report.rows[name] for name in expected} == expected
    assert report.project == str(home)
    assert exported(tmp_path / "dataset") == sources(home)
    verified = ta.verify(tmp_path / "dataset")
    assert (verified.exit_code, verified.files) == (0, 6)
    assert ta.verify(tmp_path / "dataset", against=tmp_path / "out").exit_code == 0


def test_trajectories_find_their_particles_in_any_order(tmp_path: Path) -> None:
    text = motion(["T2/1", "T1/2", "T1/9", "T1/1"], lambda name: 3 if name < "T2" else 2)
    report = ta.convert(project(tmp_path / "project", m=text), tmp_path / "dataset")
    # One that no particle has is no fault: particles are selected, trajectories are not.
    assert codes(report) == {}
    found = rows(tmp_path / "dataset", "trajectories", *KEYS)
    assert found[:3] == [("T2", "T2/1", 0), ("T2", "T2/1", 1), ("T1", "T1/2", 0)]
    assert ("T1", "T1/9", 0) in found


def test_numbered_trajectories_are_in_the_order_of_the_particles(tmp_path: Path) -> None:
    text = motion(["0", "1", "2"], lambda name: 2 if name == "1" else 3)
    home = tmp_path / "project"
    report = ta.convert(project(home, m=text), tmp_path / "dataset")
    assert codes(report) == {}
    assert rows(tmp_path / "dataset", "trajectories", *KEYS, "block") == [
        *(("T1", "T1/1", t, "0") for t in range(3)),
        *(("T2", "T2/1", t, "1") for t in range(2)),
        *(("T1", "T1/2", t, "2") for t in range(3)),
    ]
    assert exported(tmp_path / "dataset") == sources(home)


def test_numbered_trajectories_alone_name_no_particle(tmp_path: Path) -> None:
    text = motion(["0", "1"], lambda _: 2)
    write(tmp_path, {"motion.star": text})
    ta.convert(tmp_path / "motion.star", tmp_path / "dataset")
    assert rows(tmp_path / "dataset", "trajectories", *KEYS, "block")[2] == (None, None, 0, "1")
    assert exported(tmp_path / "dataset") == {"motion.star": text}


MISMATCHES: list[tuple[dict[str, str], str, int, str]] = [
    ({"p": OPTICS + PARTICLES.replace("T2 T2/1", "T9 T2/1")}, "particle-tomogram", 1, "T9"),
    ({"p": OPTICS + PARTICLES.replace("[1,0,1]", "[1,0]")}, "visible-frames", 1, "T1/2"),
    ({"p": OPTICS + PARTICLES.replace("T1/2 2", "T1/2 5")}, "particle-optics", 1, "5"),
    ({"m": motion(["T1/1", "T2/1"], lambda name: 3 if name < "T2" else 2)}, "particle-trajectory", 1, "T1/2"),
    ({"m": motion(["T1/1", "T1/2", "T2/1"], lambda _: 3)}, "trajectory-length", 1, "T2/1"),
    ({"m": motion(["0", "1"], lambda name: 3 if name == "0" else 2)}, "trajectory-order", 1, "2 numbered"),
]


@pytest.mark.parametrize(("changed", "code", "count", "name"), MISMATCHES)
def test_mismatches_are_told_by_name_and_nothing_is_dropped(
    tmp_path: Path, changed: dict[str, str], code: str, count: int, name: str
) -> None:
    home = tmp_path / "project"
    report = ta.convert(project(home, **changed), tmp_path / "dataset")
    found = [warning for warning in report.warnings if warning.code == code]
    assert [warning.count for warning in found] == [count]
    assert name in found[0].message
    assert report.rows["particles"] == 3
    assert exported(tmp_path / "dataset") == sources(home)


def test_missing_members_are_told_together(tmp_path: Path) -> None:
    given = project(tmp_path / "project")
    for name in ("m.star", "series/T2.star"):
        (tmp_path / "project" / name).unlink()
    with pytest.raises(ta.MissingFileError) as caught:
        ta.convert(given, tmp_path / "dataset")
    assert len(caught.value.errors) == 2
    assert "m.star" in str(caught.value)
    assert "series/T2.star" in str(caught.value)
    report = ta.convert(given, tmp_path / "dataset", missing="skip")
    assert (report.exit_code, report.rejects) == (1, 2)
    assert rows(tmp_path / "dataset", "rejects", "label", "text") == [
        ("rlnTomoTiltSeriesStarFile", "series/T2.star"),
        ("rlnTomoTrajectoriesFile", "m.star"),
    ]
    assert exported(tmp_path / "dataset") == sources(tmp_path / "project")


ODD_BLOCKS: list[tuple[str, dict[str, int]]] = [
    # An empty block, and one with no rows, among the others.
    (
        motion(["T1/1"], lambda _: 2) + "\ndata_empty\n\n" + motion(["T1/2"], lambda _: 2, front=False),
        {"empty-block": 1},
    ),
    (motion(["T1/1"], lambda _: 2) + "\ndata_z\n\nloop_\n_rlnOriginXAngst\n\n", {"empty-block": 1}),
    # Comments, another layout for some, no end of line.
    (motion(["T1/1", "T1/2"], lambda _: 2).replace("data_T1/2\n", "# mine\ndata_T1/2\n"), {}),
    (motion(["T1/1", "T1/2", "T1/3"], lambda _: 2).replace("    2.000000", "2.0"), {}),
    (motion(["T1/1", "T1/2"], lambda _: 2).rstrip(), {}),
    (motion(["T1/1", "T1/2"], lambda _: 2).replace("\n", "\r\n"), {"crlf": 1}),
    # Labels in another order.
    (
        motion(["T1/1"], lambda _: 1)
        + "data_T1/2\nloop_\n_rlnOriginZAngst\n_rlnOriginYAngst\n_rlnOriginXAngst\n3.0 2.0 1.0\n",
        {},
    ),
]


@pytest.mark.parametrize(("text", "warned"), ODD_BLOCKS)
@pytest.mark.parametrize("piece_bytes", [150, 4 << 20])
def test_odd_blocks_are_written_again(
    tmp_path: Path, text: str, warned: dict[str, int], piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    (tmp_path / "motion.star").write_bytes(text.encode())
    report = ta.convert(tmp_path / "motion.star", tmp_path / "dataset")
    assert set(codes(report)) == set(warned)
    ta.export(tmp_path / "dataset", tmp_path / "out")
    assert (tmp_path / "out" / "motion.star").read_bytes() == text.encode()


BAD_BLOCKS = [
    (motion(["T1/1"], lambda _: 1) + "data_T1/2\nloop_\n_other\n1\n", "other labels"),
    (motion(["T1/1"], lambda _: 1) + "data_T1/2\n_a 1\nloop_\n_rlnOriginXAngst\n1\n", "labels with one value each"),
    (motion(["T1/1"], lambda _: 1) + "data_T1/2\nloop_\n_a\n1\n\nloop_\n_b\n1\n", "2 loops"),
    (motion(["T1/1"], lambda _: 1).replace("0.500000", "half"), "'half'"),
]


@pytest.mark.parametrize(("text", "message"), BAD_BLOCKS)
@pytest.mark.parametrize("piece_bytes", [150, 4 << 20])
def test_bad_blocks_are_refused(
    tmp_path: Path, text: str, message: str, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    write(tmp_path, {"motion.star": text})
    with pytest.raises(ta.SchemaError, match=message):
        ta.convert(tmp_path / "motion.star", tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


# --- manifolds ---------------------------------------------------------------------------------------------------

MANIFOLDS = """
data_T1

loop_
_rlnTomoManifoldIndex #1
_rlnTomoManifoldType #2
_rlnTomoManifoldParams #3
0 sphere [1,2,3,40]
1 spheroid [1,2,3,4,5,6,7,8,9]


data_T2

loop_
_rlnTomoManifoldIndex #1
_rlnTomoManifoldType #2
_rlnTomoManifoldParams #3
0 sphere [4,5,6,50.5]

"""


def test_manifolds_are_one_table(tmp_path: Path) -> None:
    write(tmp_path, {"manifolds.star": MANIFOLDS})
    report = ta.convert(tmp_path / "manifolds.star", tmp_path / "dataset")
    assert (report.kind, report.rows) == ("manifold set", {"manifolds": 3})
    found = rows(tmp_path / "dataset", "manifolds", "rlnTomoName", "row_index", "rlnTomoManifoldParams")
    assert found[1:] == [("T1", 1, [1, 2, 3, 4, 5, 6, 7, 8, 9]), ("T2", 0, [4, 5, 6, 50.5])]
    assert exported(tmp_path / "dataset") == {"manifolds.star": MANIFOLDS}
    assert ta.verify(tmp_path / "dataset").exit_code == 0


# --- RELION 4 ----------------------------------------------------------------------------------------------------


def relion4(*names: str, tilts: Callable[[str], str] | None = None) -> str:
    head = "\ndata_global\n\nloop_\n_rlnTomoName #1\n_rlnTomoTiltSeriesName #2\n_rlnTomoSizeX #3\n"
    head += "".join(f"{name}\t{name}.mrcs\t{100 + i}\n" for i, name in enumerate(sorted(names))) + "\n\n"
    rows_of = tilts or (lambda name: f"[1,0,0,{name[-1]}] [0,1,0,0] 2.5\n[1,0,0,5] [0,1,0,0] 3.5\n")
    return head + "".join(
        f"data_{name}\n\nloop_\n_rlnTomoProjX #1\n_rlnTomoProjY #2\n_rlnDefocusU #3\n{rows_of(name)}\n\n"
        for name in names
    )


@pytest.mark.parametrize("names", [("T1", "T2", "T3"), ("T3", "T1", "T2")])
def test_a_set_of_relion_4_has_the_same_tables(tmp_path: Path, names: tuple[str, ...]) -> None:
    text = relion4(*names)
    write(tmp_path, {"tomograms.star": text})
    report = ta.convert(tmp_path / "tomograms.star", tmp_path / "dataset")
    assert (report.kind, report.tomograms, report.tilts) == ("tomogram set", 3, 6)
    assert rows(tmp_path / "dataset", "tilts", "rlnTomoName", "tilt_index", "rlnTomoProjX", "rlnTomoSizeX")[1:3] == [
        ("T1", 1, [1, 0, 0, 5], 100),
        ("T2", 0, [1, 0, 0, 2], 101),
    ]
    assert exported(tmp_path / "dataset") == {"tomograms.star": text}
    assert ta.verify(tmp_path / "dataset").exit_code == 0
    assert exported(tmp_path / "dataset", tomograms=["T2"]) == {
        "tomograms.star": relion4("T2").replace("mrcs\t100", "mrcs\t101")
    }


def test_a_tomogram_without_its_block(tmp_path: Path) -> None:
    text = relion4("T1", "T2").replace("data_T2", "data_T7")
    write(tmp_path, {"tomograms.star": text})
    with pytest.raises(ta.MissingFileError, match="'T2' has no block"):
        ta.convert(tmp_path / "tomograms.star", tmp_path / "dataset")
    report = ta.convert(tmp_path / "tomograms.star", tmp_path / "dataset", missing="skip")
    assert (report.tilts, report.rejects) == (2, 1)
    assert "other-blocks" in codes(report)
    assert exported(tmp_path / "dataset") == {"tomograms.star": text}


def test_bad_values_have_their_line(tmp_path: Path) -> None:
    text = relion4("T1", "T2").replace("[1,0,0,2] [0,1,0,0] 2.5", "[1,0,0,2] [0,1,0,0] x")
    write(tmp_path, {"tomograms.star": text})
    with pytest.raises(ta.SchemaError, match="'x'") as caught:
        ta.convert(tmp_path / "tomograms.star", tmp_path / "dataset")
    assert caught.value.place.line == text[: text.index("] x")].count("\n") + 1
    assert caught.value.place.block == "T2"


def test_two_blocks_of_one_tomogram(tmp_path: Path) -> None:
    write(tmp_path, {"tomograms.star": relion4("T1", "T2") + relion4("T1").split("\n\n\n", 1)[1]})
    with pytest.raises(ta.SchemaError, match="more than one block: T1"):
        ta.convert(tmp_path / "tomograms.star", tmp_path / "dataset")


# --- what is left of a project -----------------------------------------------------------------------------------


def test_some_tomograms_with_all_that_refers_to_them(tmp_path: Path) -> None:
    home = tmp_path / "project"
    ta.convert(project(home), tmp_path / "dataset")
    files = exported(tmp_path / "dataset", tomograms=["T1"])
    assert set(files) == {"set.star", "t.star", "series/T1.star", "p.star", "m.star"}
    assert files["p.star"] == (home / "p.star").read_text().replace("T2 T2/1 1 2.0 -20.25 [0,1]\n", "")
    assert files["m.star"] == motion(["T1/1", "T1/2"], lambda _: 3)


@pytest.mark.parametrize("how", ["selected", "edited"])
def test_tilts_that_are_left_out_are_left_out_of_particles_too(tmp_path: Path, how: str) -> None:
    home, dataset = tmp_path / "project", tmp_path / "dataset"
    ta.convert(project(home), dataset)
    if how == "selected":
        files = exported(dataset, where="NOT (rlnTomoName = 'T1' AND tilt_index = 1)")
    else:
        path = next((dataset / "tilts").glob("*.parquet"))
        pl.read_parquet(path).filter(~((pl.col("rlnTomoName") == "T1") & (pl.col("tilt_index") == 1))).write_parquet(
            path
        )
        files = exported(dataset)
    expected = (home / "p.star").read_text().replace("[1,1,0]", "[1,0]").replace("[1,0,1]", "[1,1]")
    assert files["p.star"] == expected
    shorter = (home / "m.star").read_text()
    for i in (1, 2):
        shorter = shorter.replace(f"    {i}.100000     -1.00000     0.500000 \n", "")
    assert files["m.star"] == shorter
    assert files["series/T1.star"] == series("T1", 3).replace("3.0 1.0\n", "")


def test_particles_edited_by_polars(tmp_path: Path) -> None:
    home, dataset = tmp_path / "project", tmp_path / "dataset"
    ta.convert(project(home), dataset)
    for name in ("particles", "trajectories"):
        path = next((dataset / name).glob("*.parquet"))
        pl.read_parquet(path).filter(pl.col("rlnTomoParticleName") != "T1/1").write_parquet(path)
    path = next((dataset / "particles").glob("*.parquet"))
    pl.read_parquet(path).with_columns(rlnClassNumber=pl.lit(3)).write_parquet(path)
    files = exported(dataset)
    assert files["m.star"] == motion(["T1/1", "T1/2", "T2/1"], lambda n: 3 if n < "T2" else 2).replace(
        motion(["T1/1"], lambda _: 3, front=False), ""
    ).replace(f"{3:>27}", f"{2:>27}")
    read = ta.read_table(files["p.star"].encode(), "particles")
    assert read.column("rlnTomoParticleName").to_pylist() == ["T2/1", "T1/2"]
    assert read.column("rlnClassNumber").to_pylist() == [3, 3]
    assert "rlnVoltage_optics" not in read.column_names


def test_scattered_trajectories_are_refused(tmp_path: Path) -> None:
    ta.convert(project(tmp_path / "project"), tmp_path / "dataset")
    path = next((tmp_path / "dataset" / "trajectories").glob("*.parquet"))
    pl.read_parquet(path).sort("tilt_index").write_parquet(path)
    with pytest.raises(ta.DatasetError, match="do not stand together"):
        ta.export(tmp_path / "dataset", tmp_path / "out")


# --- real files --------------------------------------------------------------------------------------------------

SETS = {"optimisation set", "tomogram set", "RELION 4 tomogram set", "particle set", "trajectory set", "manifold set"}


def test_every_set_of_the_corpus(shared: Path, tmp_path: Path) -> None:
    """It converts and is exported to the same bytes, or is refused naming what is missing, and then can be skipped."""
    corpus = shared / "corpus"
    with (corpus / "PROVENANCE.csv").open() as file:
        listed = [corpus / row["file"] for row in csv.DictReader(file) if row["kind"] not in ("cif", "nmr-star")]
    counts: dict[str, int] = {}
    for n, path in enumerate(listed):
        try:
            kind = kind_of(path)
        except ta.StarSyntaxError:
            continue
        if kind not in SETS:
            continue
        dataset, out = tmp_path / f"{n}", tmp_path / f"{n}-out"
        try:
            report = ta.convert(path, dataset)
        except ta.MissingFileError as error:
            missing = [Path(each.expected.split(";")[0]) for each in error.errors]
            assert missing
            assert not any(each.exists() for each in missing)
            report = ta.convert(path, dataset, missing="skip")
            assert report.rejects == len(missing)
            counts["skipped"] = counts.get("skipped", 0) + 1
        ta.export(dataset, out)
        verified = ta.verify(dataset)
        assert (verified.differences, verified.files > 0) == ([], True), path
        assert ta.verify(dataset, against=out).differences == [], path
        counts[kind] = counts.get(kind, 0) + 1
    assert counts == {
        "optimisation set": 13,
        "tomogram set": 12,
        "RELION 4 tomogram set": 1,
        "particle set": 52,
        "skipped": 10,
    }
