"""What the API says of offers."""

from __future__ import annotations

from datetime import date

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


class ListedOffer(OfferOut):
    """Of a cloud that is not connected: who said the price, and of which day it is."""

    connected: bool
    priced_at: date | None
    source: str | None


class OfferList(Schema):
    """`silent` are the backends that did not answer, with the reason; `why_none` and `note`
    are sentences."""

    items: list[ListedOffer]
    total_offers: int
    max_price_usd_per_hour: float | None
    silent: dict[str, str]
    why_none: str | None
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
