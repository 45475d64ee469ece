"""Services on the fake cloud, and time that goes by for them without waiting."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.instances import reconcile as instances
from apps.instances.models import Instance
from apps.runs import services
from apps.runs.control import reconcile, replica_lifecycle
from apps.runs.models import Replica, Run
from apps.runs.planning.request import PlanRequest

YAML = "type: service\nname: hello\nimage: web\ncommands: [serve]\nport: 8000\n"
RETRY = YAML + "retry: {on_events: [no-capacity], duration: 1h}\n"


def submit(owner: Access, cloudy: Project, text: str = YAML) -> Run:
    return services.submit(access=owner, project=cloudy, request=PlanRequest(text))


def pass_time(seconds: float, *, step: float = 20.0) -> datetime:
    """Let the sweep go by for a while, without waiting: every look is told a later time."""
    at, end = timezone.now(), timezone.now() + timedelta(seconds=seconds)
    while at < end:
        at += timedelta(seconds=step)
        due = Instance.objects.filter(next_check_at__lte=at)
        instances.advance(ids=list(due.values_list("pk", flat=True)), at=at)
        runs = Run.objects.filter(next_check_at__lte=at)
        reconcile.reconcile(ids=list(runs.values_list("pk", flat=True)), at=at)
        replicas = Replica.objects.filter(next_check_at__lte=at)
        replica_lifecycle.advance(ids=list(replicas.values_list("pk", flat=True)), at=at)
    return at
