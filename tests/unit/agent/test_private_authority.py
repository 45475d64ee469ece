"""Who calls a server whose authority is a private one knows it by that one, and by no other."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import pytest

from apps.agent import config
from apps.agent.server import client
from apps.hosts import on_host
from apps.instances.boot.on_machine import fetch
from gateway.control.client import ControlPlane, connector
from gateway.errors import BadConfig, ControlPlaneError
from tests.integration.gateway.authorities import Ca

CHECK = Path(on_host.__file__).parent / "check.py"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"revision": 1, "instance_id": "i"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The test says what went wrong."""


@pytest.fixture(scope="module")
def ours() -> Ca:
    return Ca("ours")


@pytest.fixture(scope="module")
def url(ours: Ca, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    made = ours.sign("127.0.0.1")
    (folder / "chain.pem").write_text(made.chain)
    (folder / "key.pem").write_text(made.key)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # Each connection's own thread is to greet it.
    server.socket = secure.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def agent(url: str, authority: str, _: Path) -> str:
    calls = client.Client(config.Config(url=url, token="t", authority=authority))
    try:
        return calls.assignment(since=0, wait_seconds=0).instance_id
    except client.ServerAway as error:
        return str(error)
    finally:
        calls.close()


def download(url: str, authority: str, folder: Path) -> str:
    calls = client.Client(config.Config(url=url, token="t", authority=authority))
    try:
        calls.program(sha256="0" * 64, target=folder / "program")
    except client.ServerAway as error:
        return "i" if "announced" in str(error) else str(error)
    return "it was not compared"


def boot(url: str, authority: str, _: Path) -> str:
    try:
        content = fetch.fetched(url, fetch.known_by(authority))
    except OSError:
        return fetch.problem(url, "", fetch.known_by(authority))
    return str(json.loads(content)["instance_id"])


def host(url: str, authority: str, _: Path) -> str:
    asked = base64.b64encode(json.dumps({"url": url, "authority": authority}).encode())
    argv = [sys.executable, str(CHECK), "", asked.decode()]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    return str(json.loads(ran.stdout.partition("dstack:found ")[2])["server"]) or "i"


def gateway(url: str, authority: str, folder: Path) -> str:
    (folder / "token").write_text("dsk_g_token")
    (folder / "ca.pem").write_text(authority)

    async def asked() -> str:
        way = connector(authority=folder / "ca.pem" if authority else None)
        async with aiohttp.ClientSession(connector=way) as session:
            plane = ControlPlane(session=session, url=url, token_file=folder / "token")
            return str(json.loads(await plane.table(since=0, wait_seconds=0))["instance_id"])

    try:
        return asyncio.run(asked())
    except ControlPlaneError as error:
        return str(error)


CALLERS = [agent, download, boot, host, gateway]


@pytest.mark.parametrize("caller", CALLERS)
def test_is_known_by_its_authority_alone(
    caller: Callable[[str, str, Path], str], url: str, ours: Ca, tmp_path: Path
) -> None:
    assert caller(url, ours.text, tmp_path) == "i"
    # Another one, also of the same name, and those that this host trusts.
    for other in (Ca("ours").text, ""):
        said = caller(url, other, tmp_path)
        assert "certificate" in said.lower(), said
        if caller is not gateway:
            assert "its certificate is refused: " in said and "DSTACK_AGENT_CA" in said


@pytest.mark.parametrize("text", [None, "", "-----BEGIN CERTIFICATE-----"])
def test_a_gateway_says_which_authority_it_cannot_use(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)

    with pytest.raises(BadConfig, match="cannot read the control plane's authority"):
        connector(authority=file)
