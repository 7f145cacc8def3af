"""Credentials for S3 are found where other programs find them."""

import subprocess
import sys
from pathlib import Path

import boto3
import obstore.exceptions
import pytest

import tomoarrow as ta
from tests.dataset.projects import tilts, write_project
from tests.dataset.stores.bucket import Bucket
from tomoarrow import UsageError
from tomoarrow.dataset.stores import objects
from tomoarrow.dataset.stores.signing import s3_options


@pytest.fixture
def star(bucket: Bucket, tmp_path: Path) -> str:
    write_project(tmp_path / "p", {"TS_1": tilts("TS_1", 3)})
    bucket.put_folder(tmp_path / "p", "p")
    bucket.signed_by.clear()
    return bucket.url("p/tomograms.star")


@pytest.fixture
def configured(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``aws configure`` writes, for two profiles; the environment says nothing."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    keys, config = tmp_path / "credentials", tmp_path / "config"
    keys.write_text(
        "[default]\naws_access_key_id = FIRST\naws_secret_access_key = the-secret\n"
        "[facility]\naws_access_key_id = SECOND\naws_secret_access_key = the-secret\n"
    )
    where = f"endpoint_url = {bucket.endpoint}\nregion = eu-west-1\n"
    config.write_text(f"[default]\n{where}[profile facility]\n{where}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def n_tilts(dataset: str) -> int:
    """Asked by a process of its own: Polars keeps the credentials that it has found."""
    code = "import sys, tomoarrow; print(tomoarrow.Dataset(sys.argv[1]).tilts.collect().height)"
    return int(subprocess.run([sys.executable, "-c", code, dataset], capture_output=True, check=True).stdout)


def test_the_environment_comes_first(bucket: Bucket, star: str, tmp_path: Path) -> None:
    assert s3_options() == {}
    assert ta.convert(star, tmp_path / "ds").tilts == 3
    assert bucket.signed_by == {"AKIDOFTHETEST"}


@pytest.mark.parametrize(("profile", "key"), [(None, "FIRST"), ("facility", "SECOND")])
def test_a_profile_says_who_and_where(
    bucket: Bucket,
    star: str,
    configured: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    profile: str | None,
    key: str,
) -> None:
    if profile is not None:
        monkeypatch.setenv("AWS_PROFILE", profile)
    assert ta.convert(star, bucket.url("ds")).tilts == 3
    assert ta.export(bucket.url("ds"), tmp_path / "out").files == 2
    assert bucket.signed_by == {key}


def test_a_query_asks_as_the_same(bucket: Bucket, star: str, configured: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ta.convert(star, bucket.url("ds"))
    bucket.signed_by.clear()
    monkeypatch.setenv("AWS_PROFILE", "facility")
    assert n_tilts(bucket.url("ds")) == 3
    assert bucket.signed_by == {"SECOND"}


def test_a_public_bucket_is_asked_without_a_signature(
    bucket: Bucket, moto: str, star: str, configured: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ta.convert(star, bucket.url("ds"))
    client = boto3.client("s3", endpoint_url=moto)
    for key in bucket.keys(""):
        client.put_object_acl(Bucket=bucket.name, Key=key, ACL="public-read")
    bucket.signed_by.clear()
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
    assert ta.convert(star, tmp_path / "ds").tilts == 3
    assert n_tilts(bucket.url("ds")) == 3
    assert bucket.signed_by == set()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere", "no credentials for S3 were found"),
        ("AWS_PROFILE", "none", "the credentials for S3 cannot be used: The config profile"),
    ],
)
def test_without_credentials_the_error_says_how_to_give_them(
    star: str, configured: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=told) as error:
        ta.convert(star, tmp_path / "ds")
    assert "aws configure" in error.value.remedy
    assert "AWS_SKIP_SIGNATURE=true" in error.value.remedy


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("aws_access_key_id = a\naws_secret_access_key = b\nendpoint_url = no URL", "Invalid endpoint"),
        ("credential_process = /nowhere", "No such file"),
        ("credential_process = echo", "Expecting value"),
        ("role_arn = arn:aws:iam::123456789012:role/x\nsource_profile = default", "An error occurred .*AssumeRole"),
    ],
)
def test_credentials_that_cannot_be_used(
    bucket: Bucket, configured: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, told: str
) -> None:
    (tmp_path / "config").write_text(f"[profile bad]\nregion = eu-west-1\n{says}\n")
    monkeypatch.setenv("AWS_PROFILE", "bad")
    if "role" in says:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", bucket.endpoint)
        bucket.fault = lambda *_: "denied"
    with pytest.raises(UsageError, match=f"the credentials for S3 cannot be used: .*{told}"):
        s3_options()


def test_without_boto3_it_is_left_to_obstore(configured: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert s3_options() == {}


def test_a_store_that_asks_for_the_role_of_the_machine_has_no_credentials() -> None:
    message = "Generic GCS error: Error performing GET http://169.254.169.254/computeMetadata/v1/instance: timed out"
    with pytest.raises(PermissionError, match="no credentials were found"), objects._told():
        raise obstore.exceptions.GenericError(message)
