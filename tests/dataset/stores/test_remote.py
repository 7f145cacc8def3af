"""A project in an object store becomes a dataset, in a store or in a folder, and STAR files again."""

import gzip
import json
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import tomoarrow as ta
from tests.dataset.projects import loop, tilts, write_project
from tests.dataset.stores.bucket import Bucket
from tomoarrow import DatasetError, MissingFileError, UsageError
from tomoarrow.cli.app import app
from tomoarrow.dataset.reading.row_groups import open_groups
from tomoarrow.example import Example, make_project


@pytest.fixture(scope="module")
def whole_project(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """With particles, trajectories and an optimisation set."""
    return make_project(tmp_path_factory.mktemp("whole") / "p", tomograms=4, tilts=5, particles=6)


def in_bucket(bucket: Bucket, project: Example, star: Path | None) -> str:
    """Put a project into a bucket; the URL of one of its files."""
    assert star is not None
    bucket.put_folder(project.directory, "data/p")
    return bucket.url(f"data/p/{star.relative_to(project.directory).as_posix()}")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_project_in_a_store_gives_the_tables_of_the_same_project_in_a_folder(
    bucket: Bucket, whole_project: Example, tmp_path: Path
) -> None:
    url = in_bucket(bucket, whole_project, whole_project.optimisation_set_star)
    report = ta.convert(url, tmp_path / "remote")
    ta.convert(whole_project.optimisation_set_star, tmp_path / "local")
    remote, local = ta.Dataset(tmp_path / "remote"), ta.Dataset(tmp_path / "local")
    assert set(remote.tables) == set(local.tables)
    for name, table in local.tables.items():
        assert remote[name].collect().equals(table.collect())
    directory, root = str(whole_project.directory), bucket.url("data/p")
    assert [(s.path, s.sha256) for s in remote.sources] == [
        (s.path.replace(directory, root), s.sha256) for s in local.sources
    ]
    assert (report.project, report.project_how) == (bucket.url("data/p"), "above the STAR file")
    assert remote.manifest["input"] == url


def test_and_back_to_the_byte_through_stores_alone(bucket: Bucket, whole_project: Example, tmp_path: Path) -> None:
    url = in_bucket(bucket, whole_project, whole_project.optimisation_set_star)
    ta.convert(url, bucket.url("ds"))
    ta.export(bucket.url("ds"), bucket.url("out"))
    ta.export(bucket.url("ds"), tmp_path / "out")
    exported = files_of(tmp_path / "out")
    assert exported == {key: data for key, data in files_of(whole_project.directory).items() if key in exported}
    assert {key: bucket.at(f"out/{key}").read_bytes() for key in bucket.keys("out")} == exported
    assert len(exported) > 6


def test_a_dataset_in_a_store_is_asked_as_one_in_a_folder(
    bucket: Bucket, whole_project: Example, tmp_path: Path
) -> None:
    ta.convert(whole_project.optimisation_set_star, tmp_path / "ds")
    report = ta.convert(whole_project.optimisation_set_star, bucket.url("ds"), partition_by="rlnOpticsGroupName")
    assert report.dataset == bucket.url("ds")
    local, remote = ta.Dataset(tmp_path / "ds"), ta.Dataset(bucket.url("ds"))
    sql = "SELECT rlnTomoName, MAX(rlnDefocusU) AS worst FROM tilts GROUP BY rlnTomoName ORDER BY rlnTomoName"
    assert remote.sql(sql).collect().equals(local.sql(sql).collect())
    assert remote.tomogram("TS_02").select("rlnDefocusU").equals(local.tomogram("TS_02").select("rlnDefocusU"))
    assert remote.particle_tilts().collect().equals(local.particle_tilts().collect())
    assert [source.path for source in remote.sources] == [source.path for source in local.sources]
    groups = [pl.col(name).cast(pl.String) for name in ("rlnTomoName", "tilt_index", "rlnOpticsGroupName")]
    rows = [each.tilts.select(groups).collect().sort(pl.all()) for each in (remote, local)]
    assert rows[0].equals(rows[1])
    assert remote.verify().exit_code == 0
    assert "s3://" in repr(remote)


def test_verify_reads_the_sources_in_the_store_again(bucket: Bucket, small_project: Example, tmp_path: Path) -> None:
    url = in_bucket(bucket, small_project, small_project.tomograms_star)
    ta.convert(url, bucket.url("ds"))
    assert ta.verify(bucket.url("ds")).exit_code == 0
    assert ta.verify(bucket.url("ds"), against=small_project.directory).exit_code == 0
    key = next(key for key in sorted(bucket.keys("data/p")) if "TS_03" in key)
    bucket.put(f"data/p/{key}", bucket.at(f"data/p/{key}").read_bytes().replace(b"1", b"2"))
    found = ta.verify(bucket.url("ds"))
    assert {each.file for each in found.differences} == {key}
    assert found.against == bucket.url("data/p")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://AKIDOFTHETEST:the-secret@bucket/a.star", "holds credentials"),
        ("s3://AKIDOFTHETEST@bucket/a.star", "holds credentials"),
        ("sftp://me:the-secret@host/a.star", "holds credentials"),
        ("https://host/a.star?X-Amz-Signature=the-secret", "has a query"),
    ],
)
def test_credentials_in_a_url_are_refused_and_not_told(url: str, told: str, tmp_path: Path) -> None:
    for source, dataset in ((url, tmp_path / "ds"), (tmp_path / "a.star", url)):
        with pytest.raises(UsageError, match=told) as error:
            ta.convert(source, dataset)
        assert "the-secret" not in str(error.value)
        assert "AKID" not in str(error.value)


