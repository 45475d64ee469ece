"""What machines cost on demand: the answers of GetProducts, read. Pure.

Each item of a price list is a JSON text with one product and its terms, as botocore's examples of
the call show. What cannot be read is left out: a price that is missing hides an offer, a wrong one
costs money.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

# Where the price list answers; it knows the prices of all regions.
HOME = "us-east-1"
SERVICE = "AmazonEC2"
# Linux on a machine that is shared with other accounts, without software or a reservation.
ATTRIBUTES = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
PAGE = 100


def question(region: str) -> dict[str, Any]:
    """Return what GetProducts is asked for the machines of a region."""
    filters = {**ATTRIBUTES, "regionCode": region}
    return {
        "ServiceCode": SERVICE,
        "FormatVersion": "aws_v1",
        "Filters": [
            {"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in filters.items()
        ],
        "MaxResults": PAGE,
    }


def read(items: Iterable[str], region: str) -> Iterator[tuple[str, float]]:
    """Return instance types with their price in USD per hour."""
    for text in items:
        try:
            item = json.loads(text)
            attributes = item["product"]["attributes"]
            wanted = {**ATTRIBUTES, "regionCode": region}
            if any(attributes.get(name, value) != value for name, value in wanted.items()):
                continue
            prices = list(_hourly(item["terms"]["OnDemand"]))
            instance = attributes["instanceType"]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if len(prices) == 1 and isinstance(instance, str):
            yield instance, prices[0]


def _hourly(terms: dict[str, Any]) -> Iterator[float]:
    for term in terms.values():
        for dimension in term["priceDimensions"].values():
            price = float(dimension["pricePerUnit"]["USD"])
            if dimension["unit"] == "Hrs" and 0 < price < 100_000:
                yield price
