"""Paths as clients join them."""

from __future__ import annotations

import pytest

from gateway.openai.paths import bare, models_named


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/v1/models", "/models"),
        ("/models", "/models"),
        ("//v1///models//", "/models"),
        ("/v1/./models/.", "/models"),
        ("/./v1/.//./models", "/models"),
        ("/v1/v1/models", "/models"),
        ("/v1", ""),
        ("/v1/", ""),
        ("//", "/"),
        ("/", "/"),
        ("/v1x/models", "/v1x/models"),
        ("/v1/v1x", "/v1x"),
        ("/v1/a%2F%2Fb/..c/.d", "/a%2F%2Fb/..c/.d"),
        ("/v1/x/../y", "/x/../y"),
    ],
)
def test_takes_joints_and_the_version_off(path: str, seen: str) -> None:
    assert bare(path) == seen


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/v1/models/m", ["m"]),
        ("/models/a/b", ["a/b"]),
        ("/v1/models/a%2Fb%20c", ["a/b c"]),
        ("//v1/models//a/", ["a/", "a"]),
        ("/v1/models/s3://b/m", ["s3://b/m", "s3:/b/m"]),
        ("/v1/models/", []),
        ("/v1/models//", []),
        ("/v1/models", []),
        ("/v1/xmodels/a", []),
    ],
)
def test_reads_the_name_of_one_model(path: str, names: list[str]) -> None:
    assert models_named(path) == names
