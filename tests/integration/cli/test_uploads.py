from __future__ import annotations

import json

import pytest

from tests.fakes.api_state import FakeApi
from tests.integration.cli.conftest import Cli

ONE, OTHER = "ab" * 32, "ac" * 32


@pytest.fixture(autouse=True)
def two(api: FakeApi) -> None:
    api.uploads = {ONE: b"x" * 1536, OTHER: b"y"}


def test_lists_what_is_stored_and_who_needs_it(cli: Cli, api: FakeApi) -> None:
    assert "nothing" in cli("upload", "list").out
    api.add_run("hello")

    done = cli("upload", "list")

    assert done.out.splitlines()[1].split()[:3] == [ONE[:12], "1.5", "KB"]
    assert "hello version 1" in done.out
    assert "1.5 KB of 5.0 GB" in done.err
    assert [one["hash"] for one in json.loads(cli("upload", "list", "--json").out)] == [ONE, OTHER]


def test_deletes_one_by_the_beginning_of_its_hash(cli: Cli, api: FakeApi) -> None:
    assert cli("upload", "delete", "abab", "-y").code == 0

    assert list(api.uploads) == [OTHER]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("a", "Several uploads"), ("ff", "no upload"), ("", "no upload"), ("../x", "no upload")],
)
def test_deletes_none_that_it_cannot_tell(cli: Cli, api: FakeApi, wanted: str, said: str) -> None:
    done = cli("upload", "delete", wanted, "-y")

    assert (done.code, said in done.err, len(api.uploads)) == (1, True, 2)


def test_does_not_delete_what_a_version_needs(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")

    done = cli("upload", "delete", ONE, "-y")

    assert (done.code, "needed by version 1 of hello" in done.err) == (1, True)
    assert ONE in api.uploads
