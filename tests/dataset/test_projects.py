"""Many projects, one dataset: names may repeat, each project is written back."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

import tomoarrow as ta
from tests.dataset.projects import loop, tilts, write_project
from tomoarrow.dataset.pictures.facts import project_findings
from tomoarrow.dataset.pictures.gather import gather
from tomoarrow.dataset.reading.row_groups import open_groups
from tomoarrow.example import Example, make_project


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.star")}


@pytest.fixture
def three(tmp_path: Path) -> list[Example]:
    """Three projects whose tomograms have the same names; one has particles."""
    return [
        make_project(tmp_path / "home" / name, tomograms=n, tilts=3, particles=particles, seed=n)
        for name, n, particles in (("A", 2, 0), ("B", 3, 4), ("C d", 4, 0))
    ]


def inputs(made: list[Example]) -> list[Path]:
    return [each.optimisation_set_star or each.tomograms_star for each in made]


@pytest.mark.parametrize("partition_by", [None, "rlnOpticsGroupName"])
def test_each_project_is_written_back(tmp_path: Path, three: list[Example], partition_by: str | None) -> None:
    report = ta.convert(inputs(three), tmp_path / "d", partition_by=partition_by)
    assert (report.kind, report.rows["tomograms"], report.rows["tilts"]) == ("projects", 9, 27)
    out = ta.export(tmp_path / "d", tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "home")
    assert (out.tomograms, out.tilts, out.left_out) == (9, 27, 0)
    ta.export(tmp_path / "d", tmp_path / "b", project="B")
    assert files(tmp_path / "b") == files(tmp_path / "home/B")
    assert ta.verify(tmp_path / "d").differences == []
    assert ta.verify(tmp_path / "d", against=tmp_path / "out").differences == []
    assert ta.Dataset(tmp_path / "d").verify().damages == []
    assert sorted(os.listdir(tmp_path)) == ["b", "d", "home", "out"]


def test_questions_over_all_projects_and_of_one(tmp_path: Path, three: list[Example]) -> None:
    ta.convert(inputs(three), tmp_path / "d")
    dataset = ta.Dataset(tmp_path / "d")
    assert dataset.projects == ["A", "B", "C d"]
    counts = dataset.tilts.group_by("project", maintain_order=True).agg(pl.len()).collect()
    assert counts.rows() == [("A", 6), ("B", 9), ("C d", 12)]
    asked = dataset.sql("SELECT project, COUNT(*) AS n FROM tomograms GROUP BY project ORDER BY project").collect()
    assert asked.rows() == [("A", 2), ("B", 3), ("C d", 4)]
    assert dataset.particles.collect()["project"].unique().to_list() == ["B"]
    query = f"SELECT project, count(*) FROM read_parquet('{tmp_path}/d/tilts/**/*.parquet', hive_partitioning=true) "
    assert duckdb.sql(f"{query} GROUP BY ALL ORDER BY 1").fetchall() == [("A", 6), ("B", 9), ("C d", 12)]
    names = dataset.tomograms.filter(pl.col("project") == "A").collect()["rlnTomoName"].cast(pl.String).to_list()
    first = dataset.project("A").tomogram(names[0])
    assert first.height == 3
    alone = tmp_path / "alone"
    ta.convert(three[0].tomograms_star, alone)
    assert first.drop("project").equals(ta.Dataset(alone).tomogram(names[0]))
    for work in (lambda: dataset.tomogram(names[0]), dataset.particle_tilts):
        with pytest.raises(ta.UsageError, match="several projects"):
            work()
    with pytest.raises(ta.UsageError, match="no project 'X'"):
        dataset.project("X")


def test_columns_that_only_some_projects_have(tmp_path: Path) -> None:
    one = write_project(tmp_path / "one", {"T": loop("T", ["rlnTomoYTilt", "labX"], [[1.5, 1]])})
    two = write_project(tmp_path / "two", {"T": loop("T", ["labX", "rlnTomoXTilt"], [["word", 2.5]])})
    ta.convert([one, two], tmp_path / "d")
    found = ta.Dataset(tmp_path / "d").tilts.collect().sort("project")
    assert found["labX"].to_list() == ["1", "word"]
    assert found["rlnTomoYTilt"].to_list() == [1.5, None]
    with pytest.raises(ta.DatasetError, match="other columns or types") as error:
        open_groups(tmp_path / "d", "tilts")
    assert error.value.remedy == "train on datasets of one project each"
    ta.export(tmp_path / "d", tmp_path / "out")
    assert files(tmp_path / "out/one") == files(tmp_path / "one")
    assert files(tmp_path / "out/two") == files(tmp_path / "two")


def test_names_of_projects(tmp_path: Path) -> None:
    stars = [write_project(tmp_path / "h" / name / "p", {"T": tilts("T", 2)}) for name in ("x", "y/z")]
    with pytest.raises(ta.UsageError, match=r"two projects are called p: .*x/p, .*y/z/p"):
        ta.convert(stars, tmp_path / "d")
    assert not (tmp_path / "d").exists()
    ta.convert(stars, tmp_path / "d", name_by="path")
    assert ta.Dataset(tmp_path / "d").projects == ["x/p", "y/z/p"]
    ta.export(tmp_path / "d", tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "h")
    with pytest.raises(ta.UsageError, match="give each project once"):
        ta.convert([stars[0], stars[0]], tmp_path / "e", name_by="path")


def test_a_bad_project_leaves_nothing(tmp_path: Path) -> None:
    good = write_project(tmp_path / "good", {"T": tilts("T", 2)})
    bad = write_project(tmp_path / "bad", {"T": "data_T\nloop_\n_a\n_b\n1\n"})
    with pytest.raises(ta.StarSyntaxError):
        ta.convert([good, bad], tmp_path / "d")
    assert sorted(os.listdir(tmp_path)) == ["bad", "good"]
    for options in ({"update": True}, {"strict": True}, {"project": tmp_path}, {"name_by": "x"}):
        with pytest.raises(ta.UsageError):
            ta.convert([good, good], tmp_path / "d", **options)  # type: ignore[arg-type]
    with pytest.raises(ta.UsageError, match="no project"):
        ta.convert([], tmp_path / "d")


def test_many_projects_are_replaced_as_one(tmp_path: Path, three: list[Example]) -> None:
    ta.convert(inputs(three), tmp_path / "d")
    opened = ta.Dataset(tmp_path / "d")
    lazy = opened.tilts
    report = ta.convert(inputs(three)[1:], tmp_path / "d", force=True)
    assert report.version == 2
    assert lazy.collect().height == 27
    assert ta.Dataset(tmp_path / "d").projects == ["B", "C d"]
    ta.export(tmp_path / "d", tmp_path / "out")
    assert files(tmp_path / "out/B") == files(tmp_path / "home/B")
    assert ta.convert(three[0].tomograms_star, tmp_path / "d", force=True).version == 3
    assert ta.Dataset(tmp_path / "d").projects == []
    assert sorted(path.name for path in (tmp_path / "d/tilts").iterdir()) == ["part-00000-v3.parquet"]


def test_the_command_line(tmp_path: Path, three: list[Example]) -> None:
    def run(*arguments: object) -> str:
        command = [sys.executable, "-m", "tomoarrow", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "9 tomograms" in run("convert", *inputs(three), tmp_path / "d")
    run("export", tmp_path / "d", tmp_path / "out", "--project", "A")
    assert files(tmp_path / "out") == files(tmp_path / "home/A")
    assert "tilts: 27 rows" in run("inspect", tmp_path / "d")
    assert "C d" in run("query", tmp_path / "d", "SELECT DISTINCT project FROM tilts")


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_one_project_of_several_is_only_that(tmp_path: Path, three: list[Example]) -> None:
    ta.convert(inputs(three), tmp_path / "d", partition_by="rlnOpticsGroupName")
    one = ta.Dataset(tmp_path / "d").project("A")
    assert sorted(name for part in one.split() for name in part.names) == ["TS_01", "TS_02"]
    # dask's own threads would stay.
    frame = one.to_dask("tilts").compute(scheduler="sync")
    assert len(frame) == 6
    assert set(frame["project"]) == {"A"}
    assert sorted(set(frame["rlnOpticsGroupName"])) == ["optics1", "optics2"]


def test_pictures_of_several_projects_tell_their_tomograms_apart(tmp_path: Path, three: list[Example]) -> None:
    ta.convert(inputs(three), tmp_path / "d")
    dataset = ta.Dataset(tmp_path / "d")
    tomograms = gather(dataset).tomograms
    assert tomograms["rlnTomoName"].to_list() == [
        f"{name}/TS_{i:02d}" for name, n in (("A", 2), ("B", 3), ("C d", 4)) for i in range(1, n + 1)
    ]
    assert tomograms["tilts"].to_list() == [3] * 9
    assert tomograms["particles"].to_list() == [0, 0, 4, 4, 4, 0, 0, 0, 0]
    dataset.plot_tilts("C d/TS_04")
    assert gather(dataset.project("A")).tomograms["rlnTomoName"].to_list() == ["TS_01", "TS_02"]
    assert project_findings(dataset) == [
        found for name in dataset.projects for found in project_findings(dataset.project(name))
    ]


def test_tables_that_are_called_by_numbers(tmp_path: Path) -> None:
    for name in "AB":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.star").write_text("".join(loop(str(n), ["a", "b"], [[n, 2]]) for n in range(3)))
    ta.convert([tmp_path / name / "x.star" for name in "AB"], tmp_path / "d")
    assert {name: frame.collect()["a"].to_list() for name, frame in ta.Dataset(tmp_path / "d").tables.items()} == {
        str(n): [n, n] for n in range(3)
    }
    ta.export(tmp_path / "d", tmp_path / "out")
    assert files(tmp_path / "out/B") == files(tmp_path / "B")


def test_a_project_whose_folder_is_no_utf_8(tmp_path: Path) -> None:
    home = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    stars = [write_project(folder, {"T": tilts("T", 2)}) for folder in (home, tmp_path / "b")]
    ta.convert(stars, tmp_path / "d")
    dataset = ta.Dataset(tmp_path / "d")
    assert [dataset.project(name).tilts.collect().height for name in dataset.projects] == [2, 2]
    assert dataset.tilts.collect()["project"].n_unique() == 2
    ta.export(tmp_path / "d", tmp_path / "out")
    assert files(tmp_path / "out" / home.name) == files(home)
