"""The packet rules of replicas' networks: on the host, and inside each. Pure."""

from __future__ import annotations

import ipaddress
import typing
from dataclasses import dataclass

from apps.agent.isolation import nftables as nft

PREFIX = "dsk"  # of the host's ends of all networks, whichever agent's they are
INSIDE = "eth0"
LOOPBACK = "127.0.0.1"
# Where clouds tell a machine about itself, its credentials among it.
METADATA = (("169.254.0.0", 16), ("100.100.100.200", 32), ("168.63.129.16", 32))
CONTAINER_BRIDGES = ("docker*", "br-*", "podman*", "virbr*", "cni*")


@dataclass(frozen=True)
class Rules:
    """Made of the agent's interfaces, all replicas' addresses and the gateway's ports."""

    interfaces: str
    addresses: ipaddress.IPv4Network
    gateway_ports: typing.Sequence[int]

    @property
    def host_address(self) -> str:
        return str(self.addresses[1])

    @property
    def _network(self) -> tuple[str, int]:
        return str(self.addresses.network_address), self.addresses.prefixlen

    def host(self) -> list[nft.Chain]:
        """Return the chains of the host's table."""
        return [
            nft.Chain("gateway", "nat", nft.PREROUTING, nft.DNAT_PRIORITY, self._to_gateway()),
            nft.Chain("host", "filter", nft.INPUT, nft.FILTER_PRIORITY, self._to_host()),
            nft.Chain("pass", "filter", nft.FORWARD, nft.FILTER_PRIORITY, self._to_others()),
            nft.Chain("callers", "filter", nft.OUTPUT, nft.FILTER_PRIORITY, self._from_host()),
            nft.Chain("source", "nat", nft.POSTROUTING, nft.SNAT_PRIORITY, self._source()),
        ]

    def _to_gateway(self) -> list[nft.Rule]:
        """The gateway may listen on the host's loopback only."""
        to_host = (*nft.comes_by(self.interfaces), *nft.goes_to(self.host_address))
        return [
            (*to_host, *nft.tcp_port(port), *nft.send_to(LOOPBACK)) for port in self.gateway_ports
        ]

    def _to_host(self) -> list[nft.Rule]:
        here = nft.comes_by(self.interfaces)
        ports = [(*here, *nft.tcp_port(port), *nft.accept()) for port in self.gateway_ports]
        return [
            (*here, *nft.is_answer(), *nft.accept()),
            *ports,
            (*here, *nft.tcp(), *nft.reset()),
            (*here, *nft.refuse()),
        ]

    def _to_others(self) -> list[nft.Rule]:
        here, there = nft.comes_by(self.interfaces), nft.leaves_by(self.interfaces)
        closed = [nft.goes_to(network, bits) for network, bits in METADATA]
        closed += [nft.leaves_by(bridge) for bridge in (f"{PREFIX}*", *CONTAINER_BRIDGES)]
        # The address of a replica that has gone leads to nobody, and not to another host.
        closed.append(nft.goes_to(*self._network))
        return [
            *[(*here, *place, *nft.refuse()) for place in closed],
            (*there, *nft.is_answer(), *nft.accept()),
            (*there, *nft.drop()),
        ]

    def _from_host(self) -> list[nft.Rule]:
        """Root alone, which the gateway and the agent are, calls replicas."""
        there = nft.leaves_by(self.interfaces)
        gone = (*nft.goes_to(*self._network), *nft.leaves_by(f"{PREFIX}*", equal=False))
        return [
            (*gone, *nft.leaves_by("lo", equal=False), *nft.tcp(), *nft.reset()),
            (*there, *nft.is_answer(), *nft.accept()),
            (*there, *nft.sent_by_user(0, equal=False), *nft.drop()),
        ]

    def _source(self) -> list[nft.Rule]:
        to_others = nft.leaves_by(self.interfaces, equal=False)
        to_others = (*to_others, *nft.leaves_by("lo", equal=False))
        return [(*nft.comes_from(*self._network), *to_others, *nft.masquerade())]

    def inside(self, port: int) -> list[nft.Chain]:
        """Return the chains of the table in the namespace of a replica that listens on `port`."""
        to_loopback = (*nft.comes_by(INSIDE), *nft.tcp_port(port), *nft.send_to(LOOPBACK))
        source = (*nft.leaves_by(INSIDE), *nft.comes_from("127.0.0.0", 8), *nft.masquerade())
        gateway = [
            (*nft.goes_to(LOOPBACK), *nft.tcp_port(public), *nft.send_to(self.host_address))
            for public in self.gateway_ports
            if public != port
        ]
        return [
            nft.Chain("in", "nat", nft.PREROUTING, nft.DNAT_PRIORITY, [to_loopback]),
            nft.Chain("out", "nat", nft.OUTPUT, nft.DNAT_PRIORITY, gateway),
            nft.Chain("source", "nat", nft.POSTROUTING, nft.SNAT_PRIORITY, [source]),
        ]
