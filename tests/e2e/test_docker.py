"""Services with an `image:` on a real container engine: each replica is a container."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import stack as stacks
from tests.e2e.stack import Stack, eventually
from tests.integration.agent.engines import IMAGE, running_engine

# The port's number stands in the command, as in any Dockerfile: three containers share it.
THREE = f"""\
type: service
image: {IMAGE}
commands:
  - mkdir -p /tmp/www
  - echo "replica $DSTACK_REPLICA_NUM of $DSTACK_RUN_NAME" > /tmp/www/index.html
  - echo "serving as number $DSTACK_REPLICA_NUM"
  - exec httpd -f -p 8000 -h /tmp/www
port: 8000
replicas: 3
"""
NO_IMAGE = """\
type: service
image: local/does-not-exist:7
port: 8000
"""
PLAIN = """\
type: service
commands:
  - echo "in a container? $(test -e /.dockerenv && echo yes || echo no)"
  - httpd -f -p $PORT || busybox httpd -f -p $PORT
port: 8000
"""
# /dev/zero has no line ends, so `tail` keeps all of it.
HUNGRY = f"""\
type: service
image: {IMAGE}
commands:
  - tail /dev/zero
port: 8000
resources:
  memory: 64MB
  disk: 1GB
"""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with running_engine() as address:
        yield address


@pytest.fixture(scope="module")
def stack(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = stacks.new(tmp_path_factory.mktemp("docker"), DOCKER_HOST=engine)
    yield running
    assert running.stop() == 0


@pytest.fixture
def three(stack: Stack, tmp_path: Path) -> str:
    """The name of a service with three replicas, all of them ready."""
    found = stack.api("GET", "/projects/main/runs?limit=100")["items"]
    if not any(item["name"] == "three" and item["state"] == "running" for item in found):
        run(stack, tmp_path, "three", THREE)
    eventually(lambda: ready_replicas(stack, "three") == [0, 1, 2], what="three ready replicas")
    return "three"


def test_three_containers_share_a_port_number_and_all_answer(
    stack: Stack, engine: str, three: str
) -> None:
    texts = {f"replica {num} of three\n" for num in range(3)}
    seen: set[str] = set()

    def all_answered() -> bool:
        seen.add(stack.call(three, **stack.bearer()).text)
        return seen >= texts

    eventually(all_answered, what=f"answers of all replicas, not just {seen}")
    assert seen == texts
    assert len(containers(engine)) == 3


def test_needs_a_token_too(stack: Stack, three: str) -> None:
    assert stack.call(three).status_code == 401


def test_the_log_tells_the_replicas_apart(stack: Stack, three: str) -> None:
    wanted = {f"[{num}] serving as number {num}" for num in range(3)}

    eventually(lambda: wanted <= set(stack.dstack("logs", three).splitlines()), seconds=10)


def test_a_stop_removes_the_containers(stack: Stack, engine: str, three: str) -> None:
    assert "Stopped" in stack.dstack("stop", three, "-y")

    assert stack.call(three, **stack.bearer()).status_code == 404
    eventually(lambda: containers(engine) == [], what="no container left")


def test_says_which_image_cannot_be_had(stack: Stack, engine: str, tmp_path: Path) -> None:
    before = containers(engine)

    said = run(stack, tmp_path, "nowhere", NO_IMAGE, code=1)

    assert "local/does-not-exist:7" in said
    assert "Traceback" not in said
    assert set(containers(engine)) <= set(before)


def test_says_that_a_container_used_more_than_its_memory(
    stack: Stack, engine: str, tmp_path: Path
) -> None:
    before = containers(engine)

    said = run(stack, tmp_path, "hungry", HUNGRY, code=1)

    assert "it used more than its 64 MiB of memory" in said
    eventually(lambda: set(containers(engine)) <= set(before), what="no container left")


def test_a_service_without_an_image_runs_as_a_process_where_no_base_image_is(
    stack: Stack, engine: str, tmp_path: Path
) -> None:
    before = containers(engine)

    said = run(stack, tmp_path, "plain", PLAIN)

    assert "Runs as a process of" in said
    assert "DSTACK_BASE_IMAGE" in said
    assert stack.call("plain", **stack.bearer()).status_code == 404  # busybox has no page
    assert set(containers(engine)) <= set(before)
    stack.dstack("stop", "plain", "-y")


def test_a_service_without_an_image_runs_in_the_base_image_that_is_there(
    stack: Stack, engine: str, tmp_path: Path
) -> None:
    tag(engine, "dstack-web/base")
    try:
        # An engine is asked for its images every few seconds.
        eventually(lambda: "Runs as a process of" not in planned(stack), what="another plan")

        said = run(stack, tmp_path, "based", PLAIN)
    finally:
        untag(engine, "dstack-web/base")

    assert "Runs as a process of" not in said
    assert "in a container? yes" in stack.dstack("logs", "based")
    stack.dstack("stop", "based", "-y")
    eventually(lambda: "Runs as a process of" in planned(stack), what="the image is gone")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("privileged: true", "acts in a container only, and there is no base image"),
        ("user: nobody", "acts in a container only, and there is no base image"),
        ('python: "3.8"', "3.8 is not there"),
    ],
)
def test_says_what_a_process_cannot_be_given(
    stack: Stack, tmp_path: Path, more: str, words: str
) -> None:
    assert words in run(stack, tmp_path, "special", f"{PLAIN}{more}\n", code=1)


def planned(stack: Stack) -> str:
    plan = stack.api("POST", "/projects/main/runs/plan", json={"configuration": PLAIN})
    return " ".join(plan["warnings"])


def tag(engine: str, name: str) -> None:
    subprocess.run(["docker", "-H", engine, "tag", IMAGE, name], timeout=20, check=True)


def untag(engine: str, name: str) -> None:
    subprocess.run(["docker", "-H", engine, "rmi", name], timeout=20, check=True)


def run(stack: Stack, folder: Path, name: str, text: str, *, code: int = 0) -> str:
    (folder / "service.dstack.yml").write_text(text)
    words = ("-f", "service.dstack.yml", "-n", name, "-y", "-d")
    return stack.dstack("run", ".", *words, cwd=folder, code=code)


def ready_replicas(stack: Stack, name: str) -> list[int]:
    replicas = stack.api("GET", f"/projects/main/runs/{name}")["replicas"]
    return sorted(replica["num"] for replica in replicas if replica["state"] == "running")


def containers(engine: str) -> list[str]:
    """The names of all containers of the engine, running or not, in order."""
    words = ["docker", "-H", engine, "ps", "--all", "--format", "{{json .Names}}"]
    said = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout
    return sorted(json.loads(line) for line in said.splitlines())
