from __future__ import annotations

import json
from pathlib import Path

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
    done = cli("backend", "connect", "aws")

    assert (done.code, done.err) == (1, "Error: There is no backend `aws`; there is: local.\n")


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
