"""The relay as Compose starts it: by its command, with that environment and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from apps.core import crypto
from apps.gateways import states
from apps.gateways.models import Gateway
from apps.instances.boot.keys import Pair
from tests import factories
from tests.integration.relay.conftest import Far, until

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[3]
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")
WAY = "http://127.0.0.1:19999/api/agent/agent.pyz"


@pytest.fixture
def gateway(far: Far, identity: Pair, server_key: Pair) -> Gateway:
    """One on that machine."""
    project = factories.project()
    known = {"server": server_key.private, "host": identity.private}
    return factories.gateway(
        project,
        name="far",
        state=states.RUNNING,
        instance=factories.instance(project),
        address=far.host.far,
        relay_keys=crypto.encrypt(known),
    )


@pytest.fixture
def environ(database_url: str, redis_url: str) -> dict[str, str]:
    """What compose.yaml gives the service, as it is where `.env` holds secrets alone."""
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["relay"]
    said = {name: str(value) for name, value in service["environment"].items()}
    found = {name: DEFAULT.sub(r"\1", value) for name, value in said.items()}
    # Its names are those of other containers.
    return found | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "DSTACK_SECRET_KEY": "secret",
        "DSTACK_ENCRYPTION_KEYS": ",".join(settings.DSTACK_ENCRYPTION_KEYS),
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "dstack_web.settings",
    }


@pytest.fixture
def server() -> Iterator[str]:
    """Stands for the service `web`: says what it was asked for."""
    program = (
        "import http.server as h\n"
        "class A(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "        self.wfile.write(self.path.encode())\n"
        "s = h.ThreadingHTTPServer(('127.0.0.1', 0), A)\n"
        "print(s.server_address[1], flush=True)\n"
        "s.serve_forever()\n"
    )
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        yield f"http://localhost:{child.stdout.readline().strip()}"
        child.kill()


def test_a_gateways_machine_reaches_web_until_the_gateway_is_no_more(
    far: Far, gateway: Gateway, environ: dict[str, str], server: str, tmp_path: Path
) -> None:
    service: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert environ["DSTACK_AGENT_URL"] == "http://web:3000"
    python, *words = service["relay"]["command"]
    assert python == "python"
    log = tmp_path / "log"
    with log.open("wb") as said:
        child = subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env={**environ, "DSTACK_AGENT_URL": server},
            stdout=said,
            stderr=said,
        )
    try:
        until(lambda: far.asks(WAY) == "/api/agent/agent.pyz", seconds=60)

        Gateway.objects.filter(pk=gateway.pk).update(state=states.DELETING)
        until(lambda: far.asks(WAY) == "", seconds=30)
        child.terminate()
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
    assert "Traceback" not in log.read_text()
