"""Certificates from a real ACME server: ordered by themselves, kept, and never for long."""

from __future__ import annotations

import asyncio
import json
import ssl
import stat
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from cryptography import x509

from tests.fakes.control_plane_gateway import ControlPlane, service
from tests.fakes.target import Target
from tests.free_ports import free_port
from tests.integration.gateway.authorities import Pebble, pebble
from tests.integration.gateway.harness import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def secured(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Gateway, Target, Pebble]]:
    folder = tmp_path_factory.mktemp("acme")
    control = ControlPlane(token="dsk_g_gateway")
    control.domain = "example.test"
    gateway = Gateway(folder / "gateway", control)
    async with pebble(folder / "pebble", http_port=gateway.port) as server:
        await control.start()
        target = await Target(name="t0").start()
        gateway.environ = {
            "DSTACK_GATEWAY_TLS_PORT": str(free_port()),
            "DSTACK_GATEWAY_ACME_URL": server.url,
            "DSTACK_GATEWAY_ACME_EMAIL": "someone@example.test",
            "DSTACK_GATEWAY_ACME_CA": str(server.ca_file),
        }
        await gateway.start()
        yield gateway, target, server
        await gateway.stop()
        await target.stop()
        await control.stop()


async def test_a_service_gets_a_certificate_and_http_leads_to_it(
    secured: tuple[Gateway, Target, Pebble],
) -> None:
    gateway, target, _ = secured
    open_to_all = service("hello", target.address, auth=False)
    hello = open_to_all.model_copy(update={"hosts": ["hello.example.test"]})
    await gateway.control.put(hello)
    states = await gateway.control.wait_status(
        lambda status: (
            {each.host for each in status.certificates if each.state == "valid"}
            == {"hello.example.test", "gateway.example.test"}
        )
    )
    assert all(each.expires_at and not each.error for each in states.certificates)
    port = gateway.environ["DSTACK_GATEWAY_TLS_PORT"]
    leaf = await served_certificate(int(port), "hello.example.test")
    assert names_of(leaf) == ["hello.example.test"]
    assert "Pebble" in leaf.issuer.rfc4514_string()
    answer = await gateway.call("/a?b=c", host="hello.example.test", method="POST")
    assert answer.status == 308
    assert answer.headers["location"] == f"https://hello.example.test:{port}/a?b=c"


async def test_keys_are_for_the_gateway_alone(secured: tuple[Gateway, Target, Pebble]) -> None:
    home = secured[0].home / "data"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    files = [*home.rglob("*.pem"), home / "tls/acme/account.key", home / "table.json"]
    assert len(files) >= 5
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_a_restart_orders_nothing_again(secured: tuple[Gateway, Target, Pebble]) -> None:
    gateway, _, _ = secured
    before = starts(gateway)
    await gateway.stop()
    gateway.session = None
    await gateway.start()
    assert len(before) >= 2
    status = await gateway.control.wait_status(
        lambda status: bool(status.certificates), since=len(gateway.control.statuses)
    )
    assert {each.state for each in status.certificates} == {"valid"}
    assert starts(gateway) == before
    port = int(gateway.environ["DSTACK_GATEWAY_TLS_PORT"])
    leaf = await served_certificate(port, "hello.example.test")
    assert names_of(leaf) == ["hello.example.test"]


async def test_a_name_that_cannot_be_verified_fails_with_the_servers_words(
    secured: tuple[Gateway, Target, Pebble],
) -> None:
    gateway, target, _ = secured
    # pebble refuses a name of its block list, as a public authority refuses many.
    blocked = service("blocked", target.address).model_copy(
        update={"hosts": ["blocked-domain.example"]}
    )
    plain = service("local", target.address)
    await gateway.control.put(blocked, plain)
    status = await gateway.control.wait_status(
        lambda status: any(each.state == "failed" for each in status.certificates)
    )
    (failed,) = [each for each in status.certificates if each.state == "failed"]
    assert failed.host == "blocked-domain.example" and failed.error
    assert "local.localhost" not in {each.host for each in status.certificates}
    memory = json.loads((gateway.home / "data/tls/acme/orders.json").read_text())
    assert memory["failures"]["blocked-domain.example"]["count"] == 1


def starts(gateway: Gateway) -> list[float]:
    file = gateway.home / "data/tls/acme/orders.json"
    found: list[float] = json.loads(file.read_text())["starts"]
    return found


async def served_certificate(port: int, host: str) -> x509.Certificate:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    encoded = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return x509.load_der_x509_certificate(encoded)


def names_of(leaf: x509.Certificate) -> list[str]:
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return found.value.get_values_for_type(x509.DNSName)
