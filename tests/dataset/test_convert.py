"""The main job: what comes out, what is refused, and that nothing is written when it is."""

import hashlib
import json
import os
import threading
import time
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

import tomoarrow as ta
from tests.dataset.projects import loop, tilts, write_project
from tomoarrow import DatasetError, MissingFileError, SchemaError, StarSyntaxError, TomoarrowError, UsageError, convert
from tomoarrow.dataset import layout
from tomoarrow.dataset.tables import tilts as members_of
from tomoarrow.dataset.versions.manifest import Manifest, read_manifest, write_manifest
from tomoarrow.example import Example, make_project


def read_tilts(dataset: Path) -> pl.DataFrame:
    return pl.read_parquet(dataset / "tilts" / "**" / "*.parquet")


def test_a_project_becomes_one_dataset(small_project: Example, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    report = convert(small_project.tomograms_star, tmp_path / "ds", progress=lambda *numbers: done.append(numbers))
    assert (report.tomograms, report.tilts, report.rejects, report.exit_code) == (7, 35, 0, 0)
    assert report.warnings == []
    assert done[-1] == (7, 7)
    frame = read_tilts(tmp_path / "ds")
    assert frame.columns[:2] == ["rlnTomoName", "tilt_index"]
    assert frame["rlnTomoName"].cast(pl.String).to_list() == [f"TS_0{i}" for i in range(1, 8) for _ in range(5)]
    assert frame["tilt_index"].to_list() == list(range(5)) * 7
    assert frame["rlnVoltage"].unique().to_list() == [300.0]
    tomograms = pl.read_parquet(tmp_path / "ds" / "tomograms")
    assert tomograms["tilt_count"].to_list() == [5] * 7
    assert sorted(path.name for path in (tmp_path / "ds").iterdir()) == [
        "manifest.json",
        "sources",
        "star",
        "tilts",
        "tomograms",
    ]
    assert os.listdir(tmp_path) == ["ds"]


def test_the_manifest_says_what_is_there(small_project: Example, tmp_path: Path) -> None:
    convert(small_project.tomograms_star, tmp_path / "ds")
    manifest = read_manifest(tmp_path / "ds")
    assert manifest["kind"] == "tomogram set"
    assert manifest["project"] == str(small_project.directory)
    for table in manifest["tables"].values():
        assert table["rows"] == sum(file["rows"] for file in table["files"])
        for file in table["files"]:
            path = tmp_path / "ds" / file["path"]
            assert path.stat().st_size == file["bytes"]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
            assert pq.read_metadata(path).num_rows == file["rows"]
            assert pq.read_schema(path).names == [column["name"] for column in table["columns"]]
    columns = {column["name"]: column for column in manifest["tables"]["tilts"]["columns"]}
    assert columns["rlnDefocusU"]["unit"] == "angstrom"
    assert columns["rlnDefocusU"]["origin"] == "tilt_series/rlnDefocusU"
    assert columns["rlnTomoSizeX"]["origin"] == "global/rlnTomoSizeX"
    assert columns["tilt_index"]["origin"] == "position"


def test_the_sources_are_kept_as_they_were(small_project: Example, tmp_path: Path) -> None:
    convert(small_project.tomograms_star, tmp_path / "ds")
    sources = ta.Dataset(tmp_path / "ds").sources
    assert len(sources) == 8
    for source in sources:
        path = small_project.directory / source.path
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (source.bytes, source.mtime_ns)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256


def test_field_metadata_carries_unit_and_meaning(small_project: Example, tmp_path: Path) -> None:
    convert(small_project.tomograms_star, tmp_path / "ds")
    for table, label in (
        ("tilts", "rlnDefocusU"),
        ("tilts", "rlnTomoSizeX"),
        ("tomograms", "rlnTomoTiltSeriesPixelSize"),
    ):
        field = pads.dataset(tmp_path / "ds" / table).schema.field(label)
        assert field.metadata[b"unit"] in (b"angstrom", b"pixel")
        assert field.metadata[b"description"]


def test_row_groups_and_files_hold_whole_tomograms_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    star = make_project(tmp_path / "p", tomograms=100, tilts=41).tomograms_star
    monkeypatch.setattr(layout, "ROW_GROUP_ROWS", 200)
    monkeypatch.setattr(layout, "FILE_ROWS", 1000)
    monkeypatch.setattr(layout, "_MOST_FILES", 1)
    monkeypatch.setattr("tomoarrow.dataset.tables.tilts._SLAB_BYTES", 150_000)
    convert(star, tmp_path / "ds")
    files = sorted((tmp_path / "ds" / "tilts").iterdir())
    assert len(files) == 4
    seen = []
    for file in files:
        parquet = pq.ParquetFile(file)
        for g in range(parquet.num_row_groups):
            group = parquet.metadata.row_group(g)
            names = parquet.read_row_group(g, ["rlnTomoName"]).column(0).to_pylist()
            statistics = group.column(0).statistics
            assert (statistics.min, statistics.max) == (min(names), max(names))
            assert group.num_rows == 205 or file == files[-1]
            assert len(names) == 41 * len(set(names))
            seen += names
    assert seen == [f"TS_{i:03d}" for i in range(1, 101) for _ in range(41)]


def test_default_row_groups_of_a_large_project(tmp_path: Path) -> None:
    star = make_project(tmp_path / "p", tomograms=1000, tilts=41).tomograms_star
    report = convert(star, tmp_path / "ds")
    assert report.tilts == 41_000
    files = list((tmp_path / "ds" / "tilts").iterdir())
    groups = [
        metadata.row_group(g).num_rows
        for metadata in (pq.read_metadata(file) for file in files)
        for g in range(metadata.num_row_groups)
    ]
    assert (len(files), groups) == (5, [8200] * 5)
    one = pl.scan_parquet(files).filter(pl.col("rlnTomoName").cast(pl.String) == "TS_0500").collect()
    assert one.height == 41


def test_partition_by_makes_hive_folders(small_project: Example, tmp_path: Path) -> None:
    convert(small_project.tomograms_star, tmp_path / "plain")
    report = convert(small_project.tomograms_star, tmp_path / "ds", partition_by="rlnOpticsGroupName")
    folders = sorted(path.name for path in (tmp_path / "ds" / "tilts").iterdir())
    assert folders == ["rlnOpticsGroupName=optics1", "rlnOpticsGroupName=optics2"]
    assert report.tilts == 35
    plain = read_tilts(tmp_path / "plain").with_columns(pl.col(pl.Categorical).cast(pl.String))
    key = ["rlnTomoName", "tilt_index"]
    hive = pl.scan_parquet(tmp_path / "ds" / "tilts" / "**" / "*.parquet", hive_partitioning=True).collect()
    hive = hive.with_columns(pl.col(pl.Categorical).cast(pl.String)).sort(key).select(plain.columns)
    assert hive.equals(plain.sort(key))
    arrow = pads.dataset(tmp_path / "ds" / "tilts", partitioning="hive").to_table(columns=["rlnOpticsGroupName"])
    assert sorted(arrow.column(0).to_pylist()) == sorted(plain["rlnOpticsGroupName"].to_list())
    query = f"SELECT rlnOpticsGroupName, count(*) FROM '{tmp_path}/ds/tilts/*/*.parquet' GROUP BY 1 ORDER BY 1"
    assert duckdb.sql(query).fetchall() == [("optics1", 20), ("optics2", 15)]
    assert read_manifest(tmp_path / "ds")["tables"]["tilts"]["partition_by"] == "rlnOpticsGroupName"


def test_partition_values_of_any_kind(tmp_path: Path) -> None:
    series = {name: tilts(name, 2) for name in ("a", "b", "c")}
    values = {"a": ["'x/y z'", 1.5], "b": ["..", "None"], "c": ["é", 1.5]}
    star = write_project(tmp_path / "p", series, more_labels=["labGroup", "rlnVoltage"], more_values=values)
    convert(star, tmp_path / "by_text", partition_by="labGroup")
    assert sorted(os.listdir(tmp_path / "by_text" / "tilts")) == ["labGroup=%C3%A9", "labGroup=..", "labGroup=x%2Fy z"]
    frame = pl.read_parquet(tmp_path / "by_text" / "tilts" / "**" / "*.parquet", hive_partitioning=True)
    assert sorted(frame["labGroup"].unique().to_list()) == ["..", "x/y z", "é"]
    star.write_text(
        star.read_text() + "d tilt_series/0.star z nan\ne tilt_series/1.star z -0.0\nf tilt_series/1.star z 0\n"
    )
    report = convert(star, tmp_path / "odd", partition_by="rlnVoltage")
    assert report.tilts == 12
    star.write_text("".join(line for line in star.read_text().splitlines(True) if line[:2] not in ("d ", "e ", "f ")))
    convert(star, tmp_path / "by_number", partition_by="rlnVoltage")
    frame = pl.read_parquet(tmp_path / "by_number" / "tilts" / "**" / "*.parquet", hive_partitioning=True)
    assert frame.group_by("rlnVoltage").len().sort("rlnVoltage").rows() == [(None, 2), (1.5, 4)]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("rlnNone", "no label rlnNone"),
        ("labVector", "vectors"),
        ("labMany", "3 values"),
        ("rlnTomoName", "one file each"),
        ("labLong", "too long"),
        ("labHive", "Hive takes for a missing one"),
    ],
)
def test_partitions_that_make_no_sense_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str, message: str
) -> None:
    monkeypatch.setattr("tomoarrow.dataset.tables.tomogram_sets._MOST_PARTITIONS", 2)
    series = {name: tilts(name, 1) for name in ("a", "b", "c")}
    values = {name: ["[1,2]", name, "x" * 300, "__HIVE_DEFAULT_PARTITION__"] for name in series}
    more = ["rlnTomoProjX", "labMany", "labLong", "labHive"]
    star = write_project(tmp_path / "p", series, more_labels=more, more_values=values)
    label = "rlnTomoProjX" if label == "labVector" else label
    with pytest.raises(UsageError, match=message):
        convert(star, tmp_path / "ds", partition_by=label)
    assert not (tmp_path / "ds").exists()


