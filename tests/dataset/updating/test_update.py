"""Updates: what comes out is what a new conversion gives, and only what has changed is read and written."""

import os
import random
import shutil
from pathlib import Path

import polars as pl
import pytest

import tomoarrow as ta
from tests.dataset.projects import loop, tilts, write_project
from tomoarrow.dataset.tables.survey import Survey, survey
from tomoarrow.dataset.verify import verify
from tomoarrow.example import make_project

LABELS = ("rlnMicrographPreExposure", "rlnTomoYTilt", "rlnMicrographName", "labFlag", "rlnTomoXTilt")


def convert(star: Path, dataset: Path, **options: object) -> ta.Report:
    return ta.convert(star, dataset, update=True, missing="skip", on_bad_value="null", **options)  # type: ignore[arg-type]


def series(name: str, rng: random.Random) -> str:
    """A tilt series with columns and values of many kinds; few of them odd, so that most updates are small."""
    labels = list(LABELS[:3])
    if rng.random() < 0.1:
        labels.append(LABELS[3])
    if rng.random() < 0.05:
        labels.append(LABELS[4])
    if rng.random() < 0.05:
        rng.shuffle(labels)
    flag = rng.choice(["1", "1", "2.5", "word"])
    values = {LABELS[0]: lambda: f"{rng.random():.6f}", LABELS[1]: lambda: rng.choice(["1.5", "nan", "3.0", "x"][:3])}
    values |= {LABELS[2]: lambda: f"m/{rng.randrange(9)}.mrc", LABELS[3]: lambda: flag, LABELS[4]: lambda: "0.0"}
    if rng.random() < 0.1:
        values[LABELS[1]] = lambda: rng.choice(["1.5", "bad"])
    n = rng.choice([0, 1, 3, 3, 3, 5])
    return f"# written {rng.randrange(2)}\n" + loop(
        name, labels, [[values[label]() for label in labels] for _ in range(n)]
    )


class Project:
    """A project that is edited step by step."""

    def __init__(self, home: Path, rng: random.Random) -> None:
        self.home, self.rng = home, rng
        self.names = [f"T{i}" for i in range(8)]
        self.groups = dict.fromkeys(self.names, "one")
        self.star = home / "tomograms.star"
        (home / "s").mkdir(parents=True)
        for name in self.names:
            self.write(name)
        self.write_global()

    def write(self, name: str) -> None:
        (self.home / f"s/{name}.star").write_text(series(name, self.rng))

    def write_global(self) -> None:
        labels = ["rlnTomoName", "rlnTomoTiltSeriesStarFile", "rlnOpticsGroupName"]
        self.star.write_text(loop("global", labels, [[n, f"s/{n}.star", self.groups[n]] for n in self.names]))

    def edit(self) -> None:
        rng, name = self.rng, self.rng.choice(self.names)
        what = rng.choice(
            ["change", "change", "change", "add", "insert", "remove", "touch", "group", "gone", "swap", "none"]
        )
        if what == "change":
            self.write(name)
        elif what in ("add", "insert"):
            new = f"N{rng.randrange(10**6)}"
            self.names.insert(len(self.names) if what == "add" else rng.randrange(len(self.names)), new)
            self.groups[new] = rng.choice(["one", "two"])
            self.write(new)
        elif what == "remove" and len(self.names) > 2:
            self.names.remove(name)
        elif what == "touch":
            os.utime(self.home / f"s/{name}.star")
        elif what == "group":
            self.groups[name] = "three"
        elif what == "gone" and rng.random() < 0.3:
            (self.home / f"s/{name}.star").unlink(missing_ok=True)
        elif what == "swap" and rng.random() < 0.3:
            rng.shuffle(self.names)
        self.write_global()


def check_equal(updated: Path, fresh: Path) -> None:
    """Tables, in their order, with columns and types; texts; what was noticed and left out."""
    one, other = ta.Dataset(updated), ta.Dataset(fresh)
    assert one.tables.keys() == other.tables.keys()
    for name, table in one.tables.items():
        assert table.collect().equals(other[name].collect()), name
        assert table.collect_schema() == other[name].collect_schema(), name
    assert one.warnings == other.warnings
    assert one.rejects.collect().equals(other.rejects.collect())
    assert one.sources == other.sources
    assert verify(updated).differences == verify(fresh).differences
    listed = pl.concat([pl.read_parquet(path) for path in sorted((updated / "tilts").rglob("*.parquet"))])
    if not any("=" in path.name for path in (updated / "tilts").iterdir()):
        assert listed.equals(one.tilts.collect())


