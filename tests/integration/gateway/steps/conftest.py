"""HAProxy alone, with our rules, before a replica that says what it was asked: no sidecar."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from gateway.haproxy import config
from gateway.haproxy.store import Store
from gateway.schema import Endpoint, Key, Model, RateLimit, Table
from gateway.state.desired_state import DesiredStateBuilder
from gateway.state.slots import Layout, assign
from tests.e2e.stack import eventually
from tests.fakes.control_plane_gateway import key, service
from tests.free_ports import free_port
from tests.integration.gateway.harness import ALICE, BOB, haproxy_program

# Carol may call one service only; the hurried one may call twice at once.
CAROL, HURRIED = "dsk_u_carol", "dsk_u_hurried"
# The cookie of a browser in which `hello` was opened.
COOKIE = "dsk_b_browser"
KEYS = [
    key(ALICE, projects=["p1"]),
    key(BOB, projects=["p2"]),
    key(CAROL, endpoints=["e-hello"]),
    key(COOKIE, endpoints=["e-hello"], browser=True),
    key(HURRIED, projects=["p1"], rps=0.01, burst=1),
]


class Replica(BaseHTTPRequestHandler):
    """Echoes path and headers; answers with the status and the header that a caller asks for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"path": self.path, "headers": self.headers.items()}).encode()
        self.send_response(int(self.headers.get("x-status", 200)))
        if header := self.headers.get("x-answer"):
            self.send_header(*header.split(": ", 1))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def services(address: str) -> list[Endpoint]:
    once = RateLimit(rps=0.01, burst=1)
    return [
        service("hello", address),
        service("other", address),
        service("open", address, auth=False),
        service("kept", address, auth=False, strip_prefix=False),
        service("limited", address, auth=False, rate_limits=[once]),
        service(
            "headed",
            address,
            auth=False,
            rate_limits=[once.model_copy(update={"header": "x-user", "prefix": "/slow/"})],
        ),
        service("model", address, model=Model(name="m", prefix="/api/v2")),
    ]


def write(home: Path, *, port: int, endpoints: list[Endpoint], keys: list[Key]) -> None:
    """Write what HAProxy starts from, for all services and keys."""
    table = Table(
        version=1, whole=True, gateway="g", domain="localhost", endpoints=endpoints, keys=keys
    )
    reachable = [each for endpoint in endpoints for each in endpoint.replicas]
    layout = assign(layout=Layout(), table=table, slot_count=16, reachable=reachable)
    # Without a token for figures, as by default.
    shape = config.Shape(bind=("127.0.0.1",), port=port, slots=16, threads=1)
    store = Store(home=home, shape=shape)
    store.prepare()
    store.write_haproxy(DesiredStateBuilder().build(table=table, layout=layout, now=time.time()))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Return a client of the HAProxy; a request's header Host names the service."""
    home, port = tmp_path_factory.mktemp("rules"), free_port()
    with ThreadingHTTPServer(("127.0.0.1", 0), Replica) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        write(home, port=port, endpoints=services(address), keys=KEYS)
        child = subprocess.Popen(
            [haproxy_program(), "-db", "-f", config.FILE], cwd=home, env={"GATEWAY_BOOT": "test"}
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                eventually(lambda: is_up(client), what="HAProxy")
                yield client
        finally:
            child.kill()
            child.wait()
            server.shutdown()


def is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/-/healthz").is_success
    except httpx.TransportError:
        return False
