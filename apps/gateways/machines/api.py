"""Gateways of a project: the server's own, which is made at its first start, and those on machines
of clouds and on hosts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema, Status

from apps.accounts import access as accounts
from apps.gateways import queries
from apps.gateways.machines import verbs
from apps.gateways.machines.showing import gateway_json, publication_of

router = Router()

ALL = "/projects/{project}/gateways"
ONE = ALL + "/{gateway}"


class DnsOut(Schema):
    """The record to make; `answer` is what a resolver said of the name `asked`. `made_by` is the
    backend by which this server makes it, `error` why it cannot."""

    name: str
    type: str
    value: str
    asked: str
    answer: str | None
    asked_at: datetime | None
    is_right: bool
    made_by: str | None
    error: str | None


class CertificatesOut(Schema):
    """How many hosts have a good certificate, wait for one or failed to get one."""

    valid: int
    pending: int
    failed: int
    first_expires_at: datetime | None


class GatewayOut(Schema):
    """`step` is what goes on until it serves; `is_current`: it runs this server's version. `runs`
    are the project's services there; `machine` is that of a gateway on a machine, `host` the one on
    which it stands, which is its region too."""

    name: str
    state: str
    state_since: datetime
    backend: str
    region: str
    host: str | None
    address: str
    domain: str
    default: bool
    error: str | None
    machine: str | None
    machine_state: str | None
    price_usd_per_hour: float | None
    version: str | None
    is_current: bool
    step: str | None
    tunnels: int
    certificates: CertificatesOut
    dns: DnsOut | None
    runs: list[str]
    reported_at: datetime | None
    created_at: datetime


class GatewayList(Schema):
    items: list[GatewayOut]
    next_cursor: str | None


class NewGateway(Schema):
    """On `host`, or on a machine of `backend` in `region`; services are names below `domain`. With
    `dns`, a backend that manages DNS, its records are made there. Where `default` is left out, the
    first gateway that a project makes is its default one."""

    domain: str
    backend: str = ""
    region: str = ""
    name: str = ""
    default: bool | None = None
    host: str = ""
    dns: str = ""


class ChangedGateway(Schema):
    domain: str | None = None
    default: bool | None = None
    dns: str | None = None


@router.get(ALL, response=GatewayList, summary="List gateways")
def list_gateways(request: HttpRequest, project: str) -> dict[str, Any]:
    access = accounts.of(request)
    found = queries.gateways_of(access.project(project)).select_related("project")
    return {"items": [gateway_json(access, each) for each in found], "next_cursor": None}


@router.post(ALL, response={202: GatewayOut}, summary="Create a gateway")
def create_gateway(request: HttpRequest, project: str, body: NewGateway) -> Status[dict[str, Any]]:
    """On a machine of its own, made in some minutes, or on a host: follow its state. For the
    project's admins."""
    access = accounts.of(request)
    where = access.project(project)
    wanted = verbs.Wanted(**body.dict())
    made = verbs.create(access=access, project=where, wanted=wanted, at=timezone.now())
    return Status(202, gateway_json(access, publication_of(access, project, made.name)))


@router.get(ONE, response=GatewayOut, summary="Show a gateway")
def show_gateway(request: HttpRequest, project: str, gateway: str) -> dict[str, Any]:
    access = accounts.of(request)
    return gateway_json(access, publication_of(access, project, gateway))


@router.patch(ONE, response=GatewayOut, summary="Change a gateway")
def change_gateway(
    request: HttpRequest, project: str, gateway: str, body: ChangedGateway
) -> dict[str, Any]:
    """Give it another domain, make it the project's default, have its records made by the backend
    `dns`, or, with an empty text, taken away. It goes on meanwhile."""
    access = accounts.of(request)
    found = publication_of(access, project, gateway)
    verbs.update(access=access, publication=found, **body.dict())
    return gateway_json(access, publication_of(access, project, gateway))


@router.delete(ONE, response={202: GatewayOut}, summary="Delete a gateway")
def delete_gateway(request: HttpRequest, project: str, gateway: str) -> Status[dict[str, Any]]:
    """Its services lose their public address at once; it is gone when it is listed no more."""
    access = accounts.of(request)
    found = publication_of(access, project, gateway)
    verbs.delete(access=access, publication=found, at=timezone.now())
    return Status(202, gateway_json(access, publication_of(access, project, gateway)))


@router.post(ONE + "/upgrade", response={202: GatewayOut}, summary="Upgrade a gateway")
def upgrade_gateway(request: HttpRequest, project: str, gateway: str) -> Status[dict[str, Any]]:
    """To this server's version, which happens by itself too: `is_current` says when it is there. It
    goes on meanwhile."""
    access = accounts.of(request)
    found = publication_of(access, project, gateway)
    verbs.upgrade(access=access, publication=found)
    return Status(202, gateway_json(access, publication_of(access, project, gateway)))


@router.post(ONE + "/retry", response={202: GatewayOut}, summary="Try again to make a gateway")
def retry_gateway(request: HttpRequest, project: str, gateway: str) -> Status[dict[str, Any]]:
    """Where no machine could be had for it."""
    access = accounts.of(request)
    found = publication_of(access, project, gateway)
    verbs.retry(access=access, publication=found, at=timezone.now())
    return Status(202, gateway_json(access, publication_of(access, project, gateway)))