@pytest.mark.parametrize("partition_by", [None, "rlnOpticsGroupName"])
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))])
def test_an_update_gives_what_a_new_conversion_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, partition_by: str | None
) -> None:
    monkeypatch.setattr("tomoarrow.dataset.layout.ROW_GROUP_ROWS", 4)
    monkeypatch.setattr("tomoarrow.dataset.layout.FILE_ROWS", 4)
    project = Project(tmp_path / "p", random.Random(seed))
    for step in range(12):
        convert(project.star, tmp_path / "d", partition_by=partition_by)
        convert(project.star, tmp_path / f"fresh{step}", partition_by=partition_by)
        check_equal(tmp_path / "d", tmp_path / f"fresh{step}")
        for _ in range(project.rng.choice([1, 1, 2])):
            project.edit()


def age(folder: Path) -> None:
    """Make files as old as those of a real project are when it is converted."""
    for path in folder.rglob("*.star"):
        os.utime(path, ns=(10**18, 10**18 + hash(path.name) % 1000))


def test_only_what_has_changed_is_read_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tomoarrow.dataset.layout.ROW_GROUP_ROWS", 10)
    monkeypatch.setattr("tomoarrow.dataset.layout.FILE_ROWS", 10)
    made = make_project(tmp_path / "p", tomograms=8, tilts=5, particles=3)
    age(tmp_path / "p")
    assert made.optimisation_set_star is not None
    ta.convert(made.optimisation_set_star, tmp_path / "d")
    before = {path: path.read_bytes() for path in (tmp_path / "d").rglob("*.parquet")}
    third = made.tomograms_star.parent / "tilt_series/TS_03.star"
    third.write_text(third.read_text().replace("300", "299").replace("3.0", "3.5"))
    others = [path for path in (tmp_path / "p").rglob("*.star") if path != third]
    for path in others:
        # Root may read anything: who opens these finds no STAR file.
        status = path.stat()
        text = path.read_bytes()
        path.write_bytes(b"\0" * len(text))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = ta.convert(made.optimisation_set_star, tmp_path / "d", update=True)
    assert (report.read_again, report.version) == (1, 2)
    after = {path: path.read_bytes() for path in (tmp_path / "d").rglob("*.parquet")}
    assert {path.relative_to(tmp_path / "d").as_posix() for path in before.keys() - after.keys()} == {
        "tilts/part-00001.parquet",
        "sources/part-00000.parquet",
    }
    assert all(after[path] == text for path, text in before.items() if path in after)
    assert ta.Dataset(tmp_path / "d").tomogram("TS_03").height == 5


def test_nothing_has_changed(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=3, tilts=2)
    age(tmp_path / "p")
    first = ta.convert(made.tomograms_star, tmp_path / "d", update=True)
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "d").rglob("*")}
    second = ta.convert(made.tomograms_star, tmp_path / "d", update=True)
    assert (second.read_again, second.version, second.exit_code) == (0, 1, 0)
    assert (second.rows, second.files, second.source_bytes) == (first.rows, first.files, first.source_bytes)
    assert there == {path: path.stat().st_mtime_ns for path in (tmp_path / "d").rglob("*")}


def test_a_change_that_size_and_time_do_not_tell_is_seen_by_its_checksum(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=3, tilts=2)
    ta.convert(made.tomograms_star, tmp_path / "d")
    path = made.tomograms_star.parent / "tilt_series/TS_02.star"
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b".000000", b".100000"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert ta.convert(made.tomograms_star, tmp_path / "d", update=True).read_again == 1
    assert verify(tmp_path / "d").differences == []


def test_a_file_that_was_only_touched_is_not_read_again(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=3, tilts=2)
    age(tmp_path / "p")
    ta.convert(made.tomograms_star, tmp_path / "d")
    os.utime(made.tomograms_star)
    report = ta.convert(made.tomograms_star, tmp_path / "d", update=True)
    assert (report.read_again, report.version) == (0, 2)
    assert os.listdir(tmp_path / "d/tilts") == ["part-00000.parquet"]
    assert ta.convert(made.tomograms_star, tmp_path / "d", update=True).version == 2


