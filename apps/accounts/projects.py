"""What an admin does with a whole project: bound its services, delete it.

A deleted project keeps its row, since events and machines name it; the row gives its name free and
nobody is its member any more. Later stages subscribe what they do then, and may refuse.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from apps.accounts.access import Access
from apps.accounts.models import Member, Project, Token
from apps.accounts.services import grants_changed
from apps.core import ids, notifications
from apps.core.after_commit import after_commit
from apps.core.errors import Detail, Invalid, NotFound
from apps.core.models import Event

logger = logging.getLogger(__name__)

# What a service file can ask for at most.
MOST_REPLICAS = 10_000
# What nobody reaches, and the columns hold.
MOST_INSTANCES, MOST_USD_PER_HOUR, MOST_USD_PER_MONTH = 100_000, 100_000, 10_000_000

# The machine of the events that tell of budgets. They change no state.
BUDGET = "budget"

DeletedHook = Callable[[Project], None]
_deleted_hooks: list[DeletedHook] = []


def on_project_deleted(hook: DeletedHook) -> None:
    """Call `hook(project)` in the transaction that deletes a project; what it raises refuses it."""
    if hook not in _deleted_hooks:
        _deleted_hooks.append(hook)


def replicas_limit(project: Project) -> int:
    """Return how many replicas a service of the project may have."""
    own = project.replicas_limit
    return settings.DSTACK_REPLICAS_LIMIT if own is None else own


def set_replicas_limit(*, access: Access, project: Project, limit: int | None) -> Project:
    """Bound the replicas of each service of a project; None is the server's own bound.

    Services that have more keep them. Raise Forbidden and Invalid.
    """
    access.require_global_admin()
    if limit is not None and not 1 <= limit <= MOST_REPLICAS:
        problem = f"must be from 1 to {MOST_REPLICAS:,}"
        raise Invalid(
            f"replicas_limit {problem}, found {limit}.", details=[Detail("replicas_limit", problem)]
        )
    project.replicas_limit = limit
    project.save(update_fields=["replicas_limit"])
    return project


def set_machine_limits(
    *,
    access: Access,
    project: Project,
    max_instances: int | None,
    max_usd_per_hour: Decimal | None,
) -> Project:
    """Bound what the project may have of machines at a time; None is without a bound.

    What it has beyond them goes on, and nothing is made beside it. Raise Forbidden and Invalid.
    """
    access.require_admin(project)
    _require_within("max_instances", max_instances, most=MOST_INSTANCES)
    _require_within("max_usd_per_hour", max_usd_per_hour, most=MOST_USD_PER_HOUR)
    _require_decimals("max_usd_per_hour", max_usd_per_hour)
    project.max_instances, project.max_usd_per_hour = max_instances, max_usd_per_hour
    project.save(update_fields=["max_instances", "max_usd_per_hour"])
    after_commit(notifications.transitioned, "limits", "changed", [])
    return project


def set_budget(
    *,
    access: Access,
    project: Project,
    usd_per_month: Decimal | None,
    warn_percent: int,
    at: datetime,
) -> Project:
    """Bound what the project spends in a month (UTC); None is without a budget. From
    `warn_percent` of it on it is warned of.

    What the project has goes on; where the budget is reached, no machine with a price is made
    beside it. An event tells who changed it. Raise Forbidden and Invalid.
    """
    access.require_admin(project)
    _require_within("usd_per_month", usd_per_month, most=MOST_USD_PER_MONTH)
    _require_decimals("usd_per_month", usd_per_month)
    _require_within("warn_percent", warn_percent, least=1, most=100)
    with transaction.atomic():
        row = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        before = row.budget_usd_per_month, row.budget_warn_percent
        project.budget_usd_per_month = usd_per_month
        project.budget_warn_percent = warn_percent
        if before == (usd_per_month, warn_percent):
            return project
        project.save(update_fields=["budget_usd_per_month", "budget_warn_percent"])
        _note_budget(project, before[0], actor=access.actor, at=at)
        after_commit(notifications.transitioned, "limits", "changed", [])
    return project


def _note_budget(project: Project, before: Decimal | None, *, actor: str, at: datetime) -> None:
    old, new = _amount(before), _amount(project.budget_usd_per_month)
    what = "took the monthly budget away"
    if project.budget_usd_per_month is not None:
        what = (
            f"set the monthly budget to ${new}, with a warning from "
            f"{project.budget_warn_percent} % on"
        )
    Event.objects.create(
        state_machine=BUDGET,
        object_id=ids.new_id(),
        version=0,
        old=old,
        new=new,
        reason=what,
        actor=actor,
        project_id=project.pk,
        label=project.name,
        at=at,
    )


def _amount(usd: Decimal | None) -> str:
    return "none" if usd is None else f"{usd.normalize():f}"


def _require_within(name: str, value: int | Decimal | None, *, most: int, least: int = 0) -> None:
    # Not a number is never within.
    if value is not None and not (Decimal(value).is_finite() and least <= value <= most):
        problem = f"must be from {least} to {most:,}"
        raise Invalid(f"{name} {problem}, found {value!s:.50}.", details=[Detail(name, problem)])


def _require_decimals(name: str, amount: Decimal | None) -> None:
    if amount is not None and amount != round(amount, 4):
        problem = "must have at most four decimals"
        raise Invalid(f"{name} {problem}.", details=[Detail(name, problem)])


def delete(*, access: Access, project: Project, at: datetime) -> None:
    """Delete a project in which nothing runs: its name is free, its tokens and keys end.

    Raise Forbidden, NotFound where somebody was faster, and what a later stage refuses it for.
    """
    access.require_admin(project)
    with transaction.atomic():
        # Who inserts a run of the project waits here, and then finds it deleted.
        row = Project.objects.select_for_update().filter(pk=project.pk, deleted_at=None).first()
        if row is None:
            raise NotFound(f"There is no project {project.name!r}.")
        for hook in _deleted_hooks:
            hook(row)
        Token.objects.filter(project=row, revoked_at=None).update(revoked_at=at)
        Member.objects.filter(project=row).delete()
        name, row.deleted_at = row.name, at
        # No project can be named so, since `~` is in no name.
        row.name = f"{name[:30]}~{row.pk}"
        row.save(update_fields=["name", "deleted_at"])
        grants_changed()
    logger.info("project %s was deleted by %s", name, access.actor)
