"""A workload that cannot be told to its agent, beside one that can."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.models import Project
from apps.agent import wire
from apps.core import crypto
from apps.instances.agents.assignments import BROKEN, assignment
from apps.instances.models import Instance, Workload
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
STRANGE: dict[str, Any] = {"secrets": "of another server"}


@pytest.fixture
def project() -> Project:
    return factories.project()


@pytest.fixture
def instance(project: Project) -> Instance:
    return factories.instance(project, state="ready")


def told(instance: Instance) -> dict[str, str]:
    """What the agent is told to do with each."""
    return {spec.id: spec.desired for spec in assignment(instance=instance).workloads}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (STRANGE, crypto.NO_KEY_FITS),
        ({"secrets": ""}, crypto.NO_KEY_FITS),
        ({"secrets": crypto.encrypt(["a list"])}, BROKEN),
        ({"secrets": crypto.encrypt({"env": 5})}, BROKEN),
        ({"spec": {"probes": "none"}}, BROKEN),
        ({"spec": {"commands": {"a": 1}}}, BROKEN),
    ],
)
def test_fails_alone(instance: Instance, fields: dict[str, Any], message: str) -> None:
    bad = factories.workload(instance, state="assigned", **fields)
    good = factories.workload(instance, state="assigned")

    assert told(instance) == {str(good.pk): "run"}

    bad.refresh_from_db()
    assert (bad.state, bad.exit_reason, bad.message) == (
        "exited",
        wire.REASON_PREPARE_FAILED,
        message,
    )
    assert told(instance) == {str(good.pk): "run"}


@pytest.mark.parametrize("state", ["pulling", "running"])
@pytest.mark.parametrize("desired", ["run", "stop"])
def test_what_serves_already_goes_on_when_a_key_is_lost(
    instance: Instance, state: str, desired: str
) -> None:
    serving = factories.workload(instance, state=state, desired=desired, **STRANGE)

    assert told(instance) == {str(serving.pk): desired}

    assert Workload.objects.get(pk=serving.pk).state == state
