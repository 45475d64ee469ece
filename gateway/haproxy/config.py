"""haproxy.cfg: a pure rendering of the files of `rules/`, the slots and their servers.

Nothing that a user wrote stands in it: hosts, keys and grants are in the maps, and servers have
names and addresses of the few characters that the table allows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from gateway.haproxy import template
from gateway.state.slot_kinds import Kind, kind_of
from gateway.state.slots import Server

FILE = "haproxy.cfg"
SOCKET = "haproxy.sock"
SECURE_SOCKET = "secure.sock"
HEALTH_PATH = "/-/healthz"
# Of a server added live as well, which does not inherit `default-server`. Ejection only by
# connections that fail: by answers, any caller could empty a service.
SERVER_OPTIONS = "check inter 1s fall 3 rise 1 observe layer4 error-limit 1 on-error mark-down"
# In every slot the server of last resort: where no replica is up, the request waits in the sidecar.
# Its `maxconn` is never reached; more than half of it free tells a slot that has nothing else.
HOLD_ROOM = 1_000_000_000
HOLD = (
    f"  server hold unix@waiting.sock backup maxconn {2 * HOLD_ROOM} pool-max-conn 0 "
    "send-proxy-v2 proxy-v2-options unique-id\n"
)
HOLD_NAME = "hold"
# Where a replica closes without an answer; see unanswered.lua. Rules of this kind are not inherited
# from `defaults`; while nothing came, the condition is neither true nor false.
UNANSWERED = (
    ".if version_atleast(2.8)\n"
    "  tcp-response content lua.unanswered unless { res.ver -m found }\n"
    ".endif\n"
)
FOLDER = Path(__file__).parent
# Programs beside the configuration, by name.
PROGRAMS = ("cookies.lua", "limits.lua", "models.lua", "sidecar.lua", "unanswered.lua", "usage.lua")
LUA = {name: (FOLDER / name).read_text() for name in PROGRAMS}
# Maps of TLS, which `gateway.tls` writes: see there.
SECURE, CHALLENGES = "secure", "challenges"


@dataclass(frozen=True)
class Shape:
    """What of the configuration never changes while HAProxy runs."""

    bind: tuple[str, ...]
    port: int
    slots: int
    threads: int
    # 0 where the gateway speaks no TLS.
    tls_port: int = 0
    # SHA-256 of the token with which figures are scraped, in capitals; empty: nobody may.
    metrics_key: str = ""
    # 0 where nobody opens tunnels; that of TLS where both come in by one port.
    ssh_port: int = 0

    @property
    def is_shared(self) -> bool:
        return bool(self.ssh_port) and self.ssh_port == self.tls_port


def metrics_key(token: str) -> str:
    """Return the key of a token as HAProxy works it out."""
    return hashlib.sha256(token.encode()).hexdigest().upper() if token else ""


def map_file(name: str) -> str:
    """Name the map's file, which is also its name on the runtime socket."""
    return f"maps/{name}.map"


def render(*, shape: Shape, servers: Iterable[Server]) -> str:
    """Return the whole configuration."""
    by_slot: dict[int, list[str]] = {}
    for server in servers:
        by_slot.setdefault(server.slot, []).append(server_line(server))
    backends = (
        f"{slot_head(number)}{HOLD}{''.join(by_slot.get(number, ()))}"
        for number in range(1, shape.slots + 1)
    )
    return fixed_part(shape) + "".join(backends)


def slot_head(number: int) -> str:
    match kind_of(number):
        case Kind.READING:
            return f"backend s{number} from models\n  filter lua.usage\n{UNANSWERED}"
        case Kind.NOTICING:
            return f"backend s{number}\n  option abortonclose\n{UNANSWERED}"
        case Kind.PLAIN:
            return f"backend s{number}\n{UNANSWERED}"


def server_line(server: Server) -> str:
    limit = f" maxconn {server.limit}" if server.limit else ""
    return f"  server {server.name} {server.address} {SERVER_OPTIONS}{limit}\n"


def fixed_part(shape: Shape) -> str:
    binds = listeners(shape, shape.port)
    if shape.tls_port:
        binds += secure_listeners(shape)
    return template.text(
        "haproxy.cfg",
        binds=lines(binds),
        tunnels=tunnels(shape) if shape.ssh_port else "",
        tls=template.text("tls.cfg") if shape.tls_port else "",
        threads=str(shape.threads),
        hold_room=str(HOLD_ROOM),
        # No digest; a dash, HAProxy takes for an option.
        metrics_key=shape.metrics_key or "none",
        # Makes the configuration another one when a program beside it changes.
        programs=hashlib.sha256("".join(LUA.values()).encode()).hexdigest(),
    )


def tunnels(shape: Shape) -> str:
    binds = lines(listeners(shape, shape.ssh_port))
    if shape.is_shared:
        port = template.text("shared.cfg", shared_binds=binds)
    else:
        port = template.text("ssh.cfg", ssh_binds=binds)
    return template.text("tunnels.cfg", port=port.removesuffix("\n"))


def secure_listeners(shape: Shape) -> list[str]:
    """Those of TLS; where it shares its port, what tells the two apart is in between."""
    ways = listeners(shape, shape.tls_port)
    if shape.is_shared:
        ways = [f"unix@{SECURE_SOCKET} mode 600 accept-proxy"]
    return [f"{each} ssl crt-list tls/list alpn h2,http/1.1" for each in ways]


def lines(binds: Iterable[str]) -> str:
    return "\n".join(f"  bind {each}" for each in binds)


def listeners(shape: Shape, port: int) -> list[str]:
    return [listener(address, port) for address in shape.bind]


def listener(address: str, port: int) -> str:
    return f"ipv6@{address}:{port}" if ip_address(address).version == 6 else f"{address}:{port}"
