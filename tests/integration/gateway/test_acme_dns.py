"""One wildcard certificate for all services, by records in the DNS that a program writes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest_asyncio

from gateway.schema import DnsAnswer, DnsState, Status
from tests.fakes.control_plane_gateway import ControlPlane, service
from tests.fakes.target import Target
from tests.free_ports import free_port
from tests.integration.gateway.authorities import pebble
from tests.integration.gateway.harness import Gateway
from tests.integration.gateway.test_acme import names_of, served_certificate, starts

# Nobody listens there for HTTP-01: what is verified is verified by the DNS.
HOOK = """#!/bin/sh
echo "$# $*" >> calls
env | grep ^DSTACK_ >> calls
test -e broken && {{ echo "no such zone" >&2; exit 3; }}
case $1 in
present) exec curl -sSf -d '{{"host": "'"$2"'", "value": "'"$3"'"}}' {dns_url}/set-txt ;;
cleanup) exec curl -sSf -d '{{"host": "'"$2"'"}}' {dns_url}/clear-txt ;;
esac
"""


@dataclass
class Secured:
    gateway: Gateway
    target: Target
    folder: Path
    dns_url: str

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    async def says(self, host: str, state: str) -> Status:
        return await self.gateway.control.wait_status(
            lambda status: (host, state) in {(e.host, e.state) for e in status.certificates}
        )


@pytest_asyncio.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    control = ControlPlane(token="dsk_g_gateway")
    control.domain = "example.test"
    gateway = Gateway(tmp_path / "gateway", control)
    async with pebble(tmp_path / "pebble", http_port=free_port()) as server:
        hook = tmp_path / "write record"
        hook.write_text(HOOK.format(dns_url=server.dns_url).replace("calls", f"'{tmp_path}/calls'"))
        hook.write_text(hook.read_text().replace("broken", f"'{tmp_path}/broken'"))
        hook.chmod(0o700)
        await control.start()
        target = await Target(name="t0").start()
        gateway.environ = {
            "DSTACK_GATEWAY_TLS_PORT": str(free_port()),
            "DSTACK_GATEWAY_ACME_URL": server.url,
            "DSTACK_GATEWAY_ACME_CA": str(server.ca_file),
            "DSTACK_GATEWAY_DNS_HOOK": str(hook),
            "DSTACK_GATEWAY_DNS_SECONDS": "0",
        }
        yield Secured(gateway, target, tmp_path, server.dns_url)
        await gateway.stop()
        await target.stop()
        await control.stop()


async def test_one_certificate_is_for_all_services_also_those_to_come(secured: Secured) -> None:
    gateway = secured.gateway
    await gateway.start()
    await secured.says("gateway.example.test", "valid")
    ordered = starts(gateway)

    hello = service("hello", secured.target.address, auth=False)
    await gateway.control.put(hello.model_copy(update={"hosts": ["hello.example.test"]}))
    await secured.says("hello.example.test", "valid")

    assert starts(gateway) == ordered and len(ordered) == 1
    port = int(gateway.environ["DSTACK_GATEWAY_TLS_PORT"])
    leaf = await served_certificate(port, "hello.example.test")
    assert names_of(leaf) == ["*.example.test"]
    answer = await gateway.call("/a", host="hello.example.test")
    assert answer.status == 308
    present, cleanup = secured.calls
    assert present.startswith("3 present _acme-challenge.example.test. ")
    assert cleanup == present.replace("present", "cleanup")


async def test_the_server_writes_the_record_for_a_gateway_without_a_program(
    secured: Secured,
) -> None:
    gateway, asked = secured.gateway, secured.gateway.control.answers
    del gateway.environ["DSTACK_GATEWAY_DNS_HOOK"]

    async def write(answer: DnsAnswer) -> DnsState:
        # The first time it is on its way only.
        if not answer.is_wanted or len(asked) == 1:
            return DnsState(is_there=False)
        record = {"host": f"{answer.name}.", "value": answer.value}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{secured.dns_url}/set-txt", json=record) as said,
        ):
            assert said.status == 200
        return DnsState(is_there=True)

    gateway.control.write_dns = write
    await gateway.start()
    await secured.says("gateway.example.test", "valid")

    port = int(gateway.environ["DSTACK_GATEWAY_TLS_PORT"])
    assert names_of(await served_certificate(port, "x.example.test")) == ["*.example.test"]
    assert {each.name for each in asked} == {"_acme-challenge.example.test"}
    assert [each.is_wanted for each in asked] == [True, True, False]
    assert not (secured.folder / "calls").exists()


async def test_a_program_that_fails_is_told_in_its_own_words(secured: Secured) -> None:
    (secured.folder / "broken").touch()
    await secured.gateway.start()

    status = await secured.says("gateway.example.test", "failed")

    (failed,) = status.certificates
    assert failed.error.endswith("present ended with 3: no such zone")
    # What it wrote before it failed is removed.
    assert [line.split()[1] for line in secured.calls] == ["present", "cleanup"]
    memory = json.loads((secured.gateway.home / "data/tls/acme/orders.json").read_text())
    assert memory["failures"]["*.example.test"]["count"] == 1
