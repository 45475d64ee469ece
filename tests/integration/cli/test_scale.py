"""`dstack scale`: what it asks of the server, and what it asks a person first."""

from __future__ import annotations

import pytest

from tests.fakes.api_state import FakeApi
from tests.integration.cli.conftest import Cli


@pytest.mark.parametrize(("replicas", "wanted"), [("3", 3), ("0", 0), ("1..4", 1)])
def test_scales_a_run(cli: Cli, api: FakeApi, replicas: str, wanted: int) -> None:
    api.add_run("hello")

    done = cli("scale", "hello", replicas)

    assert done.code == 0
    assert api.bodies("POST", "/scale") == [{"replicas": replicas}]
    assert api.runs["hello"].data["replicas_wanted"] == wanted


def test_asks_before_it_scales_beyond_what_the_machine_carries(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")

    refused = cli("scale", "hello", "99")

    assert (refused.code, api.bodies("POST", "/scale")) == (1, [])
    assert "Warning: 99 replicas share 2 CPUs and 24GB\n" in refused.err
    assert "add -y to go ahead" in refused.err
    done = cli("scale", "hello", "99", "-y")
    assert done.code == 0
    assert api.bodies("POST", "/scale") == [{"replicas": "99"}]


def test_scales_on_a_server_that_says_nothing_beforehand(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")
    api.lacks = "/scale/plan"

    assert cli("scale", "hello", "99").code == 0


@pytest.mark.parametrize("replicas", ["4..1", "1..", "x", "..", "9" * 40, "1;id", ""])
def test_says_what_replicas_may_be(cli: Cli, api: FakeApi, replicas: str) -> None:
    api.add_run("hello")

    done = cli("scale", "hello", replicas)

    assert done.code == 1
    assert "replicas" in done.err
