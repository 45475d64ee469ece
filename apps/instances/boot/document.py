"""What a new machine boots with: one cloud-init document for all clouds. Pure.

Nothing in it is put together from text: its scripts are the same on every machine, and what differs
lies beside them as JSON, which only root may read and the agent removes once it has enrolled. It
may run again: each file is the same, and the agent enrols once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent / "on_machine"
# What clouds take: AWS 16 KB before it is encoded.
MOST_BYTES = 16 * 1024
UNIT = "dstack-agent.service"


class TooLong(ValueError):
    """No cloud takes it."""


@dataclass(frozen=True)
class Boot:
    """`enrolment` is secret. The agent of the machine has this SHA-256 (`program_sha256`); `cloud`
    is the kind of its backend."""

    url: str
    enrolment: str = field(repr=False)
    program_sha256: str
    cloud: str
    silent_seconds: int
    needs_docker: bool = False
    needs_nvidia: bool = False
    needs_gateway: bool = False


def document(boot: Boot) -> str:
    """Return the text. Raise TooLong."""
    content = {
        "write_files": [
            _file("/etc/dstack-agent/enrolment.json", _enrolment(boot), mode="0600"),
            _file("/opt/dstack-agent/boot.sh", _text("boot.sh"), mode="0755"),
            _file("/opt/dstack-agent/fetch.py", _text("fetch.py"), mode="0644"),
            _file(f"/etc/systemd/system/{UNIT}", _unit(boot), mode="0644"),
        ],
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", "--now", "--no-block", UNIT],
        ],
        "ssh_pwauth": False,
    }
    text = "#cloud-config\n" + yaml.safe_dump(content, sort_keys=False)
    if len(text.encode()) >= MOST_BYTES:
        raise TooLong("What the machine would boot with is longer than the 16 KB that clouds take.")
    return text


def _file(path: str, content: str, *, mode: str) -> dict[str, str]:
    return {"path": path, "owner": "root:root", "permissions": mode, "content": content}


def _enrolment(boot: Boot) -> str:
    return json.dumps(
        {
            "url": boot.url,
            "enrolment": boot.enrolment,
            "program_sha256": boot.program_sha256,
            "metadata": boot.cloud,
            "machine": {"silent_seconds": float(boot.silent_seconds)},
        }
    )


def _unit(boot: Boot) -> str:
    needs = [("docker", boot.needs_docker), ("nvidia", boot.needs_nvidia)]
    needs += [("gateway", boot.needs_gateway)]
    words = " ".join(word for word, is_needed in needs if is_needed)
    return _text(UNIT).replace(" @NEEDS@", f" {words}" if words else "")


@cache
def _text(name: str) -> str:
    return (FOLDER / name).read_text()
