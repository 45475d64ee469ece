"""What scaling decided, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema

from apps.accounts import access as accounts
from apps.autoscaling import queries
from apps.autoscaling.models import Decision
from apps.core.http import paging
from apps.runs import queries as runs

router = Router()


class DecisionOut(Schema):
    """`kind` is up, panic, down, wake, idle, range, or, without a change, limit, project (its limit
    on machines) or blind."""

    at: datetime
    before: int
    wanted: int
    ready: int
    kind: str
    reason: str


class DecisionList(Schema):
    items: list[DecisionOut]
    next_cursor: str | None


@router.get(
    "/projects/{project}/runs/{name}/decisions",
    response=DecisionList,
    summary="What scaling decided",
)
def decisions(
    request: HttpRequest,
    project: str,
    name: str,
    limit: int = paging.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Decisions on the newest run of that name, newest first, with their reasons."""
    run = runs.find_run(accounts.of(request).project(project), name)
    page = paging.page(queries.decisions_of(run), by="-id", limit=limit, cursor=cursor)
    return page.as_json(_json)


def _json(decision: Decision) -> dict[str, Any]:
    names = ("at", "before", "ready", "kind", "reason")
    found = {name: getattr(decision, name) for name in names}
    return {**found, "wanted": decision.desired_replicas}
