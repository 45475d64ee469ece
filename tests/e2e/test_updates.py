"""From one version to the next under 50 requests a second: none of them fails."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import stack as stacks
from tests.e2e.load import PER_SECOND, Load
from tests.e2e.services import WHO, who_answers
from tests.e2e.stack import Stack, eventually

pytestmark = pytest.mark.timeout(120)
RUN = ("run", ".", "-f", "serve.dstack.yml", "-n", "who", "-y")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = stacks.new(tmp_path_factory.mktemp("updates"))
    yield running
    if running.is_alive():
        running.stop()


def configured(folder: Path, *, command: str = "python3 who.py", more: str = "") -> None:
    text = f"type: service\ncommands:\n  - {command}\nport: 8000\n{more}"
    (folder / "serve.dstack.yml").write_text(text)


def version(stack: Stack) -> tuple[int, str, int | None]:
    run = stack.api("GET", "/projects/main/runs/who")
    return run["version"], run["state"], run["fallback_version"]


def pid(stack: Stack) -> Any:
    return who_answers(stack)["pid"]


def test_no_request_fails_through_updates_a_broken_version_and_a_rollback(
    stack: Stack, tmp_path: Path
) -> None:
    folder = shutil.copytree(WHO, tmp_path / "who")
    configured(folder)
    stack.dstack(*RUN, "-d", cwd=folder)
    first = pid(stack)
    headers = {"Host": f"who.localhost:{stack.gateway_port}", **stack.bearer()}
    with Load(f"http://127.0.0.1:{stack.gateway_port}/", headers) as load:
        eventually(lambda: len(load.answers) > PER_SECOND, what="a second of load")

        configured(folder, more="env: [VERSION=2]\n")
        assert "env.VERSION: none -> (set)" in stack.dstack(*RUN, "-d", cwd=folder)
        eventually(lambda: version(stack) == (2, "running", None), what="version 2 serves")
        second = eventually(lambda: (found := pid(stack)) != first and found)

        configured(folder, command="exit 3", more="env: [VERSION=2]\n")
        stack.dstack(*RUN, "-d", cwd=folder)
        eventually(lambda: version(stack) == (2, "running", None), what="version 3 is given up")
        versions = stack.api("GET", "/projects/main/runs/who/versions")["items"]
        assert (versions[0]["version"], "3" in versions[0]["reason"]) == (3, True)
        assert pid(stack) == second

        said = stack.dstack("rollback", "who", "--to", "1", cwd=folder)
        assert "Run who is back, as version 4." in said
        fourth = eventually(lambda: (found := pid(stack)) != second and found)

        configured(folder, more="max_concurrency: 500\n")
        assert "(in place, no replica restarts)" in stack.dstack(*RUN, "-d", cwd=folder)
        assert version(stack) == (5, "running", None)
        assert pid(stack) == fourth
    assert len(load.answers) > 3 * PER_SECOND
    assert not load.failed
