from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api_state import TOKEN, FakeApi
from tests.integration.cli.conftest import Cli

STEP = "dstack backend connect local --project main"


def test_opens_lists_and_closes_a_backend(cli: Cli, api: FakeApi) -> None:
    api.backends = []

    assert cli("backend", "connect", "local").code == 0
    assert api.bodies("POST", "/backends") == [{"kind": "local"}]
    assert cli("backend", "list").out.splitlines()[1].split()[:2] == ["local", "local"]
    assert [one["name"] for one in json.loads(cli("backend", "list", "--json").out)] == ["local"]
    assert cli("backend", "delete", "local", "-y").code == 0
    assert api.backends == []


def test_says_what_there_is_instead_of_an_unknown_kind(cli: Cli) -> None:
    done = cli("backend", "connect", "azure")

    said = "Error: There is no backend `azure`; there is: aws, local.\n"
    assert (done.code, done.err) == (1, said)


@pytest.mark.parametrize("slow", [0, 2])
def test_connects_a_cloud_and_tells_of_its_account(cli: Cli, api: FakeApi, slow: int) -> None:
    api.slow_checks = slow
    file = cli.folder / "aws.yml"
    file.write_text("regions: [us-east-1]")

    done = cli("backend", "connect", "aws", "--config", str(file), "--set", "creds.type=default")

    assert done.code == 0
    assert done.out == "Backend aws of project main is connected.\n  Account 1.\n"
    assert api.bodies("POST", "/backends") == [
        {"kind": "aws", "config": {"regions": ["us-east-1"], "creds": {"type": "default"}}}
    ]


@pytest.mark.parametrize("slow", [0, 2])
def test_says_each_problem_of_a_cloud(cli: Cli, api: FakeApi, slow: int) -> None:
    api.slow_checks, api.problems = slow, ["It lacks this.", "\x1b[31mAnd that."]

    done = cli("backend", "connect", "aws")

    assert done.code == 1
    assert done.err.splitlines()[1] == "  It lacks this."
    assert "\x1b" not in done.err and "And that." in done.err.splitlines()[2]
    assert [one["name"] for one in api.backends] == ["local"]


def test_asks_no_cloud_where_that_is_wished(cli: Cli, api: FakeApi) -> None:
    api.problems, api.backend_notes = (
        ["It lacks this."],
        ["No machine can call\x1b[31m this server."],
    )

    done = cli("backend", "connect", "aws", "--name", "prod", "--no-check")

    assert done.code == 0
    assert done.out.splitlines()[1].startswith("  No machine can call")
    assert "\x1b" not in done.out
    assert api.bodies("POST", "/backends") == [{"kind": "aws", "name": "prod", "check": False}]


@pytest.mark.parametrize(("named", "sent"), [(["all", "x"], "all"), (["x", "y"], ["x", "y"])])
def test_connects_one_of_the_server(cli: Cli, api: FakeApi, named: list[str], sent: Any) -> None:
    flags = [word for name in named for word in ("--for", name)]

    done = cli("backend", "connect", "aws", *flags)

    assert (done.code, done.out.splitlines()[0]) == (0, "Backend aws of the server is connected.")
    assert [seen.body["projects"] for seen in api.seen if seen.path == "/api/backends"] == [sent]


@pytest.mark.parametrize(("slow", "problems", "code"), [(0, [], 0), (2, [], 0), (1, ["No."], 1)])
def test_checks_a_backend(
    cli: Cli, api: FakeApi, slow: int, problems: list[str], code: int
) -> None:
    api.slow_checks, api.problems = slow, problems

    done = cli("backend", "check", "aws")

    assert done.code == code
    assert ("Backend aws works." in done.out, "  No." in done.err) == (not code, bool(code))


def test_changes_how_a_backend_is_connected(cli: Cli, api: FakeApi) -> None:
    done = cli("backend", "update", "aws", "--set", "regions=us-east-1")

    assert (done.code, done.out) == (0, "Backend aws is changed.\n")
    assert api.bodies("PATCH", "/backends/aws") == [
        {"config": {"regions": "us-east-1"}, "check": True}
    ]


@pytest.mark.parametrize(("verb", "disabled"), [("disable", True), ("enable", False)])
def test_disables_and_enables(cli: Cli, api: FakeApi, verb: str, disabled: bool) -> None:
    assert cli("backend", verb, "aws").code == 0
    assert api.bodies("PATCH", "/backends/aws") == [{"disabled": disabled}]


def test_does_not_close_a_backend_that_services_need(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")

    done = cli("backend", "delete", "local", "-y")

    assert (done.code, done.err) == (1, "Error: Services of project main still need local.\n")


def test_does_not_close_without_an_answer(cli: Cli, api: FakeApi) -> None:
    assert cli("backend", "delete", "local").code == 1
    assert len(api.backends) == 1


@pytest.mark.parametrize("args", [("backend", "list"), ("offer",)])
def test_says_what_to_do_where_there_is_none(cli: Cli, api: FakeApi, args: tuple[str, ...]) -> None:
    api.backends, api.offers = [], []

    done = cli(*args)

    assert (done.code, STEP in done.out) == (0, True)


@pytest.mark.parametrize("command", [("config", "--project", "main"), ("project", "add", "main")])
def test_says_the_next_step_of_a_project_that_is_saved(
    cli: Cli, api: FakeApi, home: Path, command: tuple[str, ...]
) -> None:
    api.backends = []

    done = cli(*command, "--url", api.url, "--token", TOKEN)

    assert done.code == 0
    assert done.out.splitlines()[0].startswith("Project main is saved")
    assert STEP in done.out.splitlines()[1]


@pytest.mark.parametrize(("flags", "out"), [((), ""), (("--json",), "[]\n")])
def test_ends_with_the_reason_where_nothing_fits(
    cli: Cli, api: FakeApi, flags: tuple[str, ...], out: str
) -> None:
    api.offers = []

    done = cli("offer", "--gpu", "banana", *flags)

    assert (done.code, done.out) == (1, out)
    assert done.err == "Error: No offer fits. resources.gpu: my-host has no GPU.\n"
