from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.api_state import FakeApi, replica_step
from tests.integration.cli.conftest import Cli
from tests.integration.cli.terminal import Terminal

RUN = ("run", ".", "-f", "serve.dstack.yml")
PUBLISHED = "Service is published at http://yellow-cat-1.localhost:8080"


@pytest.mark.parametrize("answer", ["y", "YES", "maybe\ny", "\ny"])
def test_goes_on_when_the_answer_is_yes(cli: Cli, api: FakeApi, folder: Path, answer: str) -> None:
    with Terminal(*RUN, "-d", folder=folder) as terminal:
        terminal.wait_for("Continue? [y/n]: ")
        terminal.type(answer + "\n")

        assert terminal.end() == 0
        assert terminal.text.splitlines()[-1] == PUBLISHED


@pytest.mark.parametrize(("keys", "code"), [("n\n", 1), ("\x04", 1), ("\x03", 130)])
def test_starts_nothing_without_a_yes(
    cli: Cli, api: FakeApi, folder: Path, keys: str, code: int
) -> None:
    with Terminal(*RUN, folder=folder) as terminal:
        terminal.wait_for("Continue? [y/n]: ")
        terminal.type(keys)

        assert terminal.end() == code
        assert "Traceback" not in terminal.text
    assert api.runs == {}


def test_asks_before_it_replaces_a_run(cli: Cli, api: FakeApi, folder: Path) -> None:
    api.add_run("hello")
    with Terminal(*RUN, "-n", "hello", folder=folder) as terminal:
        terminal.wait_for("Run hello already exists. Override the run? [y/n]: ")
        terminal.type("n\n")

        assert terminal.end() == 1


def test_asks_whether_to_stop_when_ctrl_c_is_pressed(cli: Cli, api: FakeApi, folder: Path) -> None:
    api.steps = [replica_step("running")] + [{}] * 100_000
    api.first_lines = ["hello from the service"]
    with Terminal(*RUN, "-y", folder=folder) as terminal:
        terminal.wait_for("hello from the service")
        terminal.type("\x03")
        terminal.wait_for("Stop the run before detaching? [y/n]: ")
        terminal.type("y\n")

        assert terminal.end() == 0
        assert terminal.text.splitlines()[-1].endswith("Stopped")
    assert api.runs["yellow-cat-1"].data["state"] == "stopped"


def test_leaves_the_run_alone_when_the_answer_is_no(cli: Cli, api: FakeApi, folder: Path) -> None:
    api.steps = [replica_step("provisioning")] * 100_000
    with Terminal(*RUN, "-y", folder=folder) as terminal:
        terminal.wait_for("is provisioning")
        terminal.type("\x03")
        terminal.wait_for("Stop the run before detaching? [y/n]: ")
        terminal.type("n\n")

        assert terminal.end() == 0
    assert api.runs["yellow-cat-1"].data["state"] == "provisioning"


def test_leaves_with_130_when_ctrl_c_is_pressed_twice(cli: Cli, api: FakeApi, folder: Path) -> None:
    api.steps = [replica_step("provisioning")] * 100_000
    with Terminal(*RUN, "-y", folder=folder) as terminal:
        terminal.wait_for("is provisioning")
        terminal.type("\x03")
        terminal.wait_for("Stop the run before detaching? [y/n]: ")
        terminal.type("\x03")

        assert terminal.end() == 130
        assert "Traceback" not in terminal.text


def test_watches_runs_until_ctrl_c(cli: Cli, api: FakeApi, folder: Path) -> None:
    run = api.add_run("hello")
    with Terminal("ps", "-w", folder=folder) as terminal:
        terminal.wait_for("running")
        run.data["state"] = "unhealthy"
        terminal.wait_for("unhealthy")
        terminal.type("\x03")

        assert terminal.end() == 130


def test_colours_states_on_a_terminal(cli: Cli, api: FakeApi, folder: Path) -> None:
    api.add_run("hello")
    with Terminal("ps", folder=folder) as terminal:
        assert terminal.end() == 0
        assert "\x1b[32mrunning\x1b[0m" in terminal.screen


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_does_not_colour_where_it_is_not_wanted(
    cli: Cli, api: FakeApi, folder: Path, variable: dict[str, str]
) -> None:
    api.add_run("hello")
    with Terminal("ps", folder=folder, **variable) as terminal:
        assert terminal.end() == 0
        assert "\x1b" not in terminal.screen


def test_asks_before_it_deletes(cli: Cli, api: FakeApi, folder: Path) -> None:
    api.add_run("hello", "stopped")
    with Terminal("delete", "hello", folder=folder) as terminal:
        terminal.wait_for("Delete the run hello with its logs and history? [y/n]: ")
        terminal.type("n\n")

        assert terminal.end() == 1
    assert "hello" in api.runs
