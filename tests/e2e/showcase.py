"""Rows that pages find hard to show: run inside a server, by `manage.py shell`.

Everything is as long as it may be and in each of its states. Nothing is ever due, so that the
server leaves it as it is.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.accounts.models import Project, Token, User
from apps.backends.models import Backend, Check
from apps.core import crypto
from apps.core.ids import new_id
from apps.core.models import Event
from apps.gateways.models import Gateway, Publication
from apps.hosts.models import Host
from apps.hosts.states import HOST as HOST_MACHINE
from apps.instances.models import Instance, UnknownMachine
from apps.offers.models import BlockedOffer
from apps.runs import states
from apps.runs.models import Replica, Run, RunVersion, Upload
from apps.specs.parse import parse
from apps.telemetry.models import ServedRequest, Traffic
from tests import factories
from tests.e2e.stack import ROOT, Stack

LONG = "a-service-with-a-name-as-long-as-possible"
FAILED = f"{LONG[:28]}-failed"
DELETED = f"{LONG[:33]}-deleted"
MACHINE = "dstack-01a223f8-3080-7f06-bd26-aeb674c4122f-lost"
EMPTY_PROJECT = "a-project-with-the-longest-name-that-one-may-give"
CLOUD = "a-cloud-of-the-longest-name-ever"
SHARED_CLOUD = "a-cloud-of-the-whole-server-here"
GATEWAY = "a-gateway-with-the-longest-name-of-all-aws"
HOST = "a-host-with-a-name-as-long-as-one-may-be"
CHECK = "00000000-0000-7000-8000-000000000001"
CHOSEN = "00000000-0000-7000-8000-000000000002"
SERVICES = 60
MODEL = f"organisation-with-a-long-name/{'Model-' * 12}Instruct"
TEXT = f"""type: service
commands: [serve]
port: 8000
model: {MODEL}
"""
WHY = "exited with code 1 after 0.4 s: " + "cannot/load/the/library/" * 12
LINES = ["Traceback (most recent call last):", "x" * 400, "RuntimeError: no such model"]


def fill(stack: Stack) -> None:
    """Put the rows into a running server."""
    command = [sys.executable, str(ROOT / "manage.py"), "shell", "-c"]
    code = "from tests.e2e import showcase; showcase.make()"
    done = subprocess.run(
        [*command, code], env=stack.environ(), cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def make() -> None:
    main = Project.objects.get(name="main")
    admin = User.objects.get(username="admin")
    gateway = Gateway.objects.get()
    person = factories.user("a-person-" + "with-a-long-name-" * 5)
    factories.member(main, person)
    factories.token(admin, name="what it is for " * 6, project=main, run_names=[LONG] * 3)
    factories.token(admin, name="t" * 100, expires_at=timezone.now() - timedelta(days=1))
    for number in range(SERVICES):
        _run(main, gateway, admin, name=f"service-{number}", state="running")
    chosen = factories.run(main, id=CHOSEN, name=f"{LONG[:35]}-chosen", gateway=gateway)
    Run.objects.filter(pk=chosen.pk).update(next_check_at=None)
    for state in states.RUN.states:
        run = _run(main, gateway, admin, name=f"{LONG[:28]}-{state}", state=state)
        run.error = WHY if state == states.FAILED else ""
        run.notice = f"Version 2 was given up: {WHY}. Version 1 goes on."
        run.save()
    _model(main, gateway, person)
    _uploads(main)
    _instances(main)
    _spend(main)
    _clouds(main)
    _hosts(main)
    _gateway(main)
    _open_project(admin)


def _run(main: Project, gateway: Gateway, user: User, *, name: str, state: str) -> Run:
    run = factories.run(main, user=user, name=name, state=state, gateway=gateway)
    Run.objects.filter(pk=run.pk).update(next_check_at=None)
    run.next_check_at = None
    return run


def _clouds(main: Project) -> None:
    """Two accounts, and a check that found something long."""
    config = {
        "creds": {"type": "access_key", "access_key": "A" * 128, "secret_key": "s" * 40},
        "regions": ["us-east-1", "ap-southeast-1", "eu-central-1", "us-gov-west-1"] * 4,
    }
    cloud = factories.backend(main, kind="aws", name=CLOUD, config=config)
    shared = factories.backend(None, kind="aws", name=SHARED_CLOUD, config=config)
    shared.shared_with.add(main)
    policy = '{"Version":"2012-10-17","Statement":[' + '"ec2:DescribeSpotInstanceRequests",' * 20
    problems = [{"message": f"The credentials lack {WHY}", "policy": policy}] * 2
    facts = ["Account 123456789012, as arn:aws:iam::123456789012:user/" + "x" * 64 + "."]
    told = {"kind": "aws", "next_check_at": None, "facts": facts}
    for backend in (cloud, shared):
        Check.objects.create(
            **told, backend=backend, name=backend.name, state="problems", problems=problems
        )
    Check.objects.create(**told, pk=CHECK, name=CLOUD, state="problems", problems=problems)
    _blocked(cloud, shared)
    for state in ("ready", "terminating", "failed"):
        machine = factories.instance(
            main, backend=cloud, backend_kind="aws", region="ap-southeast-1", error=WHY, state=state
        )
        Instance.objects.filter(pk=machine.pk).update(next_check_at=None)


def _hosts(main: Project) -> None:
    """One in each of its states, with all that may be long."""
    steps = [
        {"name": "Docker", "state": "ok", "text": "27.5.1"},
        {"name": "Clock", "state": "warned"},
        {"name": "Disk", "state": "failed"},
    ]
    for number, state in enumerate(HOST_MACHINE.states):
        made = Host.objects.create(
            project=main,
            name=HOST if state == "failed" else f"host-{number}",
            state=state,
            user="u" * 32,
            address=f"{number}.{'a' * 60}.example.org",
            jump=f"ann@{'b' * 60}.example.org:2222",
            fingerprint="SHA256:" + "x" * 43,
            offered_fingerprint="SHA256:" + "y" * 43 if state == "failed" else "",
            error=WHY,
            left_over=WHY,
            progress=[{**each, "text": each.get("text", WHY)} for each in steps],
        )
        Host.objects.filter(pk=made.pk).update(next_check_at=None)


def _blocked(cloud: Backend, shared: Backend) -> None:
    """Offers that one has no room for, and all of another that does not work."""
    until = timezone.now() + timedelta(hours=1)
    BlockedOffer.objects.create(
        backend=shared, scope="backend", kind="credentials", reason=WHY, until=until
    )
    for instance, reason in (("t4g.nano", WHY), ("p4de.24xlarge", "none is free"), ("x", WHY)):
        BlockedOffer.objects.create(
            backend=cloud, scope="offer+region", region="us-east-1", instance_type=instance,
            spot=False, kind="capacity", reason=reason, until=until,
        )  # fmt: skip


def _model(main: Project, gateway: Gateway, user: User) -> None:
    """The service whose page has everything: replicas in each state, versions, traffic."""
    run = _run(main, gateway, user, name=LONG, state=states.RUNNING)
    run.spec, run.configuration = parse(TEXT).to_json(), crypto.encrypt(TEXT)
    run.save()
    at = timezone.now()
    for num, state in enumerate(states.REPLICA.states):
        fields = {"message": WHY, "last_lines": LINES} if state == states.FAILED else {}
        replica = factories.replica(
            run, num=num, state=state, backend="local", region="local", started_at=at,
            instance_type="a-machine-" + "of-a-long-name-" * 5, phase="pulling image 1.2/3.4 GB",
            resources="10xCPU, 80GB, 1xA100 (80GB), 100GB (disk)", **fields,
        )  # fmt: skip
        over = at if state in states.REPLICA.final else None
        Replica.objects.filter(pk=replica.pk).update(next_check_at=None, finished_at=over)
        Event.objects.create(
            state_machine="replica", object_id=replica.pk, run_id=run.pk, label=str(replica), at=at,
            old="", new=state, reason=WHY, version=1,
        )  # fmt: skip
    for version, failed in ((1, None), (2, at)):
        RunVersion.objects.create(
            run=run, version=version, user=user, configuration=run.configuration, spec=run.spec,
            secrets=run.secrets, failed_at=failed, reason=WHY if failed else "",
            last_lines=LINES if failed else [],
        )  # fmt: skip
    Traffic.objects.create(
        run_id=run.pk, at=at.replace(second=0, microsecond=0) - timedelta(minutes=1), seconds=10,
        by_class=[0, 0, 0, 12, 0], latency=[0, 0, 0, 12],
    )  # fmt: skip
    _requests(run)


def _requests(run: Run) -> None:
    """One of each kind, with words as long as they may be."""
    key = Token.objects.get(name="t" * 100)
    usual = {"run_id": run.pk, "method": "GET", "path": "/v1/models", "total_ms": 84.4}
    kinds: tuple[dict[str, Any], ...] = (
        {"status": 200, "first_byte_ms": 3.1, "replica_num": 0, "request_id": "24e214fd2cd5-20"},
        {
            "status": 200,
            "method": "POST",
            "path": "/" + "long-path/" * 19 + "...",
            "weight": 90,
            "request_id": "x" * 128,
            "held_ms": 48_000,
            "total_ms": 3_661_000,
            "replica_num": 117,
            "token_id": key.pk,
            "tokens_in": 128_000,
            "tokens_out": 4_096,
        },
        {"status": 499, "ended": "caller", "held_ms": 600},
        {"status": 502, "ended": "replica", "method": "PROPPATCH", "replica_num": 3},
        {"status": 429, "by_browser": True},
        {"status": 101, "replica_num": 1},
        {"status": 0, "ended": "timeout", "method": "", "path": ""},
    )
    for seconds, kind in enumerate(kinds):
        at = timezone.now() - timedelta(seconds=seconds * 40)
        ServedRequest.objects.create(**{**usual, "at": at, **kind})


def _uploads(main: Project) -> None:
    """One that all services need, and one that nothing needs."""
    for hash, size_bytes in (("a" * 64, 10**12), ("b" * 64, 1)):
        Upload.objects.create(project=main, hash=hash, size_bytes=size_bytes, blob=hash)
    needed = Upload.objects.get(project=main, hash="a" * 64)
    Run.objects.filter(project=main).update(upload=needed)


def _instances(main: Project) -> None:
    hardware = {"cpus": 192, "memory_mib": 2**21, "disk_mib": 2**27, "gpu": None}
    offer = {"backend": "local", "region": "local", "instance": "x", "hardware": hardware}
    for state in Instance.state_machine.states:
        made = factories.instance(
            main, state=state, name=f"{MACHINE.removesuffix('-lost')}-{state}",
            instance_type="a-machine-" + "of-a-long-name-" * 5, error=WHY, attempts=3,
            backend_kind="aws", offer={**offer, "price_usd_per_hour": 98.32, "spot": True},
            console_tail="\n".join(LINES * 5), idle_since=timezone.now(),
        )  # fmt: skip
        Instance.objects.filter(pk=made.pk).update(next_check_at=None)
        spec = {"project": main.name, "run_name": LONG}
        for number in range(10):
            factories.workload(made, name=f"{LONG}-{number}", spec=spec)
        factories.workload(made, spec={"project": "other"})
        Event.objects.create(
            state_machine="instance", object_id=made.pk, project_id=main.pk, label=made.name,
            at=timezone.now(), old="", new=state, reason=WHY, version=1,
        )  # fmt: skip
    at = timezone.now()
    for ref in (f"{{'region': 'us-east-1', 'id': '{'i-0123456789' * 30}'}}", "i-2"):
        UnknownMachine.objects.create(
            backend=made.backend, ref=ref, ref_hash=ref[-4:], first_seen_at=at, seen_at=at,
            name=MACHINE if ref == "i-2" else "", error=WHY,
        )  # fmt: skip


def _gateway(main: Project) -> None:
    machine = Instance.objects.get(name=f"{MACHINE.removesuffix('-lost')}-ready")
    made = factories.gateway(
        name=GATEWAY, domain=f"{'a-long-label.' * 12}example.com", scheme="https", port=443,
        plain_port=80, backend=CLOUD, region="ap-southeast-1", address="203.0.113.217",
        connection=machine.backend, instance=machine, made_for=main, failure=WHY,
        state="provisioning", dns_answer="198.51.100.17",
        dns_asked_at=timezone.now(), version="f" * 64,
    )  # fmt: skip
    Publication.objects.create(project=main, gateway=made)
    for number, state in enumerate(("creating", "provisioning", "running", "provisioning")):
        Event.objects.create(
            state_machine="gateway", object_id=made.uid, project_id=main.pk, label=made.name,
            at=timezone.now(), old="", new=state, reason=WHY, actor="admin", version=number,
        )  # fmt: skip


def _spend(main: Project) -> None:
    """Four weeks of two services, one of which leaves its machines idle; the dearest is running."""
    Project.objects.filter(pk=main.pk).update(
        max_instances=100_000,
        max_usd_per_hour=99_999.9999,
        budget_usd_per_month=9_999_999.9999,
        budget_warn_percent=0,
    )
    at = timezone.now()
    runs = {run.name: run for run in Run.objects.filter(name__in=[LONG, "service-7"])}
    for day in range(1, 29):
        for name, run in runs.items():
            machine = factories.instance(
                main, state="terminated", backend_kind="cloud", price_usd_per_hour=12.2899,
                running_at=at - timedelta(days=day, hours=12),
                state_at=at - timedelta(days=day, hours=day % 9), name=f"dstack-{name}-{day}",
            )  # fmt: skip
            factories.workload(
                machine, run_id=run.pk, spec={"run_name": name}, state="exited",
                created_at=at - timedelta(days=day, hours=12),
                state_at=at - timedelta(days=day, hours=9),
            )  # fmt: skip
    replica = Replica.objects.get(run__name=LONG, state=states.RUNNING)
    machine = factories.instance(
        main, backend_kind="cloud", price_usd_per_hour=98.319, name="dstack-running",
        running_at=at - timedelta(hours=30),
    )  # fmt: skip
    # A service that was deleted while its machine still ends it.
    factories.workload(
        machine, run_id=new_id(), spec={"project": main.name, "run_name": DELETED},
        created_at=at - timedelta(hours=20),
    )  # fmt: skip
    Instance.objects.filter(pk=machine.pk).update(next_check_at=None)
    factories.workload(
        machine, replica=replica, spec={"run_name": LONG}, created_at=at - timedelta(hours=30),
        owner_id=replica.pk,
    )  # fmt: skip
    Replica.objects.filter(pk=replica.pk).update(price_usd_per_hour=98.319)


def _open_project(admin: User) -> None:
    """A project in which nothing can run yet."""
    factories.project(EMPTY_PROJECT, admin=admin)
