"""Keeps what the cloud tells a machine of itself, its credentials among it, from replicas.

Replicas with a network of their own are kept from it by that. These rules of the host hold for all
others: for the users of processes, and for whatever is passed on, as from containers.
"""

from __future__ import annotations

from apps.agent.host import users
from apps.agent.isolation import nftables as nft

TABLE = "dstack_metadata"
# AWS, Azure and GCP; Azure's agent server; Alibaba. Two of them answer for names as well.
ADDRESSES = ("169.254.169.254", "168.63.129.16", "100.100.100.200")
DNS = 53


def rules() -> list[nft.Chain]:
    """Return the chains of the host's table."""
    of_users = nft.sent_by_users_from(users.FIRST_UID)
    return [
        nft.Chain("users", "filter", nft.OUTPUT, nft.FILTER_PRIORITY, _refused(of_users)),
        nft.Chain("others", "filter", nft.FORWARD, nft.FILTER_PRIORITY, _refused(())),
    ]


def _refused(who: nft.Rule) -> list[nft.Rule]:
    found: list[nft.Rule] = []
    for address in ADDRESSES:
        there = (*who, *nft.goes_to(address))
        found.append((*there, *nft.tcp_port(DNS), *nft.accept()))
        found.append((*there, *nft.tcp(), *nft.reset()))
    return found


def close() -> None:
    """Write the rules; again, they are written anew. Raise OSError."""
    nft.replace_table(TABLE, rules())
