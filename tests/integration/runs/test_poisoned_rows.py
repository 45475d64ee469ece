"""A row that no worker can work on stops no other, and says why where a person can see it."""

from __future__ import annotations

import pytest
from django.utils import timezone

from apps.accounts.models import Project
from apps.core import crypto
from apps.runs import states
from apps.runs.control import reconcile, replica_lifecycle
from apps.runs.models import Replica, Run
from tests import factories

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]


def waiting(run: Run) -> Replica:
    return factories.replica(run, state=states.PENDING)


def test_a_replica_whose_secrets_cannot_be_read_fails_alone(project: Project) -> None:
    bad = waiting(factories.run(project, state="provisioning", secrets="of another server"))
    good = waiting(factories.run(project, state="provisioning"))

    replica_lifecycle.advance(ids=[bad.pk, good.pk], at=timezone.now())

    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.state, bad.message) == (states.FAILED, crypto.NO_KEY_FITS)
    assert good.state == states.PROVISIONING


def test_a_replica_of_a_broken_spec_stops_no_other(project: Project) -> None:
    bad = waiting(factories.run(project, state="provisioning", spec={}))
    good = waiting(factories.run(project, state="provisioning"))

    with pytest.raises(KeyError):
        replica_lifecycle.advance(ids=[bad.pk, good.pk], at=timezone.now())

    good.refresh_from_db()
    assert good.state == states.PROVISIONING


def test_a_run_of_a_broken_spec_stops_no_other(project: Project) -> None:
    broken = {"schedule": {"cron": ["* * * * *"], "timezone": "Nowhere/Land"}}
    bad = factories.run(project, state="submitted", spec=broken)
    good = factories.run(project, state="submitted")

    with pytest.raises(KeyError):
        reconcile.reconcile(ids=[bad.pk, good.pk], at=timezone.now())

    good.refresh_from_db()
    assert good.state == states.PROVISIONING
