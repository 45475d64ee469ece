"""A cloud like Azure on loopback, for Microsoft's own libraries: there is no emulator of it.

What a request and an answer may hold say Microsoft's models (`azure_schema`); what is there and
goes wrong, `azure_world`. The addresses that it gives to machines are invented: dial none.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from apps.backends.providers.azure.errors import CODES, OF_OPERATIONS
from apps.backends.providers.azure.permissions import ALL
from tests.fakes import azure_machines as machines
from tests.fakes import azure_schema as schema
from tests.fakes.azure_machines import Refused
from tests.fakes.azure_world import REGIONS, SIZES, SUBSCRIPTION, World

__all__ = ["World", "serving"]

HANGS_SECONDS = 10
STATUS_OF_KIND = {"credentials": 401, "setup": 403, "throttled": 429, "unreachable": 503}
OF_SUBSCRIPTION = re.compile(f"/subscriptions/{SUBSCRIPTION}(?P<rest>/.*)?", re.IGNORECASE)
GROUP = re.compile(r"/resourcegroups/[^/]+", re.IGNORECASE)
RESOURCE = re.compile(
    r"/resourcegroups/[^/]+/providers/microsoft\.(compute|network)/(?P<kind>[a-z]+)/[^/]+",
    re.IGNORECASE,
)
OPERATION = re.compile(r"/providers/microsoft\.compute/locations/[^/]+/operations/(.+)", re.I)
USAGES = re.compile(r"/providers/microsoft\.compute/locations/([^/]+)/usages", re.IGNORECASE)
PROVIDER = re.compile(r"/providers/(microsoft\.\w+)", re.IGNORECASE)
# The versions that Microsoft's libraries ask for, and those of calls that they do not know.
VERSIONS = {
    "virtualMachines": "2026-04-01",
    "virtualNetworks": "2026-03-01",
    "networkSecurityGroups": "2026-03-01",
    "networkInterfaces": "2026-03-01",
    "usages": "2026-04-01",
    "skus": "2021-07-01",
    "permissions": "2022-04-01",
    "subscription": "2022-12-01",
}
OF_NETWORK = {
    "virtualNetworks": "VirtualNetwork",
    "networkSecurityGroups": "NetworkSecurityGroup",
}
KINDS = {name.lower(): name for name in ("virtualMachines", "networkInterfaces", *OF_NETWORK)}


class Answer(NamedTuple):
    """`model` is what it must be, by Microsoft's library; a list has one of it in each row."""

    content: Any
    model: tuple[str, str] | None = None
    status: int = 200
    headers: Mapping[str, str] = {}
    is_list: bool = False


class Asked(NamedTuple):
    verb: str
    path: str
    rest: str
    query: Mapping[str, str]
    body: Any
    condition: str

    @property
    def what(self) -> str:
        """Return the kind of what is asked for: `virtualMachines`."""
        if RESOURCE.fullmatch(self.rest):
            return KINDS.get(self.rest.split("/")[5].lower(), "unknown")
        if GROUP.fullmatch(self.rest):
            return "resourceGroups"
        if OPERATION.fullmatch(self.rest):
            return "operations"
        last = self.rest.rpartition("/")[2] or "subscription"
        return "provider" if PROVIDER.fullmatch(self.rest) else KINDS.get(last.lower(), last)


