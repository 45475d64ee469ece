"""Own hosts of a project: adding and removing them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Router, Schema, Status
from pydantic import ConfigDict

from apps.accounts import access as accounts
from apps.hosts import queries, services
from apps.hosts.models import Host

router = Router()
ALL = "/projects/{project}/hosts"
ONE = ALL + "/{host}"


class NewHost(Schema):
    """`address` is USER@ADDRESS or USER@ADDRESS:PORT, `jump` likewise; `key` the private key that
    the host lets in, without a passphrase. Without one it is the server's own `public_key`."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    address: str = Field(max_length=400)
    key: str | None = Field(default=None, max_length=64 * 1024)
    jump: str | None = Field(default=None, max_length=400)
    price_usd_per_hour: float = 0.0
    name: str | None = Field(default=None, max_length=100)


class AcceptedKey(Schema):
    """The `offered_fingerprint` of the host, as it is on the machine itself."""

    model_config = ConfigDict(extra="forbid")

    fingerprint: str = Field(max_length=100)


class HostStep(Schema):
    """`state` is ok, warned or failed."""

    name: str
    state: str
    text: str


class HostGpu(Schema):
    name: str
    count: int
    memory_mib: int


class HostRunning(Schema):
    run: str
    replica: int | None


class OwnHostOut(Schema):
    """`state` is checking, installing, starting, active, failed, removing or removed; `status` says
    of an active one how its agent does. `executors` are "docker" and "process", as far as services
    can run there as such. `key` is "given" or "server". `offered_fingerprint` is that
    of a host key which is another one than was known: of the host, or of its jump host. `left_over`
    is what a removal had to leave there; its agent calls, and is told to go, at
    `told_to_leave_at`."""

    name: str
    state: str
    status: str
    state_since: datetime
    user: str
    address: str
    port: int
    jump: str | None
    key: str
    fingerprint: str | None
    offered_fingerprint: str | None
    price_usd_per_hour: float
    resources: str | None
    executors: list[str]
    gpus: list[HostGpu]
    running: list[HostRunning]
    progress: list[HostStep]
    reported_at: datetime | None
    error: str | None
    left_over: str | None
    told_to_leave_at: datetime | None
    created_at: datetime


class OwnHostList(Schema):
    """`public_key` is the server's for this project: to be put into ~/.ssh/authorized_keys."""

    items: list[OwnHostOut]
    next_cursor: str | None
    public_key: str


@router.get(ALL, response=OwnHostList, summary="List hosts")
def list_hosts(request: HttpRequest, project: str) -> dict[str, Any]:
    """The project's own machines, which people added by ssh."""
    where = accounts.of(request).project(project)
    rows = queries.shown(where, list(queries.hosts_of(where)))
    items = [queries.host_json(row) for row in rows]
    return {"items": items, "next_cursor": None, "public_key": queries.public_key(where)}


@router.post(ALL, response={202: OwnHostOut}, summary="Add a host")
def add_host(request: HttpRequest, project: str, body: NewHost) -> Status[dict[str, Any]]:
    """It is checked over ssh and gets its agent; `progress` tells how far that is. Again, it is
    checked anew."""
    access = accounts.of(request)
    where = access.project(project)
    new = services.NewHost(
        where=body.address,
        key=body.key or "",
        jump=body.jump or "",
        price_usd_per_hour=body.price_usd_per_hour,
        name=body.name or "",
    )
    host = services.add(access=access, project=where, new=new, at=timezone.now())
    return Status(202, _json(host))


@router.get(ONE, response=OwnHostOut, summary="Show a host")
def show_host(request: HttpRequest, project: str, host: str) -> dict[str, Any]:
    """One that was removed is shown too, with what is left there."""
    return _json(queries.named(accounts.of(request).project(project), host))


@router.delete(ONE, response={202: OwnHostOut}, summary="Remove a host")
def remove_host(request: HttpRequest, project: str, host: str) -> Status[dict[str, Any]]:
    """What runs there is cut off and placed elsewhere; then our agent is taken off the machine."""
    access = accounts.of(request)
    found = queries.named(access.project(project), host)
    return Status(202, _json(services.remove(access=access, host=found, at=timezone.now())))


@router.post(ONE + "/accept-key", response={202: OwnHostOut}, summary="Accept a host key")
def accept_key(
    request: HttpRequest, project: str, host: str, body: AcceptedKey
) -> Status[dict[str, Any]]:
    """Believe the key that a host shows since it was set up anew; it is checked again."""
    access = accounts.of(request)
    found = queries.named(access.project(project), host)
    accepted = services.accept_key(
        access=access, host=found, fingerprint=body.fingerprint, at=timezone.now()
    )
    return Status(202, _json(accepted))


def _json(host: Host) -> dict[str, Any]:
    (row,) = queries.shown(host.project, [host])
    return queries.host_json(row)
