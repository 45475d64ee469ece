"""The scripts that are sent to hosts: each is fixed, and what differs lies in it as base64."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from apps.instances.boot import document, program

FOLDER = Path(__file__).parents[1] / "on_host"
PROGRAM, SETTINGS = "/opt/dstack-agent", "/etc/dstack-agent"
UNIT = "/etc/systemd/system/dstack-agent.service"
RUN = "import base64, sys; exec(base64.b64decode(sys.argv.pop(1)))"


def check(asked: dict[str, Any]) -> str:
    return f"PROGRAM={_base64(_text('check.py'))}\nASKED={_of_json(asked)}\n{_text('check.sh')}"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """An agent that is installed already needs no enrolment; the server is `called` from now on at
    its "url" and known by its "authority", and the files of `way` keep the way open. The key of
    `let_in` goes with it."""

    python: str
    systemd: bool
    instance_id: str
    called: dict[str, str]
    way: Sequence[dict[str, str]]
    enrolment: dict[str, Any] | None
    let_in: dict[str, str]


def install(wanted: Installation) -> str:
    """Return what installs the agent."""
    files = [
        _file(f"{PROGRAM}/agent.pyz", program.program().content, 0o644),
        _file(f"{PROGRAM}/uninstall.py", _text("uninstall.py").encode(), 0o644),
        _file(f"{SETTINGS}/let-in.json", json.dumps(wanted.let_in).encode(), 0o600),
    ]
    files += [_of_way(each, systemd=wanted.systemd) for each in wanted.way]
    if wanted.systemd:
        files.append(_file(UNIT, _text("dstack-agent.service").encode(), 0o644))
    else:
        files.append(_file(f"{PROGRAM}/supervise.sh", _text("supervise.sh").encode(), 0o755))
    asked = {
        "python": wanted.python,
        "systemd": wanted.systemd,
        "instance_id": wanted.instance_id,
        "called": wanted.called,
        "has_way": bool(wanted.way),
        "enrolment": wanted.enrolment,
        "files": files,
    }
    return _in_python(wanted.python, "install.py", [], stdin=_of_json(asked))


def uninstall(*, python: str, user: str, public_key: str, instances: Sequence[str]) -> str:
    """Return what takes the agent of these instances away, and the public key where one is
    given."""
    asked = {**let_in(user=user, public_key=public_key), "instances": list(instances)}
    return _in_python(python, "uninstall.py", [_of_json(asked)])


def let_in(*, user: str, public_key: str) -> dict[str, str]:
    """Return what the removal needs to take a key out of those that are let in."""
    return {"user": user, "key": public_key.split()[1] if public_key else ""}


def _in_python(python: str, name: str, arguments: Sequence[str], *, stdin: str = "") -> str:
    words = " ".join([_base64(_text(name)), *arguments])
    return (
        f"python=$(printf %s {_base64(python)} | base64 -d) || exit 1\n"
        f"\"$python\" -I -c '{RUN}' {words} <<'END_OF_DATA'\n{stdin}\nEND_OF_DATA\n"
    )


def _of_way(file: dict[str, str], *, systemd: bool) -> dict[str, Any]:
    """Return a file of a way home; of its unit only the command, where no systemd runs."""
    path, content = file["path"], file["content"]
    if systemd or not path.endswith(document.WAY_UNIT):
        return _file(path, content.encode(), int(file["permissions"], 8))
    start = next(line for line in content.splitlines() if line.startswith("ExecStart="))
    command = f"exec {start.removeprefix('ExecStart=')}\n"
    return _file(f"{PROGRAM}/way-home.sh", command.encode(), 0o755)


def _file(path: str, content: bytes, mode: int) -> dict[str, Any]:
    return {"path": path, "mode": mode, "content": base64.b64encode(content).decode()}


def _of_json(value: Any) -> str:
    return _base64(json.dumps(value))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@cache
def _text(name: str) -> str:
    return (FOLDER / name).read_text()
