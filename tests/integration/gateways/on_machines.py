"""Gateways on the fake cloud, and time that goes by for them without waiting."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.gateways.machines import reconcile, verbs
from apps.gateways.models import Gateway, Publication
from apps.instances import reconcile as instances
from apps.instances.models import Instance
from apps.routing import services as routing
from gateway import schema
from tests.fakes.agent import FakeAgent

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "a" * 43


def create(owner: Access, project: Project, name: str = "edge", **more: object) -> Gateway:
    asked = {"domain": "example.com", "backend": "cloud", "region": "north", "name": name, **more}
    wanted = verbs.Wanted(**asked)  # type: ignore[arg-type]
    return verbs.create(access=owner, project=project, wanted=wanted, at=timezone.now())


def publication(gateway: Gateway) -> Publication:
    return Publication.objects.select_related("gateway", "project").get(gateway=gateway)


def pass_time(seconds: float, *, step: float = 10.0) -> datetime:
    """Let the sweep go by for a while: every look is told a later time."""
    at, end = timezone.now(), timezone.now() + timedelta(seconds=seconds)
    while at < end:
        at += timedelta(seconds=step)
        due = Instance.objects.filter(next_check_at__lte=at)
        instances.advance(ids=list(due.values_list("pk", flat=True)), at=at)
        mine = Gateway.objects.filter(next_check_at__lte=at)
        reconcile.advance(keys=list(mine.values_list("pk", flat=True)), at=at)
    return at


def agent_of(gateway: Gateway) -> FakeAgent:
    gateway.refresh_from_db()
    assert gateway.instance is not None
    return FakeAgent(gateway.instance)


def serve(gateway: Gateway) -> FakeAgent:
    """Let its machine call, run the gateway there, and the gateway report."""
    agent = agent_of(gateway)
    agent.sync()
    agent.serve()
    report(gateway)
    pass_time(30)
    gateway.refresh_from_db()
    return agent


def report(gateway: Gateway, *, host_key: str = KEY) -> None:
    gateway.refresh_from_db()
    said = schema.Status(
        boot_id="1",
        applied=gateway.revision,
        tunnels=schema.TunnelServer(port=2222, user="dstack-tunnel", host_key=host_key),
    )
    routing.take_status(gateway=gateway, status=said, at=timezone.now())