def test_missing_objects_are_told_of_together_by_their_urls(bucket: Bucket, tmp_path: Path) -> None:
    write_project(tmp_path / "p", {f"TS_{n}": tilts(f"TS_{n}", 3) for n in range(5)})
    bucket.put_folder(tmp_path / "p", "p")
    place = bucket.at("p")
    place.store.delete(["p/tilt_series/1.star", "p/tilt_series/3.star"])
    with pytest.raises(MissingFileError, match="2 of the 5 tilt-series files are not there") as error:
        ta.convert(bucket.url("p/tomograms.star"), tmp_path / "ds")
    assert bucket.url("p/tilt_series/1.star") in str(error.value)
    assert bucket.url("p/tilt_series/3.star") in str(error.value)
    assert "tomoarrow-" not in str(error.value)
    report = ta.convert(bucket.url("p/tomograms.star"), tmp_path / "ds", missing="skip")
    assert (report.missing, report.rows["tilts"]) == (2, 9)
    assert ta.Dataset(tmp_path / "ds").rejects.collect()["file"].to_list() == [bucket.url("p/tomograms.star")] * 2


def test_a_file_that_is_no_star_file_is_told_of_by_its_url(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("p/bad.star", b"data_x\nloop_\n_a\n_b\n1\n")
    with pytest.raises(ta.StarSyntaxError) as error:
        ta.convert(bucket.url("p/bad.star"), tmp_path / "ds")
    assert str(error.value).startswith(f"{bucket.url('p/bad.star')}:")
    with pytest.raises(MissingFileError, match="the file is not there") as absent:
        ta.convert(bucket.url("p/none.star"), tmp_path / "ds")
    assert absent.value.place.path == bucket.url("p/none.star")


TILT_SERIES = tilts("TS_1", 3).encode()
ODD_TILT_SERIES = {
    "plain": TILT_SERIES,
    "gzip": gzip.compress(TILT_SERIES),
    "empty": b"",
    "cut": gzip.compress(TILT_SERIES)[:40],
    "latin1": TILT_SERIES + b"# caf\xe9\n",
    "ragged": TILT_SERIES + b"1 2 3\n",
    "another block": tilts("TS_9", 3).encode(),
    "no text": bytes(1000),
    "a set": b"data_\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesStarFile\nA a.star\n",
}


@pytest.mark.parametrize("name", ODD_TILT_SERIES)
def test_a_tilt_series_in_a_store_is_read_or_refused_as_a_file_is(bucket: Bucket, tmp_path: Path, name: str) -> None:
    star = write_project(tmp_path / "p", {f"TS_{n}": tilts(f"TS_{n}", 3) for n in range(3)})
    (tmp_path / "p/tilt_series/1.star").write_bytes(ODD_TILT_SERIES[name])
    bucket.put_folder(tmp_path / "p", "p")

    def outcome(source: Path | str, where: str) -> object:
        try:
            report = ta.convert(source, tmp_path / f"{name}-{where}")
        except ta.TomoarrowError as error:
            return type(error), str(error).replace(bucket.url("p"), str(tmp_path / "p"))
        dataset = ta.Dataset(tmp_path / f"{name}-{where}")
        tables = {table: dataset[table].collect().to_dicts() for table in ("tilts", "tomograms")}
        sources = [(s.path.replace(bucket.url("p"), str(tmp_path / "p")), s.bytes, s.sha256) for s in dataset.sources]
        return tables, sources, report.warnings

    assert outcome(bucket.url("p/tomograms.star"), "remote") == outcome(star, "local")


def test_folders_that_only_paths_go_through_are_there(bucket: Bucket, whole_project: Example, tmp_path: Path) -> None:
    url = in_bucket(bucket, whole_project, whole_project.optimisation_set_star)
    for key in (url.removeprefix(bucket.url()), "data/p/Tomograms/job006/tomograms.star"):
        text = bucket.at(key).read_bytes()
        for job in (b"Tomograms/job006", b"Extract/job009"):
            text = text.replace(job, b"Gone/job001/../../" + job)
        bucket.put(key, text)
    ta.convert(url, tmp_path / "ds")
    dataset = ta.Dataset(tmp_path / "ds")
    assert [dataset[name].select(pl.len()).collect().item() for name in ("tilts", "particles")] == [20, 24]
    done = CliRunner().invoke(app, ["inspect", url, "--json"])
    refers = [refers for each in json.loads(done.output)["sets"] for refers in each["refers"]]
    assert {each["label"]: each["missing"] for each in refers if "Gone" in each["path"]} == {
        "rlnTomoTomogramsFile": 0,
        "rlnTomoParticlesFile": 0,
        "rlnTomoTiltSeriesStarFile": 0,
    }


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "tilt_series/../../x.star"])
def test_no_path_leads_out_of_the_project(bucket: Bucket, tmp_path: Path, path: str) -> None:
    star = write_project(tmp_path / "p", {"TS_1": tilts("TS_1", 2)})
    star.write_text(star.read_text().replace("tilt_series/0.star", path))
    bucket.put_folder(tmp_path / "p", "p")
    with pytest.raises(MissingFileError, match="leads out of the project"):
        ta.convert(bucket.url("p/tomograms.star"), tmp_path / "ds")


