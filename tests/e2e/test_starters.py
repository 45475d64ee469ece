"""What we show to newcomers runs as it stands, on loopback alone: templates, tour, reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent.host import ports
from apps.runs.starters import EMPTY, STARTERS
from tests.e2e import stack as stacks
from tests.e2e.stack import ROOT, Stack
from tests.e2e.traces import processes_of

LOOPBACK = "127.0.0.1"


def tour() -> str:
    """The file that the README lets one write."""
    found = re.search(
        r"serve\.dstack\.yml <<'YAML'\n(.*?)YAML\n", (ROOT / "README.md").read_text(), re.S
    )
    assert found is not None
    return found[1]


def documented() -> str:
    """The first service of the reference."""
    text = (ROOT / "templates" / "docs" / "services.md").read_text()
    return text.partition("```\n")[2].partition("```")[0]


EXAMPLES = {starter.key: starter.text for starter in STARTERS}
EXAMPLES |= {"empty": EMPTY, "tour": tour(), "documented": documented()}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # Without an engine: as processes, which share the machine's network.
    running = stacks.new(tmp_path_factory.mktemp("starters"), DOCKER_HOST="unix:///nowhere")
    yield running
    assert running.stop() == 0


def addresses(stack: Stack) -> set[str]:
    """The addresses on which the server's replicas listen, in whichever network each has."""
    pids = [int(line.partition(" ")[0]) for line in processes_of(stack.home)]
    return {host for pid in pids if is_replica(pid) for host in addresses_of(pid)}


def is_replica(pid: int) -> bool:
    try:
        return b"DSTACK_REPLICA_NUM=" in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it ended meanwhile
        return False


def addresses_of(pid: int) -> set[str]:
    listening = ports.listeners(None, net=Path(f"/proc/{pid}/net"))
    own = ports.owned_by([pid], {one.inode for one in listening})
    return {one.host for one in listening if one.inode in own}


@pytest.mark.parametrize("key", EXAMPLES)
def test_runs_as_it_stands_on_loopback_alone(stack: Stack, tmp_path: Path, key: str) -> None:
    (tmp_path / "serve.dstack.yml").write_text(EXAMPLES[key])

    stack.dstack("run", ".", "-f", "serve.dstack.yml", "-n", key, "-y", "-d", cwd=tmp_path)

    answer = stack.call(key, **stack.bearer())
    assert answer.status_code == 200
    assert addresses(stack) == {LOOPBACK}
    stack.dstack("stop", key, "-y")
