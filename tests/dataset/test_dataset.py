"""A dataset as an object: its tables, one tomogram of it, and what it tells of itself."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

import tomoarrow as ta
from tests.dataset.projects import tilts, write_project
from tomoarrow.dataset.reading.lookup import find_tomogram, row_groups
from tomoarrow.dataset.versions.snapshot import open_snapshot
from tomoarrow.example import Example, make_project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return make_project(tmp_path_factory.mktemp("dataset") / "project", tomograms=12, tilts=5, particles=3)


@pytest.fixture(scope="module")
def dataset(made: Example) -> ta.Dataset:
    assert made.optimisation_set_star is not None
    ta.convert(made.optimisation_set_star, made.directory.parent / "dataset")
    return ta.Dataset(made.directory.parent / "dataset")


def test_its_tables(dataset: ta.Dataset) -> None:
    heights = {name: frame.collect().height for name, frame in dataset.tables.items()}
    assert heights == {"tilts": 60, "tomograms": 12, "optics": 2, "particles": 36, "trajectories": 180, "pairs": 5}
    assert dataset["tilts"].collect().equals(dataset.tilts.collect())
    assert dataset.particles.collect().height == 36
    assert dataset.trajectories.collect().height == 180
    with pytest.raises(ta.DatasetError, match="no table manifolds"):
        dataset["manifolds"]


def test_what_it_tells(dataset: ta.Dataset, made: Example) -> None:
    assert repr(dataset).splitlines()[1:] == [
        "  tilts: 60 rows",
        "  tomograms: 12 rows",
        "  optics: 2 rows",
        "  particles: 36 rows",
        "  trajectories: 180 rows",
        "  pairs: 5 rows>",
    ]
    units = {row["column"]: row["unit"] for row in dataset.schema().iter_rows(named=True) if row["table"] == "tilts"}
    assert units["rlnDefocusU"] == "angstrom"
    assert units["rlnTomoYTilt"] == "degree"
    origins = dict(dataset.schema().filter(table="particles").select("column", "origin").iter_rows())
    assert origins["rlnVoltage"] == "optics/rlnVoltage"
    assert origins["rlnTomoName"] == "particles/rlnTomoName"
    assert len(dataset.sources) == 12 + 4
    assert {Path(source.path).name for source in dataset.sources} >= {"particles.star", "motion.star", "TS_01.star"}
    assert dataset.warnings == []
    assert dataset.rejects.collect().height == 0


class _Tags(HTMLParser):
    """Which tags open, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_what_a_notebook_shows(tmp_path: Path) -> None:
    star = tmp_path / "<script>x.star"
    star.write_text("data_a\nloop_\n_n\n1\n\n2\n")
    ta.convert(star, tmp_path / "d")
    shown = _Tags()
    shown.feed(ta.Dataset(tmp_path / "d")._repr_html_())
    assert "script" not in shown.opened
    assert "<script>x.star" in shown.text
    assert "blank line" in shown.text