def test_a_project_of_which_no_file_is_there_is_that_of_the_folders_that_paths_name(
    bucket: Bucket, tmp_path: Path
) -> None:
    star = write_project(tmp_path / "p", {"TS_1": tilts("TS_1", 2)})
    bucket.put("a/p/Job/job1/tomograms.star", star.read_bytes().replace(b"tilt_series/", b"Job/job1/tilt_series/"))
    url = bucket.url("a/p/Job/job1/tomograms.star")
    with pytest.raises(MissingFileError) as error:
        ta.convert(url, tmp_path / "ds")
    tried = ", ".join(bucket.url(path).rstrip("/") for path in ("a/p/Job/job1", "a/p/Job", "a", ""))
    assert error.value.expected == f"{bucket.url('a/p/Job/job1/tilt_series/0.star')}; looked for from {tried} too"
    report = ta.convert(url, tmp_path / "ds", missing="skip")
    assert (report.project, report.missing) == (bucket.url("a/p"), 1)


def test_the_project_is_the_nearest_folder_from_which_all_paths_resolve(bucket: Bucket, tmp_path: Path) -> None:
    star = write_project(tmp_path / "p", {f"TS_{n}": tilts(f"TS_{n}", 2) for n in range(3)})
    bucket.put_folder(tmp_path / "p", "a/p")
    bucket.put("a/p/Job/job1/tomograms.star", star.read_bytes())
    bucket.put("a/p/Job/job1/tilt_series/0.star", tilts("TS_0", 9).encode())
    report = ta.convert(bucket.url("a/p/Job/job1/tomograms.star"), tmp_path / "ds")
    assert (report.project, report.tilts) == (bucket.url("a/p"), 6)
    given = ta.convert(
        bucket.url("a/p/Job/job1/tomograms.star"), tmp_path / "ds2", project=bucket.url("a/p/Job/job1"), missing="skip"
    )
    assert (given.project_how, given.tilts, given.missing) == ("given", 9, 2)
    with pytest.raises(UsageError, match="is not above"):
        ta.convert(bucket.url("a/p/tomograms.star"), tmp_path / "ds3", project=bucket.url("b"))


