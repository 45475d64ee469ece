"""Machines that open tunnels to a gateway: real OpenSSH, driven from a test."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from apps.instances.tunnels import ports
from gateway.schema import TunnelKey, TunnelServer
from tests.free_ports import free_port
from tests.integration.gateway.harness import until
from tests.programs import require_program


def tunnel_port() -> int:
    """Return a free port of those that tunnels have; tests run beside one another."""
    return free_port(range(ports.PREFERRED, ports.LAST + 1))


@dataclass
class Machine:
    """An OpenSSH client with a key of its own, in a folder of the test's."""

    folder: Path
    name: str = "m1"
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ssh = require_program("ssh", package="openssh-client")
        require_program("sshd", package="openssh-server")
        self.key = self.folder / f"{self.name}.key"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.key)],
            check=True,
        )

    @property
    def public_key(self) -> str:
        return " ".join(self.key.with_suffix(".key.pub").read_text().split()[:2])

    def row(self, *ports: int) -> TunnelKey:
        """The machine as a table has it."""
        return TunnelKey(id=self.name, version=0, public_key=self.public_key, ports=list(ports))

    def options(self, server: TunnelServer, *, key: Path | None = None) -> list[str]:
        known = self.folder / f"{self.name}.known_hosts"
        known.write_text(f"gateway {server.host_key}\n")
        return [
            *("-F", "none", "-T", "-p", str(server.port), "-l", server.user),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
            *("-o", f"IdentityFile={key or self.key}", "-o", "HostKeyAlias=gateway"),
            *("-o", f"UserKnownHostsFile={known}", "-o", "GlobalKnownHostsFile=none"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "ExitOnForwardFailure=yes"),
            *("-o", "ConnectTimeout=10"),
        ]

    async def asks(
        self, server: TunnelServer, *arguments: str, key: Path | None = None
    ) -> tuple[int, str]:
        """Run ssh to its end; return its code and what it said."""
        command = [self.ssh, *self.options(server, key=key), *arguments]
        ran = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=30, check=False
        )
        return ran.returncode, ran.stderr + ran.stdout

    async def opens(self, server: TunnelServer, port: int, to: str) -> subprocess.Popen[bytes]:
        """Open a tunnel and return once somebody listens there."""
        forward = ["-N", "-R", f"127.0.0.1:{port}:{to}"]
        child = subprocess.Popen([self.ssh, *self.options(server), *forward, "127.0.0.1"])
        self.children.append(child)
        await until(lambda: is_open(port) or child.poll() is not None)
        assert child.poll() is None
        return child

    def stop(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
