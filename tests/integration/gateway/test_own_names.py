"""By which names the gateway knows itself, with any port; a service's host goes first."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.schema import Model
from tests.fakes.control_plane_gateway import ControlPlane, key, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTS = "Box.Example.com, my_gateway [2001:db8::7]\ttaken.example.com"
MACHINE = socket.gethostname()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    control = ControlPlane(token="dsk_g_gateway")
    control.domain, control.own_hosts = "svc.test", []
    await control.start()
    target = await Target().start()
    home = tmp_path_factory.mktemp("own")
    gateway = Gateway(home, control, environ={"DSTACK_GATEWAY_HOSTS": HOSTS})
    await gateway.start()
    hello = service("hello", target.address, model=Model(name="m"))
    taken = service("taken", target.address).model_copy(update={"hosts": ["taken.example.com"]})
    await control.applied(await control.put(hello, taken, key(ALICE, projects=["p1"])))
    yield gateway
    await gateway.stop()
    await target.stop()
    await control.stop()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.9.8.7",
        "192.168.1.10:8080",
        "10.0.0.5:1",
        "203.0.113.9",
        "[::1]",
        "[::1]:8080",
        "[2001:DB8::0:1]:80",
        "[::ffff:10.0.0.1]:8080",
        "localhost",
        "LocalHost:8080",
        "svc.test",
        "host.docker.internal:8080",
        "host.containers.internal",
        MACHINE,
        f"{MACHINE.upper()}:8080",
        f"{MACHINE.partition('.')[0]}.local:99",
        "box.example.com",
        "BOX.example.com.:80",
        "my_gateway:8080",
        "[2001:db8::7]",
    ],
)
async def test_is_itself(gateway: Gateway, host: str) -> None:
    models = await gateway.call("/v1/models", host=host, token=ALICE)
    served = await gateway.call("/services/main/hello/x", host=host, token=ALICE)
    alive = await gateway.call("/-/healthz", host=host)

    assert [each["id"] for each in models.json["data"]] == ["m"]
    assert (served.status, served.json["path"]) == (200, "/x")
    assert alive.body == b"ok"


@pytest.mark.parametrize(
    "host",
    [
        "other.svc.test",
        "example.com",
        "x.box.example.com",
        "box",
        "localhost.svc.test",
        "10.0.0.5.example.com",
        "10.0.0.256",
        "docker.internal",
    ],
)
async def test_is_no_other(gateway: Gateway, host: str) -> None:
    assert (await gateway.call("/v1/models", host=host, token=ALICE)).status == 404


async def test_leaves_a_services_host_to_the_service(gateway: Gateway) -> None:
    answer = await gateway.call("/v1/models", host="taken.example.com:8080", token=ALICE)

    assert (answer.status, answer.json["path"]) == (200, "/v1/models")


async def test_says_what_is_wrong_with_a_name(tmp_path: Path) -> None:
    control = ControlPlane(token="dsk_g_gateway")
    control.url = "http://127.0.0.1:9"
    gateway = Gateway(tmp_path, control, environ={"DSTACK_GATEWAY_HOSTS": "good http://bad:80"})

    code = gateway.spawn().wait(20)

    assert code == 1
    assert gateway.log_text().splitlines() == [
        "gateway: the setting hosts (DSTACK_GATEWAY_HOSTS) is not right: "
        "'http://bad:80' is no host name or address (no scheme, port or path)"
    ]
