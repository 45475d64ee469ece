"""A real agent process that a test may kill and start again."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.agent import wire
from apps.agent.host import files, procs
from tests.fakes.control_plane import TOKEN, ControlPlane

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 20.0
# The shell's own child is the server: stopping the shell alone would leave it.
SERVE = "echo serving && python3 -u -m http.server $PORT"


def eventually(condition: Callable[[], Any], *, seconds: float = DEADLINE_SECONDS) -> Any:
    """Wait for something that nobody tells us about."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s in vain")


@dataclass
class RunningAgent:
    """An agent that a test may kill and start again in the same home."""

    control: ControlPlane
    home: Path
    argv: list[str] = field(default_factory=lambda: [sys.executable, "-m", "apps.agent"])
    env: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [*self.argv, "--home", str(self.home)]
        if "DSTACK_AGENT_CONFIG" not in self.env:
            argv += ["--url", self.control.url]
        env = {"PATH": os.environ["PATH"], "DSTACK_AGENT_TOKEN": TOKEN, **self.env}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, cwd=ROOT, env=env, stderr=log, **self.options)

    @property
    def log(self) -> Path:
        return self.home.with_name("agent.log")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=12)

    def end(self) -> int:
        """Have what a killed agent left ended, as the server's stop does."""
        argv = [*self.argv, "--home", str(self.home), "--end"]
        env = {"PATH": os.environ["PATH"], **self.env}
        with self.log.open("ab") as log:
            return subprocess.run(argv, cwd=ROOT, env=env, stderr=log, timeout=12).returncode

    def folder(self, workload_id: str) -> Path:
        return self.home / "workloads" / workload_id

    def shim_pid(self, workload_id: str) -> int:
        state = files.read_json(self.folder(workload_id) / "state.json")
        assert state is not None
        return int(state["shim_pid"])

    def clean_up(self) -> None:
        """End the agent and whatever a failed test left of its workloads."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=10)
            self.process.kill()
            self.process.wait()
        for state_file in self.home.glob("workloads/*/state.json"):
            state = files.read_json(state_file) or {}
            if procs.is_alive(state.get("shim_pid"), state.get("shim_start")):
                left = [*procs.descendants(state["shim_pid"]), state["shim_pid"]]
                procs.signal_all(left, signal.SIGKILL)
            procs.signal_all(procs.with_home(str(state_file.parent / "work")), signal.SIGKILL)


def workload(*commands: str, id: str = "w1", **fields: Any) -> wire.WorkloadSpec:
    return wire.WorkloadSpec(id=id, name=id, commands=list(commands), **fields)


def archive(content: dict[str, str], *, time: int = 0) -> bytes:
    """Pack files, all of one time; what ends with a slash is a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in content.items():
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            member.size, member.mtime = len(text.encode()), time
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()
