"""The table of offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.cli.answers import Offer
from apps.cli.render.table import Cell, table
from apps.cli.render.words import moment, price

GROUPED_BY = ("gpu", "backend", "region")
COLUMNS = ("#", "BACKEND", "REGION", "INSTANCE", "RESOURCES", "SPOT", "PRICE", "")


# Of most clouds nobody knows before asking for a machine.
UNREMARKABLE = ("available", "unknown")


def offers_table(offers: Sequence[Offer], *, total: int, max_price: float | None) -> str:
    """Lay out offers and say how many more there are, and up to which price."""
    rows = [_row(number, offer) for number, offer in enumerate(offers, start=1)]
    more = ["    ..."] if total > len(offers) else []
    limit = f", {price(max_price)} max" if max_price is not None else ""
    return "\n".join(
        [table(COLUMNS, rows), *more, f" Shown {len(offers)} of {total} offers{limit}"]
    )


def _row(number: int, offer: Offer) -> list[str | Cell]:
    return [
        str(number),
        offer.backend,
        offer.region,
        offer.instance,
        offer.resources,
        "yes" if offer.spot else "no",
        price(offer.price_usd_per_hour),
        Cell(_remark(offer), "yellow"),
    ]


def _remark(offer: Offer) -> str:
    if offer.blocked_why and not offer.blocked_until:
        return f"cannot be used: {offer.blocked_why}"
    if offer.blocked_until:
        at = moment(offer.blocked_until)
        until = f"{at.astimezone():%H:%M}" if at else offer.blocked_until
        return f"blocked until {until}: {offer.blocked_why}"
    if not offer.connected:
        return f"not connected, price of {offer.priced_at}"
    if offer.is_stale:
        return f"price of {offer.priced_at}, which may be out of date"
    return "" if offer.availability in UNREMARKABLE else offer.availability


def groups_table(groups: Sequence[Mapping[str, Any]]) -> str:
    """Lay out groups of offers: what they share, how many they are, and their prices."""
    keys = [key for key in GROUPED_BY if any(group.get(key) for group in groups)]
    rows = [[*(str(group.get(key)) for key in keys), *_counted(group)] for group in groups]
    return table([*(key.upper() for key in keys), "OFFERS", "PRICE"], rows)


def _counted(group: Mapping[str, Any]) -> list[str]:
    least, most = (price(group.get(f"{edge}_price_usd_per_hour")) for edge in ("min", "max"))
    return [str(group.get("offers")), least if least == most else f"{least}..{most}"]
