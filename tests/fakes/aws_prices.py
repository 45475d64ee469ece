"""AWS's GetProducts, which moto does not have: written by hand after the example of the call in
botocore's own data (pricing/2017-10-15/examples-1.json), and never held against AWS itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

PAGE = 2


def get_products(asked: Mapping[str, Any], prices: Mapping[tuple[str, str], object]) -> str:
    """Answer with the prices by region and instance; a text is an item of the list as it is."""
    wanted = {each["Field"]: each["Value"] for each in asked["Filters"]}
    region = wanted["regionCode"]
    items = [
        price if isinstance(price, str) else product(region, instance, price)
        for (of_region, instance), price in sorted(prices.items())
        if of_region == region
    ]
    start = int(asked.get("NextToken", "0"))
    after = start + PAGE
    more = {"NextToken": str(after)} if after < len(items) else {}
    return json.dumps({"FormatVersion": "aws_v1", "PriceList": items[start:after], **more})


def product(region: str, instance: str, usd: object, **attributes: str) -> str:
    """One item of a price list: a JSON text."""
    sku, term = "WQGC34PB2AWS8R4U", "JRTCKXETXF"
    dimension = {
        "unit": "Hrs",
        "endRange": "Inf",
        "description": f"${usd} per On Demand Linux {instance} Instance Hour",
        "appliesTo": [],
        "rateCode": f"{sku}.{term}.6YS6EN2CT7",
        "beginRange": "0",
        "pricePerUnit": {"USD": f"{usd}"},
    }
    return json.dumps(
        {
            "product": {
                "productFamily": "Compute Instance",
                "attributes": {
                    "instanceType": instance,
                    "regionCode": region,
                    "operatingSystem": "Linux",
                    "tenancy": "Shared",
                    "preInstalledSw": "NA",
                    "capacitystatus": "Used",
                    "marketoption": "OnDemand",
                    "locationType": "AWS Region",
                    "servicecode": "AmazonEC2",
                    **attributes,
                },
                "sku": sku,
            },
            "serviceCode": "AmazonEC2",
            "terms": {
                "OnDemand": {
                    f"{sku}.{term}": {
                        "priceDimensions": {f"{sku}.{term}.6YS6EN2CT7": dimension},
                        "sku": sku,
                        "effectiveDate": "2026-11-01T00:00:00Z",
                        "offerTermCode": term,
                        "termAttributes": {},
                    }
                }
            },
            "version": "20261101000000",
            "publicationDate": "2026-11-01T00:00:00Z",
        }
    )
