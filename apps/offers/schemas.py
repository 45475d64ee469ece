"""What the API says of offers."""

from __future__ import annotations

from datetime import date, datetime

from ninja import Schema


class GpuOut(Schema):
    """Memory is that of each: what it is sold with, and what its driver says where it is known."""

    name: str
    count: int
    memory_mib: int
    measured_memory_mib: int | None


class OfferOut(Schema):
    backend: str
    region: str
    instance: str
    resources: str
    gpu: GpuOut | None
    spot: bool
    price_usd_per_hour: float
    availability: str


class BlockOut(Schema):
    """Why an offer is not asked for now: the kind of the refusal, its words, and until when: null
    where that is not a matter of time."""

    kind: str
    reason: str
    until: datetime | None


class ListedOffer(OfferOut):
    """Of a cloud: who said the price, of which day it is, and whether that is long ago."""

    connected: bool
    priced_at: date | None
    source: str | None
    is_stale: bool
    blocked: BlockOut | None


class OfferList(Schema):
    """`silent` are the backends that did not answer, with the reason; `why_none` and `note`
    are sentences. `why_not` counts, by reason, what does not fit; it comes with the first page."""

    items: list[ListedOffer]
    total_offers: int
    max_price_usd_per_hour: float | None
    silent: dict[str, str]
    why_none: str | None
    why_not: list[str]
    note: str | None
    next_cursor: str | None


class GroupOut(Schema):
    """A key that was not asked for is null."""

    gpu: str | None
    backend: str | None
    region: str | None
    offers: int
    min_price_usd_per_hour: float
    max_price_usd_per_hour: float


class GroupList(Schema):
    items: list[GroupOut]
    next_cursor: str | None
