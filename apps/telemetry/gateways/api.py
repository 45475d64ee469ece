"""What a gateway carries and writes, over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema

from apps.accounts import access as accounts
from apps.gateways import queries as gateways
from apps.telemetry.gateways import queries

router = Router()

ONE = "/projects/{project}/gateways/{gateway}"
MOST_LINES = 1000


class GatewayTraffic(Schema):
    """Of the last minute, all services of the gateway together; None where nothing was asked.
    Errors are answers of 5xx, refusals those of 4xx."""

    rps: float
    p95_ms: float | None
    errors_percent: float | None
    refused_percent: float | None


class GatewayLine(Schema):
    at: datetime
    text: str


class GatewayLog(Schema):
    items: list[GatewayLine]
    next_cursor: str | None


@router.get(ONE + "/traffic", response=GatewayTraffic, summary="Traffic of a gateway")
def gateway_traffic(request: HttpRequest, project: str, gateway: str) -> dict[str, Any]:
    """Of a gateway that several projects share, a project sees its own; admins of the server see
    all."""
    access = accounts.of(request)
    where = access.project(project)
    found = gateways.named(where, gateway)
    return asdict(queries.figures(access, where, found, at=timezone.now()))


@router.get(ONE + "/logs", response=GatewayLog, summary="Last lines of a gateway's log")
def gateway_logs(
    request: HttpRequest,
    project: str,
    gateway: str,
    limit: Annotated[int, Query(ge=1, le=MOST_LINES)] = 100,
) -> dict[str, Any]:
    """What its program wrote on its machine, oldest line first. For those who may change it."""
    access = accounts.of(request)
    where = access.project(project)
    found = gateways.named(where, gateway)
    gateways.require_manage(access, where, found)
    lines = queries.log_tail(found, limit=limit)
    return {"items": [{"at": each.time, "text": each.text} for each in lines], "next_cursor": None}
