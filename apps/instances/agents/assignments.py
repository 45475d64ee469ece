"""What should be on a machine, as its agent is told."""

from __future__ import annotations

import contextlib
import logging

from django.utils import timezone

from apps.agent import wire
from apps.core import crypto
from apps.core.transition import Stale
from apps.instances import caches, services, states
from apps.instances.boot import program
from apps.instances.models import Instance, Workload
from apps.instances.tunnels import claims as tunnels

BROKEN = "what it should run cannot be read as it is stored: deploy it again"
logger = logging.getLogger(__name__)


def assignment(*, instance: Instance) -> wire.Assignment:
    """Return all that should be on the machine; the environment in clear.

    A workload that cannot be told to anybody fails, and holds up no other.
    """
    instance = Instance.objects.get(pk=instance.pk)
    live = instance.workloads.exclude(state=states.EXITED).order_by("pk")
    told = [_told(workload) for workload in live]
    return wire.Assignment(
        instance.revision,
        str(instance.pk),
        [spec for spec in told if spec is not None],
        program_sha256=program.program().sha256,
        tunnels=tunnels.to_open(instance),
        caches=caches.rules(instance),
    )


def _told(workload: Workload) -> wire.WorkloadSpec | None:
    try:
        return _spec(workload, crypto.decrypt(workload.secrets))
    except crypto.InvalidToken:
        if _is_started(workload):
            # Its agent has them: a key that was lost ends nothing that serves.
            return _without_secrets(workload)
        _fail(workload, crypto.NO_KEY_FITS)
    except (ValueError, TypeError):
        _fail(workload, BROKEN)
    return None


def _spec(workload: Workload, secrets: dict[str, object]) -> wire.WorkloadSpec:
    told = {**workload.as_json(), **secrets, "gpu_indices": workload.gpu_indices}
    return wire.from_json(wire.WorkloadSpec, told)


def _is_started(workload: Workload) -> bool:
    return workload.state != states.ASSIGNED


def _without_secrets(workload: Workload) -> wire.WorkloadSpec | None:
    """Of what it runs already, an agent takes over no more than whether and when to stop it."""
    try:
        return _spec(workload, {})
    except (ValueError, TypeError):
        _fail(workload, BROKEN)
    return None


def _fail(workload: Workload, why: str) -> None:
    logger.error("workload %s of %s: %s", workload.name, workload.instance_id, why)
    at = timezone.now()
    with contextlib.suppress(Stale):  # another call of the agent noted it
        services.end_workloads([workload], reason=wire.REASON_PREPARE_FAILED, message=why, at=at)
