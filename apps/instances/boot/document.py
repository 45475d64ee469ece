"""What a new machine boots with: one cloud-init document for all clouds. Pure.

Nothing in it is put together from text: its scripts are the same on every machine, and what differs
lies beside them as JSON, which only root may read and the agent removes once it has enrolled. It
may run again: each file is the same, and the agent enrols once.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from apps.backends.way_home import NEAR_PORT, RELAY_PORT, WayHome

FOLDER = Path(__file__).parent / "on_machine"
# What clouds take: AWS 16 KB before it is encoded.
MOST_BYTES = 16 * 1024
UNIT = "dstack-agent.service"
WORD = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.:-]{0,252}")
# The server may have that one port forwarded, and nothing else.
RELAY_MAY = (
    'restrict,port-forwarding,command="/bin/false",permitopen="127.0.0.1:1",'
    'permitlisten="127.0.0.1:{port}"'
)
WAY_UNIT, RELAY_UNIT = "dstack-way-home.service", "dstack-relay.service"


class TooLong(ValueError):
    """No cloud takes it."""


@dataclass(frozen=True)
class ToGateway:
    """A way to the server through a gateway: with this key, until the machine has its own."""

    way: WayHome
    key: str = field(repr=False)


@dataclass(frozen=True)
class Relay:
    """What a gateway's machine needs so that the server, which has `server_key`, comes to it."""

    port: int
    host_key: str = field(repr=False)
    server_key: str


@dataclass(frozen=True)
class Boot:
    """`enrolment` is secret. The agent of the machine has this SHA-256 (`program_sha256`); `cloud`
    is the kind of its backend, `authority` the certificates by which the server is known, empty for
    those of the image. Of the ways to a server that nobody can call, `to_gateway` is a
    machine's, and `relay` that of a gateway's machine."""

    url: str
    enrolment: str = field(repr=False)
    program_sha256: str
    cloud: str
    silent_seconds: int
    authority: str = ""
    needs_docker: bool = False
    needs_nvidia: bool = False
    needs_gateway: bool = False
    to_gateway: ToGateway | None = None
    relay: Relay | None = None


def document(boot: Boot) -> str:
    """Return the text. Raise TooLong."""
    ways = [*way_files(boot.to_gateway), *(relay_files(boot.relay) if boot.relay else [])]
    units = [UNIT, *[each for each in (WAY_UNIT, RELAY_UNIT) if _is_among(each, ways)]]
    content = {
        "write_files": [
            _file("/etc/dstack-agent/enrolment.json", _enrolment(boot), mode="0600"),
            _file("/opt/dstack-agent/boot.sh", _text("boot.sh"), mode="0755"),
            _file("/opt/dstack-agent/fetch.py", _text("fetch.py"), mode="0644"),
            _file(f"/etc/systemd/system/{UNIT}", _unit(boot), mode="0644"),
            *ways,
        ],
        "runcmd": [
            ["systemctl", "daemon-reload"],
            *(["systemctl", "enable", "--now", "--no-block", unit] for unit in units),
        ],
        "ssh_pwauth": False,
    }
    text = "#cloud-config\n" + yaml.safe_dump(content, sort_keys=False)
    if len(text.encode()) >= MOST_BYTES:
        raise TooLong("What the machine would boot with is longer than the 16 KB that clouds take.")
    return text


def _file(path: str, content: str, *, mode: str) -> dict[str, str]:
    return {"path": path, "owner": "root:root", "permissions": mode, "content": content}


def way_files(to: ToGateway | None) -> list[dict[str, str]]:
    """Return the files of a machine's way, which the unit `WAY_UNIT` keeps open."""
    if to is None:
        return []
    way = to.way
    known = f"gateway {way.host_key}\n"
    unit = _filled(WAY_UNIT, near=NEAR_PORT, far=way.port, port=way.ssh_port)
    # A cloud says where the gateway is, and its user it has said itself: of few characters, both.
    unit = unit.replace("@USER@", _word(way.user)).replace("@HOST@", _word(way.host))
    return [
        _file("/etc/dstack-agent/way-home.key", to.key, mode="0600"),
        _file("/etc/dstack-agent/way-home.known", known, mode="0644"),
        _file(f"/etc/systemd/system/{WAY_UNIT}", unit, mode="0644"),
    ]


def relay_files(relay: Relay) -> list[dict[str, str]]:
    """Return the files of its sshd, which stands on no other one."""
    config = _filled("relay_sshd_config", port=relay.port, relay=RELAY_PORT)
    keys = f"{RELAY_MAY.format(port=RELAY_PORT)} {relay.server_key}\n"
    return [
        _file("/etc/dstack-relay/host_key", relay.host_key, mode="0600"),
        _file("/etc/dstack-relay/authorized_keys", keys, mode="0644"),
        _file("/etc/dstack-relay/sshd_config", config, mode="0644"),
        _file(f"/etc/systemd/system/{RELAY_UNIT}", _text(RELAY_UNIT), mode="0644"),
    ]


def _is_among(unit: str, files: list[dict[str, str]]) -> bool:
    return any(each["path"].endswith(f"/{unit}") for each in files)


def _word(text: str) -> str:
    if not WORD.fullmatch(text):
        raise ValueError(f"no name or address: {text[:80]!r}")
    return text


def _filled(name: str, **values: int) -> str:
    text = _text(name)
    for mark, value in values.items():
        text = text.replace(f"@{mark.upper()}@", str(value))
    return text


def _enrolment(boot: Boot) -> str:
    return json.dumps(
        {
            "url": boot.url,
            "enrolment": boot.enrolment,
            "program_sha256": boot.program_sha256,
            "metadata": boot.cloud,
            "machine": {"silent_seconds": float(boot.silent_seconds)},
            **({"authority": boot.authority} if boot.authority else {}),
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
