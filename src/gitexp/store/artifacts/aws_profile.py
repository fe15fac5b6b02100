"""What Amazon's tools keep in `~/.aws`, for obstore, which reads only the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from configparser import ConfigParser, Error
from typing import Any

_KEYS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}
_FROM_ELSEWHERE = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")


def read_profile(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Keys, region and endpoint of the profile in AWS_PROFILE, else of `default`; variables go first.

    Profiles that log in through a browser or take a role have no keys there: `aws configure export-credentials
    --format env` turns those into variables.
    """
    profile = environ.get("AWS_PROFILE") or "default"
    home = os.path.join(os.path.expanduser("~"), ".aws")
    found: dict[str, str] = {}
    for variable, usual, section in (
        ("AWS_CONFIG_FILE", "config", profile if profile == "default" else f"profile {profile}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile),
    ):
        parser = ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(environ.get(variable) or os.path.join(home, usual), encoding="utf-8")
        except (Error, UnicodeDecodeError, OSError):
            continue
        if parser.has_section(section):
            found.update(parser.items(section))
    said: dict[str, Any] = {}
    if not any(environ.get(name) for name in _FROM_ELSEWHERE) and "aws_access_key_id" in found:
        said |= {ours: found[theirs] for theirs, ours in _KEYS.items() if theirs in found}
    if "region" in found and not (environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")):
        said["region"] = found["region"]
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or found.get("endpoint_url")
    if endpoint:
        said["endpoint"] = endpoint
    return said
