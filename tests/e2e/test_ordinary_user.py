"""The whole product for somebody who is not root, on a machine where nobody prepared anything."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import stack as stacks
from tests.e2e.stack import Stack
from tests.e2e.traces import processes_of
from tests.integration.embedded import outsider

WHO = Path(__file__).parent / "who"

pytestmark = [pytest.mark.timeout(180), outsider.only_root]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A server that was started by a user without rights, in a home of theirs."""
    # Not in pytest's folder, which only root may pass.
    with tempfile.TemporaryDirectory(prefix="dstack-e2e-", dir="/tmp") as name:
        folder = Path(name)
        shutil.copytree(WHO, folder / "who")
        for path in (folder, folder / "who", *(folder / "who").iterdir()):
            outsider.give(path)
        python = outsider.python(folder)
        running = stacks.new(folder, python=python, **outsider.env_of(folder))
        yield running
        if running.is_alive():
            running.stop()


def test_runs_calls_and_stops_a_service(stack: Stack) -> None:
    folder = stack.home.parent / "who"
    words = ("-f", "serve.dstack.yml", "-n", "mine", "-y", "-d")

    said = stack.dstack("run", ".", *words, cwd=folder)

    assert f"http://mine.localhost:{stack.gateway_port}" in said
    answer = stack.call("mine", **stack.bearer())
    assert answer.json()["DSTACK_RUN_NAME"] == "mine"
    assert Path(f"/proc/{answer.json()['pid']}").stat().st_uid == outsider.NAMELESS_ID
    assert stack.call("mine").status_code == 401
    assert "Stopped" in stack.dstack("stop", "mine", "-y")
    assert stack.call("mine", **stack.bearer()).status_code == 404
    assert not Path(f"/proc/{answer.json()['pid']}").exists()


def test_every_process_is_the_users_and_none_is_left(stack: Stack) -> None:
    pids = [line.split()[0] for line in processes_of(stack.home)]
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in pids}

    assert stack.stop() == 0

    assert len(pids) > len(stack.children())
    assert owners == {outsider.NAMELESS_ID}
    assert processes_of(stack.home) == []
