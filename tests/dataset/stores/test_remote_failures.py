"""What goes wrong on the way to a store is tried again, or told of; what was there stays whole; no secret is told."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import obstore
import obstore.exceptions
import polars as pl
import pytest

import tomoarrow as ta
from tests.dataset.projects import tilts, write_project
from tests.dataset.stores.bucket import Bucket, Fault
from tomoarrow import DatasetError, MissingFileError
from tomoarrow.dataset import origin
from tomoarrow.dataset.stores import objects
from tomoarrow.dataset.versions import uploading


@pytest.fixture
def star(bucket: Bucket, tmp_path: Path) -> str:
    """The URL of a project of 5 tomograms."""
    write_project(tmp_path / "p", {f"TS_{n}": tilts(f"TS_{n}", 40) for n in range(5)})
    bucket.put_folder(tmp_path / "p", "p")
    return bucket.url("p/tomograms.star")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after a second."""
    monkeypatch.setattr(objects, "_RETRY_S", 1)
    monkeypatch.setattr(objects, "_STILL_S", 0.7)


def rows(dataset: str | Path) -> int:
    return int(ta.Dataset(dataset).tilts.select(pl.len()).collect().item())


@pytest.mark.parametrize("fault", ["busy", "slow", "cut", "lost"])
def test_a_request_that_fails_once_is_made_again(
    bucket: Bucket, star: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(objects, "_STILL_S", 0.7)
    bucket.fault = lambda method, path, before: (
        fault if method == "GET" and "tilt_series" in path and not before else None
    )
    assert ta.convert(star, tmp_path / "ds").tilts == 200
    asked = [path for method, path in bucket.asked if method == "GET" and "tilt_series" in path]
    assert len(asked) >= 2 * 5
    bucket.fault = lambda *_: None
    assert ta.verify(tmp_path / "ds").exit_code == 0


@pytest.mark.parametrize("fault", ["busy", "cut", "slow", "denied"])
def test_objects_that_cannot_be_read_are_told_of_together_and_nothing_is_written(
    bucket: Bucket, star: str, tmp_path: Path, hasty: None, fault: Fault
) -> None:
    bucket.fault = lambda _method, path, _before: fault if path[-7:] in ("/1.star", "/3.star") else None
    with pytest.raises(MissingFileError, match="2 objects cannot be read") as error:
        ta.convert(star, tmp_path / "ds")
    told = str(error.value)
    assert bucket.url("p/tilt_series/1.star") in told
    assert bucket.url("p/tilt_series/3.star") in told
    assert not (tmp_path / "ds").exists()


def test_an_object_that_is_gone_is_missing(bucket: Bucket, star: str, tmp_path: Path) -> None:
    bucket.fault = lambda _method, path, _before: "gone" if path.endswith("/2.star") else None
    with pytest.raises(MissingFileError, match="'TS_2' is not there"):
        ta.convert(star, tmp_path / "ds")
    assert ta.convert(star, tmp_path / "ds", missing="skip").missing == 1


def test_an_object_that_is_listed_and_gone(bucket: Bucket, star: str) -> None:
    ta.convert(star, bucket.url("ds"))
    bucket.fault = lambda _method, path, _before: "gone" if "/ds/star/" in path else None
    with pytest.raises(DatasetError):
        ta.export(bucket.url("ds"), bucket.url("out"))
    assert rows(bucket.url("ds")) == 200


def test_an_export_that_cannot_be_uploaded_removes_nothing_that_was_there(
    bucket: Bucket, star: str, hasty: None
) -> None:
    ta.convert(star, bucket.url("ds"))
    bucket.put("out/tilt_series/1.star", b"as it was")
    bucket.put("out/notes.txt", b"mine")
    bucket.fault = lambda method, path, _before: "busy" if method == "PUT" and "/out/tomograms.star" in path else None
    with pytest.raises(DatasetError, match="cannot be written"):
        ta.export(bucket.url("ds"), bucket.url("out"), force=True)
    bucket.fault = lambda *_: None
    assert bucket.keys("out") == {"notes.txt", "tilt_series/1.star"}


def test_an_export_to_a_store_that_cannot_be_read(bucket: Bucket, star: str, tmp_path: Path) -> None:
    ta.convert(star, tmp_path / "ds")
    for url in ("s3://no-such-bucket/out", bucket.url("a/../out")):
        with pytest.raises(DatasetError, match="the store cannot be read") as error:
            ta.export(tmp_path / "ds", url)
        assert error.value.place.path == url


def test_no_credentials_in_messages_logs_or_the_manifest(
    bucket: Bucket, star: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="tomoarrow")
    ta.convert(star, bucket.url("ds"))
    bucket.fault = lambda *_: "denied"
    told = []
    for source, dataset in ((star, str(tmp_path / "ds")), (str(tmp_path / "p/tomograms.star"), bucket.url("ds"))):
        with pytest.raises(ta.TomoarrowError) as error:
            ta.convert(source, dataset, force=True)
        told.append(str(error.value))
        assert "403" in told[-1]
    bucket.fault = lambda *_: None
    kept = [bucket.at(f"ds/{key}").read_bytes().decode("latin1") for key in bucket.keys("ds")]
    for secret in (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], "AWS4-HMAC"):
        assert not [text for text in (*told, *kept, caplog.text) if secret in text]


