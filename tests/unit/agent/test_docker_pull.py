from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from apps.agent.docker import pull

LOGIN = ("bob", "p:w")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("ubuntu", ("ubuntu", "latest")),
        ("ubuntu:22.04", ("ubuntu", "22.04")),
        ("host:5000/a/b", ("host:5000/a/b", "latest")),
        ("host:5000/a/b:c", ("host:5000/a/b", "c")),
        ("a@sha256:00", ("a@sha256:00", "")),
    ],
)
def test_splits_an_images_name(image: str, expected: tuple[str, str]) -> None:
    assert pull.reference(image) == expected


@pytest.mark.parametrize(
    ("image", "server"),
    [
        ("a/b", "https://index.docker.io/v1/"),
        ("ghcr.io/a/b:c", "ghcr.io"),
        ("localhost/a", "localhost"),
    ],
)
def test_signs_in_at_the_images_registry(image: str, server: str) -> None:
    header = pull.registry_auth(image, *LOGIN)["X-Registry-Auth"]

    auth = json.loads(base64.urlsafe_b64decode(header))
    assert auth == {"username": "bob", "password": "p:w", "serveraddress": server}


def test_signs_in_nowhere_without_credentials() -> None:
    assert pull.registry_auth("a", None, None) == {}


def step(status: str, layer: str = "", current: int = 0, total: int = 0) -> dict[str, Any]:
    detail = {"current": current, "total": total} if total else {}
    return {"status": status, "id": layer, "progressDetail": detail}


GB = 10**9


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (
            [
                step("Pulling from a"),
                step("Downloading", "1", GB, 2 * GB),
                step("Downloading", "2", GB // 5, GB * 7 // 5),
                step("Downloading", "2", GB // 5 + 1, GB * 7 // 5),
            ],
            [
                None,
                "pulling image 1.0/2.0 GB",
                "pulling image 1.2/3.4 GB",
                "pulling image 1.3/3.4 GB",
            ],
        ),
        # The last piece is not told: what is complete is whole.
        (
            [
                step("Downloading", "1", GB - GB // 10, GB),
                step("Verifying Checksum", "1"),
                step("Download complete", "1"),
                step("Extracting", "1", 1, GB),
                step("Extracting", "1", GB, GB),
                step("Pull complete", "1"),
            ],
            [
                "pulling image 0.9/1.0 GB",
                "pulling image 1.0/1.0 GB",
                None,
                "unpacking image of 1.0 GB",
                None,
                None,
            ],
        ),
        # One layer is unpacked while another one still comes.
        (
            [
                step("Pulling fs layer", "1"),
                step("Pulling fs layer", "2"),
                step("Downloading", "1", GB, GB),
                step("Download complete", "1"),
                step("Extracting", "1", 1, GB),
                step("Downloading", "2", GB, 2 * GB),
                step("Download complete", "2"),
            ],
            [
                None,
                None,
                "pulling image 1.0/1.0 GB",
                None,
                None,
                "pulling image 2.0/3.0 GB",
                "unpacking image of 3.0 GB",
            ],
        ),
        # So small that no size is ever told.
        (
            [
                step("Pulling fs layer", "1"),
                step("Download complete", "1"),
                step("Extracting", "1", 1, 2),
            ],
            [None, None, "unpacking image"],
        ),
        ([step("Already exists", "1"), step("Status: Image is up to date")], [None, None]),
    ],
)
def test_tells_how_far_a_pull_is(steps: list[dict[str, Any]], said: list[str | None]) -> None:
    progress = pull.Progress()

    assert [progress.note(one) for one in steps] == said


def test_reads_objects_however_they_are_cut() -> None:
    pieces = [b'{"a": 1}\r\n{"b"', b": 2}\n", b'{"c": 3}']

    assert list(pull.json_lines(pieces)) == [{"a": 1}, {"b": 2}, {"c": 3}]


HUB = "pull access denied for x, repository does not exist or may require 'docker login'"
NO_HOST = "Get https://r.test/v2/: dial tcp: lookup r.test on 10.0.0.2:53: no such host"


@pytest.mark.parametrize(
    ("message", "auth", "expected", "answer"),
    [
        ("manifest unknown", (None, None), "does not exist, or its registry wants", True),
        ("manifest for x:y not found", ("a", "b"), "x does not exist in its registry", True),
        (HUB, (None, None), "does not exist, or its registry wants `registry_auth`", True),
        (HUB, LOGIN, "username or password refused", True),
        ("no basic auth credentials", (None, None), "wants a login: give `registry_auth`", True),
        ("unauthorized: authentication required", (None, None), "`registry_auth`", True),
        ("unauthorized: authentication required", LOGIN, "username or password refused", True),
        ("unauthorized: incorrect username or password", LOGIN, "or password refused", True),
        ("denied: requested access to the resource is denied", (None, None), "a login", True),
        ("denied: requested access to the resource is denied", LOGIN, "refused", True),
        ("toomanyrequests: You have reached your pull rate limit", (None, None), "a login", False),
        (NO_HOST, (None, None), f"image x cannot be pulled: {NO_HOST}", False),
        ("dial tcp 127.0.0.1:5000: connect: connection refused", LOGIN, "connection", False),
        ("received unexpected HTTP status: 503", LOGIN, "cannot be pulled", False),
    ],
)
def test_says_why_an_image_cannot_be_had(
    message: str, auth: pull.Auth, expected: str, answer: bool
) -> None:
    failed = pull.PullFailed("x", message, auth)

    assert expected in str(failed)
    assert message in str(failed)
    assert failed.is_answer is answer
