"""What the API says of machines."""

from __future__ import annotations

from datetime import datetime

from ninja import Schema


class RunningOut(Schema):
    run: str
    replica: int | None
    state: str
    gateway: str = ""


class CacheOut(Schema):
    """Model files that a machine keeps for a project; `bytes` is null before they were measured."""

    project: str
    bytes: int | None
    used_at: datetime | None
    clearing: bool


class InstanceOut(Schema):
    """`running` are the project's own replicas; `running_of_others` counts those of other projects
    on the server's own machine. `caches` are the project's, for admins of the server those of all.
    `attempts` counts calls of the backend that failed in a row. `cloud_id` and `cloud_page` are
    what its cloud calls it and where it shows it, to who may change the backend."""

    name: str
    state: str
    state_since: datetime
    backend: str
    region: str
    zone: str | None
    cloud_id: str | None
    cloud_page: str | None
    instance: str
    resources: str
    spot: bool
    price_usd_per_hour: float
    cost_usd: float
    shared: bool
    running: list[RunningOut]
    running_of_others: int
    caches: list[CacheOut]
    idle_until: datetime | None
    reported_at: datetime | None
    attempts: int
    next_try_at: datetime | None
    error: str | None
    created_at: datetime


class UnknownMachineOut(Schema):
    """A machine in a cloud that carries this server's id and that its database does not know;
    `ends_at` is when it is ended, null where it is left to people."""

    backend: str
    ref: str
    name: str
    tags: dict[str, str]
    first_seen_at: datetime
    ends_at: datetime | None
    error: str | None


class InstanceList(Schema):
    """`unknown_machines` are told to admins of the server alone."""

    items: list[InstanceOut]
    next_cursor: str | None
    unknown_machines: list[UnknownMachineOut]


class InstanceEventOut(Schema):
    at: datetime
    old: str | None
    new: str
    reason: str
    actor: str | None


class InstanceSaidOut(Schema):
    at: datetime
    kind: str
    text: str


class InstanceDetail(InstanceOut):
    """`console_tail` is the end of what the machine wrote to its console, where it is known;
    `cloud_said` what a cloud that projects share said of it, to admins of the server."""

    cloud_said: list[InstanceSaidOut]
    console_tail: str
    events: list[InstanceEventOut]
