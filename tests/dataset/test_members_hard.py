"""Hard cases of whole projects: odd members, edited tables, files in many pieces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import tomoarrow as ta

from .test_members import GENERAL, MANIFOLDS, OPTICS, PARTICLES, SET, codes, exported, motion, project, rows, write


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