def test_a_dataset_in_a_store_is_replaced_when_asked_to_and_nothing_else_is(
    bucket: Bucket, small_project: Example
) -> None:
    star = small_project.tomograms_star
    first = ta.convert(star, bucket.url("ds"))
    before = bucket.keys("ds")
    with pytest.raises(DatasetError, match="a dataset is there already"):
        ta.convert(star, bucket.url("ds"))
    assert bucket.keys("ds") == before
    second = ta.convert(star, bucket.url("ds"), force=True)
    assert (first.version, second.version) == (1, 2)
    listed = {f["path"] for t in ta.Dataset(bucket.url("ds")).manifest["tables"].values() for f in t["files"]}
    assert bucket.keys("ds") == listed | {"manifest.json"}
    assert not listed & before
    bucket.put("ds/notes.txt", b"mine")
    with pytest.raises(DatasetError, match=r"notes\.txt"):
        ta.convert(star, bucket.url("ds"), force=True)
    with pytest.raises(UsageError, match="brought up to date"):
        ta.convert(star, bucket.url("ds"), update=True)


def test_any_url_of_fsspec_is_read_and_written(whole_project: Example, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    star = whole_project.optimisation_set_star
    assert star is not None
    memory.put(str(whole_project.directory), "/any/p", recursive=True)
    url = f"memory://any/p/{star.relative_to(whole_project.directory).as_posix()}"
    ta.convert(url, "memory://any/ds")
    ta.export("memory://any/ds", tmp_path / "out")
    exported = files_of(tmp_path / "out")
    assert exported == {key: data for key, data in files_of(whole_project.directory).items() if key in exported}
    assert ta.Dataset("memory://any/ds").tilts.select(pl.len()).collect().item() == 20


def test_a_file_url_is_a_path(small_project: Example, tmp_path: Path) -> None:
    report = ta.convert(small_project.tomograms_star.as_uri(), (tmp_path / "d s").as_uri())
    assert (tmp_path / "d s" / "manifest.json").exists()
    assert json.loads((tmp_path / "d s" / "manifest.json").read_text())["project"] == str(small_project.directory)
    assert report.tomograms == 7


def test_the_commands_take_urls(bucket: Bucket, small_project: Example, tmp_path: Path) -> None:
    url = in_bucket(bucket, small_project, small_project.tomograms_star)
    ds, out = bucket.url("ds"), bucket.url("out")

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return done.output

    assert json.loads(run("convert", url, ds, "--json"))["dataset"] == ds
    assert json.loads(run("verify", ds, "--json"))["bytes_equal"] == 8
    assert json.loads(run("verify", ds, "--fast", "--json"))["damages"] == []
    assert json.loads(run("export", ds, out, "--json"))["directory"] == out
    assert json.loads(run("verify", ds, "--against", out, "--json"))["bytes_equal"] == 8
    assert run("query", ds, "SELECT COUNT(*) AS n FROM tilts", "--format", "csv") == "n\n35\n"
    assert json.loads(run("inspect", ds, "--json"))["input"] == url
    assert "report.html" in run("report", ds, "-o", str(tmp_path / "report.html"))
    described = json.loads(run("inspect", url, "--json"))
    assert (described["path"], described["what"]) == (url, "tomogram set")
    assert [(each["count"], each["missing"]) for each in described["sets"][0]["refers"]] == [(7, 0)]


def test_inspect_of_a_url_looks_into_the_store_only(
    bucket: Bucket, whole_project: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = in_bucket(bucket, whole_project, whole_project.optimisation_set_star)
    bucket.at().store.delete(["data/p/Tomograms/job006/tilt_series/TS_02.star"])
    monkeypatch.chdir(whole_project.directory)
    done = CliRunner().invoke(app, ["inspect", url, "--json"])
    assert {
        each["path"]: [reference["missing"] for reference in each["refers"]] for each in json.loads(done.output)["sets"]
    } == {
        "Polish/job011/optimisation_set.star": [0, 0, 0],
        "Tomograms/job006/tomograms.star": [1],
        "Extract/job009/particles.star": [],
        "Polish/job011/motion.star": [],
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Tomograms/job006/tilt_series/TS_02.star", "../TS_02.star"),
        ("data_global", "data_global\n\nloop_\n_a\n_b\n1\n\ndata_2"),
        ("loop_", ""),
    ],
)
@pytest.mark.parametrize("file", ["optimisation_set_star", "tomograms_star"])
def test_inspect_of_a_url_tells_what_it_tells_of_a_file(
    bucket: Bucket, whole_project: Example, tmp_path: Path, file: str, old: str, new: str
) -> None:
    shutil.copytree(whole_project.directory, tmp_path / "p")
    tomograms = tmp_path / "p/Tomograms/job006/tomograms.star"
    tomograms.write_text(tomograms.read_text().replace(old, new))
    bucket.put_folder(tmp_path / "p", "p")
    name = getattr(whole_project, file).relative_to(whole_project.directory).as_posix()
    local = CliRunner().invoke(app, ["inspect", str(tmp_path / "p" / name), "--json"])
    remote = CliRunner().invoke(app, ["inspect", bucket.url(f"p/{name}"), "--json"])
    told = remote.output.replace(bucket.url("p"), str(tmp_path / "p"))
    assert (remote.exit_code, told) == (local.exit_code, local.output)


def test_inspect_of_a_url_tells_no_place_of_this_machine(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "é").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "é"))
    bucket.put("p/a.star", b"data_a\nloop_\n_n\n\n1\n\n2\n")
    done = CliRunner().invoke(app, ["inspect", bucket.url("p/a.star"), "--json"])
    described = json.loads(done.output)
    assert (described["path"], bucket.url("p/a.star") in described["warnings"][0]) == (bucket.url("p/a.star"), True)
    assert "tomoarrow-" not in done.output


