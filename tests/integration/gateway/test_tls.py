"""TLS with certificates that somebody brought: real HAProxy, real clients."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.schema import Certificate, Endpoint, Status
from tests.fakes.control_plane_gateway import ControlPlane, service
from tests.fakes.target import Target
from tests.free_ports import free_port
from tests.integration.gateway.authorities import Ca, Made
from tests.integration.gateway.harness import Gateway, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Secured:
    gateway: Gateway
    target: Target
    ca: Ca
    ca_file: Path
    port: int

    def brought(self, pk: str, made: Made, *hosts: str) -> Certificate:
        return Certificate(id=pk, version=0, hosts=list(hosts), chain=made.chain, key=made.key)

    def open_service(self, name: str, **fields: object) -> Endpoint:
        found = service(name, self.target.address, auth=False)
        return found.model_copy(update={"hosts": [f"{name}.example.test"], **fields})

    async def curl(self, url: str, *options: str) -> str:
        """What curl says with our authority as the only one it trusts."""
        host = url.split("/")[2].split(":")[0]
        argv = ["curl", "-sS", "--cacert", str(self.ca_file), "--max-time", "10", "--noproxy", "*"]
        for port in (self.port, self.gateway.port):
            argv += ["--resolve", f"{host}:{port}:127.0.0.1"]
        child = await asyncio.create_subprocess_exec(
            *argv, *options, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        return (await child.communicate())[0].decode()

    async def has(self, host: str, state: str) -> Status:
        """The next report that says so of a host."""
        return await self.gateway.control.wait_status(
            lambda status: (host, state) in {(e.host, e.state) for e in status.certificates},
            since=len(self.gateway.control.statuses) - 1,
        )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    control = ControlPlane(token="dsk_g_gateway")
    control.domain = "example.test"
    await control.start()
    target = await Target(name="t0").start()
    ca = Ca()
    (folder / "ca.pem").write_text(ca.text)
    port = free_port()
    gateway = Gateway(folder / "gateway", control)
    gateway.environ = {"DSTACK_GATEWAY_TLS_PORT": str(port)}
    try:
        await gateway.start()
        yield Secured(gateway, target, ca, folder / "ca.pem", port)
    finally:
        await gateway.stop()
        await target.stop()
        await control.stop()


async def test_the_listener_is_there_before_the_first_certificate(secured: Secured) -> None:
    control = secured.gateway.control
    await control.applied(await control.put(secured.open_service("early")))
    said = await secured.curl(f"https://early.example.test:{secured.port}/")
    assert "certificate" in said
    answer = await secured.gateway.call("/", host="early.example.test")
    assert answer.status == 200


async def test_each_name_gets_its_own_certificate(secured: Secured) -> None:
    wild = secured.brought("wild", secured.ca.sign("*.example.test"), "*.example.test")
    exact = secured.brought("exact", secured.ca.sign("one.example.test"), "one.example.test")
    await secured.gateway.control.put(
        wild, exact, secured.open_service("one"), secured.open_service("two")
    )
    await secured.has("two.example.test", "valid")
    url = f"https://one.example.test:{secured.port}/"
    said = await secured.curl(url, "-v", "-o", "/dev/null")
    assert "subject: CN=one.example.test" in said and "using HTTP/2" in said
    said = await secured.curl(f"https://two.example.test:{secured.port}/", "-v", "-o", "/dev/null")
    assert "subject: CN=*.example.test" in said
    said = await secured.curl(url, "--http1.1")
    assert '["x-forwarded-proto", "https"]' in said.lower()


async def test_plain_http_leads_to_https_but_for_services_without(secured: Secured) -> None:
    gateway = secured.gateway
    version = await gateway.control.put(secured.open_service("bare", https=False))
    await gateway.control.applied(version)
    answer = await gateway.call("/x?y=1", host="One.example.test.", method="POST", data=b"1")
    assert answer.status == 308
    assert answer.headers["location"] == f"https://one.example.test:{secured.port}/x?y=1"
    assert (await gateway.call("/", host="bare.example.test")).status == 200
    challenge = "/.well-known/acme-challenge/unknown"
    assert (await gateway.call(challenge, host="one.example.test")).status == 200
    assert (await gateway.call("/-/healthz", host="127.0.0.1")).status == 200
    said = await secured.curl(f"https://one.example.test:{secured.port}/", "-D", "-")
    assert "strict-transport-security" not in said.lower()


async def test_h2_without_tls_by_prior_knowledge_only(secured: Secured) -> None:
    url = f"http://bare.example.test:{secured.gateway.port}/"
    said = await secured.curl(url, "--http2-prior-knowledge", "-v", "-o", "/dev/null")
    assert "HTTP/2 200" in said
    said = await secured.curl(url, "--http2", "-v")
    assert "HTTP/1.1 200" in said and "HTTP/1.1 101" not in said
    assert '"upgrade", "h2c"' not in said.lower()


async def test_a_certificate_is_replaced_and_removed_live(secured: Secured) -> None:
    gateway, pid = secured.gateway, secured.gateway.haproxy()
    url = f"https://swap.example.test:{secured.port}/"
    first, second = secured.ca.sign("swap.example.test"), secured.ca.sign("swap.example.test")
    await gateway.control.put(
        secured.open_service("swap"), secured.brought("swap", first, "swap.example.test")
    )
    await until(lambda: serves(secured, url, "subject: CN=swap.example.test"))
    serials = {await serial(secured, "swap.example.test")}
    await gateway.control.put(secured.brought("swap", second, "swap.example.test"))

    async def is_new() -> bool:
        serials.add(await serial(secured, "swap.example.test"))
        return len(serials) == 2

    await until(is_new)
    await gateway.control.drop(secured.brought("swap", second, "swap.example.test"))
    await until(lambda: serves(secured, url, "subject: CN=*.example.test"))
    assert gateway.haproxy() == pid
    texts = [file.read_text() for file in (gateway.home / "data/tls").glob("*.pem")]
    assert not any(made.key.strip() in text for made in (first, second) for text in texts)


async def test_certificates_are_there_again_after_any_death(secured: Secured) -> None:
    gateway = secured.gateway
    url = f"https://one.example.test:{secured.port}/"
    process = gateway.haproxy()
    assert process is not None and gateway.sidecar is not None
    process.signal(signal.SIGKILL)
    await until(lambda: serves(secured, url, "subject: CN=one.example.test"))
    gateway.sidecar.kill()
    gateway.sidecar.wait()
    late = secured.brought("late", secured.ca.sign("late.example.test"), "late.example.test")
    await gateway.control.put(late, secured.open_service("late"))
    await gateway.start()
    url = f"https://late.example.test:{secured.port}/"
    await until(lambda: serves(secured, url, "subject: CN=late.example.test"))


async def test_what_cannot_be_used_is_said_and_harms_nobody(secured: Secured) -> None:
    one, other = secured.ca.sign("bad.example.test"), secured.ca.sign("bad.example.test")
    mixed = Made(one.chain, other.key)
    evil = Made(one.chain, f"{one.key}\n\ndisable frontend services\n")
    await secured.gateway.control.put(
        secured.brought("mixed", mixed, "mixed.example.test"),
        secured.brought("evil", evil, "evil.example.test"),
    )
    status = await secured.has("mixed.example.test", "failed")
    errors = {each.host: each.error for each in status.certificates if each.error}
    assert "key values mismatch" in errors["mixed.example.test"]
    assert "not PEM" in errors["evil.example.test"]
    url = f"https://one.example.test:{secured.port}/"
    assert await serves(secured, url, "subject: CN=one.example.test")


async def test_an_expired_one_gives_way(secured: Secured) -> None:
    url = f"https://old.example.test:{secured.port}/"
    old = secured.brought("old", secured.ca.sign("old.example.test"), "old.example.test")
    wild = secured.brought("wild", secured.ca.sign("*.example.test"), "*.example.test")
    await secured.gateway.control.put(secured.open_service("old"), old, wild)
    await until(lambda: serves(secured, url, "subject: CN=old.example.test"))
    await secured.gateway.control.put(old.model_copy(update={"expires_at": time.time() - 1}))
    status = await secured.has("old.example.test", "failed")
    assert "the certificate expired" in {each.error for each in status.certificates}
    assert await serves(secured, url, "subject: CN=*.example.test")


async def serves(secured: Secured, url: str, text: str) -> bool:
    return text in await secured.curl(url, "-v", "-o", "/dev/null")


async def serial(secured: Secured, host: str) -> str:
    child = await asyncio.create_subprocess_shell(
        f"openssl s_client -connect 127.0.0.1:{secured.port} -servername {host} </dev/null"
        " 2>/dev/null | openssl x509 -noout -serial",
        stdout=asyncio.subprocess.PIPE,
    )
    return (await child.communicate())[0].decode()


# A body whose length nothing announces.
BODY = ("-d", "hello", "-H", "Content-Length:")


@pytest.mark.parametrize(("more", "said"), [((), "2 200"), (BODY, "2 401")])
async def test_a_preflight_over_http2_has_no_body(
    secured: Secured, more: tuple[str, ...], said: str
) -> None:
    wild = secured.brought("wild", secured.ca.sign("*.example.test"), "*.example.test")
    guarded = secured.open_service("guarded", auth=True)
    await secured.gateway.control.put(wild, guarded)
    await secured.has("guarded.example.test", "valid")

    answer = await secured.curl(
        f"https://guarded.example.test:{secured.port}/x",
        *("-X", "OPTIONS", "-H", "Origin: https://a.test"),
        *("-H", "Access-Control-Request-Method: PUT", "-o", "/dev/null"),
        *("-w", "%{http_version} %{http_code}"),
        *more,
    )

    assert answer == said
