"""A network for each run, so that containers of different runs do not reach each other.

The engine's own pools give some thirty networks; these are smaller, cut from private ranges where
nothing of this host or engine lies. A network lives as long as a workload here needs it; what a
killed agent left is swept by its labels.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import struct
import threading
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.docker.create import BASE_LABEL, HOME_LABEL, PROJECT_LABEL, RUN_LABEL
from apps.agent.docker.engine import Engine, EngineAway, EngineRefused
from apps.agent.host.home import Home
from apps.agent.workloads.executor import PrepareFailed

Subnet = ipaddress.IPv4Network
# Tried in this order; each holds hundreds of networks.
RANGES = ("10.214.0.0/16", "172.30.0.0/16", "192.168.128.0/17", "100.96.0.0/16", "10.44.0.0/16")
# The engine takes one of its 64 addresses, the broadcast and the network two: 61 replicas of a run.
PREFIX = 26
ATTEMPTS = 20
ROUTES = Path("/proc/net/route")


class Networks:
    """The networks of one home's runs; safe to use from several threads."""

    def __init__(self, engine: Engine, home: Home) -> None:
        self._engine = engine
        self._home = home
        self._users: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def name(self, spec: wire.WorkloadSpec) -> str:
        return f"dstack-{self._home.home_id[:8]}-{spec.run_id or spec.id}"

    def join(self, spec: wire.WorkloadSpec) -> str:
        """Return the network of the workload's run, made if it must be.

        Raise PrepareFailed and EngineAway.
        """
        name = self.name(spec)
        with self._lock:
            self._users.setdefault(name, set()).add(spec.id)
            if not self._exists(name):
                self._make(name, spec)
        return name

    def keep(self, spec: wire.WorkloadSpec) -> None:
        """Note that a container which an earlier agent made uses its run's network."""
        with self._lock:
            self._users.setdefault(self.name(spec), set()).add(spec.id)

    def leave(self, spec: wire.WorkloadSpec) -> None:
        """Remove the run's network if the workload was the last that needed it."""
        name = self.name(spec)
        with self._lock:
            users = self._users.get(name, set())
            users.discard(spec.id)
            if not users:
                self._users.pop(name, None)
                self._remove(name)

    def sweep(self) -> None:
        """Remove networks of this home, and of its base's earlier homes, that nobody needs.

        Raise EngineAway and EngineRefused.
        """
        filters = json.dumps({"label": [f"{BASE_LABEL}={self._home.base}"]})
        with self._lock:
            listed = self._engine.call("GET", "/networks", query={"filters": filters})
            for name in [network["Name"] for network in listed]:
                if name not in self._users:
                    self._remove(name)

    def _exists(self, name: str) -> bool:
        try:
            self._engine.call("GET", f"/networks/{name}")
        except EngineRefused as error:
            if error.status != 404:
                raise
            return False
        return True

    def _remove(self, name: str) -> None:
        # One that is gone is fine, and so is one that a container still uses: it is swept later.
        with contextlib.suppress(EngineAway, EngineRefused):
            self._engine.call("DELETE", f"/networks/{name}")

    def _make(self, name: str, spec: wire.WorkloadSpec) -> None:
        taken = [*self._of_engine(), *routed()]
        said = ""
        for _ in range(ATTEMPTS):
            subnet = free(taken)
            if subnet is None:
                break
            try:
                self._engine.call("POST", "/networks/create", body=self._body(name, spec, subnet))
                return
            except EngineRefused as error:
                # Of another home, which made it in the same moment, or where it may not be.
                said = str(error)
                taken.append(subnet)
        raise PrepareFailed(f"there is no network for the run's containers: {said or 'all in use'}")

    def _body(self, name: str, spec: wire.WorkloadSpec, subnet: Subnet) -> dict[str, typing.Any]:
        return {
            "Name": name,
            "CheckDuplicate": True,
            "Driver": "bridge",
            "IPAM": {"Config": [{"Subnet": str(subnet)}]},
            "Labels": {
                HOME_LABEL: self._home.home_id,
                BASE_LABEL: str(self._home.base),
                RUN_LABEL: spec.run_name,
                PROJECT_LABEL: spec.project,
            },
        }

    def _of_engine(self) -> typing.Iterator[Subnet]:
        for network in self._engine.call("GET", "/networks"):
            for config in (network.get("IPAM") or {}).get("Config") or []:
                with contextlib.suppress(ValueError, KeyError):
                    yield Subnet(config["Subnet"], strict=False)


def free(
    taken: typing.Sequence[Subnet], *, ranges: typing.Sequence[str] = RANGES
) -> typing.Optional[Subnet]:
    """Return the first subnet that overlaps none of those taken; None where there is none."""
    for each in ranges:
        whole = Subnet(each)
        near = [other for other in taken if other.overlaps(whole)]
        if any(whole.subnet_of(other) for other in near):
            continue
        for subnet in whole.subnets(new_prefix=PREFIX):
            if not any(subnet.overlaps(other) for other in near):
                return subnet
    return None


def routed(table: Path = ROUTES) -> list[Subnet]:
    """Return where this host sends packets to, but for what goes to everywhere."""
    found = []
    with contextlib.suppress(OSError):
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            address, mask = (_written(fields[at]) for at in (1, 7))
            subnet = Subnet(f"{address}/{mask}", strict=False)
            if subnet.prefixlen > 0:
                found.append(subnet)
    return found


def _written(word: str) -> str:
    """The kernel writes an address as a number in the machine's own order of bytes."""
    return socket.inet_ntoa(struct.pack("=I", int(word, 16)))
