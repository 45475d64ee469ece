"""A cloud like AWS on loopback: moto in server mode, and before it what moto does not do.

Moto is third-party, takes no notice of client tokens, has room for everything, ends no machine
twice, and knows neither Debian's images nor quotas. The addresses that it gives to machines are
invented: dial none.
"""

from __future__ import annotations

import importlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse, WSGIEnvironment

from tests.fakes.aws_prices import get_products

Headers = list[tuple[str, str]]
# Lists that come with moto and that no test changes.
NEVER_CHANGE = {"DescribeInstanceTypes", "DescribeInstanceTypeOfferings", "DescribeRegions"}
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "emulated"}
DEBIAN, NVIDIA = "136693071363", "898082745236"
GPU_NAME = "Deep Learning {}Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04) {}"
IMAGES = [
    ("ami-00000000000000d01", "debian-13-amd64-20260901-1", DEBIAN, "x86_64", "2026-09-01"),
    ("ami-00000000000000d02", "debian-13-amd64-20261001-1", DEBIAN, "x86_64", "2026-10-01"),
    ("ami-00000000000000d03", "debian-13-arm64-20261001-1", DEBIAN, "arm64", "2026-10-01"),
    ("ami-00000000000000e01", GPU_NAME.format("", "20261001"), NVIDIA, "x86_64", "2026-10-01"),
    ("ami-00000000000000e02", GPU_NAME.format("ARM64 ", "20261001"), NVIDIA, "arm64", "2026-10-01"),
    ("ami-00000000000000f01", "debian-13-amd64-20261101-1", "999999999999", "x86_64", "2026-11-01"),
]
EC2_ERROR = (
    '<?xml version="1.0"?><Response><Errors><Error><Code>{code}</Code><Message>{message}'
    "</Message></Error></Errors><RequestID>r-1</RequestID></Response>"
)
SPOT_REQUESTS = (
    '<?xml version="1.0"?><DescribeSpotInstanceRequestsResponse '
    'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r-1</requestId>'
    "<spotInstanceRequestSet><item><spotInstanceRequestId>sir-1</spotInstanceRequestId>"
    "<status><code>{code}</code></status></item></spotInstanceRequestSet>"
    "</DescribeSpotInstanceRequestsResponse>"
)
ENDED_ALREADY = (
    '<?xml version="1.0"?><TerminateInstancesResponse '
    'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r-1</requestId><instancesSet>'
    "<item><instanceId>{id}</instanceId><currentState><code>48</code><name>terminated</name>"
    "</currentState></item></instancesSet></TerminateInstancesResponse>"
)
NOTHING = (
    '<?xml version="1.0"?><DescribeInstancesResponse '
    'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r-1</requestId>'
    "<reservationSet/></DescribeInstancesResponse>"
)
SPOT_ROLE = (
    '<?xml version="1.0"?><GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
    "<GetRoleResult><Role><Path>/aws-service-role/</Path><RoleName>AWSServiceRoleForEC2Spot"
    "</RoleName><RoleId>AROA1</RoleId><Arn>arn:aws:iam::123456789012:role/spot</Arn>"
    "<CreateDate>2026-01-01T00:00:00Z</CreateDate></Role></GetRoleResult></GetRoleResponse>"
)


@dataclass(frozen=True)
class Refusal:
    """What AWS says instead of doing it."""

    code: str
    status: int = 400
    message: str = "AWS says no"


