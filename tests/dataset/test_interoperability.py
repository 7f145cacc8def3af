"""Other tools open the Parquet files on their own, and find what the STAR files hold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.dataset as pads
import pytest

from tests.dataset.projects import loop, write_project
from tomoarrow import convert

#: Rows as plain values: what any of the tools makes of a folder.
Reader = Callable[[Path, bool], list[dict[str, Any]]]

#: Tilts by tomogram: angle, dose, defocus (null where the file has no such column) and movie.
TILTS = {
    "001": [(-3.0, 6.0, 30123.456, "a/001_0.mrc"), (0.0, 0.0, 29999.5, "a/001_1.mrc")],
    "TS_b": [(0.0, 0.0, None, "a/b_0.mrc"), (3.0, 3.0, None, "a/b_1.mrc"), (6.0, 9.0, None, "a/b_2.mrc")],
    "TS_c": [],
}
#: Columns of the global table: voltage and optics group.
GLOBAL = {"001": (300.0, "optics 1"), "TS_b": (200.0, "optics2"), "TS_c": (300.0, "optics 1")}
#: Particles: tomogram, x, visible frames, and a number that is missing.
PARTICLES = [("001", 1.5, [1, 0], 0.25), ("TS_b", -2.0, [1, 1, 1], None), ("TS_b", 1e6, [0, 0, 1], 1.0)]


def duckdb_rows(folder: Path, is_hive: bool) -> list[dict[str, Any]]:
    query = f"SELECT * FROM read_parquet('{folder}/**/*.parquet', hive_partitioning={is_hive})"
    return duckdb.sql(query).to_arrow_table().to_pylist()


def pandas_rows(folder: Path, is_hive: bool) -> list[dict[str, Any]]:
    frame = pd.read_parquet(folder, partitioning="hive" if is_hive else None)
    return [
        {key: _plain(value) for key, value in row.items()} for row in frame.astype(object).to_dict(orient="records")
    ]


def arrow_rows(folder: Path, is_hive: bool) -> list[dict[str, Any]]:
    return pads.dataset(folder, partitioning="hive" if is_hive else None).to_table().to_pylist()


def datasets_rows(folder: Path, is_hive: bool) -> list[dict[str, Any]]:
    from datasets import load_dataset

    files = sorted(map(str, folder.rglob("*.parquet")))
    loaded = load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder.parent.parent / "cache"))
    return [dict(row) for row in loaded]


def streamed_rows(folder: Path, is_hive: bool) -> list[dict[str, Any]]:
    """As a stream: `datasets` refuses to load no rows at all, whoever wrote the file."""
    from datasets import load_dataset

    files = sorted(map(str, folder.rglob("*.parquet")))
    return list(load_dataset("parquet", data_files=files, split="train", streaming=True))


def _plain(value: Any) -> Any:
    """pandas has arrays for lists, and NaN for nulls."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return None if pd.isna(value) else value


READERS = [duckdb_rows, pandas_rows, arrow_rows, datasets_rows]


@pytest.fixture(autouse=True)
def off_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`datasets` neither asks its hub nor writes into a home."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


def tilt_text(name: str) -> str:
    labels = ["rlnTomoYTilt", "rlnMicrographPreExposure", "rlnDefocusU", "rlnMicrographMovieName"]
    with_defocus = name == "001"
    return loop(
        name,
        [label for label in labels if with_defocus or label != "rlnDefocusU"],
        [[value for value in row if value is not None] for row in TILTS[name]],
    )


def make_set(folder: Path) -> Path:
    """A tomogram set, with quotes around what holds a blank."""
    return write_project(
        folder,
        {name: tilt_text(name) for name in TILTS},
        more_labels=["rlnVoltage", "rlnOpticsGroupName"],
        more_values={name: (voltage, f'"{group}"') for name, (voltage, group) in GLOBAL.items()},
    )


def tilt_rows() -> list[dict[str, Any]]:
    """What the table of tilts holds, by the rules of the README."""
    return [
        {
            "rlnTomoName": name,
            "tilt_index": i,
            "rlnTomoYTilt": angle,
            "rlnMicrographPreExposure": dose,
            "rlnDefocusU": defocus,
            "rlnMicrographMovieName": movie,
            "rlnTomoTiltSeriesStarFile": f"tilt_series/{number}.star",
            "rlnVoltage": GLOBAL[name][0],
            "rlnOpticsGroupName": GLOBAL[name][1],
        }
        for number, (name, rows) in enumerate(TILTS.items())
        for i, (angle, dose, defocus, movie) in enumerate(rows)
    ]


def by_tilt(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["rlnTomoName"], row["tilt_index"]))


@pytest.mark.parametrize("read", READERS)
def test_tilts_with_nulls_and_dictionaries(tmp_path: Path, read: Reader) -> None:
    convert(make_set(tmp_path / "p"), tmp_path / "ds")
    assert by_tilt(read(tmp_path / "ds" / "tilts", False)) == tilt_rows()


