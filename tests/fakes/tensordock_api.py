"""TensorDock's API of version 2 on loopback, written after its documentation alone.

What it answers are the shapes of the documented examples; how it behaves between them, and every
word of an error, is a guess. It was never held against the live service.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

KEY = "td-key-that-opens-nothing"
A100 = "a100-pcie-80gb"
CLOUD_INIT = {"packages", "runcmd", "write_files", "package_update", "package_upgrade"}
Answer = tuple[int, Any]


def location(city: str, country: str, *gpus: dict[str, Any], number: int = 1) -> dict[str, Any]:
    return {
        "id": f"loc-{number}",
        "city": city,
        "stateprovince": "",
        "country": country,
        "tier": 3,
        "gpus": list(gpus),
    }


def gpu(v0_name: str = A100, *, usd: float = 1.375, **changes: Any) -> dict[str, Any]:
    """One kind of GPU of a location: with the least CPUs, memory and disk $1.595 an hour."""
    return {
        "v0Name": v0_name,
        "displayName": v0_name.upper(),
        "max_count": 1,
        "price_per_hr": usd,
        "resources": {"max_vcpus": 12, "max_ram_gb": 96, "max_storage_gb": 1000},
        "pricing": {"per_vcpu_hr": 0.003, "per_gb_ram_hr": 0.002, "per_gb_storage_hr": 0.0003},
        "network_features": {
            "dedicated_ip_available": True,
            "port_forwarding_available": True,
            "network_storage_available": False,
        },
        **changes,
    }


@dataclass
class Account:
    """What there is, and what goes wrong.

    `refused` are answers by call ("POST instances"); `full` locations have no room. `lost` makes
    the next machines without an answer, `dead` drops that many calls after it; `is_away` drops
    all, `hold` holds all back until it is set. `made` are the attributes of each machine asked for.
    """

    locations: list[dict[str, Any]] = field(
        default_factory=lambda: [location("Manchester", "United Kingdom", gpu())]
    )
    instances: dict[str, dict[str, Any]] = field(default_factory=dict)
    made: list[dict[str, Any]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    refused: dict[str, Answer] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)
    lost: int = 0
    dead_after: int = 0
    dead: int = 0
    is_away: bool = False
    hold: threading.Event | None = None
    first_status: str = "running"


@dataclass
class Api:
    """`account` may be replaced at any time."""

    url: str
    account: Account = field(default_factory=Account)


class Dropped(Exception):
    """No answer is sent."""


def answer(account: Account, method: str, path: str, key: str, body: Any) -> Answer:
    name, _, ref = path.removeprefix("/api/v2/").partition("/")
    call = f"{method} {name}"
    account.asked[call] += 1
    _stay_silent(account)
    if call in account.refused:
        return account.refused[call]
    if key != f"Bearer {KEY}":
        return 401, {"error": "Unauthorized"}
    return _done(account, call, ref, body)


def _stay_silent(account: Account) -> None:
    if account.hold is not None:
        account.hold.wait(timeout=30)
    if account.dead or account.is_away:
        account.dead = max(account.dead - 1, 0)
        raise Dropped


def _done(account: Account, call: str, ref: str, body: Any) -> Answer:
    if call == "GET locations":
        return 200, {"data": {"locations": account.locations}}
    if call == "GET instances":
        return _found(account, ref) if ref else (200, {"data": {"instances": _rows(account)}})
    if call == "POST instances":
        return _created(account, body)
    if call == "DELETE instances" and ref in account.instances:
        del account.instances[ref]
        said = {"message": "Instance deleted successfully"}
        return 200, {"data": {"type": "success", "attributes": said}}
    return 404, {"error": "Instance not found"}


def _rows(account: Account) -> list[dict[str, Any]]:
    return [
        {"type": "VM", "id": ref, "attributes": {"name": row["name"], "status": row["status"]}}
        for ref, row in account.instances.items()
    ]


def _found(account: Account, ref: str) -> Answer:
    row = account.instances.get(ref)
    if row is None:
        return 404, {"error": "Instance not found"}
    return 200, {"type": "instance", "id": ref, "portForwards": [], "rateHourly": 1.595, **row}


def _created(account: Account, body: Any) -> Answer:
    wanted = body["data"]["attributes"]
    wrong = _wrong(account, wanted)
    if wrong:
        return 400, {"status": 400, "error": wrong}
    if wanted["location_id"] in account.full:
        return 400, {"error": "No available hostnodes at this location"}
    ref = str(uuid4())
    row = {"name": wanted["name"], "status": account.first_status, "ipAddress": "192.0.2.7"}
    account.instances[ref] = row
    account.made.append(wanted)
    if account.lost:
        account.lost -= 1
        account.dead = account.dead_after
        raise Dropped
    made = {"type": "virtualmachine", "id": ref, "name": row["name"], "status": row["status"]}
    return 200, {"data": made}


def _wrong(account: Account, wanted: dict[str, Any]) -> str:
    """What of the documented requirements is not met."""
    has, places = wanted["resources"], [row["id"] for row in account.locations]
    write_files = wanted.get("cloud_init", {}).get("write_files", [])
    runcmd = wanted.get("cloud_init", {}).get("runcmd", [])
    rules = {
        "Unknown location": wanted["location_id"] in places,
        "Storage must be at least 100 GB, in steps of 50": has["storage_gb"] >= 100
        and has["storage_gb"] % 50 == 0,
        "CPU cores must be in steps of 2": has["vcpu_count"] % 2 == 0,
        "RAM must be in steps of 8 GB": has["ram_gb"] % 8 == 0,
        "At least one GPU is required": sum(row["count"] for row in has["gpus"].values()) >= 1,
        "SSH key required": ("ssh_key" in wanted) != ("ssh_key_id" in wanted),
        "Unknown key in cloud_init": set(wanted.get("cloud_init", ())) <= CLOUD_INIT,
        "runcmd must be text": all(isinstance(each, str) for each in runcmd),
        "A file needs a path": all({"path", "content"} <= set(each) for each in write_files),
    }
    return next((text for text, is_met in rules.items() if not is_met), "")


@contextmanager
def serving() -> Iterator[Api]:
    """Serve it until the block ends."""
    api = Api("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            key = self.headers.get("Authorization", "")
            try:
                status, content = answer(api.account, self.command, self.path, key, body)
            except Dropped:
                self.close_connection = True
                return
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _do

        def log_message(self, *_: object) -> None:
            """Say nothing: the output is that of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
