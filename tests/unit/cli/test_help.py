from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from apps.cli.main import COMMANDS, app

HEAVY = ("httpx", "rich", "pydantic", "yaml", "pathspec", "django", "apps.specs")


def test_loads_nothing_heavy_for_help() -> None:
    code = (
        "import sys\nfrom apps.cli.main import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_says_the_same_of_a_command_as_the_command_itself(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])

    assert result.exit_code == 0
    assert COMMANDS[name] in " ".join(result.output.split())


@pytest.mark.parametrize(
    "args",
    [["nope"], ["ps", "--nope"], ["stop"], ["run"], ["scale", "x"], ["logs", "x", "--replica", "a"],
     ["token"], ["completion", "tcsh"], ["offer", "--max-price", "much"], ["ps", "x"], []],
)  # fmt: skip
def test_ends_with_2_when_used_wrongly(args: list[str]) -> None:
    result = CliRunner().invoke(app, args)

    assert result.exit_code == 2
    assert "Usage:" in result.output


def test_prints_its_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("dstack ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_prints_a_completion_script(shell: str) -> None:
    result = CliRunner().invoke(app, ["completion", shell])

    assert result.exit_code == 0
    assert "_DSTACK_COMPLETE" in result.output
