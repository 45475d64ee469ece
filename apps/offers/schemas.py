"""What the API says of offers."""

from __future__ import annotations

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


class OfferList(Schema):
    """`silent` are the backends that did not answer, with the reason; `why_none` is a sentence."""

    items: list[OfferOut]
    total_offers: int
    max_price_usd_per_hour: float | None
    silent: dict[str, str]
    why_none: str | None
    next_cursor: str | None
