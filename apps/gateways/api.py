"""Gateways of a project, read only: the server's own gateway is made at its first start."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema

from apps.accounts import access as accounts
from apps.gateways import queries
from apps.gateways.models import Publication

router = Router()


class GatewayOut(Schema):
    name: str
    backend: str
    region: str
    address: str
    domain: str
    default: bool
    error: str | None
    reported_at: datetime | None
    created_at: datetime


class GatewayList(Schema):
    items: list[GatewayOut]
    next_cursor: str | None


@router.get("/projects/{project}/gateways", response=GatewayList)
def gateways(request: HttpRequest, project: str) -> dict[str, Any]:
    found = queries.gateways_of(accounts.of(request).project(project))
    return {"items": [_json(publication) for publication in found], "next_cursor": None}


def _json(publication: Publication) -> dict[str, Any]:
    gateway = publication.gateway
    return {
        "name": gateway.name,
        "backend": gateway.backend,
        "region": gateway.region,
        "address": gateway.address,
        "domain": gateway.domain,
        "default": publication.is_default,
        "error": gateway.error or None,
        "reported_at": gateway.reported_at,
        "created_at": gateway.created_at,
    }