@pytest.mark.parametrize("partition_by", [None, "rlnOpticsGroupName"])
@pytest.mark.parametrize("rows", [1, 7, 8192])
def test_one_tomogram(
    made: Example, tmp_path: Path, partition_by: str | None, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomoarrow.dataset.layout.ROW_GROUP_ROWS", rows)
    monkeypatch.setattr("tomoarrow.dataset.layout.FILE_ROWS", 3 * rows)
    ta.convert(made.tomograms_star, tmp_path / "d", partition_by=partition_by)
    opened = ta.Dataset(tmp_path / "d")
    for name in ("TS_01", "TS_07", "TS_12"):
        expected = opened.tilts.filter(pl.col("rlnTomoName").cast(pl.String) == name).collect()
        assert expected.height == 5
        assert opened.tomogram(name).equals(expected)
    with pytest.raises(ta.UsageError, match="no tomogram 'TS_99'"):
        opened.tomogram("TS_99")


def test_one_tomogram_of_an_edited_dataset(made: Example, tmp_path: Path) -> None:
    ta.convert(made.tomograms_star, tmp_path / "d")
    path = next((tmp_path / "d" / "tilts").glob("*.parquet"))
    pl.read_parquet(path).sort("rlnMicrographPreExposure", "rlnTomoName").write_parquet(path, row_group_size=7)
    found = ta.Dataset(tmp_path / "d").tomogram("TS_03")
    assert found["tilt_index"].to_list() == [0, 1, 2, 3, 4]
    assert found["rlnTomoName"].cast(pl.String).to_list() == ["TS_03"] * 5
    assert len(find_tomogram(row_groups(open_snapshot(tmp_path / "d").tables["tilts"]), "TS_03")) == 5


def test_files_of_other_tools_need_not_have_the_same_columns(tmp_path: Path) -> None:
    ta.convert(write_project(tmp_path / "p", {"a": tilts("a", 2), "b": tilts("b", 1)}), tmp_path / "d")
    folder = tmp_path / "d" / "tilts"
    frame = pl.read_parquet(folder / "part-00000.parquet")
    frame.head(2).with_columns(new=pl.lit(1.5)).write_parquet(folder / "part-00000.parquet")
    frame.tail(1).write_parquet(folder / "other.parquet")
    dataset = ta.Dataset(tmp_path / "d")
    assert dataset.tilts.collect()["new"].to_list() == [1.5, 1.5, None]
    assert dataset.sql("SELECT COUNT(new) AS n FROM tilts").collect().rows() == [(2,)]
    assert dataset.tomogram("b").height == 1


def test_a_tomogram_of_files_without_positions(tmp_path: Path) -> None:
    ta.convert(write_project(tmp_path / "p", {"a": tilts("a", 2)}), tmp_path / "d")
    path = tmp_path / "d/tilts/part-00000.parquet"
    pl.read_parquet(path).drop("tilt_index").write_parquet(path)
    with pytest.raises(ta.DatasetError, match="the file has no column tilt_index"):
        ta.Dataset(tmp_path / "d").tomogram("a")
    with pytest.raises(ta.DatasetError, match="the tables cannot be read as they are: unable to find column"):
        ta.write_page(tmp_path / "d", tmp_path / "page.html")


@pytest.mark.parametrize("type_", [pl.Int64, pl.Binary, pl.Categorical])
def test_one_tomogram_whose_name_other_tools_have_made_something_else_of(tmp_path: Path, type_: pl.DataType) -> None:
    star = write_project(tmp_path / "p", {"1": tilts("1", 2), "22": tilts("22", 3)})
    ta.convert(star, tmp_path / "d")
    path = next((tmp_path / "d" / "tilts").glob("*.parquet"))
    pl.read_parquet(path).with_columns(pl.col("rlnTomoName").cast(pl.String).cast(type_)).write_parquet(path)
    assert ta.Dataset(tmp_path / "d").tomogram("22").height == 3
    pl.read_parquet(path).drop("rlnTomoName").write_parquet(path)
    with pytest.raises(ta.DatasetError, match="the file has no column rlnTomoName"):
        ta.Dataset(tmp_path / "d").tomogram("22")


@pytest.mark.parametrize(
    ("label", "values", "expected"),
    [
        ("rlnCtfDataAreCtfPremultiplied", ["1", "0"], [True, False]),
        ("rlnOpticsGroupName", ["a/b", "'é = %'"], ["a/b", "é = %"]),
        ("lab/x[%]", ["0.1", "None"], [0.1, None]),
    ],
)
def test_folders_of_any_label_and_value(tmp_path: Path, label: str, values: list[str], expected: list[object]) -> None:
    series = {"A": tilts("A", 1), "B": tilts("B", 1)}
    star = write_project(
        tmp_path / "p", series, more_labels=[label], more_values={n: [v] for n, v in zip("AB", values, strict=True)}
    )
    ta.convert(star, tmp_path / "d", partition_by=label)
    dataset = ta.Dataset(tmp_path / "d")
    assert [dataset.tomogram(name)[label].to_list() for name in "AB"] == [[value] for value in expected]
    assert dataset.tilts.sort("rlnTomoName").collect()[label].to_list() == expected
    assert dataset.sql(f'SELECT "{label}" FROM tilts ORDER BY rlnTomoName').collect()[label].to_list() == expected
    ta.export(tmp_path / "d", tmp_path / "out")
    assert (tmp_path / "out/tomograms.star").read_bytes() == star.read_bytes()


def test_what_stands_above_a_dataset_is_no_column(made: Example, tmp_path: Path) -> None:
    ta.convert(made.tomograms_star, tmp_path / "user=me" / "d")
    dataset = ta.Dataset(tmp_path / "user=me" / "d")
    assert list(dataset.to_dask("tilts").columns) == dataset.tilts.collect_schema().names()


def test_a_file_is_no_dataset(made: Example) -> None:
    with pytest.raises(ta.DatasetError, match="a file, not the folder of a dataset"):
        ta.Dataset(made.tomograms_star)


def test_a_tomogram_without_tilts(tmp_path: Path) -> None:
    (tmp_path / "t.star").write_text(
        "data_global\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesStarFile\nA a.star\nB b.star\n"
    )
    (tmp_path / "a.star").write_text("data_A\nloop_\n_rlnTomoYTilt\n1\n")
    ta.convert(tmp_path / "t.star", tmp_path / "d", missing="skip")
    opened = ta.Dataset(tmp_path / "d")
    assert opened.tomogram("A").height == 1
    assert opened.tomogram("B").height == 0
    assert opened.tomogram("B").columns == opened.tomogram("A").columns
    assert opened.rejects.collect()["text"].to_list() == ["b.star"]


def test_parts_for_training(dataset: ta.Dataset) -> None:
    parts = dataset.split(fractions=(0.5, 0.5), seed=3)
    names = [name for part in parts for name in part.names]
    assert sorted(names) == [f"TS_{number:02d}" for number in range(1, 13)]
    assert sum(dataset.tilts.filter(part.filter).collect().height for part in parts) == 60
