from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task

from apps.gateways.models import Gateway
from apps.routing import services
from apps.runs.models import Replica


@shared_task
def publish_runs(*, ids: list[str], **_: Any) -> None:
    services.publish_runs(run_ids=[UUID(pk) for pk in ids])


@shared_task
def publish_of_replicas(*, ids: list[str], **_: Any) -> None:
    runs = Replica.objects.filter(pk__in=ids).values_list("run_id", flat=True).distinct()
    services.publish_runs(run_ids=list(runs))


@shared_task
def publish_keys(**_: Any) -> None:
    services.publish_keys(gateway_ids=list(Gateway.objects.values_list("pk", flat=True)))


@shared_task
def publish_certificates(**_: Any) -> None:
    services.publish_certificates(gateway_ids=list(Gateway.objects.values_list("pk", flat=True)))


@shared_task
def publish_tunnels(**_: Any) -> None:
    services.publish_tunnels(gateway_ids=list(Gateway.objects.values_list("pk", flat=True)))


@shared_task
def publish_all(**_: Any) -> None:
    services.publish_all(gateway_ids=list(Gateway.objects.values_list("pk", flat=True)))
