"""A gateway's table forgets what has gone, and whoever was away for long gets the whole of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.gateways.models import Gateway
from apps.routing import retention, services
from apps.routing.models import Entry
from apps.runs.models import Run
from tests import factories

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def project() -> Any:
    return factories.project("main", admin=factories.user("alice"))


@pytest.fixture
def gateway(project: Any) -> Gateway:
    return factories.gateway(project)


def publish(gateway: Gateway, *, applied: bool) -> int:
    services.publish_all(gateway_ids=[gateway.pk])
    gateway.refresh_from_db()
    if applied:
        Gateway.objects.filter(pk=gateway.pk).update(applied=gateway.revision)
    return gateway.revision


def gone(gateway: Gateway) -> int:
    return Entry.objects.filter(gateway=gateway, deleted=True).count()


def stop(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(state="stopped")


def test_forgets_the_tombstones_that_the_gateway_has_applied(
    project: Any, gateway: Gateway
) -> None:
    first, second = (factories.run(project, gateway=gateway) for _ in range(2))
    before = publish(gateway, applied=True)
    stop(first)
    between = publish(gateway, applied=True)
    stop(second)
    publish(gateway, applied=False)

    retention.prune(at=NOW)

    assert gone(gateway) == 1
    assert services.table(gateway=gateway, since=before).whole
    news = services.table(gateway=gateway, since=between)
    assert not news.whole
    assert [(e.id, e.deleted) for e in news.endpoints] == [(str(second.pk), True)]


def test_a_table_without_tombstones_stays_as_it_is(project: Any, gateway: Gateway) -> None:
    factories.run(project, gateway=gateway)
    before = publish(gateway, applied=True)

    assert retention.prune(at=NOW) == 0

    assert not services.table(gateway=gateway, since=before).whole


def test_a_gateway_that_says_more_than_there_is_loses_nothing(
    project: Any, gateway: Gateway
) -> None:
    run = factories.run(project, gateway=gateway)
    publish(gateway, applied=True)
    stop(run)
    now = publish(gateway, applied=False)
    Gateway.objects.filter(pk=gateway.pk).update(applied=now + 1000)

    retention.prune(at=NOW)
    factories.run(project, gateway=gateway)
    publish(gateway, applied=False)

    assert not services.table(gateway=gateway, since=now).whole


def test_an_endpoint_that_comes_back_after_its_tombstone_is_new(
    project: Any, gateway: Gateway
) -> None:
    run = factories.run(project, gateway=gateway)
    publish(gateway, applied=True)
    stop(run)
    seen = publish(gateway, applied=True)
    retention.prune(at=NOW)
    Run.objects.filter(pk=run.pk).update(state="running")
    publish(gateway, applied=False)

    (endpoint,) = services.table(gateway=gateway, since=seen).endpoints

    assert (endpoint.id, endpoint.deleted) == (str(run.pk), False)
