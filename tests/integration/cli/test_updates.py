from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.api_state import FakeApi
from tests.integration.cli.conftest import Cli

ROLLED = {"version": 2, "fallback_version": None, "state": "running"}
GIVEN_UP = {"version": 1, "fallback_version": None, "notice": "Version 2 was given up: it died."}
CHANGE = {"path": "commands", "old": '["a"]', "new": '["b"]', "in_place": False}


def test_shows_what_an_update_changes_and_how(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello", version=4)
    api.plan_changes = {"action": "update", "rollout": True, "differences": [CHANGE]}

    done = cli("run", ".", "-f", "serve.dstack.yml", "-y", "-d", "-n", "hello")

    assert done.code == 0
    assert "Changes to version 4 (new replicas get ready before old ones end):" in done.out
    assert '   commands: ["a"] -> ["b"]' in done.out
    under_way = "Updating hello to version 5: replicas of version 4 stay until its own are ready."
    published = "Service is published at http://hello.localhost:8080"
    assert done.out.splitlines()[-2:] == [under_way, published]


def test_asks_nothing_where_nothing_differs(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello", version=4)
    api.plan_changes = {"action": "none"}

    done = cli("run", ".", "-f", "serve.dstack.yml", "-d", "-n", "hello")

    assert done.code == 0
    assert "Nothing differs from version 4" in done.out
    assert [body.get("force") for body in api.bodies("POST", "/runs")] == [None]


@pytest.mark.parametrize("command", [("run", "."), ("apply",)])
def test_forces_a_version_of_what_did_not_change(
    cli: Cli, api: FakeApi, command: tuple[str, ...]
) -> None:
    api.add_run("hello", version=4)
    api.plan_changes = {"action": "update", "rollout": True, "differences": []}

    done = cli(*command, "-f", "serve.dstack.yml", "-y", "-d", "-n", "hello", "--force")

    assert done.code == 0
    assert "Version 4 is deployed again (new replicas get ready before old ones end)." in done.out
    assert [body["force"] for body in api.bodies("POST", "/runs")] == [True]


def test_waits_until_the_earlier_version_is_back(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello").steps = [{}, ROLLED]

    done = cli("rollback", "hello", "--to", "1")

    assert (done.code, done.last_line) == (0, "Run hello is back, as version 2.")
    assert api.bodies("POST", "/rollback") == [{"to": 1}]


def test_says_that_a_version_was_given_up(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello").steps = [{}, GIVEN_UP]

    done = cli("rollback", "hello")

    assert (done.code, done.err.strip()) == (1, "Error: Version 2 was given up: it died.")


def test_does_not_wait_when_told_so(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")

    assert cli("rollback", "hello", "-d").last_line == "Run hello goes back, as version 2."


def test_does_not_send_the_services_own_file_with_the_folder(
    cli: Cli, api: FakeApi, folder: Path
) -> None:
    words = ("run", ".", "-f", "serve.dstack.yml", "-y", "-d")
    cli(*words, "-n", "one")
    with (folder / "serve.dstack.yml").open("a") as file:
        file.write("replicas: 2\n")
    cli(*words, "-n", "two")

    first, second = api.bodies("POST", "/main/runs")
    assert first["upload"] == second["upload"]
    assert first["configuration"] != second["configuration"]