def test_inspect_of_a_url_looks_at_no_file_of_this_machine(
    bucket: Bucket, whole_project: Example, tmp_path: Path
) -> None:
    outside = tmp_path / "mine.star"
    outside.write_text(loop("global", ["rlnTomoName", "rlnTomoTiltSeriesStarFile"], [["mine", "p/Extract/x.star"]]))
    url = in_bucket(bucket, whole_project, whole_project.optimisation_set_star)
    key = url.removeprefix(bucket.url())
    text = bucket.at(key).read_bytes().replace(b"Tomograms/job006/tomograms.star", str(outside).encode())
    bucket.put(key, text)
    bucket.asked.clear()
    done = CliRunner().invoke(app, ["inspect", url, "--json"])
    refers = json.loads(done.output)["sets"][0]["refers"]
    assert [each["outside"] for each in refers if each["label"] == "rlnTomoTomogramsFile"] == [1]
    assert not [path for _, path in bucket.asked if path.endswith("x.star")]


@pytest.mark.parametrize(
    "text",
    [
        "data_x\nloop_\n_a\n_b\n1\n2 3\n4\n",
        "data_global\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesStarFile\nA\na.star\n",
        "data_\n_rlnTomoTomogramsFile\nt.star\n_rlnTomoParticlesFile p.star\n",
    ],
)
def test_inspect_of_a_url_takes_the_general_language(bucket: Bucket, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.star").write_text(text)
    bucket.put("x.star", text.encode())
    local = CliRunner().invoke(app, ["inspect", str(tmp_path / "x.star"), "--dialect", "star", "--json"])
    remote = CliRunner().invoke(app, ["inspect", bucket.url("x.star"), "--dialect", "star", "--json"])
    told = remote.output.replace(bucket.url("x.star"), str(tmp_path / "x.star"))
    assert (remote.exit_code, told) == (0, local.output)


def test_inspect_of_a_url_looks_for_references_and_copies_none(bucket: Bucket) -> None:
    bucket.put("p/t.star", loop("global", ["rlnTomoName"], [["A"]]).encode())
    bucket.put("p/ref/1.mrc", b"m" * 100_000)
    named = {"TomogramsFile": "t.star", "ReferenceMap1File": "ref/1.mrc", "ReferenceMap2File": "ref/2.mrc"}
    text = "".join(f"_rlnTomo{label} {path}\n" for label, path in named.items())
    bucket.put("p/o.star", f"data_\n{text}".encode())
    done = CliRunner().invoke(app, ["inspect", bucket.url("p/o.star"), "--json"])
    refers = json.loads(done.output)["sets"][0]["refers"]
    assert [(each["path"], each["missing"]) for each in refers] == [("t.star", 0), ("ref/1.mrc", 0), ("ref/2.mrc", 1)]


@pytest.mark.parametrize("out", ["ds", "ds/out"])
def test_a_dataset_is_not_exported_into_itself(bucket: Bucket, small_project: Example, out: str) -> None:
    ta.convert(small_project.tomograms_star, bucket.url("ds"))
    before = bucket.keys("ds")
    with pytest.raises(UsageError, match="is in the dataset"):
        ta.export(bucket.url("ds"), bucket.url(out), force=True)
    assert bucket.keys("ds") == before
    assert ta.export(bucket.url("ds"), bucket.url("ds-out")).files == 8


def test_what_is_no_dataset_is_told_of_by_its_url(bucket: Bucket) -> None:
    with pytest.raises(DatasetError, match=r"no manifest\.json") as error:
        ta.Dataset(bucket.url("nothing"))
    assert error.value.place.path == bucket.url("nothing")


@pytest.mark.parametrize("key", ["p/../p/a.star", "p/./a.star", "p//a.star", "p/a\x7f.star"])
def test_a_url_that_no_object_can_have_is_told_of(
    bucket: Bucket, small_project: Example, tmp_path: Path, key: str
) -> None:
    with pytest.raises(MissingFileError, match="the object cannot be read") as error:
        ta.convert(bucket.url(key), tmp_path / "ds")
    assert error.value.place.path == bucket.url(key)
    with pytest.raises(DatasetError, match="the store cannot be read"):
        ta.convert(small_project.tomograms_star, bucket.url(key))


@pytest.mark.parametrize("path", [".", "tilt_series/..", "tilt_series/\x7f.star"])
def test_a_tilt_series_at_a_path_that_no_object_can_have_is_told_of(bucket: Bucket, tmp_path: Path, path: str) -> None:
    star = write_project(tmp_path / "p", {"TS_0": tilts("TS_0", 2), "TS_1": tilts("TS_1", 2)})
    bucket.put("p/tilt_series/1.star", tilts("TS_1", 2).encode())
    bucket.put("p/tomograms.star", star.read_bytes().replace(b"tilt_series/0.star", path.encode()))
    with pytest.raises(MissingFileError, match="the object cannot be read"):
        ta.convert(bucket.url("p/tomograms.star"), tmp_path / "ds")


@pytest.mark.parametrize("url", ["s3://", "s3:///a.star", "s3://a b/a.star"])
def test_a_url_without_a_bucket_is_told_of(bucket: Bucket, small_project: Example, tmp_path: Path, url: str) -> None:
    for source, dataset in ((url, tmp_path / "ds"), (small_project.tomograms_star, url)):
        with pytest.raises(UsageError, match="leads to no store"):
            ta.convert(source, dataset)


def test_a_bucket_is_no_file(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a.star", tilts("TS_0", 2).encode())
    for url in (bucket.url(), bucket.url().rstrip("/")):
        with pytest.raises(MissingFileError, match="the file is not there"):
            ta.convert(url, tmp_path / "ds")


def test_what_takes_a_folder_says_so(bucket: Bucket, small_project: Example, tmp_path: Path) -> None:
    ta.convert(small_project.tomograms_star, bucket.url("ds"))
    with pytest.raises(UsageError, match="takes a folder, not s3://"):
        open_groups(bucket.url("ds"), "tilts")
    star = small_project.tomograms_star
    for work in (
        lambda: ta.plan(bucket.url("a.star"), tmp_path / "ds", parts=2),
        lambda: ta.plan(star, bucket.url("ds"), parts=2),
        lambda: ta.plan(star, tmp_path / "ds", parts=2, project=bucket.url("p")),
        lambda: ta.partition(bucket.url("ds"), 0),
        lambda: ta.finalise(bucket.url("ds")),
        lambda: ta.convert([star, bucket.url("a.star")], tmp_path / "ds"),
    ):
        with pytest.raises(UsageError, match="a folder, not s3://"):
            work()
    with pytest.raises(UsageError, match="is not above"):
        ta.convert(bucket.url("a.star"), tmp_path / "ds", project=tmp_path)
    with pytest.raises(UsageError, match="no store is known"):
        ta.convert("nowhere://a/b.star", tmp_path / "ds")


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "s3://b/a.star", "ds", "--parts", "2"],
        ["plan", "a.star", "s3://b/ds", "--parts", "2"],
        ["partition", "s3://b/ds", "--part", "0"],
        ["finalise", "s3://b/ds"],
        ["validate", "s3://b/a.star"],
        ["validate", "a.star", "--project", "s3://b"],
    ],
    ids=" ".join,
)
def test_commands_that_take_a_folder_say_so(bucket: Bucket, arguments: list[str]) -> None:
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, "takes a folder, not s3://b" in done.output) == (2, True), done.output


@pytest.mark.parametrize(("url", "library"), [("s3://bucket/a.star", "obstore"), ("memory://a.star", "fsspec")])
def test_without_the_extra_the_error_says_what_to_install(
    url: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=r"tomoarrow\[remote\]"):
        ta.convert(url, tmp_path / "ds")
