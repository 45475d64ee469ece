"""A backend is not closed under the services that need it."""

from __future__ import annotations

from apps.backends import queries as backends
from apps.backends.models import Account
from apps.core.errors import Conflict
from apps.runs import states
from apps.runs.models import Replica, Run

NAMED = 5


def refuse_while_used(account: Account) -> None:
    """Raise Conflict while a run has replicas on this backend, or has none but could get them
    nowhere else."""
    names = _users_of(account)
    if names:
        listed = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
        raise Conflict(
            f"Services of project {account.project.name} still need {account.kind}: {listed}. "
            "Stop them first."
        )


def _users_of(account: Account) -> list[str]:
    runs = Run.objects.filter(project=account.project, state__in=states.RUN.unfinished)
    others = backends.accounts_of(account.project).exclude(pk=account.pk)
    if others.exists():
        there = Replica.objects.filter(
            backend=account.kind, state__in=states.REPLICA.unfinished, run__in=runs
        )
        runs = runs.filter(pk__in=there.values("run_id"))
    return list(runs.order_by("name").values_list("name", flat=True)[: NAMED + 1])
