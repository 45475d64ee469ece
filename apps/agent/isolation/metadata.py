"""Keeps what the cloud tells a machine of itself, its credentials among it, from replicas.

Replicas with a network of their own are kept from it by that. These rules of the host hold for all
others: for the users of processes, and for whatever is passed on, as from containers.
"""

from __future__ import annotations

import typing
from pathlib import Path

from apps.agent.host import users
from apps.agent.isolation import nftables as nft

TABLE = "dstack_metadata"
# AWS, Azure and GCP; Azure's agent server; Alibaba. Two of them answer for names as well.
ADDRESSES = ("169.254.169.254", "168.63.129.16", "100.100.100.200")
# AWS and GCP again; the name servers of AWS have an address of their own.
ADDRESSES_V6 = ("fd00:ec2::254", "fd20:ce::254")
DNS = 53
HAS_V6 = Path("/proc/net/if_inet6")


def rules(places: typing.Sequence[nft.Rule]) -> list[nft.Chain]:
    """Return the chains of a table of the host."""
    of_users = nft.sent_by_users_from(users.FIRST_UID)
    everyone: nft.Rule = ()
    return [
        nft.Chain("users", "filter", nft.OUTPUT, nft.FILTER_PRIORITY, _refused(of_users, places)),
        nft.Chain("others", "filter", nft.FORWARD, nft.FILTER_PRIORITY, _refused(everyone, places)),
    ]


def _refused(who: nft.Rule, places: typing.Sequence[nft.Rule]) -> list[nft.Rule]:
    found: list[nft.Rule] = []
    for place in places:
        there = (*who, *place)
        found.append((*there, *nft.tcp_port(DNS), *nft.accept()))
        found.append((*there, *nft.tcp(), *nft.reset()))
    return found


def close() -> None:
    """Write the rules; again, they are written anew. Raise OSError."""
    nft.replace_table(TABLE, rules([nft.goes_to(address) for address in ADDRESSES]))
    if HAS_V6.exists():
        chains = rules([nft.goes_to_v6(address) for address in ADDRESSES_V6])
        nft.replace_table(TABLE, chains, family=nft.IPV6)
