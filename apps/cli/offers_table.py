"""The table of offers."""

from __future__ import annotations

from collections.abc import Sequence

from apps.cli.answers import Offer
from apps.cli.table import Cell, table
from apps.cli.words import price

COLUMNS = ("#", "BACKEND", "REGION", "INSTANCE", "RESOURCES", "SPOT", "PRICE", "")


def offers_table(offers: Sequence[Offer], *, total: int, max_price: float | None) -> str:
    """This function will lay out offers and say how many more there are, and up to which price."""
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
        Cell("" if offer.availability == "available" else offer.availability, "yellow"),
    ]