def test_uploads_that_fail_once_are_made_again(bucket: Bucket, star: str, hasty: None) -> None:
    bucket.fault = lambda method, _path, before: "busy" if method == "PUT" and not before else None
    ta.convert(star, bucket.url("ds"))
    assert rows(bucket.url("ds")) == 200


@pytest.mark.parametrize("part", ["/tilts/", "manifest.json"])
def test_a_dataset_stays_whole_when_its_replacement_cannot_be_uploaded(
    bucket: Bucket, star: str, tmp_path: Path, hasty: None, part: str
) -> None:
    ta.convert(star, bucket.url("ds"))
    smaller = write_project(tmp_path / "q", {"TS_1": tilts("TS_1", 3)})
    bucket.fault = lambda method, path, _before: "busy" if method == "PUT" and part in path else None
    with pytest.raises(DatasetError, match="cannot be written"):
        ta.convert(smaller, bucket.url("ds"), force=True)
    bucket.fault = lambda *_: None
    assert rows(bucket.url("ds")) == 200
    assert ta.convert(smaller, bucket.url("ds"), force=True).version == 2
    assert rows(bucket.url("ds")) == 3
    listed = {f["path"] for t in ta.Dataset(bucket.url("ds")).manifest["tables"].values() for f in t["files"]}
    assert bucket.keys("ds") == listed | {"manifest.json"}


def test_a_manifest_whose_answer_is_lost_is_written(bucket: Bucket, star: str) -> None:
    bucket.fault = lambda method, path, before: (
        "lost" if method == "PUT" and "manifest" in path and not before else None
    )
    assert ta.convert(star, bucket.url("ds")).version == 1
    assert [path for method, path in bucket.asked if method == "PUT" and "manifest" in path][1:]
    assert rows(bucket.url("ds")) == 200


def test_of_two_runs_at_a_time_one_is_refused(
    bucket: Bucket, star: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_project(tmp_path / "q", {"TS_1": tilts("TS_1", 3)})
    upload = uploading.upload

    def upload_late(*args: object) -> None:
        monkeypatch.setattr(uploading, "upload", upload)
        ta.convert(other, bucket.url("ds"), force=True)
        upload(*args)  # type: ignore[arg-type]

    for version in (1, 2):
        monkeypatch.setattr(uploading, "upload", upload_late)
        with pytest.raises(DatasetError, match="another run has written the dataset"):
            ta.convert(star, bucket.url("ds"), force=True)
        ds = ta.Dataset(bucket.url("ds"))
        assert (ds.manifest["version"], rows(bucket.url("ds"))) == (version, 3)
        assert ds.verify().exit_code == 0


def test_large_files_are_uploaded_in_parts(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "part.parquet").write_bytes(os.urandom(12 << 20))
    uploading.upload(tmp_path, bucket.at("ds"), {"part.parquet": "a b=%20/part.parquet"})
    assert len([path for method, path in bucket.asked if method == "PUT" and "partNumber" in path]) == 3
    assert bucket.at("ds/a b=%20/part.parquet").read_bytes() == (tmp_path / "part.parquet").read_bytes()


def test_a_large_object_that_is_cut_goes_on_where_it_was(bucket: Bucket, tmp_path: Path) -> None:
    data = b"data_x\n" + b"# a comment\n" * (1 << 20)
    bucket.put("big.star", data)
    bucket.fault = lambda method, _path, before: "cut" if method == "GET" and not before else None
    with origin.origin_of(bucket.url("big.star"), None) as found:
        assert found.path.read_bytes() == data


@pytest.mark.parametrize("failures", [1, 2])
def test_a_listing_that_is_cut_in_the_middle(
    bucket: Bucket, star: str, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    ta.convert(star, bucket.url("ds"))
    left, listed = [failures], obstore.list

    def cut(*arguments: object, **options: object) -> Iterator[object]:
        if left[0]:
            left[0] -= 1
            raise obstore.exceptions.GenericError("connection closed")
        yield from listed(*arguments, **options)  # type: ignore[arg-type, misc]

    monkeypatch.setattr(obstore, "list", cut)
    if failures == 1:
        assert ta.Dataset(bucket.url("ds")).tilts.collect().height > 0
    else:
        with pytest.raises(ta.DatasetError, match="cannot be read"):
            ta.Dataset(bucket.url("ds"))


def test_a_large_object_that_is_always_cut_is_told_of(bucket: Bucket, tmp_path: Path, hasty: None) -> None:
    bucket.put("big.star", b"data_x\n" + b"# a comment\n" * (1 << 20))
    bucket.fault = lambda method, _path, _before: "cut" if method == "GET" else None
    with pytest.raises(MissingFileError, match="the object cannot be read") as error:
        ta.convert(bucket.url("big.star"), tmp_path / "ds")
    assert error.value.place.path == bucket.url("big.star")


@pytest.mark.parametrize("method", ["cat_file", "info", "find", "put_file", "pipe_file"])
def test_what_a_file_system_of_fsspec_raises_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the session is closed\nand more of that")

    star = write_project(tmp_path / "p", {"TS_0": tilts("TS_0", 2)})
    ta.convert(star, f"memory://told-{method}/ds")
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "p"), f"/told-{method}/p", recursive=True)
    monkeypatch.setattr(type(memory), method, fail)
    writes = method.startswith(("put", "pipe", "find"))
    source = star if writes else f"memory://told-{method}/p/tomograms.star"
    with pytest.raises(ta.TomoarrowError, match="RuntimeError: the session is closed"):
        ta.convert(source, f"memory://told-{method}/ds2" if writes else tmp_path / "ds")
