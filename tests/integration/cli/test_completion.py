"""Completion in real shells: the line after the tab key, in bash, zsh and fish."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from apps.cli.http import config
from apps.cli.http.config import Remote
from tests.fakes.api_state import TOKEN, FakeApi
from tests.integration.cli.conftest import Cli
from tests.integration.cli.terminal import Terminal
from tests.programs import require_program

SECONDS = 60
NAMED = "dstack completion {}"
SHELLS = pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
LOADS = {
    "bash": "source <(dstack completion bash)",
    "zsh": "source <(dstack completion zsh)",
    "fish": "dstack completion fish | source",
}


@pytest.fixture
def path(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program called dstack, where shells look for programs."""
    program = tmp_path / "bin" / "dstack"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom apps.cli.main import main\nmain()\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


pytestmark = pytest.mark.usefixtures("path")


def in_fish(line: str, *, first: str = LOADS["fish"]) -> list[str]:
    """Return what fish offers for a half-typed line; fish tells that without a terminal."""
    program = require_program("fish", package="fish")
    done = subprocess.run(
        [program, "-c", f"{first}; complete -C {shlex.quote(line)}"],
        capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return [offered.split("\t")[0] for offered in done.stdout.splitlines()]


def typed(shell: str, home: Path, *, first: str) -> Terminal:
    """Start an interactive shell that has run the line `first`."""
    program = require_program(shell, package=shell)
    (home / ".bashrc").touch()
    (home / ".zshrc").touch()
    flags = ["-i"] if shell == "bash" else ["-i", "-o", "no_prompt_sp"]
    terminal = Terminal(folder=home, command=[program, *flags], TERM="dumb")
    terminal.type(f"{first}; echo all $((40 + 2))\n")
    terminal.wait_for("all 42")
    return terminal


def completes(shell: str, home: Path, line: str, to: str, *, first: str | None = None) -> None:
    """Check that a half-typed line becomes another one by the tab key."""
    first = LOADS[shell] if first is None else first
    if shell == "fish":
        last = line.rpartition(" ")[0]
        assert to in {f"{last} {offered}" for offered in in_fish(line, first=first)}
        return
    with typed(shell, home, first=first) as terminal:
        terminal.type(f"{line}\t")
        terminal.wait_for(to)


@SHELLS
@pytest.mark.parametrize(
    ("line", "to"),
    [
        ("dstack lo", "dstack logs"),
        ("dstack --ver", "dstack --version"),
        ("dstack logs --rep", "dstack logs --replica"),
        ("dstack project set-d", "dstack project set-default"),
        ("dstack logs hel", "dstack logs hello"),
        ("dstack stop -x hel", "dstack stop -x hello"),
        ("dstack token create key --run hel", "dstack token create key --run hello"),
        ("dstack ps --project ma", "dstack ps --project main"),
        ("dstack logs --project main hel", "dstack logs --project main hello"),
        ("dstack project set-default ma", "dstack project set-default main"),
        ("dstack offer -b loc", "dstack offer -b local"),
    ],
)
def test_completes_what_is_half_typed(
    api: FakeApi, home: Path, shell: str, line: str, to: str
) -> None:
    api.add_run("hello")
    api.add_run("other")

    completes(shell, home, line, to)


@SHELLS
def test_is_installed_for_the_next_start_of_a_shell(api: FakeApi, home: Path, shell: str) -> None:
    (home / ".zshrc").touch()
    (home / ".bashrc").write_text("export MINE=kept\n")
    # The shell is found out: it is the one that the command was started from.
    program = require_program(shell, package=shell)
    done = subprocess.run(
        [program, "-c", "dstack --install-completion; true"],
        capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip

    assert done.stderr == ""
    assert f"{shell} completes dstack from its next start on, by {home}" in done.stdout
    assert "export MINE=kept" in (home / ".bashrc").read_text()
    completes(shell, home, "dstack lo", "dstack logs", first="true")


@SHELLS
def test_shows_the_script_of_the_shell_that_it_is_started_from(shell: str) -> None:
    program = require_program(shell, package=shell)
    scripts = [
        subprocess.run(
            [program, "-c", f"{command}; true"], capture_output=True, text=True, check=True,
            timeout=SECONDS,
        ).stdout
        for command in ("dstack --show-completion", "dstack completion", NAMED.format(shell))
    ]  # fmt: skip

    assert scripts[0] == scripts[1] == scripts[2]
    assert "_DSTACK_COMPLETE" in scripts[0]


def test_asks_which_shell_it_is(cli: Cli) -> None:
    done = cli.process("completion", SHELL="/bin/false")

    if done.code:  # else the tests were started from one that it knows
        assert done.err == "Error: Which shell is this? Say it: dstack completion bash|zsh|fish.\n"


def test_says_that_it_cannot_be_installed(cli: Cli, home: Path) -> None:
    (home / ".bashrc").mkdir()

    done = cli.process("completion", "bash", "--install")

    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert done.err.startswith("Error: Completion of bash cannot be installed: ")


def answers(line: str) -> tuple[str, str]:
    """Return what the command answers a bash that completes this line, and what it says beside."""
    done = subprocess.run(
        ["dstack"], capture_output=True, text=True, timeout=SECONDS,
        env={**os.environ, "_DSTACK_COMPLETE": "complete_bash", "COMP_WORDS": line,
             "COMP_CWORD": str(len(line.split(" ")) - 1)},
    )  # fmt: skip
    return done.stdout.strip(), done.stderr


def test_says_nothing_where_no_server_answers(home: Path) -> None:
    config.save([Remote("main", "http://127.0.0.1:9", TOKEN)])

    assert answers("dstack logs hel") == ("", "")


def test_says_nothing_where_its_configuration_is_broken(home: Path) -> None:
    (home / "config.yml").write_text("projects: [")

    assert answers("dstack logs hel") == ("", "")
    assert answers("dstack ps --project ma") == ("", "")
    assert answers("dstack lo") == ("logs", "")


def test_offers_no_name_that_a_shell_would_run(api: FakeApi) -> None:
    for name in ("$(id)", "a b", "`id`", "x;id", "", "good"):
        api.add_run(name)

    assert answers("dstack logs ") == ("good", "")


def test_offers_a_name_once(api: FakeApi) -> None:
    api.runs = {str(n): api.add_run("hello") for n in range(3)}

    assert answers("dstack logs ") == ("hello", "")