class _Handler(BaseHTTPRequestHandler):
    world: ClassVar[World]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._do()

    def do_PUT(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def do_DELETE(self) -> None:
        self._do()

    def _do(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        if parts.path == "/api/retail/prices":
            status, headers, body = self.world.prices.answer(self.path)
            self._send(status, body, headers)
            return
        if parts.path.startswith("/console/"):
            said = self.world.consoles.get(parts.path.rpartition("/")[2], "")
            self._send(200, said.encode(), {})
            return
        try:
            answer = self._answer(json.loads(text) if text else None)
        except schema.NotAllowed as error:
            self._refuse(Refused(400, "InvalidRequestContent", str(error)))
        except Refused as refused:
            self._refuse(refused)
        else:
            content = b"" if answer.content is None else json.dumps(answer.content).encode()
            self._send(answer.status, content, answer.headers)

    def _answer(self, body: Any) -> Answer:
        world, parts = self.world, urlsplit(self.path)
        if world.faults.hangs is not None:
            world.faults.hangs.wait(HANGS_SECONDS)
        if world.faults.is_away:
            raise Refused(503, "")
        found = OF_SUBSCRIPTION.fullmatch(unquote(parts.path))
        if found is None:
            raise Refused(404, "SubscriptionNotFound")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        condition = self.headers.get("If-None-Match", "")
        asked = Asked(self.command, found[0], found["rest"] or "", query, body, condition)
        with world.lock:
            return _settled(world, asked)

    def _refuse(self, refused: Refused) -> None:
        error = {"code": refused.code, "message": refused.message}
        content = json.dumps({"error": error}).encode() if refused.code else b""
        headers = {"Retry-After": "17"} if refused.status == 429 else {}
        self._send(refused.status, content, headers)

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        given = {"Content-Type": "application/json", **headers, "Content-Length": str(len(content))}
        for name, value in given.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Tests read `asked`."""


def _settled(world: World, asked: Asked) -> Answer:
    faults, what = world.faults, asked.what
    version = VERSIONS.get(what)
    if version is not None and asked.query.get("api-version") != version:
        raise Refused(400, "InvalidApiVersionParameter", f"{what}: {asked.query}")
    world.settle()
    call = f"{asked.verb} {what}"
    faults.asked[call] += 1
    if faults.throttled:
        faults.throttled -= 1
        raise Refused(429, "TooManyRequests")
    code = faults.refused.get(call, "")
    if code and not (call == "PUT virtualMachines" and code in OF_OPERATIONS):
        raise Refused(STATUS_OF_KIND.get(CODES[code].kind, 409), code)
    fate = faults.fate(call)
    if fate in ("away", "full"):
        raise Refused(*((503, "") if fate == "away" else (409, "SkuNotAvailable")))
    answer = ANSWERS.get(call, _unknown)(world, asked)
    _check(answer)
    is_lost = call == "PUT virtualMachines" and faults.lost > 0
    if is_lost or fate == "loses":
        faults.lost -= is_lost
        raise Refused(503, "")
    return answer


def _check(answer: Answer) -> None:
    if answer.model is not None:
        for row in answer.content["value"] if answer.is_list else [answer.content]:
            schema.check_answer(*answer.model, row)


def _unknown(_: World, asked: Asked) -> Answer:
    raise Refused(404, "InvalidResourceType", f"no answer to {asked.verb} {asked.path}")


def _subscription(world: World, asked: Asked) -> Answer:
    about = {"subscriptionId": SUBSCRIPTION, "displayName": "Test", "state": world.faults.state}
    return Answer({"id": f"/subscriptions/{SUBSCRIPTION}", **about})


def _permissions(world: World, asked: Asked) -> Answer:
    """Two roles: one that gives all of a provider but what is denied, one that names the rest."""
    denied = world.faults.denied
    rest = [action for action in ALL if not action.startswith("Microsoft.Network/")]
    rows = [
        {"actions": ["microsoft.network/*"], "notActions": sorted(denied)},
        {"actions": [each for each in rest if each not in denied], "notActions": []},
    ]
    return Answer({"value": rows})


def _provider(world: World, asked: Asked) -> Answer:
    name = asked.rest.rpartition("/")[2]
    kinds = [{"resourceType": "virtualMachines", "locations": list(REGIONS.values())}]
    state = "NotRegistered" if name in world.faults.unregistered else "Registered"
    content = {"namespace": name, "registrationState": state, "resourceTypes": kinds}
    return Answer(content, (schema.RESOURCES, "Provider"))


def _put_group(world: World, asked: Asked) -> Answer:
    row = machines.put_group(world, asked.path, asked.body)
    return Answer(row, (schema.RESOURCES, "ResourceGroup"), 201)


def _put_of_network(world: World, asked: Asked) -> Answer:
    model = OF_NETWORK[asked.what]
    row = machines.put_of_network(world, asked.path, asked.body, model)
    return Answer(row, (schema.NETWORK, model), 201, machines.begin(world, row["location"]))


def _get_of_network(world: World, asked: Asked) -> Answer:
    return Answer(machines.get(world, asked.path), (schema.NETWORK, OF_NETWORK[asked.what]))


def _interface(world: World, asked: Asked) -> Answer:
    found = machines.interface(world, asked.path)
    return Answer(found, (schema.NETWORK, "NetworkInterface"))


def _groups(world: World, asked: Asked) -> Answer:
    rows = [row for row in world.resources.values() if row["type"].endswith("SecurityGroups")]
    return Answer({"value": rows}, (schema.NETWORK, "NetworkSecurityGroup"), is_list=True)


def _put_machine(world: World, asked: Asked) -> Answer:
    row, headers = machines.put_machine(world, asked.path, asked.body, asked.condition)
    content = machines.shown(row, with_view=True)
    return Answer(content, (schema.COMPUTE, "VirtualMachine"), 201, headers)


def _get_machine(world: World, asked: Asked) -> Answer:
    row = machines.get(world, asked.path)
    content = machines.shown(row, with_view=asked.query.get("$expand") == "instanceView")
    return Answer(content, (schema.COMPUTE, "VirtualMachine"))


def _delete_machine(world: World, asked: Asked) -> Answer:
    assert asked.query.get("forceDeletion") == "true"
    return Answer(None, status=202, headers=machines.delete_machine(world, asked.path))


def _machines(world: World, asked: Asked) -> Answer:
    rows = [machines.shown(row, with_view=False) for row in world.machines().values()]
    return Answer({"value": rows}, (schema.COMPUTE, "VirtualMachine"), is_list=True)


def _console(world: World, asked: Asked) -> Answer:
    name = asked.rest.split("/")[6]
    machines.get(world, asked.path.rpartition("/")[0])
    content = {"serialConsoleLogBlobUri": f"{world.url}/console/{name}"}
    return Answer(content, (schema.COMPUTE, "RetrieveBootDiagnosticsDataResult"))


def _operation(world: World, asked: Asked) -> Answer:
    found = world.operations.get(asked.rest.rpartition("/")[2])
    if found is None:
        raise Refused(404, "NotFound")
    return Answer(found.row)


def _skus(world: World, asked: Asked) -> Answer:
    region = asked.query["$filter"].removeprefix("location eq '").rstrip("'")
    rows = [_sku(name, region) for name in SIZES] if region in REGIONS else []
    return Answer({"value": rows}, (schema.COMPUTE, "ResourceSku"), is_list=True)


def _sku(name: str, region: str) -> dict[str, Any]:
    cpus, memory, arch, gpus, spot, family, generations = SIZES[name]
    has = {
        "vCPUs": str(cpus),
        "MemoryGB": memory,
        "CpuArchitectureType": arch,
        "LowPriorityCapable": str(spot),
        "HyperVGenerations": generations,
        **({"GPUs": str(gpus)} if gpus else {}),
    }
    return {
        "resourceType": "virtualMachines",
        "name": name,
        "family": family,
        "locations": [region],
        "capabilities": [{"name": key, "value": value} for key, value in has.items()],
        "restrictions": [],
    }


def _usages(world: World, asked: Asked) -> Answer:
    limits = {
        "cores": ("Total Regional vCPUs", 350),
        "lowPriorityCores": ("Total Regional Low-priority vCPUs", 100),
        "standardDSv5Family": ("Standard DSv5 Family vCPUs", 100),
        "StandardNCADSA100v4Family": ("Standard NCADS_A100_v4 Family vCPUs", 24),
        "StandardNDSH100v5Family": ("Standard NDSH100v5 Family vCPUs", 0),
    }
    rows = [
        {
            "currentValue": 0,
            "limit": limit,
            "unit": "Count",
            "name": {"value": key, "localizedValue": words},
        }
        for key, (words, limit) in limits.items()
    ]
    return Answer({"value": rows}, (schema.COMPUTE, "Usage"), is_list=True)


ANSWERS: dict[str, Callable[[World, Asked], Answer]] = {
    "GET subscription": _subscription,
    "GET permissions": _permissions,
    "GET provider": _provider,
    "PUT resourceGroups": _put_group,
    "PUT virtualNetworks": _put_of_network,
    "GET virtualNetworks": _get_of_network,
    "PUT networkSecurityGroups": _put_of_network,
    "GET networkInterfaces": _interface,
    "PUT virtualMachines": _put_machine,
    "DELETE virtualMachines": _delete_machine,
    "POST retrieveBootDiagnosticsData": _console,
    "GET operations": _operation,
    "GET skus": _skus,
    "GET usages": _usages,
}


def _one_or_all(one: Any, every: Any) -> Callable[[World, Asked], Answer]:
    def answer(world: World, asked: Asked) -> Answer:
        found: Answer = (one if RESOURCE.fullmatch(asked.rest) else every)(world, asked)
        return found

    return answer


ANSWERS["GET virtualMachines"] = _one_or_all(_get_machine, _machines)
ANSWERS["GET networkSecurityGroups"] = _one_or_all(_get_of_network, _groups)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of callers that were killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving() -> Iterator[World]:
    """Serve an empty subscription on a free port of loopback."""
    world = World()
    handler = type("Handler", (_Handler,), {"world": world})
    server = _Server(("127.0.0.1", 0), handler)
    world.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield world
    finally:
        world.clear()
        server.shutdown()
        thread.join()
        server.server_close()
