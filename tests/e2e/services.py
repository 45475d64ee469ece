"""The service `who` on a running server: sent, called, looked at, stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests.e2e.stack import Stack
from tests.e2e.traces import processes_of

WHO = Path(__file__).parent / "who"


def publish(stack: Stack, name: str) -> None:
    words = ("-f", "serve.dstack.yml", "-n", name, "-y", "-d")
    said = stack.dstack("run", ".", *words, cwd=WHO)
    assert f"Service is published at http://{name}.localhost:{stack.gateway_port}" in said


def publish_and_stop(stack: Stack, name: str) -> None:
    publish(stack, name)
    assert stack.call(name, **stack.bearer()).json()["DSTACK_RUN_NAME"] == name
    assert "Stopped" in stack.dstack("stop", name, "-y")
    assert stack.call(name, **stack.bearer()).status_code == 404


def who_answers(stack: Stack) -> Any:
    """Return what the replica says of itself, or None while none answers: a call may be held."""
    try:
        answer = stack.call("who", **stack.bearer())
    except httpx.TimeoutException:
        return None
    return answer.json() if answer.status_code == 200 else None


def the_run(stack: Stack) -> tuple[str, list[tuple[int, str]]]:
    run = stack.api("GET", "/projects/main/runs/who")
    return run["state"], [(replica["num"], replica["state"]) for replica in run["replicas"]]


def haproxy(stack: Stack) -> int:
    file = stack.home / "server" / "gateway" / "haproxy.pid"
    return int(file.read_text().split()[0])


def processes_running(stack: Stack, program: str) -> list[str]:
    return sorted(line for line in processes_of(stack.home) if program in line)


def replica_pids(stack: Stack) -> list[int]:
    """Return the process ids of all replicas of `who`, their shells left out."""
    lines = [line.split(" ", 1) for line in processes_of(stack.home)]
    return [int(pid) for pid, command in lines if command.startswith("python3 who.py")]