@pytest.mark.parametrize("read", READERS)
def test_tomograms_without_tilts_are_rows_too(tmp_path: Path, read: Reader) -> None:
    convert(make_set(tmp_path / "p"), tmp_path / "ds")
    rows = read(tmp_path / "ds" / "tomograms", False)
    found = {row["rlnTomoName"]: (row["rlnVoltage"], row["rlnOpticsGroupName"], row["tilt_count"]) for row in rows}
    assert found == {name: (*GLOBAL[name], len(TILTS[name])) for name in TILTS}


@pytest.mark.parametrize("read", [duckdb_rows, pandas_rows, arrow_rows])
@pytest.mark.parametrize("label", ["rlnOpticsGroupName", "rlnVoltage"])
def test_hive_folders_are_a_column(tmp_path: Path, read: Reader, label: str) -> None:
    convert(make_set(tmp_path / "p"), tmp_path / "ds", partition_by=label)
    rows = read(tmp_path / "ds" / "tilts", True)
    # What stands in the name of a folder has no type: a tool may take 300.0 for text, or for a number.
    found = [row | {label: type(GLOBAL["001"][label == "rlnOpticsGroupName"])(row[label])} for row in rows]
    assert by_tilt(found) == tilt_rows()


def test_datasets_reads_hive_folders_without_their_column(tmp_path: Path) -> None:
    convert(make_set(tmp_path / "p"), tmp_path / "ds", partition_by="rlnVoltage")
    rows = datasets_rows(tmp_path / "ds" / "tilts", True)
    assert by_tilt(rows) == [{k: v for k, v in row.items() if k != "rlnVoltage"} for row in tilt_rows()]


@pytest.mark.parametrize("read", READERS)
def test_particles_with_lists(tmp_path: Path, read: Reader) -> None:
    labels = ["rlnTomoName", "rlnCoordinateX", "rlnTomoVisibleFrames", "rlnAutopickFigureOfMerit"]
    rows = [[name, x, str(frames).replace(" ", ""), "None" if n is None else n] for name, x, frames, n in PARTICLES]
    star = tmp_path / "particles.star"
    star.write_text(loop("particles", labels, rows))
    convert(star, tmp_path / "ds")
    found = [[row[label] for label in labels] for row in read(tmp_path / "ds" / "particles", False)]
    assert found == [list(particle) for particle in PARTICLES]


@pytest.mark.parametrize("read", [duckdb_rows, pandas_rows, arrow_rows, streamed_rows])
def test_empty_tables(tmp_path: Path, read: Reader) -> None:
    star = write_project(tmp_path / "p", {"a": loop("a", ["rlnTomoYTilt"], []), "b": loop("b", ["rlnTomoYTilt"], [])})
    convert(star, tmp_path / "ds")
    assert read(tmp_path / "ds" / "tilts", False) == []
    assert [row["tilt_count"] for row in read(tmp_path / "ds" / "tomograms", False)] == [0, 0]


def test_tools_see_units_and_types(tmp_path: Path) -> None:
    convert(make_set(tmp_path / "p"), tmp_path / "ds")
    field = pads.dataset(tmp_path / "ds" / "tilts").schema.field("rlnDefocusU")
    assert field.metadata[b"unit"] == b"angstrom"
    described = duckdb.sql(f"DESCRIBE FROM '{tmp_path}/ds/tilts/*.parquet'").fetchall()
    types = {name: kind for name, kind, *_ in described}
    assert (types["rlnTomoName"], types["rlnDefocusU"], types["tilt_index"]) == ("VARCHAR", "DOUBLE", "INTEGER")
    frame = pd.read_parquet(tmp_path / "ds" / "tilts")
    assert frame["rlnOpticsGroupName"].dtype == "category"
    assert frame["rlnDefocusU"].dtype == "float64"


@pytest.mark.parametrize("read", READERS)
def test_a_real_project(shared: Path, tmp_path: Path, read: Reader) -> None:
    import starfile

    home = shared / "corpus/TomoBabel__cets-relion/tests/test_data/skeleton_project"
    convert(home / "Tomograms/job006/tomograms.star", tmp_path / "ds")
    rows = {(row["rlnTomoName"], row["tilt_index"]): row for row in read(tmp_path / "ds" / "tilts", False)}
    names = starfile.read(home / "Tomograms/job006/tomograms.star")["rlnTomoName"]
    series = {name: starfile.read(home / f"Tomograms/job006/tilt_series/{name}.star") for name in names}
    assert len(rows) == sum(map(len, series.values()))
    for name, table in series.items():
        for i, expected in enumerate(table.to_dict(orient="records")):
            found = rows[name, i]
            assert {label: found[label] for label in expected} == expected
