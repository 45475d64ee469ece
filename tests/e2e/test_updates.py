"""From one version to the next under 200 requests a second: none of them fails."""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from tests.e2e import stack as stacks
from tests.e2e.load import Load
from tests.e2e.services import WHO, who_answers
from tests.e2e.stack import Stack, eventually

pytestmark = pytest.mark.timeout(240)
PER_SECOND = 200
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
    url = f"http://127.0.0.1:{stack.gateway_port}/"
    with Load(url, headers, per_second=PER_SECOND, most_open=PER_SECOND) as load:
        eventually(lambda: len(load.answers) > PER_SECOND, what="a second of load")

        configured(folder, more="env: [VERSION=2]\n")
        assert "env.VERSION: none -> (set)" in stack.dstack(*RUN, "-d", cwd=folder)
        eventually(
            lambda: version(stack) == (2, "running", None), seconds=60, what="version 2 serves"
        )
        second = eventually(lambda: (found := pid(stack)) != first and found, seconds=60)

        configured(folder, command="exit 3", more="env: [VERSION=2]\n")
        stack.dstack(*RUN, "-d", cwd=folder)
        eventually(
            lambda: version(stack) == (2, "running", None), seconds=60, what="version 3 is given up"
        )
        versions = stack.api("GET", "/projects/main/runs/who/versions")["items"]
        assert (versions[0]["version"], "3" in versions[0]["reason"]) == (3, True)
        assert pid(stack) == second

        configured(folder, command="sleep 600", more="start_duration: 2s\n")
        stack.dstack(*RUN, "-d", cwd=folder)
        eventually(
            lambda: version(stack) == (2, "running", None), seconds=60, what="version 4 is given up"
        )
        assert pid(stack) == second

        said = stack.dstack("rollback", "who", "--to", "1", cwd=folder)
        assert "Run who is back, as version 5." in said
        fifth = eventually(lambda: (found := pid(stack)) != second and found, seconds=60)

        configured(folder, more="max_concurrency: 500\n")
        assert "(in place, no replica restarts)" in stack.dstack(*RUN, "-d", cwd=folder)
        assert version(stack) == (6, "running", None)
        assert pid(stack) == fifth
    assert len(load.answers) > 3 * PER_SECOND
    assert not load.failed


def test_scaling_down_leaves_the_replica_that_has_streams(stack: Stack) -> None:
    """Without a look at who is busy the newest would go."""
    stack.dstack("run", ".", "-f", "serve.dstack.yml", "-n", "busy", "-y", "-d", cwd=WHO)
    stack.dstack("scale", "busy", "2")
    eventually(lambda: serving(stack) == [0, 1], what="both serve")
    eventually(lambda: {who(stack), who(stack)} == {"0", "1"}, what="both take requests")
    with ExitStack() as idle, ExitStack() as busy:
        for _ in range(4):
            stream(stack, {"0": idle, "1": busy})
        eventually(lambda: in_flight(stack) == 4, what="four streams are seen")
        idle.close()
        eventually(lambda: in_flight(stack) == 2, what="the newest alone is seen to be busy")

        stack.dstack("scale", "busy", "1")

        assert eventually(lambda: len(found := serving(stack)) == 1 and found) == [1]


def stream(stack: Stack, by_replica: dict[str, ExitStack]) -> None:
    """Open a stream that ends with the others of the replica that sends it."""
    headers = {"Host": f"busy.localhost:{stack.gateway_port}", **stack.bearer()}
    url = f"http://127.0.0.1:{stack.gateway_port}/stream"
    opened = ExitStack()
    answer = opened.enter_context(httpx.stream("GET", url, headers=headers, timeout=20))
    # httpx ends a response whose iterator is let go of.
    lines = opened.enter_context(closing(cast(Generator[str], answer.iter_lines())))
    by_replica[next(lines)].push(opened.pop_all())


def who(stack: Stack) -> str:
    number: str = stack.call("busy", **stack.bearer()).json()["DSTACK_REPLICA_NUM"]
    return number


def serving(stack: Stack) -> list[int]:
    run = stack.api("GET", "/projects/main/runs/busy")
    return sorted(each["num"] for each in run["replicas"] if each["state"] == "running")


def in_flight(stack: Stack) -> int:
    """As the newest look of the gateway has it."""
    answer = httpx.get(f"{stack.url}/metrics", headers=stack.bearer(), timeout=30)
    row = r'^dstack_service_in_flight\{[^}]*run="busy"[^}]*\} (\d+)$'
    found = re.search(row, answer.text, re.MULTILINE)
    return int(found[1]) if found else 0
