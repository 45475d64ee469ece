from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.cli.http import config
from tests.fakes.api_state import TOKEN, FakeApi
from tests.integration.cli.conftest import Cli


@pytest.fixture
def unsaved(cli: Cli, home: Path) -> Cli:
    (home / "config.yml").unlink()
    return cli


def test_saves_a_project_that_its_token_opens(unsaved: Cli, api: FakeApi, home: Path) -> None:
    done = unsaved("config", "--url", api.url + "/", "--project", "main", "--token", TOKEN)

    assert done.out == f"Project main is saved in {home / 'config.yml'}.\n"
    assert config.load() == [config.Remote("main", api.url, TOKEN, True)]


@pytest.mark.parametrize(
    ("project", "token", "reason"),
    [
        ("main", "dsk_u_wrong", "does not accept this token"),
        ("other", TOKEN, "There is no project 'other'"),
        ("../x", TOKEN, "is not a name"),
        ("main", "a\nb", "copy it again"),
        ("main", "é", "copy it again"),
        ("main", "", "copy it again"),
    ],
)
def test_saves_nothing_that_does_not_open(
    unsaved: Cli, api: FakeApi, project: str, token: str, reason: str
) -> None:
    done = unsaved("config", "--url", api.url, "--project", project, "--token", token)

    assert done.code == 1
    assert reason in done.err
    assert config.load() == []


def test_takes_the_token_from_the_environment(unsaved: Cli, api: FakeApi) -> None:
    done = unsaved.process("project", "add", "main", "--url", api.url, DSTACK_TOKEN=TOKEN)

    assert done.code == 0
    assert config.load()[0].token == TOKEN


def test_works_with_the_environment_alone(unsaved: Cli, api: FakeApi) -> None:
    api.add_run("hello")

    done = unsaved.process("ps", DSTACK_URL=api.url, DSTACK_TOKEN=TOKEN, DSTACK_PROJECT="main")

    assert "hello" in done.out


def test_lists_and_chooses_projects(cli: Cli, api: FakeApi) -> None:
    config.save([*config.load(), config.Remote("other", "http://b", TOKEN)])

    assert cli("project", "set-default", "other").out == "Project other is the default.\n"
    assert cli("project", "list").out.splitlines()[2] == " other    http://b                ✓"
    assert TOKEN not in cli("project", "list", "--json").out
    assert json.loads(cli("project", "list", "--json").out)[0]["default"] is False


def test_chooses_no_project_that_is_not_saved(cli: Cli) -> None:
    done = cli("project", "set-default", "none")

    assert (done.code, done.err) == (
        1, "Error: Project 'none' is not saved; saved projects: main.\n"
    )  # fmt: skip
