"""What the API says of offers."""

from __future__ import annotations

from ninja import Schema


class OfferOut(Schema):
    backend: str
    region: str
    instance: str
    resources: str
    spot: bool
    price_usd_per_hour: float
    availability: str


class OfferList(Schema):
    """`silent` names the backends that did not answer, and why."""

    items: list[OfferOut]
    total_offers: int
    max_price_usd_per_hour: float | None
    silent: dict[str, str]
    next_cursor: str | None
