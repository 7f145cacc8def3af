"""Hard cases of whole projects: odd members, edited tables, files in many pieces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import polars as pl
import pytest

import tomoarrow as ta

from .test_members import MANIFOLDS, OPTICS, PARTICLES, SET, codes, exported, motion, project, rows, write


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
