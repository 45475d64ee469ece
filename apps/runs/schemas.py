"""What the API of runs takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from ninja import Schema
from pydantic import Field

from apps.offers.schemas import OfferOut

LeftOut = Annotated[str, Field(max_length=300)]


class PlanIn(Schema):
    configuration: str = Field(max_length=2_000_000)
    name: str | None = Field(None, max_length=100)
    env: dict[str, str] = Field({}, max_length=10_000)
    profile: dict[str, Any] = Field({}, max_length=1000)
    overrides: dict[str, Any] = Field({}, max_length=1000)
    upload: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    # Deploy again where nothing differs: new replicas, and a moved tag of the image is pulled anew.
    force: bool = False
    # What who packed the upload left out by itself: told again in the plan, for people.
    left_out: list[LeftOut] = Field([], max_length=100)


class SubmitIn(PlanIn):
    plan_id: str | None = Field(None, max_length=500)


class AttemptOut(Schema):
    """An offer that could not be had."""

    backend: str
    region: str
    instance: str
    spot: bool
    reason: str


class ReplicaOut(Schema):
    """`phase` says where it and its machine stand, `phase_since` since when; `placed_why` why it is
    not on the cheapest offer."""

    num: int
    state: str
    backend: str
    region: str
    instance: str
    resources: str
    spot: bool
    placed_why: str
    price_usd_per_hour: float
    cost_usd: float
    version: int
    phase: str
    phase_since: datetime | None
    tried: list[AttemptOut]
    started_at: datetime | None
    ready_at: datetime | None
    finished_at: datetime | None
    exit_code: int | None
    message: str | None
    last_lines: list[str]


class RunOut(Schema):
    """`ends_at` is when it ends by itself, by its `max_duration`."""

    id: str
    name: str
    project: str
    user: str
    state: str
    url: str
    path_url: str
    model_url: str | None
    version: int
    replicas_wanted: int
    replicas: list[ReplicaOut]
    price_usd_per_hour: float
    cost_usd: float
    error: str | None
    notice: str | None
    schedule: str | None
    ends_at: datetime | None
    fallback_version: int | None
    last_lines: list[str]
    created_at: datetime
    finished_at: datetime | None


class RunList(Schema):
    items: list[RunOut]
    next_cursor: str | None


class DifferenceOut(Schema):
    path: str
    old: str
    new: str
    in_place: bool


class VersionOut(Schema):
    version: int
    is_current: bool
    user: str
    created_at: datetime
    note: str
    failed_at: datetime | None
    reason: str | None
    last_lines: list[str]
    against: int | None
    differences: list[DifferenceOut]


class VersionList(Schema):
    items: list[VersionOut]


class RollbackIn(Schema):
    to: int | None = Field(None, ge=1, le=2_000_000_000)


class PlanOut(Schema):
    plan_id: str
    name: str
    project: str
    user: str
    action: str
    rollout: bool
    differences: list[DifferenceOut]
    current: RunOut | None
    spec: dict[str, Any]
    offers: list[OfferOut]
    total_offers: int
    max_price_usd_per_hour: float | None
    url: str
    model_url: str | None
    shell: str | None
    warnings: list[str]
    left_out: list[str]


class StopIn(Schema):
    abort: bool = False


class ScaleIn(Schema):
    replicas: str | int


class ScalePlanOut(Schema):
    """`before` is the number of replicas that the run should have now."""

    before: int
    replicas: str
    warnings: list[str]


class EventOut(Schema):
    at: datetime
    kind: str
    run: str | None
    subject: str
    replica: int | None
    old: str | None
    new: str
    reason: str
    actor: str | None


class EventList(Schema):
    items: list[EventOut]
    next_cursor: str | None


class UploadOut(Schema):
    hash: str
    size_bytes: int


class NeedOut(Schema):
    run: str
    version: int


class StoredUploadOut(UploadOut):
    created_at: datetime
    used_at: datetime
    needed_by: list[NeedOut]


class UploadList(Schema):
    """`used_bytes` and `quota_bytes` are of all uploads of the project."""

    items: list[StoredUploadOut]
    next_cursor: str | None
    used_bytes: int
    quota_bytes: int
