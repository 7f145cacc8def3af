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
