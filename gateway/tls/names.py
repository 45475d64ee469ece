"""Which host names want a certificate, and which certificate covers them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from gateway.schema import Certificate, Table
from gateway.state.desired_state import OPENAI_LABEL

# No authority gives certificates for names that only one machine or network knows.
LOCAL_SUFFIXES = ("localhost", "local", "internal")
PATTERN = re.compile(r"(\*\.)?[a-z0-9._-]+")


def wanted(table: Table) -> list[str]:
    """List the hosts of the table that callers reach by https, by name."""
    hosts = {host for each in table.endpoints if each.https for host in each.hosts}
    if table.domain:
        hosts.add(f"{OPENAI_LABEL}.{table.domain}")
    return sorted(hosts)


def may_be_ordered(host: str) -> bool:
    """Tell whether a public authority may know the name."""
    labels = host.split(".")
    if len(labels) < 2 or labels[-1] in LOCAL_SUFFIXES or "_" in host or not all(labels):
        return False
    return len(host) <= 253 and all(len(each) <= 63 for each in labels) and not is_ip(host)


def to_order(hosts: Iterable[str], *, domain: str, wildcards: bool) -> list[str]:
    """List the names of certificates to order for hosts: with `wildcards` one is for all services
    below the domain, also those that are to come."""
    pattern = f"*.{domain}"
    may_be_wild = wildcards and may_be_ordered(domain)
    named = {pattern if may_be_wild and covers(pattern, host) else host for host in hosts}
    return sorted(each for each in named if each == pattern or may_be_ordered(each))


def is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def covers(pattern: str, host: str) -> bool:
    """Tell whether a certificate's name is good for a host (RFC 6125)."""
    if pattern.startswith("*."):
        return host.partition(".")[2] == pattern[2:]
    return pattern == host


def covering(certificates: Iterable[Certificate], host: str) -> Certificate | None:
    """Find the certificate for a host: the whole name before a wildcard, then
    the newest."""
    good = [
        (pattern == host, each.version, each)
        for each in certificates
        for pattern in each.hosts
        if covers(pattern, host)
    ]
    return max(good, key=lambda found: found[:2])[2] if good else None
