"""Credentials for S3, where the environment has none: what ``aws configure`` and ``aws sso login`` have written."""

from __future__ import annotations

import os
from typing import Any

from ...errors import UsageError

#: What obstore takes for yes in AWS_SKIP_SIGNATURE, for a bucket that everybody may read.
_YES = ("1", "true", "on", "yes", "y")

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")

_REMEDY = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, run `aws configure`, or set AWS_PROFILE; for a bucket that "
    "everybody may read, set AWS_SKIP_SIGNATURE=true"
)


def s3_options() -> dict[str, Any]:
    """The credentials, region and endpoint that boto3 finds, as options of obstore; none without boto3.

    Raises
    ------
    UsageError
        There are no credentials, or they cannot be used.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in _YES:
        return {}
    try:
        import boto3  # noqa: PLC0415  (takes an extra)
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415
    except ImportError:
        return {}
    try:
        session = boto3.Session()
        if session.get_credentials() is None:
            raise UsageError("no credentials for S3 were found", remedy=_REMEDY)
        provider = Boto3CredentialProvider(session)
        # Obstore would tell of what is wrong here behind minutes of trying.
        provider()
        options: dict[str, Any] = {"credential_provider": provider}
        if not any(os.environ.get(name) for name in _ENDPOINTS):
            endpoint = str(session.client("s3", region_name=session.region_name or "us-east-1").meta.endpoint_url)
            if not endpoint.endswith((".amazonaws.com", ".amazonaws.com.cn")):
                options["endpoint"] = endpoint
        return options
    except (BotoCoreError, ClientError, OSError, ValueError) as error:
        # Besides its own: what a role is refused with, a program that is not there or prints no JSON, and no URL.
        what = str(error).partition("\n")[0]
        raise UsageError(f"the credentials for S3 cannot be used: {what}", remedy=_REMEDY) from error