@dataclass
class Faults:
    """`full` are (type, zone) without room, `refused` answers by action ("RunInstances").

    `lost` makes the next machines and answers nothing; `hold_until` holds answers back until so
    many are held at once, and `most_at_once` says how many were;
    `unseen` is how many questions about a machine are answered as if it were not there yet,
    `tags_unseen` whether none is found by its tags;
    `is_away` answers nothing at all. `asked` counts the actions, `made` has every request that
    made a machine.
    """

    full: set[tuple[str, str]] = field(default_factory=set)
    no_addresses: set[str] = field(default_factory=set)
    refused: dict[str, Refusal] = field(default_factory=dict)
    lost: int = 0
    hold_until: int = 0
    most_at_once: int = 0
    unseen: int = 0
    tags_unseen: bool = False
    is_away: bool = False
    has_spot_role: bool = True
    spot_status: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    quotas: dict[str, float] = field(default_factory=dict)
    prices: dict[tuple[str, str], object] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    made: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Emulator:
    """`faults` may be replaced at any time."""

    url: str
    reset: Callable[[], None]
    faults: Faults = field(default_factory=Faults)
    tokens: dict[tuple[str, str], tuple[dict[str, str], bytes]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    def clear(self) -> None:
        """Forget all machines and faults."""
        self.reset()
        self.faults, self.tokens, self.ended = Faults(), {}, set()


class Door:
    """The WSGI application before moto's."""

    def __init__(self, moto: Any) -> None:
        self.moto = moto
        self.emulator: Emulator
        self.changed = threading.Condition()
        self.held = 0
        self.known: dict[tuple[str, bytes], tuple[str, Headers, bytes]] = {}
        self.asking_moto = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        faults = self.emulator.faults
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        form = {} if target else dict(parse_qsl(body.decode()))
        action = target.rpartition(".")[2] or form.get("Action", "")
        faults.asked[action] += 1
        if faults.hold_until:
            self._hold(faults)
        answer = self._instead(action, form, json.loads(body) if target else {})
        if answer is not None:
            return _answer(start, *answer)
        if action == "RunInstances" and "DryRun" not in form:
            return self._run(environ, start, form)
        if action == "TerminateInstances" and "DryRun" not in form:
            self.emulator.ended.add(form["InstanceId.1"])
        if action in NEVER_CHANGE:
            return self._once(environ, start, body)
        return self._of_moto(environ, start)

    def _once(self, environ: WSGIEnvironment, start: StartResponse, body: bytes) -> Iterable[bytes]:
        """Answer as moto did when it was first asked this: its long lists take it seconds.

        Who asks again for want of patience waits for the same answer.
        """
        key = environ.get("HTTP_AUTHORIZATION", "").split("/")[2], body
        with self.asking_moto:
            if key not in self.known:
                self.known[key] = self._said_by_moto(environ)
        status, headers, content = self.known[key]
        start(status, headers)
        return [content]

    def _said_by_moto(self, environ: WSGIEnvironment) -> tuple[str, Headers, bytes]:
        said: list[tuple[str, Headers]] = []

        def keep(status: str, headers: Headers, error: object = None) -> Callable[[bytes], Any]:
            said.append((status, headers))
            return lambda _: None

        content = b"".join(self._of_moto(environ, keep))
        return *said[-1], content

    def _hold(self, faults: Faults) -> None:
        """Wait until enough are asked for at once; what is missing after a while never comes."""
        with self.changed:
            self.held += 1
            faults.most_at_once = max(faults.most_at_once, self.held)
            self.changed.notify_all()
            self.changed.wait_for(lambda: faults.most_at_once >= faults.hold_until, timeout=5)
            self.held -= 1

    def _of_moto(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        found: Iterable[bytes] = self.moto(environ, start)
        return found

    def _instead(
        self, action: str, form: dict[str, str], asked: dict[str, Any]
    ) -> tuple[int, str] | None:
        """Return what is answered in moto's place; `form` is what EC2 is asked, `asked` others."""
        faults = self.emulator.faults
        if faults.is_away:
            return 503, ""
        if action in faults.refused:
            return _refused(faults.refused[action], as_json=bool(asked))
        if action == "RunInstances":
            return self._no_room(form)
        if action == "GetRole" and faults.has_spot_role:
            return 200, SPOT_ROLE
        return self._of_machines(action, form) if form else self._of_tables(action, asked)

    def _of_tables(self, action: str, asked: dict[str, Any]) -> tuple[int, str] | None:
        """Answer for images that makers name, for quotas and for the price list."""
        faults = self.emulator.faults
        if action == "GetParameter" and asked["Name"] in faults.parameters:
            value = faults.parameters[asked["Name"]]
            return 200, json.dumps({"Parameter": {"Name": asked["Name"], "Value": value}})
        if action == "GetProducts":
            return 200, get_products(asked, faults.prices)
        if action == "GetServiceQuota" and asked["QuotaCode"] in faults.quotas:
            return 200, json.dumps({"Quota": {"Value": faults.quotas[asked["QuotaCode"]]}})
        return None

    def _of_machines(self, action: str, form: dict[str, str]) -> tuple[int, str] | None:
        faults, asked_for = self.emulator.faults, form.get("InstanceId.1", "")
        if action == "DescribeSpotInstanceRequests" and faults.spot_status:
            return 200, SPOT_REQUESTS.format(code=faults.spot_status)
        if action == "TerminateInstances" and asked_for in self.emulator.ended:
            return 200, ENDED_ALREADY.format(id=asked_for)
        if action == "DescribeInstances" and asked_for and faults.unseen:
            faults.unseen -= 1
            return _refused(Refusal("InvalidInstanceID.NotFound"))
        if faults.tags_unseen and form.get("Filter.1.Name", "").startswith("tag:"):
            return 200, NOTHING
        return None

    def _no_room(self, form: dict[str, str]) -> tuple[int, str] | None:
        faults = self.emulator.faults
        place = (form.get("InstanceType", ""), form.get("Placement.AvailabilityZone", ""))
        if place in faults.full:
            return _refused(Refusal("InsufficientInstanceCapacity", 500, "Nothing is free"))
        if form.get("NetworkInterface.1.SubnetId") in faults.no_addresses:
            return _refused(Refusal("InsufficientFreeAddressesInSubnet"))
        return None

    def _run(
        self, environ: WSGIEnvironment, start: StartResponse, form: dict[str, str]
    ) -> Iterable[bytes]:
        """Make a machine once for a client token, as AWS does; `lost` answers are its 503."""
        region = environ.get("HTTP_AUTHORIZATION", "").split("/")[2]
        key = (region, form.get("ClientToken", ""))
        known = self.emulator.tokens.get(key)
        if known is None:
            made = b"".join(self._of_moto(environ, lambda *_: lambda _: None))
            known = self.emulator.tokens[key] = (form, made)
            self.emulator.faults.made.append(form)
        elif known[0] != form:
            return _answer(start, *_refused(Refusal("IdempotentParameterMismatch")))
        if self.emulator.faults.lost:
            self.emulator.faults.lost -= 1
            return _answer(start, 503, "")
        return _answer(start, 200, known[1].decode())


def _refused(refusal: Refusal, *, as_json: bool = False) -> tuple[int, str]:
    if as_json:
        said = json.dumps({"__type": refusal.code, "message": refusal.message})
    else:
        said = EC2_ERROR.format(code=refusal.code, message=refusal.message)
    return refusal.status, said


def _answer(start: StartResponse, status: int, body: str) -> Iterable[bytes]:
    content = body.encode()
    start(f"{status} Answer", [("Content-Length", str(len(content)))])
    return [content]


@contextmanager
def serving(folder: Path) -> Iterator[Emulator]:
    """Serve the cloud on a free port of loopback. Moto reads its settings when it is imported."""
    images = folder / "images.json"
    images.write_text(json.dumps([_image(*row) for row in IMAGES]))
    os.environ["MOTO_AMIS_PATH"] = str(images)
    os.environ["MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION"] = "1"
    os.environ["MOTO_ENABLE_AMI_VALIDATION"] = "1"
    apps = importlib.import_module("moto.moto_server.werkzeug_app")
    backends = importlib.import_module("moto.core.base_backend")
    serve = importlib.import_module("werkzeug.serving")
    door = Door(apps.DomainDispatcherApplication(apps.create_backend_app))
    server = serve.make_server("127.0.0.1", 0, door, threaded=True, request_handler=_quiet(serve))
    door.emulator = Emulator(
        f"http://127.0.0.1:{server.server_port}", reset=backends.BackendDict.reset
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield door.emulator
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _quiet(serve: Any) -> Any:
    """Return a handler that writes no line for each request."""
    return type("Quiet", (serve.WSGIRequestHandler,), {"log_request": lambda *_: None})


def _image(image_id: str, name: str, owner: str, arch: str, day: str) -> dict[str, Any]:
    return {
        "ami_id": image_id,
        "name": name,
        "owner_id": owner,
        "architecture": arch,
        "creation_date": f"{day}T00:00:00.000Z",
        "description": "An image for tests",
        "public": True,
        "virtualization_type": "hvm",
        "state": "available",
        "platform": None,
        "image_type": "machine",
        "hypervisor": "xen",
        "root_device_name": "/dev/xvda",
        "root_device_type": "ebs",
        "sriov": "simple",
        "image_location": f"{owner}/{name}",
    }
