"""Certificates on HAProxy's runtime socket: added and removed without a reload."""

from __future__ import annotations

from gateway.errors import RuntimeRefused
from gateway.haproxy.runtime import Runtime, line
from gateway.tls import pem
from gateway.tls.names import PATTERN

LIST = "tls/list"
FALLBACK = "tls/fallback.pem"


def list_row(file: str, hosts: tuple[str, ...]) -> str:
    """Write a row of the list that leads from a server name to a file."""
    for host in hosts:
        if not PATTERN.fullmatch(host):
            raise RuntimeRefused(f"{host[:80]!r} may not enter a command of HAProxy")
    return " ".join([line("{}", file), *hosts]) + "\n"


async def listed(runtime: Runtime) -> set[str]:
    """Name the files that HAProxy answers with. Raise HaproxyFailed."""
    rows = (await runtime.ask(line("show ssl crt-list {}", LIST))).splitlines()
    return {row.split()[0] for row in rows if row and not row.startswith("#")}


async def loaded(runtime: Runtime) -> set[str]:
    """Name the files that HAProxy holds, in use or not.

    What a killed sidecar left half done is undone.
    """
    found = set()
    for row in (await runtime.ask("show ssl cert")).splitlines():
        if row.startswith("*"):
            await runtime.ask(line("abort ssl cert {}", row.removeprefix("*").strip()))
        elif row and not row.startswith("#"):
            found.add(row.strip())
    return found


async def add(
    runtime: Runtime, file: str, *, text: str, hosts: tuple[str, ...], is_loaded: bool
) -> None:
    """Have HAProxy answer for `hosts` with a certificate.

    Raise RuntimeRefused when HAProxy cannot use it, HaproxyFailed, BadCertificate.
    """
    payload = pem.payload(text)
    if not is_loaded:
        await tell(runtime, line("new ssl cert {}", file), says="New empty certificate store")
    try:
        filled = line("set ssl cert {} <<\n", file) + payload
        await tell(runtime, filled, says="Transaction")
        await tell(runtime, line("commit ssl cert {}", file), says="Success!")
    except RuntimeRefused:
        await runtime.ask(line("abort ssl cert {}", file))
        await runtime.ask(line("del ssl cert {}", file))
        raise
    row = list_row(file, hosts)
    await tell(runtime, line("add ssl crt-list {} <<\n", LIST) + row, says="Success!")


async def remove(runtime: Runtime, file: str) -> None:
    """Have HAProxy forget a certificate. Raise RuntimeRefused."""
    await tell(runtime, line("del ssl crt-list {} {}", LIST, file), says="deleted")
    await tell(runtime, line("del ssl cert {}", file), says="deleted")


async def tell(runtime: Runtime, command: str, *, says: str) -> None:
    answer = await runtime.ask(command)
    if says not in answer:
        raise RuntimeRefused(f"HAProxy refused a certificate: {answer[:200] or 'no answer'}")
