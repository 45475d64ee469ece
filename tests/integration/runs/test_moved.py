"""A workload that began anew elsewhere takes its replica's requests with it."""

from __future__ import annotations

import pytest
from django.utils import timezone

from apps.runs.control.replica_lifecycle import advance
from apps.runs.models import Replica
from tests import factories
from tests.people import People

pytestmark = pytest.mark.django_db
OLD, NEW = "10.0.0.1:8000", "10.0.0.2:8000"


@pytest.mark.parametrize(
    ("state", "address", "kept"),
    [
        ("running", NEW, NEW),
        ("unhealthy", NEW, NEW),
        # An agent that has just begun does not say yet where it is.
        ("running", "", OLD),
        ("draining", NEW, OLD),
    ],
)
@pytest.mark.usefixtures("redis_url")
def test_follows_the_address_of_its_workload(
    people: People, state: str, address: str, kept: str
) -> None:
    replica = factories.replica(factories.run(people.project), state=state, address=OLD)
    host = factories.instance(people.project, reported_at=timezone.now())
    ready = state != "unhealthy"
    factories.workload(host, replica=replica, address=address, ready=ready)

    advance(ids=[replica.pk], at=timezone.now())

    assert Replica.objects.get().address == kept
    assert Replica.objects.get().state == state
