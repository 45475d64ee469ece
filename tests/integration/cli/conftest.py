"""The real command against the API in memory: in this process, or as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from apps.cli.http import config
from apps.cli.http.config import Remote
from apps.cli.main import app
from tests.fakes.api_server import running
from tests.fakes.api_state import TOKEN, FakeApi

COMMAND = [sys.executable, "-c", "from apps.cli.main import main; main()"]
SERVICE = "type: service\ncommands: [python3 -m http.server $PORT]\nport: 8000\n"
SECONDS = 30


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        return self.out.splitlines()[-1]


class Cli:
    """The `dstack` command with a saved project, in a working folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *args: str) -> Done:
        result = CliRunner().invoke(app, list(args), catch_exceptions=False)
        return Done(result.exit_code, result.stdout, result.stderr)

    def process(self, *args: str, **environ: str) -> Done:
        done = subprocess.run(
            [*COMMAND, *args],
            capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL,
            env={**os.environ, **environ}, cwd=self.folder,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            stdin=subprocess.DEVNULL, cwd=self.folder,
        )  # fmt: skip


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with running(FakeApi()) as api:
        yield api


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "serve.dstack.yml").write_text(SERVICE)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cli(api: FakeApi, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    for name in [name for name in os.environ if name.startswith("DSTACK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DSTACK_HOME", str(home))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    config.save([Remote("main", api.url, TOKEN, True)])
    return Cli(folder)


def interrupt(process: subprocess.Popen[str]) -> Done:
    """Press Ctrl-C for a process and wait for its end."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    return Done(process.returncode, out, err)