# ---- The project ---------------------------------------------------------------------------------------------------


def test_the_project_directory_is_found(
    small_project: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    star = small_project.tomograms_star
    monkeypatch.chdir(tmp_path)
    assert convert(star, "a").project_how == "above the STAR file"
    monkeypatch.chdir(small_project.directory)
    report = convert(star.relative_to(small_project.directory), tmp_path / "b")
    assert (report.project_how, report.project) == ("current directory", str(small_project.directory))
    moved = tmp_path / "elsewhere" / "tomograms.star"
    moved.parent.mkdir()
    moved.write_bytes(star.read_bytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFileError, match="7 of the 7 tilt-series files are not there") as refused:
        convert(moved, "c")
    assert len(refused.value.errors) == 7
    assert "--project" in str(refused.value)
    assert convert(moved, "c", project=small_project.directory).project_how == "given"
    with pytest.raises(MissingFileError, match="not a directory"):
        convert(moved, "d", project=tmp_path / "none")


def test_dangling_references_are_refused_together_or_skipped(tmp_path: Path) -> None:
    series = {name: tilts(name, 3) for name in ("a", "b", "c", "d")}
    star = write_project(tmp_path / "p", series)
    (tmp_path / "p" / "tilt_series" / "1.star").unlink()
    (tmp_path / "p" / "tilt_series" / "3.star").unlink()
    with pytest.raises(MissingFileError, match="2 of the 4 tilt-series files are not there") as refused:
        convert(star, tmp_path / "ds")
    assert [error.place.text for error in refused.value.errors] == ["tilt_series/1.star", "tilt_series/3.star"]
    assert os.listdir(tmp_path) == ["p"]
    report = convert(star, tmp_path / "ds", missing="skip")
    assert (report.tomograms, report.missing, report.tilts, report.rejects, report.exit_code) == (4, 2, 6, 2, 1)
    tomograms = pl.read_parquet(tmp_path / "ds" / "tomograms")
    assert tomograms["tilt_count"].to_list() == [3, None, 3, None]
    rejects = pl.read_parquet(tmp_path / "ds" / "rejects")
    assert rejects.select("block", "label", "text").rows() == [
        ("b", "rlnTomoTiltSeriesStarFile", "tilt_series/1.star"),
        ("d", "rlnTomoTiltSeriesStarFile", "tilt_series/3.star"),
    ]
    assert "not there" in rejects["reason"][0]
    for name in "ac":
        (tmp_path / "p" / "tilt_series" / f"{'abcd'.index(name)}.star").unlink()
    report = convert(star, tmp_path / "none", missing="skip")
    assert (report.tilts, report.missing) == (0, 4)
    assert read_tilts(tmp_path / "none").height == 0


def test_series_of_no_tilts(tmp_path: Path) -> None:
    series = {
        "a": tilts("a", 2),
        "b": "data_b\n\nloop_\n_rlnMicrographPreExposure\n\n",
        "c": "data_c\n",
        "d": tilts("d", 1),
    }
    report = convert(write_project(tmp_path / "p", series), tmp_path / "ds")
    assert report.tilts == 3
    assert [(warning.code, warning.count) for warning in report.warnings] == [("no-tilts", 2)]
    assert pl.read_parquet(tmp_path / "ds" / "tomograms")["tilt_count"].to_list() == [2, 0, 0, 1]
    assert read_tilts(tmp_path / "ds")["rlnTomoName"].cast(pl.String).to_list() == ["a", "a", "d"]


def test_a_block_of_another_name_is_taken_with_a_warning(tmp_path: Path) -> None:
    series = {"TS_01": tilts("TS_1", 2), "TS_02": tilts("TS_02", 1) + tilts("other", 5)}
    report = convert(write_project(tmp_path / "p", series), tmp_path / "ds")
    assert sorted((warning.code, warning.count) for warning in report.warnings) == [
        ("block-name", 1),
        ("other-blocks", 1),
    ]
    assert read_tilts(tmp_path / "ds")["rlnTomoName"].cast(pl.String).to_list() == ["TS_01", "TS_01", "TS_02"]
    with pytest.raises(StarSyntaxError, match="block-name"):
        convert(tmp_path / "p" / "tomograms.star", tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()


def test_the_optics_table_beside_the_global_one_is_kept(tmp_path: Path) -> None:
    extra = loop("optics", ["rlnOpticsGroup", "rlnVoltage"], [[1, 300]]) + "data_other\n_rlnA 1\n"
    star = write_project(tmp_path / "p", {"a": tilts("a", 1)}, extra=extra)
    report = convert(star, tmp_path / "ds")
    assert pl.read_parquet(tmp_path / "ds" / "optics").rows() == [(1, 300.0)]
    assert [warning.code for warning in report.warnings] == ["other-blocks"]
    with pytest.raises(StarSyntaxError, match="other-blocks"):
        convert(star, tmp_path / "strict", strict=True)


def test_column_names_stay_unique(tmp_path: Path) -> None:
    labels = ["rlnTomoName", "rlnTomoName_tilt", "rlnVoltage", "rlnVoltage_global", "tilt_index"]
    series = {"a": loop("a", labels, [["x", "y", 1, 2, 3]])}
    more = ["rlnVoltage", "rlnVoltage_global", "tilt_count", "tilt_index"]
    star = write_project(tmp_path / "p", series, more_labels=more, more_values={"a": [300, 4, 5, 6]})
    convert(star, tmp_path / "ds")
    row = read_tilts(tmp_path / "ds").with_columns(pl.col(pl.Categorical).cast(pl.String)).to_dicts()[0]
    assert [row[label] for label in ("rlnTomoName", "rlnTomoName_tilt_tilt", "rlnTomoName_tilt")] == ["a", "x", "y"]
    assert [row[label] for label in ("rlnVoltage", "rlnVoltage_global")] == [1.0, 2]
    origins = {c["origin"]: c["name"] for c in read_manifest(tmp_path / "ds")["tables"]["tilts"]["columns"]}
    assert row[origins["global/rlnVoltage"]] == 300.0
    assert row[origins["global/rlnVoltage_global"]] == 4
    assert (row[origins["global/tilt_index"]], row[origins["tilt_series/tilt_index"]], row["tilt_index"]) == (6, 3, 0)
    tomograms = pl.read_parquet(tmp_path / "ds" / "tomograms")
    assert (tomograms["tilt_count"][0], tomograms["tilt_count_of_series"][0]) == (5, 1)


def test_labels_of_both_tables_and_reserved_names(tmp_path: Path) -> None:
    series = {
        "a": loop("a", ["rlnVoltage", "rlnTomoName", "tilt_index"], [[200, "x", 7]]),
        "b": loop("b", ["rlnVoltage"], [[100]]),
    }
    star = write_project(tmp_path / "p", series, more_labels=["rlnVoltage"], more_values={"a": [300], "b": [300]})
    convert(star, tmp_path / "ds")
    frame = read_tilts(tmp_path / "ds").with_columns(pl.col(pl.Categorical).cast(pl.String))
    assert frame.select(
        "rlnTomoName", "tilt_index", "rlnVoltage", "rlnVoltage_global", "rlnTomoName_tilt", "tilt_index_tilt"
    ).rows() == [
        ("a", 0, 200.0, 300.0, "x", 7),
        ("b", 0, 100.0, 300.0, None, None),
    ]
    origins = {c["name"]: c["origin"] for c in read_manifest(tmp_path / "ds")["tables"]["tilts"]["columns"]}
    assert origins["rlnVoltage_global"] == "global/rlnVoltage"
    assert origins["rlnVoltage"] == "tilt_series/rlnVoltage"
    assert origins["tilt_index_tilt"] == "tilt_series/tilt_index"


# ---- Bad input: refused with its place, and nothing is written -----------------------------------------------------

BAD_SERIES = {
    "ragged": (loop("b", ["rlnA", "rlnB"], [[1, 2], [3]]), StarSyntaxError, "a row of 1 value in a loop of 2 labels"),
    "bad value": (loop("b", ["rlnVoltage"], [["high"]]), SchemaError, "'high' is not a number"),
    "label twice": (loop("b", ["rlnA", "rlnA"], [[1, 2]]), StarSyntaxError, "stands twice"),
    "wrong block": (tilts("x", 1) + tilts("y", 1), SchemaError, "no blocks have the name of the tomogram, 'b'"),
    "block twice": (tilts("b", 1) + tilts("b", 1), SchemaError, "2 blocks have the name"),
    "two loops": (tilts("b", 1) + "loop_\n_rlnB\n1\n", SchemaError, "2 loops"),
    "a list": ("data_b\n_rlnMicrographPreExposure 3.0\n", SchemaError, "outside a loop"),
    "a list and a loop": ("data_b\n_rlnA 3.0\n" + tilts("b", 1).split("\n", 2)[2], SchemaError, "outside a loop"),
    "empty": ("", SchemaError, "no blocks have the name"),
    "binary": ("\0\0\0\0", StarSyntaxError, "byte 0x00"),
    "open quote": ("data_b\n_rlnA 'x\n", StarSyntaxError, "not closed"),
}


@pytest.mark.parametrize("case", BAD_SERIES, ids=str)
def test_a_bad_tilt_series_is_refused(tmp_path: Path, case: str) -> None:
    text, error, message = BAD_SERIES[case]
    star = write_project(tmp_path / "p", {"a": tilts("a", 2), "b": text, "c": tilts("c", 2)})
    with pytest.raises(error) as refused:
        convert(star, tmp_path / "ds")
    assert message in str(refused.value)
    assert refused.value.place.path == "tilt_series/1.star"
    assert os.listdir(tmp_path) == ["p"]


def test_all_bad_tilt_series_are_reported_together(tmp_path: Path) -> None:
    series = {f"t{i}": (BAD_SERIES["ragged"][0] if i % 3 == 0 else tilts(f"t{i}", 1)) for i in range(60)}
    (tmp_path / "p").mkdir()
    star = write_project(tmp_path / "p" / "q", series)
    with pytest.raises(StarSyntaxError, match="20 errors in tilt-series files") as refused:
        convert(star, tmp_path / "ds")
    assert [error.place.path for error in refused.value.errors] == [f"tilt_series/{i}.star" for i in range(0, 60, 3)]


def test_warnings_name_the_file_and_row_they_are_in(tmp_path: Path) -> None:
    series = {
        name: loop(name, ["rlnVoltage", "rlnTomoTiltMovieFrameCount"], [[300, 8], [second, third]])
        for name, second, third in (("a", 300, 8), ("b", "nan", 8), ("c", 300, 2.5), ("d", "inf", 8))
    }
    star = write_project(tmp_path / "p", series)
    report = convert(star, tmp_path / "ds")
    assert [(warning.code, warning.count, warning.files, warning.first) for warning in report.warnings] == [
        ("not-finite", 2, 2, "tilt_series/1.star:7:1 (block 'data_b', label _rlnVoltage)"),
        ("widened", 1, 1, "tilt_series/2.star:7:5 (block 'data_c', label _rlnTomoTiltMovieFrameCount)"),
    ]
    with pytest.raises(StarSyntaxError) as refused:
        convert(star, tmp_path / "strict", strict=True)
    assert [error.place.path for error in refused.value.errors] == [f"tilt_series/{i}.star" for i in (1, 2, 3)]


def test_tilt_series_that_are_no_files(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {"a": tilts("a", 1), "b": tilts("b", 1)})
    os.unlink(tmp_path / "p" / "tilt_series" / "1.star")
    os.mkfifo(tmp_path / "p" / "tilt_series" / "1.star")
    with pytest.raises(MissingFileError, match="not a regular file"):
        convert(star, tmp_path / "ds")
    star.write_text(star.read_text().replace("tilt_series/1.star", "tilt_series"))
    with pytest.raises(MissingFileError, match="not a regular file"):
        convert(star, tmp_path / "ds")


def test_bad_values_become_null_and_are_listed_where_asked_for(tmp_path: Path) -> None:
    series = {"a": tilts("a", 2), "b": loop("b", ["rlnMicrographPreExposure"], [["x"], [3.0], ["None"]])}
    report = convert(write_project(tmp_path / "p", series), tmp_path / "ds", on_bad_value="null")
    assert (report.tilts, report.rejects, report.exit_code) == (5, 1, 1)
    assert read_tilts(tmp_path / "ds")["rlnMicrographPreExposure"].to_list() == [0.0, 1.0, None, 3.0, None]
    rejects = pl.read_parquet(tmp_path / "ds" / "rejects").to_dicts()
    assert rejects == [
        {
            "file": "tilt_series/1.star",
            "line": 5,
            "column": 1,
            "block": "b",
            "label": "rlnMicrographPreExposure",
            "text": "x",
            "reason": "not a number",
        }
    ]


BAD_GLOBAL = {
    "empty": ("", "the file holds no block"),
    "comments only": ("# version 50001\n", "the file holds no block"),
    "pairs beside the loop": (
        loop("global", ["rlnTomoName", "rlnTomoTiltSeriesStarFile"], [["a", "x"]]) + "_rlnVoltage 300\n",
        "outside the loop of the global table",
    ),
    "a list": ("data_global\n_rlnTomoName a\n_rlnTomoTiltSeriesStarFile x\n", "written as a list"),
    "names repeat": (
        loop("global", ["rlnTomoName", "rlnTomoTiltSeriesStarFile"], [["a", "x"], ["b", "x"], ["a", "y"]]),
        "1 tomogram names repeat: a",
    ),
}


@pytest.mark.parametrize("case", BAD_GLOBAL, ids=str)
def test_a_bad_global_file_is_refused(tmp_path: Path, case: str) -> None:
    star = tmp_path / "tomograms.star"
    star.write_text(BAD_GLOBAL[case][0])
    with pytest.raises(SchemaError) as refused:
        convert(star, tmp_path / "ds")
    assert BAD_GLOBAL[case][1] in str(refused.value)
    assert os.listdir(tmp_path) == ["tomograms.star"]


def test_any_other_star_file_becomes_one_table_a_loop(tmp_path: Path) -> None:
    star = tmp_path / "run_data.star"
    rows = loop("particles", ["rlnTomoName", "rlnCoordinateX", "own"], [["001", "1.5", "7"], ["002", "-2.5", "8"]])
    star.write_text("data_general\n_rlnParticleNumber 2\n_note 'two words'\n\n" + loop("optics", ["x"], [["1"]]) + rows)
    report = convert(star, tmp_path / "ds")
    assert (report.kind, report.rows) == ("particle set", {"optics": 1, "particles": 2, "pairs": 2})
    particles = pl.read_parquet(tmp_path / "ds" / "particles" / "*.parquet")
    assert particles.to_dicts() == [
        {"rlnTomoName": "001", "rlnCoordinateX": 1.5, "own": 7},
        {"rlnTomoName": "002", "rlnCoordinateX": -2.5, "own": 8},
    ]
    pairs = pl.read_parquet(tmp_path / "ds" / "pairs" / "*.parquet")
    assert pairs.select("block", "label", "value").rows() == [
        ("general", "rlnParticleNumber", "2"),
        ("general", "note", "two words"),
    ]
    with pytest.raises(UsageError, match="partition"):
        convert(star, tmp_path / "other", partition_by="rlnTomoName")


def test_blocks_whose_names_are_no_names_of_folders(tmp_path: Path) -> None:
    star = tmp_path / "x.star"
    star.write_text("".join(loop(name, ["a"], [["1"]]) for name in ["a/b", "a b", "", "star", "tilts", "A_B", ".."]))
    report = convert(star, tmp_path / "ds")
    assert list(report.rows) == ["a_b", "a_b_2", "data", "star_2", "tilts_2", "A_B_3", "data_2"]


@pytest.mark.parametrize("option", [{"missing": "ignore"}, {"on_bad_value": "drop"}, {"threads": 0}], ids=str)
def test_wrong_calls(small_project: Example, tmp_path: Path, option: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        convert(small_project.tomograms_star, tmp_path / "ds", **option)  # type: ignore[arg-type]


# ---- The target ----------------------------------------------------------------------------------------------------


def test_a_dataset_is_replaced_only_with_force(small_project: Example, tmp_path: Path) -> None:
    target = tmp_path / "ds"
    convert(small_project.tomograms_star, target)
    first = (target / "manifest.json").read_bytes()
    with pytest.raises(DatasetError, match="--force"):
        convert(small_project.tomograms_star, target)
    assert (target / "manifest.json").read_bytes() == first
    convert(small_project.tomograms_star, target, force=True, partition_by="rlnOpticsGroupName")
    assert (target / "tilts" / "rlnOpticsGroupName=optics1").is_dir()
    assert os.listdir(tmp_path) == ["ds"]


@pytest.mark.parametrize(
    "what", ["folder of other things", "file", "link", "another manifest", "a project in a dataset"]
)
def test_what_is_no_dataset_is_never_replaced(small_project: Example, tmp_path: Path, what: str) -> None:
    target = tmp_path / "ds"
    if what == "file":
        target.write_text("precious")
    elif what == "link":
        (tmp_path / "real").mkdir()
        target.symlink_to(tmp_path / "real")
    elif what == "a project in a dataset":
        convert(small_project.tomograms_star, target)
        (target / "notes.txt").write_text("precious")
    else:
        target.mkdir()
        (target / "precious.txt").write_text("precious")
        if what == "another manifest":
            (target / "manifest.json").write_text('{"name": "my web app"}')
    before = sorted(tmp_path.rglob("*"))
    for force in (False, True):
        with pytest.raises(DatasetError):
            convert(small_project.tomograms_star, target, force=force)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_appears_at_the_target_meanwhile_is_kept(
    small_project: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "ds"

    def meanwhile(manifest: Manifest, folder: Path) -> None:
        write_manifest(manifest, folder)
        target.mkdir()
        (target / "thesis.txt").write_text("precious")

    monkeypatch.setattr("tomoarrow.dataset.versions.staging.write_manifest", meanwhile)
    with pytest.raises(DatasetError):
        convert(small_project.tomograms_star, target)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["ds", "thesis.txt"]


def test_folders_made_for_a_dataset_go_when_it_fails(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {"a": BAD_SERIES["ragged"][0]})
    with pytest.raises(StarSyntaxError):
        convert(star, tmp_path / "x" / "y" / "ds")
    assert os.listdir(tmp_path) == ["p"]


def test_a_target_that_cannot_be_made(small_project: Example) -> None:
    with pytest.raises(DatasetError, match="cannot write"):
        convert(small_project.tomograms_star, "/proc/nowhere/ds")


def test_the_current_folder_is_a_fine_target(
    small_project: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ds").mkdir()
    monkeypatch.chdir(tmp_path / "ds")
    convert(small_project.tomograms_star, ".")
    assert (tmp_path / "ds" / "manifest.json").exists()


def test_a_project_whose_path_is_not_utf8(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"x\xe9")
    star = write_project(Path(os.fsdecode(folder)), {"a": tilts("a", 2)})
    report = convert(star, tmp_path / "ds")
    assert read_manifest(tmp_path / "ds")["project"] == report.project
    assert convert(star, tmp_path / "ds", update=True).tilts == 2
    ta.plan(star, tmp_path / "parts", parts=1)
    ta.partition(tmp_path / "parts", 0)
    assert ta.finalise(tmp_path / "parts").tilts == 2


def test_an_empty_folder_is_a_fine_target(small_project: Example, tmp_path: Path) -> None:
    (tmp_path / "ds").mkdir()
    convert(small_project.tomograms_star, tmp_path / "ds")
    assert (tmp_path / "ds" / "manifest.json").exists()


def test_a_failure_half_way_leaves_the_old_dataset(
    small_project: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "ds"
    convert(small_project.tomograms_star, target)
    first = read_tilts(target)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tomoarrow.dataset.versions.staging.write_manifest", full)
    with pytest.raises(DatasetError, match="No space"):
        convert(small_project.tomograms_star, target, force=True)
    assert os.listdir(tmp_path) == ["ds"]
    assert read_tilts(target).equals(first)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError], ids=lambda error: error.__name__)
@pytest.mark.parametrize("step", ["rename", "replace"])
def test_the_old_dataset_stays_when_the_new_one_cannot_take_its_place(
    small_project: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], step: str
) -> None:
    target = tmp_path / "ds"
    convert(small_project.tomograms_star, target)
    first = read_tilts(target)
    there = sorted(target.rglob("*"))

    def stopped(*_: object) -> None:
        raise error("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(f"tomoarrow.dataset.versions.staging.os.{step}", stopped)
        with pytest.raises((KeyboardInterrupt, DatasetError)):
            convert(small_project.tomograms_star, target, force=True)
    assert os.listdir(tmp_path) == ["ds"]
    assert sorted(target.rglob("*")) == there
    assert read_tilts(target).equals(first)


def test_an_old_file_that_cannot_be_removed_is_named(
    small_project: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "ds"
    convert(small_project.tomograms_star, target)
    unlink = Path.unlink

    def denied(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".parquet":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", denied)
        report = convert(small_project.tomograms_star, target, force=True)
    assert report.tilts == 35
    assert "tilts/part-00000.parquet" in caplog.text
    assert ta.Dataset(target).tilts.collect().height == 35
    convert(small_project.tomograms_star, target, force=True)
    assert os.listdir(target / "tilts") == ["part-00000-v3.parquet"]


def test_files_that_change_while_they_are_read_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    star = write_project(tmp_path / "p", {"a": tilts("a", 1), "b": tilts("b", 1, "labOther")})
    monkeypatch.setattr("tomoarrow.dataset.tables.tilts._SLAB_BYTES", 1)
    monkeypatch.setattr("tomoarrow.dataset.tables.tilts.fits", lambda *_: False)
    with pytest.raises(DatasetError, match="changed while they were read"):
        convert(star, tmp_path / "ds")
    assert os.listdir(tmp_path) == ["p"]


def test_a_pipe_that_is_written_to_for_some_time_has_not_changed(tmp_path: Path) -> None:
    pipe = tmp_path / "x.star"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            file.write(b"data_x\nloop_\n_a\n1\n")
            time.sleep(0.1)
            file.write(b"2\n")

    writer = threading.Thread(target=write)
    writer.start()
    assert convert(pipe, tmp_path / "ds").rows == {"x": 2}
    writer.join()


def test_a_source_that_keeps_changing_is_refused(
    small_project: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_project.tomograms_star.parent / "tilt_series/TS_03.star"
    before = path.stat()
    changes = [1, 10]
    read = members_of.read_series

    def changing(*arguments: object, **options: object) -> object:
        if changes[0]:
            changes[0] -= 1
            os.utime(path)
        return read(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("tomoarrow.dataset.tables.tilts.read_series", changing)
    # Once: it is read again.
    assert convert(small_project.tomograms_star, tmp_path / "ds").tilts == 35
    changes[0] = changes[1]
    with pytest.raises(DatasetError, match=r"1 file changed while being read, such as .*TS_03.star"):
        convert(small_project.tomograms_star, tmp_path / "never")
    assert os.listdir(tmp_path) == ["ds"]
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_rows_are_counted_before_the_commit(
    small_project: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = layout.PartWriter.write
    monkeypatch.setattr(layout.PartWriter, "write", lambda self, table: write(self, table.slice(5)))
    with pytest.raises(DatasetError, match="35 tilts were read, 30 written"):
        convert(small_project.tomograms_star, tmp_path / "ds")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "not the manifest"),
        (json.dumps({"format": "tomoarrow dataset", "format_version": 99}), "update tomoarrow"),
    ],
)
def test_manifests_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(TomoarrowError) as refused:
        read_manifest(tmp_path)
    assert message in str(refused.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DatasetError, match=r"no manifest\.json"):
        read_manifest(tmp_path / "folder")
    with pytest.raises(DatasetError, match="no such folder"):
        read_manifest(tmp_path / "none")


def test_no_fewer_rejects_than_none_can_be_asked_for(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {"T": tilts("T", 2)})
    with pytest.raises(ta.UsageError, match="max_rejects=-1"):
        ta.convert(star, tmp_path / "d", max_rejects=-1)
    assert not (tmp_path / "d").exists()