def test_tables_that_other_tools_changed_are_not_lost(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=3, tilts=2)
    ta.convert(made.tomograms_star, tmp_path / "d")
    path = tmp_path / "d/tilts/part-00000.parquet"
    pl.read_parquet(path).head(3).write_parquet(path)
    with pytest.raises(ta.DatasetError, match="changed by other tools"):
        ta.convert(made.tomograms_star, tmp_path / "d", update=True)
    assert pl.read_parquet(path).height == 3


@pytest.mark.parametrize("other", [{"partition_by": "rlnVoltage"}, {"on_bad_value": "null"}])
def test_other_options_take_everything(tmp_path: Path, other: dict[str, str]) -> None:
    made = make_project(tmp_path / "p", tomograms=3, tilts=2)
    ta.convert(made.tomograms_star, tmp_path / "d")
    report = ta.convert(made.tomograms_star, tmp_path / "d", update=True, **other)  # type: ignore[arg-type]
    assert (report.read_again, report.version) == (None, 2)


def test_an_update_that_fails_leaves_the_dataset(tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {name: loop(name, ["rlnTomoYTilt"], [[1.0]]) for name in "abc"})
    ta.convert(star, tmp_path / "d")
    (tmp_path / "p/tilt_series/1.star").write_text("data_b\nloop_\n_rlnTomoYTilt\nx\n")
    with pytest.raises(ta.SchemaError, match="'x'"):
        ta.convert(star, tmp_path / "d", update=True)
    assert ta.Dataset(tmp_path / "d").tilts.collect().height == 3
    assert sorted(os.listdir(tmp_path)) == ["d", "p"]


def test_many_updates_leave_as_many_files_as_a_new_conversion(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", tomograms=4, tilts=3)
    ta.convert(made.tomograms_star, tmp_path / "d")
    n_files = len(list((tmp_path / "d").rglob("*")))
    text = made.tomograms_star.read_text()
    row = text.rstrip().splitlines()[-1]
    for i in range(5):
        new = row.replace("TS_04", f"TS_9{i}")
        name = made.tomograms_star.parent / "tilt_series/TS_04.star"
        shutil.copy(name, name.with_name(f"TS_9{i}.star"))
        path = name.with_name(f"TS_9{i}.star")
        path.write_text(path.read_text().replace("data_TS_04", f"data_TS_9{i}"))
        text = text.rstrip() + "\n" + new + "\n"
        made.tomograms_star.write_text(text)
        assert ta.convert(made.tomograms_star, tmp_path / "d", update=True).tomograms == 5 + i
    assert len(list((tmp_path / "d").rglob("*"))) == n_files


# ---- Files that are written while they are looked at ---------------------------------------------------------------


@pytest.mark.parametrize("what", ["gone for a moment", "changed just behind"])
def test_files_that_change_while_they_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    project = tmp_path / "p"
    star = write_project(project, {name: tilts(name, 3) for name in "abc"})
    ta.convert(star, tmp_path / "ds")
    # The global file has changed too, so that it is read again after the others were looked at.
    (project / "tilt_series" / "3.star").write_text(tilts("d", 2))
    star.write_text(star.read_text().rstrip("\n") + "\nd tilt_series/3.star\n")
    file = project / "tilt_series" / "1.star"

    def look(*arguments: object) -> Survey:
        if what == "gone for a moment":
            file.write_text(tilts("b", 4))
            file.rename(tmp_path / "away")
        seen = survey(*arguments)  # type: ignore[arg-type]
        if what == "gone for a moment":
            (tmp_path / "away").rename(file)
        else:
            file.write_text(tilts("b", 4))
        return seen

    monkeypatch.setattr("tomoarrow.dataset.updating.making.survey", look)
    ta.convert(star, tmp_path / "ds", update=True)
    monkeypatch.undo()
    ta.convert(star, tmp_path / "new")
    for name, table in ta.Dataset(tmp_path / "new").tables.items():
        assert table.collect().equals(ta.Dataset(tmp_path / "ds").tables[name].collect()), name
    assert all(source.sha256 for source in ta.Dataset(tmp_path / "ds").sources)
    assert verify(tmp_path / "ds").differences == []
