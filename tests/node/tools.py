"""OpenAI's client for Node, installed beside its lock file's hash outside the checkout, once."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.model.tools import cache_folder, run
from tests.programs import require_program

HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", ".npmrc", "client.mjs")
CALL_SECONDS = 120


def call(base_url: str, *models: str, key: str) -> Any:
    """Run client.mjs and return what it printed."""
    done = subprocess.run(
        [program("node"), str(installed() / "client.mjs"), base_url, *models],
        env={"PATH": os.defpath, "OPENAI_API_KEY": key},
        capture_output=True,
        text=True,
        timeout=CALL_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def program(name: str) -> str:
    """Find node or npm: on PATH, or the one that came as a Python package."""
    beside = shutil.which(name, path=str(Path(sys.executable).parent))
    return beside or require_program(name, package="npm")


def installed() -> Path:
    texts = [(HERE / name).read_bytes() for name in FILES]
    folder = cache_folder() / f"node-{hashlib.sha256(b''.join(texts)).hexdigest()[:16]}"
    with (cache_folder() / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            make(folder)
    return folder


def make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted session has left
    folder.mkdir()
    for name in FILES:
        shutil.copy(HERE / name, folder)
    run([program("npm"), "ci", "--prefix", str(folder), "--loglevel=error"])
    (folder / "made").touch()
