"""Hard cases of whole projects: odd members, edited tables, files in many pieces."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest

import tomoarrow as ta
from tests.dataset.tables.test_members import (
    GLOBAL,
    MANIFOLDS,
    OPTICS,
    PARTICLES,
    SET,
    codes,
    exported,
    motion,
    project,
    rows,
    sources,
    write,
)


def edit(dataset: Path, table: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change a table as users do."""
    (path,) = (dataset / table).glob("*.parquet")
    change(pl.read_parquet(path)).write_parquet(path)


# --- what tilts and tomograms take with them ---------------------------------------------------------------------


def test_the_rows_of_a_manifold_are_no_tilts(tmp_path: Path) -> None:
    given = project(tmp_path / "project", set=SET + "_rlnTomoManifoldsFile man.star\n", man=MANIFOLDS)
    ta.convert(given, tmp_path / "dataset")
    assert exported(tmp_path / "dataset", where="tilt_index <> 1")["man.star"] == MANIFOLDS


# --- files in many pieces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece_bytes", [60, 145, 150, 155, 4 << 20])
def test_an_optics_table_may_be_longer_than_a_piece(
    tmp_path: Path, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    write(tmp_path, {"particles.star": OPTICS + PARTICLES})
    report = ta.convert(tmp_path / "particles.star", tmp_path / "dataset")
    assert codes(report) == {}
    found = rows(tmp_path / "dataset", "particles", "rlnOpticsGroup", "rlnOpticsGroupName")
    assert found == [(2, "second"), (1, "first"), (2, "second")]


@pytest.mark.parametrize("piece_bytes", [20, 50, 4 << 20])
def test_a_label_has_a_type_of_its_own_in_each_table(
    tmp_path: Path, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    star = tmp_path / "x.star"
    numbers = "loop_\n_a\n_b\n-0.0 1\n2.50 2\n\n"
    star.write_text(f"data_x\nloop_\n_a\n1\n2\nx\n3\n\n{numbers}data_y\n{numbers}")
    ta.convert(star, tmp_path / "dataset")
    dataset = ta.Dataset(tmp_path / "dataset")
    assert dataset["x"].collect().rows() == [("1",), ("2",), ("x",), ("3",)]
    for table in ("x_2", "y"):
        assert dataset[table].collect().rows() == [(0.0, 1), (2.5, 2)]
    assert ta.verify(tmp_path / "dataset").differences == []


BESIDE = "data_t\n_a 1\n\nloop_\n_x\n" + "".join(f"{i}\n" for i in range(60)) + "\n_z 2\n\ndata_u\n_b 3\n"

PAIR_EDITS: list[tuple[str, dict[str, str | None], str]] = [
    ("unchanged", {}, BESIDE),
    ("changed in front", {"a": "7"}, BESIDE.replace("_a 1", "_a 7")),
    ("changed behind", {"z": "7"}, BESIDE.replace("_z 2", "_z 7")),
    ("left out behind", {"z": None}, BESIDE.replace("_z 2\n", "")),
    ("changed in the last block", {"b": "7"}, BESIDE.replace("_b 3", "_b 7")),
]


@pytest.mark.parametrize(
    ("changes", "expected"), [case[1:] for case in PAIR_EDITS], ids=[case[0] for case in PAIR_EDITS]
)
@pytest.mark.parametrize("piece_bytes", [50, 100, 4 << 20])
def test_pairs_on_both_sides_of_a_loop(
    tmp_path: Path,
    changes: dict[str, str | None],
    expected: str,
    piece_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    write(tmp_path, {"x.star": BESIDE})
    ta.convert(tmp_path / "x.star", tmp_path / "dataset")
    for label, value in changes.items():
        own = pl.col("label") == label
        changed = pl.when(own).then(pl.lit(value, pl.String)).otherwise("value").alias("value")
        edit(tmp_path / "dataset", "pairs", lambda frame, own=own, new=changed: frame.with_columns(new))
        if value is None:
            edit(tmp_path / "dataset", "pairs", lambda frame, own=own: frame.filter(~own))
    assert exported(tmp_path / "dataset") == {"x.star": expected}


@pytest.mark.parametrize("piece_bytes", [50, 100, 4 << 20])
def test_a_new_pair_beside_a_loop(tmp_path: Path, piece_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    write(tmp_path, {"x.star": BESIDE})
    ta.convert(tmp_path / "x.star", tmp_path / "dataset")
    edit(
        tmp_path / "dataset", "pairs", lambda frame: pl.concat([frame, frame.head(1).with_columns(label=pl.lit("new"))])
    )
    read = ta.read_star(exported(tmp_path / "dataset")["x.star"].encode())
    assert [dict(block.pairs) for block in read] == [{"a": 1, "z": 2, "new": 1}, {"b": 3}]
    assert read["t"].loops[0].num_rows == 60


# --- what an optimisation set may name ---------------------------------------------------------------------------

TWICE = [
    ("itself", SET.replace("p.star", "set.star")),
    ("itself otherwise", SET.replace("p.star", "./set.star")),
    ("a file twice", SET.replace("m.star", "p.star")),
    ("a file twice, otherwise", SET.replace("m.star", "series/../p.star")),
    ("its tomograms twice", SET.replace("p.star", "t.star")),
    ("a link", SET.replace("m.star", "link.star")),
]


@pytest.mark.parametrize("text", [text for _, text in TWICE], ids=[what for what, _ in TWICE])
@pytest.mark.parametrize("missing", ["error", "skip"])
def test_a_file_is_one_set(tmp_path: Path, text: str, missing: Literal["error", "skip"]) -> None:
    given = project(tmp_path / "project", set=text)
    (tmp_path / "project" / "link.star").symlink_to("p.star")
    with pytest.raises(ta.SchemaError, match=r"is named twice|names itself"):
        ta.convert(given, tmp_path / "dataset", missing=missing)
    assert not (tmp_path / "dataset").exists()


OTHER_KINDS = [
    ("p", SET, "_rlnTomoParticlesFile names a file that is no particle set but an optimisation set"),
    ("p", OPTICS, "_rlnTomoParticlesFile names a file that is no particle set but a STAR file"),
    (
        "p",
        motion(["T1/1"], lambda _: 1),
        "_rlnTomoParticlesFile names a file that is no particle set but a trajectory set",
    ),
    ("m", MANIFOLDS, "_rlnTomoTrajectoriesFile names a file that is no trajectory set but a manifold set"),
]


@pytest.mark.parametrize(("name", "text", "message"), OTHER_KINDS)
def test_a_member_of_another_kind_is_told_of(tmp_path: Path, name: str, text: str, message: str) -> None:
    given = project(tmp_path / "project", **{name: text})
    report = ta.convert(given, tmp_path / "dataset")
    assert [warning.message for warning in report.warnings if warning.code == "other-kind"] == [message]
    assert exported(tmp_path / "dataset")[f"{name}.star"] == text
    with pytest.raises(ta.TomoarrowError, match="other-kind"):
        ta.convert(given, tmp_path / "strict", strict=True)


# --- tables that were edited -------------------------------------------------------------------------------------

NAME = pl.col("rlnTomoName").cast(pl.String)

TOMOGRAMS_EDITED: list[tuple[str, list[str], Callable[[pl.DataFrame], pl.DataFrame], int, str | None]] = [
    ("dropped", ["tomograms", "tilts"], lambda frame: frame.filter(NAME != "T2"), 3, None),
    (
        "dropped everywhere",
        ["tomograms", "tilts", "particles", "trajectories"],
        lambda f: f.filter(NAME != "T2"),
        0,
        None,
    ),
    ("renamed", ["tomograms", "tilts"], lambda frame: frame.with_columns(NAME.replace("T2", "T9")), 3, None),
    (
        "renamed everywhere",
        ["tomograms", "tilts", "particles", "trajectories"],
        lambda frame: frame.with_columns(NAME.replace("T2", "T9")),
        0,
        "T9 T2/1 1 2.0 -20.25 [0,1]\n",
    ),
]


@pytest.mark.parametrize(
    ("tables", "change", "left_out", "line"),
    [case[1:] for case in TOMOGRAMS_EDITED],
    ids=[c[0] for c in TOMOGRAMS_EDITED],
)
def test_what_refers_to_a_tomogram_that_is_no_more(
    tmp_path: Path,
    tables: list[str],
    change: Callable[[pl.DataFrame], pl.DataFrame],
    left_out: int,
    line: str | None,
) -> None:
    """One particle and its trajectory of two rows go with T2, and are told of where they were not taken out before."""
    home, dataset = tmp_path / "project", tmp_path / "dataset"
    ta.convert(project(home), dataset)
    for table in tables:
        edit(dataset, table, change)
    report = ta.export(dataset, tmp_path / "out")
    assert (report.left_out, report.exit_code) == (left_out, min(left_out, 1))
    assert [("T2" in warning) for warning in report.warnings] == [True] * min(left_out, 1)
    expected = (home / "p.star").read_text().replace("T2 T2/1 1 2.0 -20.25 [0,1]\n", line or "")
    assert (tmp_path / "out" / "p.star").read_text() == expected
    blocks = [block.name for block in ta.read_star(tmp_path / "out" / "m.star")]
    assert blocks == ["general", "T1/1", "T1/2", *(["T2/1"] if line else [])]


def test_particles_of_no_tomogram_stay(tmp_path: Path) -> None:
    """They were of none before: that was told when they were converted."""
    home = tmp_path / "project"
    ta.convert(project(home, p=OPTICS + PARTICLES.replace("T2 T2/1", "T8 T2/1")), tmp_path / "dataset")
    edit(tmp_path / "dataset", "tomograms", lambda frame: frame.reverse())
    assert exported(tmp_path / "dataset")["p.star"] == (home / "p.star").read_text()


NUMBERED = motion(["0", "1", "2"], lambda name: 2 if name == "1" else 3)


@pytest.mark.parametrize("tomograms", [["T1"], ["T2"], ["T1", "T2"]])
def test_numbered_trajectories_stay_in_the_order_of_the_particles(tmp_path: Path, tomograms: list[str]) -> None:
    """RELION goes by their order where the first is called 0 (Trajectory::read)."""
    ta.convert(project(tmp_path / "project", m=NUMBERED), tmp_path / "dataset")
    files = exported(tmp_path / "dataset", tomograms=tomograms)
    particles = ta.read_table(files["p.star"].encode(), "particles").column("rlnTomoParticleName").to_pylist()
    blocks = list(ta.read_star(files["m.star"].encode()))[1:]
    assert [block.name for block in blocks] == [str(i) for i in range(len(particles))]
    x_of = {"T1/1": 1.0, "T2/1": 2.0, "T1/2": 3.0}
    assert [block.table.column("rlnOriginXAngst")[0].as_py() for block in blocks] == [x_of[name] for name in particles]


PARTICLES_EDITED: list[tuple[str, list[str], Callable[[pl.DataFrame], pl.DataFrame], bool]] = [
    ("sorted", ["particles"], lambda frame: frame.sort("rlnTomoParticleName"), False),
    ("the first dropped", ["particles"], lambda frame: frame.tail(-1), False),
    ("without names", ["particles"], lambda frame: frame.drop("rlnTomoParticleName"), False),
    ("the last dropped", ["particles"], lambda frame: frame.head(2), True),
    ("values changed", ["particles"], lambda frame: frame.with_columns(rlnVoltage=5.0), True),
    (
        "both without one",
        ["particles", "trajectories"],
        lambda frame: frame.filter(pl.col("rlnTomoParticleName") != "T1/1"),
        True,
    ),
    (
        "both sorted",
        ["particles", "trajectories"],
        lambda frame: frame.sort("rlnTomoParticleName", maintain_order=True),
        True,
    ),
]


@pytest.mark.parametrize(
    ("tables", "change", "fits"), [case[1:] for case in PARTICLES_EDITED], ids=[case[0] for case in PARTICLES_EDITED]
)
def test_numbered_trajectories_of_particles_that_were_edited(
    tmp_path: Path, tables: list[str], change: Callable[[pl.DataFrame], pl.DataFrame], fits: bool
) -> None:
    dataset = tmp_path / "dataset"
    ta.convert(project(tmp_path / "project", m=NUMBERED), dataset)
    for table in tables:
        edit(dataset, table, change)
    if fits:
        blocks = list(ta.read_star(exported(dataset)["m.star"].encode()))[1:]
        assert [block.name for block in blocks] == ["0", "1", "2"][: len(blocks)]
        return
    with pytest.raises(ta.DatasetError, match="in the order of"):
        ta.export(dataset, tmp_path / "out")
    if tables == ["particles"] and "rlnTomoParticleName" in pl.read_parquet(dataset / "particles").columns:
        # Without the numbers, trajectories have the names of their particles, and RELION goes by these.
        edit(dataset, "trajectories", lambda frame: frame.drop("block"))
        assert [block.name for block in ta.read_star(exported(dataset)["m.star"].encode())][1:] == [
            "T1/1",
            "T2/1",
            "T1/2",
        ]


@pytest.mark.parametrize("value", [pl.lit(7), pl.lit(None, pl.String), pl.lit(["a"])])
def test_blocks_whose_names_are_no_text_are_refused(tmp_path: Path, value: pl.Expr) -> None:
    ta.convert(project(tmp_path / "project"), tmp_path / "dataset")
    edit(tmp_path / "dataset", "trajectories", lambda frame: frame.with_columns(rlnTomoParticleName=value))
    with pytest.raises(ta.DatasetError, match="rlnTomoParticleName"):
        ta.export(tmp_path / "dataset", tmp_path / "out")


@pytest.mark.parametrize("kind", [pl.Float64, pl.String, pl.Int8])
def test_positions_may_have_another_type(tmp_path: Path, kind: pl.DataType) -> None:
    text = motion(["T1/1", "T1/2"], lambda _: 12)
    write(tmp_path, {"motion.star": text})
    ta.convert(tmp_path / "motion.star", tmp_path / "dataset")
    edit(tmp_path / "dataset", "trajectories", lambda frame: frame.with_columns(pl.col("tilt_index").cast(kind)))
    assert exported(tmp_path / "dataset") == {"motion.star": text}


@pytest.mark.parametrize("value", [0.5, float("nan"), "x", None])
def test_positions_that_are_none_are_refused(tmp_path: Path, value: object) -> None:
    ta.convert(project(tmp_path / "project"), tmp_path / "dataset")
    edit(tmp_path / "dataset", "trajectories", lambda frame: frame.with_columns(tilt_index=pl.lit(value)))
    with pytest.raises(ta.DatasetError, match="tilt_index"):
        ta.export(tmp_path / "dataset", tmp_path / "out")


# --- what can be read only once ----------------------------------------------------------------------------------


def from_pipe(path: Path, text: str, dataset: Path, **options: Any) -> ta.Report:
    os.mkfifo(path)
    feeder = threading.Thread(target=path.write_text, args=(text,))
    feeder.start()
    try:
        return ta.convert(path, dataset, **options)
    finally:
        feeder.join()


RELION4 = GLOBAL.replace("TiltSeriesStarFile", "TiltSeriesName") + "".join(
    f"data_T{i}\nloop_\n_rlnTomoProjX\n_rlnDefocusU\n[1,0,0,1] 2.5\n\n" for i in (1, 2)
)


@pytest.mark.parametrize("text", [SET, GLOBAL, RELION4], ids=["optimisation set", "tomogram set", "RELION 4"])
def test_a_set_that_is_too_long_to_be_held_is_refused(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be looked at twice; as a set of tables that it is not, it would be of no use."""
    monkeypatch.setattr("tomoarrow.dataset.convert.MOST_HELD", len(text) - 10)
    project(tmp_path)
    (tmp_path / "set.star").unlink()
    with pytest.raises(ta.UsageError, match="read only once"):
        from_pipe(tmp_path / "set.star", text, tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize("label", ["p", "t", "m"])
@pytest.mark.parametrize("what", ["pipe", "folder"])
def test_members_are_regular_files(tmp_path: Path, label: str, what: str) -> None:
    given = project(tmp_path / "project")
    path = tmp_path / "project" / f"{label}.star"
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(ta.SchemaError, match="no regular file"):
        ta.convert(given, tmp_path / "dataset")


EMPTY_STACKS = [
    ("general", "data_general\n\n_rlnParticleNumber   0\n"),
    ("a block without rows", "data_T1/1\n\nloop_\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n"),
    ("empty blocks", "data_T1/1\n\ndata_T1/2\n"),
]


@pytest.mark.parametrize("text", [text for _, text in EMPTY_STACKS], ids=[what for what, _ in EMPTY_STACKS])
@pytest.mark.parametrize("piece_bytes", [20, 4 << 20])
def test_trajectories_of_no_particle(
    tmp_path: Path, text: str, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What selects no particle leaves such a file; there is no table then, and the file comes back."""
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    report = ta.convert(project(tmp_path / "project", m=text), tmp_path / "dataset")
    assert codes(report)["particle-trajectory"] == 3
    assert "trajectories" not in report.rows
    assert exported(tmp_path / "dataset")["m.star"] == text
    assert ta.verify(tmp_path / "dataset").differences == []
    assert exported(tmp_path / "dataset", tomograms=["T1"])["m.star"] == text


def test_a_trajectory_set_without_a_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ta.SchemaError, match="no block"):
        ta.convert(project(tmp_path / "project", m="# nothing\n"), tmp_path / "dataset")


OPTICS_EDITED: list[tuple[str, str, Callable[[pl.DataFrame], pl.DataFrame], dict[str, int]]] = [
    ("a copy", "particles", lambda frame: frame.with_columns(rlnImageSize=pl.lit(256)), {"rlnImageSize": 3}),
    (
        "a copy of a label that both have",
        "particles",
        lambda frame: frame.with_columns(rlnVoltage_optics=pl.lit(300.0)),
        {"rlnVoltage": 2},
    ),
    (
        "the group",
        "particles",
        lambda frame: frame.with_columns(rlnOpticsGroup=pl.lit(1)),
        {"rlnOpticsGroupName": 2, "rlnVoltage": 2, "rlnImageSize": 2},
    ),
    (
        "the group, as text",
        "particles",
        lambda frame: frame.with_columns(rlnOpticsGroup=pl.lit("a")),
        {"rlnOpticsGroup": 3},
    ),
    ("the particles' own", "particles", lambda frame: frame.with_columns(rlnVoltage=pl.lit(9.0)), {}),
    ("copies left out", "particles", lambda frame: frame.drop("rlnImageSize", "rlnVoltage_optics"), {}),
    ("the optics table", "optics", lambda frame: frame.with_columns(rlnImageSize=pl.lit(256)), {}),
]


@pytest.mark.parametrize(
    ("table", "change", "differing"), [case[1:] for case in OPTICS_EDITED], ids=[case[0] for case in OPTICS_EDITED]
)
def test_the_optics_table_is_what_is_written(
    tmp_path: Path, table: str, change: Callable[[pl.DataFrame], pl.DataFrame], differing: dict[str, int]
) -> None:
    """Beside particles its columns are copies: where these were changed, that is told of."""
    write(tmp_path, {"particles.star": OPTICS + PARTICLES})
    ta.convert(tmp_path / "particles.star", tmp_path / "dataset")
    edit(tmp_path / "dataset", table, change)
    report = ta.export(tmp_path / "dataset", tmp_path / "out")
    assert report.warnings == [
        f"{label} of {count} particles is not that of their optics group: that of the table optics was written"
        for label, count in differing.items()
    ]
    assert report.left_out == sum(differing.values())


def test_trajectories_are_never_named_as_their_tomogram(tmp_path: Path) -> None:
    """Not even where each tomogram has one particle only."""
    write(tmp_path, {"motion.star": motion(["T1/1", "T2/1"], lambda _: 2)})
    ta.convert(tmp_path / "motion.star", tmp_path / "dataset")
    edit(tmp_path / "dataset", "trajectories", lambda frame: frame.drop("rlnTomoParticleName"))
    with pytest.raises(ta.DatasetError, match="does not say which block"):
        ta.export(tmp_path / "dataset", tmp_path / "out")


# --- bytes that belong to no value -------------------------------------------------------------------------------

BETWEEN_ROWS = ["\n", " \n", "# a word\n", "\n\n# a word\n\n", "\t\r\n"]


@pytest.mark.parametrize("between", BETWEEN_ROWS)
@pytest.mark.parametrize("piece_bytes", [20, 50, 90, 130])
def test_what_stands_between_rows_at_the_begin_of_a_piece(
    tmp_path: Path, between: str, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    text = "data_particles\nloop_\n_rlnTomoName\n_rlnCoordinateX\n" + between.join(f"T1 {i}\n" for i in range(40))
    (tmp_path / "x.star").write_bytes(text.encode())
    ta.convert(tmp_path / "x.star", tmp_path / "dataset")
    ta.export(tmp_path / "dataset", tmp_path / "out")
    assert (tmp_path / "out" / "x.star").read_bytes() == text.encode()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("piece_bytes", range(60, 200, 10))
def test_what_stands_before_a_block_that_is_longer_than_a_piece(
    tmp_path: Path, end: str, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    text = motion(["T1/1", "T1/2", "T2/1"], lambda _: 4).replace("\n", end)
    (tmp_path / "m.star").write_bytes(text.encode())
    ta.convert(tmp_path / "m.star", tmp_path / "dataset")
    ta.export(tmp_path / "dataset", tmp_path / "out")
    assert (tmp_path / "out" / "m.star").read_bytes() == text.encode()


TWICE_IN_A_BLOCK = [
    "data_\n_a 1\n_a 2\n",
    "data_\n_a 1\n_b 1\n_a 1\n",
    "data_x\n_a 1\nloop_\n_c\n" + "1\n" * 50 + "\n_a 2\n",
    "data_x\nloop_\n_c\n" + "1\n" * 50 + "\n_a 2\n_a 2\n",
    "data_general\n_rlnParticleNumber 1\n_rlnParticleNumber 1\n" + motion(["T1/1"], lambda _: 2, front=False),
]


@pytest.mark.parametrize("text", TWICE_IN_A_BLOCK)
@pytest.mark.parametrize("piece_bytes", [40, 4 << 20])
def test_a_label_that_stands_twice_in_a_block_is_refused(
    tmp_path: Path, text: str, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `read_star` does; the table of pairs could not tell one from the other."""
    monkeypatch.setattr("tomoarrow.star.pieces.PIECE_BYTES", piece_bytes)
    write(tmp_path, {"x.star": text})
    with pytest.raises(ta.StarSyntaxError, match="stands twice"):
        ta.convert(tmp_path / "x.star", tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize(
    "odd", ["data_z\nloop_\n_rlnOriginXAngst\n\n", "data_z\nloop_\n_a\n\nloop_\n_b\n\n", "data_z\n\n"]
)
@pytest.mark.parametrize("position", ["first", "last"])
def test_blocks_without_rows_are_no_difference(tmp_path: Path, odd: str, position: str) -> None:
    blocks = motion(["T1/1"], lambda _: 2, front=False)
    write(tmp_path, {"motion.star": odd + blocks if position == "first" else blocks + odd})
    ta.convert(tmp_path / "motion.star", tmp_path / "dataset")
    verified = ta.verify(tmp_path / "dataset")
    assert (verified.differences, verified.values_equal, verified.bytes_equal) == ([], 1, 1)
    edit(tmp_path / "dataset", "trajectories", lambda frame: frame.with_columns(rlnOriginYAngst=pl.lit(0.25)))
    assert [each.kind for each in ta.verify(tmp_path / "dataset").differences] == ["bytes", "values"]


def as_names(**columns: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda frame: frame.with_columns(**{name: pl.lit(value) for name, value in columns.items()})


UNFIT: list[tuple[str, Callable[[pl.DataFrame], pl.DataFrame], str]] = [
    ("tomograms", as_names(rlnTomoName=1.5), "rlnTomoName"),
    ("tomograms", lambda frame: frame.rename({"rlnTomoName": "name"}), "rlnTomoName"),
    ("tomograms", as_names(rlnTomoTiltSeriesStarFile=7), "rlnTomoTiltSeriesStarFile"),
    ("tomograms", as_names(tilt_count="x"), "tilt_count"),
    ("particles", as_names(rlnTomoVisibleFrames="[1,1]"), "rlnTomoVisibleFrames"),
]


@pytest.mark.parametrize(("table", "change", "label"), UNFIT)
@pytest.mark.parametrize("selection", [{"tomograms": ["T1"]}, {"where": "tilt_index <> 1"}])
def test_columns_of_types_that_make_no_files_are_refused(
    tmp_path: Path, table: str, change: Callable[[pl.DataFrame], pl.DataFrame], label: str, selection: dict[str, Any]
) -> None:
    ta.convert(project(tmp_path / "project"), tmp_path / "dataset")
    edit(tmp_path / "dataset", table, change)
    if table == "particles" and "tomograms" in selection:
        ta.export(tmp_path / "dataset", tmp_path / "out", **selection)
        return
    with pytest.raises(ta.DatasetError, match=label):
        ta.export(tmp_path / "dataset", tmp_path / "out", **selection)


@pytest.mark.parametrize("count", [None, float("nan"), "3", 3.0])
def test_counts_of_tilts_may_have_another_type(tmp_path: Path, count: object) -> None:
    home = tmp_path / "project"
    ta.convert(project(home), tmp_path / "dataset")
    edit(tmp_path / "dataset", "tomograms", as_names(tilt_count=count))
    assert exported(tmp_path / "dataset") == sources(home)


@pytest.mark.parametrize(("table", "label"), [("particles", "rlnVoltage"), ("trajectories", "rlnOriginXAngst")])
def test_a_column_of_nulls_has_the_values_of_its_file(tmp_path: Path, table: str, label: str) -> None:
    ta.convert(project(tmp_path / "project"), tmp_path / "dataset")
    edit(tmp_path / "dataset", table, as_names(**{label: None}))
    ta.export(tmp_path / "dataset", tmp_path / "out")
    assert ta.verify(tmp_path / "dataset", against=tmp_path / "out").differences == []


@pytest.mark.parametrize(
    ("column", "value"), [("file", 1.5), ("label", 2), ("value", True), ("value", ["a"]), ("block_index", "x")]
)
def test_pairs_of_other_types_are_refused(tmp_path: Path, column: str, value: object) -> None:
    ta.convert(project(tmp_path / "project"), tmp_path / "dataset")
    edit(tmp_path / "dataset", "pairs", as_names(**{column: value}))
    with pytest.raises(ta.DatasetError, match=column):
        ta.export(tmp_path / "dataset", tmp_path / "out")
