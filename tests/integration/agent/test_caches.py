"""Model files of a project on a machine: what real replicas find, leave and cannot reach."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.host import files, users
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent.engines import IMAGE, running_engine
from tests.integration.agent.running import RunningAgent, workload

pytestmark = pytest.mark.skipif(not users.can_isolate(), reason="needs root, for users and groups")

# What the next replica, of another user, must be able to read, add to and remove.
LEAVE = 'mkdir -p "$HF_HUB_CACHE/m" && umask 077 && echo weights > "$HF_HUB_CACHE/m/f"'
FIND = 'cat "$HF_HUB_CACHE/m/f" && echo more >> "$HF_HUB_CACHE/m/f" && rm -r "$HF_HUB_CACHE/m"'


@pytest.fixture(scope="module")
def engine_address() -> Iterator[str]:
    with running_engine() as address:
        yield address


@pytest.fixture
def container(stopped_agent: RunningAgent, engine_address: str) -> dict[str, Any]:
    """Fields of a workload that is one, with an agent that has an engine."""
    stopped_agent.env["DOCKER_HOST"] = engine_address
    stopped_agent.start()
    return {"executor": "docker", "image": IMAGE}


def last_lines(control: ControlPlane, id: str, *commands: str, **fields: Any) -> list[str]:
    """Return what it wrote itself."""
    control.assign(workload(*commands, id=id, **{"cache": "1", **fields}))
    lines = control.wait_for(id, state=wire.EXITED).last_lines
    return [line for line in lines if not line.startswith("[agent]")]


def cache(agent: RunningAgent, key: str, *parts: str) -> Path:
    return Path(agent.home, "caches", key, *parts)


def test_a_process_finds_what_that_of_another_user_left(
    control: ControlPlane, agent: RunningAgent
) -> None:
    first = last_lines(control, "a", LEAVE, "id -u")

    second = last_lines(control, "b", FIND, "id -u", "echo $HF_HOME")

    assert second[0] == "weights"
    assert first[-1] != second[1]
    assert second[2] == str(cache(agent, "1", "process", "huggingface"))
    (found,) = control.reports[-1].caches
    assert found.key == "1"


def test_a_process_on_the_hosts_network_finds_it_too(
    control: ControlPlane, agent_on_host_network: RunningAgent
) -> None:
    last_lines(control, "a", LEAVE)

    assert last_lines(control, "b", FIND) == ["weights"]


def test_a_process_cannot_reach_that_of_another_project(
    control: ControlPlane, agent_on_host_network: RunningAgent
) -> None:
    """Where it shares more with its machine than elsewhere."""
    last_lines(control, "a", LEAVE, 'chmod -R 777 "$HF_HOME"')
    theirs = cache(agent_on_host_network, "1", "process", "huggingface", "hub", "m", "f")
    assert theirs.read_text() == "weights\n"
    hostile = (
        f'exec 2>/dev/null; theirs={shlex.quote(str(theirs))}; mkdir -p "$HF_HOME"',
        'cat "$theirs" || echo unread',
        'ls "${theirs%/process/*}" || echo unlisted',
        'ls "${theirs%/1/process/*}" || echo no list of all',
        'ln -s "$theirs" "$HF_HOME/link" && cat "$HF_HOME/link" || echo unlinked',
        'ln "$theirs" "$HF_HOME/hard" || echo no hard link',
        'chgrp 0 "$HF_HOME/.." || echo keeps its group',
        'rm -f "$HF_HOME/../../about.json" || echo kept',
    )

    lines = last_lines(control, "b", *hostile, cache="2")

    assert lines == ["unread", "unlisted", "no list of all", "unlinked", "no hard link",
                    "keeps its group", "kept"]  # fmt: skip
    assert theirs.read_text() == "weights\n"
    assert files.read_json(cache(agent_on_host_network, "2", "about.json"))


def test_a_container_of_any_user_finds_what_one_of_root_left(
    control: ControlPlane, container: dict[str, Any], stopped_agent: RunningAgent
) -> None:
    last_lines(control, "a", LEAVE, "chmod 777 /var/cache/dstack", **container)

    lines = last_lines(control, "b", FIND, "echo $HF_HOME", user="1234", **container)

    assert lines == ["weights", "/var/cache/dstack/huggingface"]
    inside = cache(stopped_agent, "1", "container", "files").stat()
    assert (inside.st_uid, inside.st_mode & 0o7777) == (0, 0o2770)


def test_what_root_in_a_container_leaves_no_process_meets(
    control: ControlPlane, container: dict[str, Any], stopped_agent: RunningAgent
) -> None:
    evil = "cd /var/cache/dstack && cp /bin/busybox sh && chmod 4755 sh && chmod 777 . && ls -l sh"
    assert last_lines(control, "a", evil, **container)[-1].startswith("-rwsr-xr-x")

    theirs = cache(stopped_agent, "1", "container", "files")
    lines = last_lines(control, "b", f"ls '{theirs}' || echo closed")
    last = last_lines(control, "c", 'ls -d "$HF_HOME/../sh" || echo none')

    assert (lines[-1], last[-1]) == ("closed", "none")


def test_a_container_of_another_project_has_another_one(
    control: ControlPlane, container: dict[str, Any]
) -> None:
    last_lines(control, "a", LEAVE, **container)

    # What the engine reads from two pipes comes in any order.
    assert "none" in last_lines(control, "b", f"{FIND} || echo none", cache="2", **container)


def test_an_engine_that_does_not_see_the_folder_runs_without(
    control: ControlPlane, stopped_agent: RunningAgent, engine_address: str, place: Path
) -> None:
    """As of an agent that is a container itself."""
    apart = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(place)]
    stopped_agent.argv = [*apart, *stopped_agent.argv]
    stopped_agent.env["DOCKER_HOST"] = engine_address
    stopped_agent.start()

    lines = last_lines(control, "a", 'echo "none:$HF_HOME"', executor="docker", image=IMAGE)

    assert lines == ["none:"]
    assert any("does not see this agent's folders" in line for line in control.lines("a"))


def test_a_folder_that_the_person_puts_there_is_theirs(
    control: ControlPlane, container: dict[str, Any], place: Path
) -> None:
    with_own = [wire.MountSpec("/var/lib/misc", "/var/cache")]

    (line,) = last_lines(control, "a", 'echo "none:$HF_HOME"', mounts=with_own, **container)

    assert line == "none:"
