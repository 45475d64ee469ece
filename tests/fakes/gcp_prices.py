"""Items of Google's price list, in the words of 2026; what they cost is made up."""

from __future__ import annotations

from typing import Any

REGIONS = ("us-central1", "us-east1")


def sku(
    description: str,
    usd: float,
    *,
    spot: bool = False,
    usage: str = "",
    unit: str = "h",
    regions: tuple[str, ...] = REGIONS,
) -> dict[str, Any]:
    """One item of the list."""
    price = {"currencyCode": "USD", "units": str(int(usd)), "nanos": round(usd % 1 * 1e9)}
    expression = {
        "usageUnit": unit,
        "usageUnitDescription": "hour",
        "baseUnit": "s",
        "displayQuantity": 1,
        "tieredRates": [{"startUsageAmount": 0, "unitPrice": price}],
    }
    return {
        "name": "services/6F81-5844-456A/skus/0009-6F35-3126",
        "skuId": "0009-6F35-3126",
        "description": description,
        "category": {
            "serviceDisplayName": "Compute Engine",
            "resourceFamily": "Compute",
            "resourceGroup": "CPU",
            "usageType": usage or ("Preemptible" if spot else "OnDemand"),
        },
        "serviceRegions": list(regions),
        "pricingInfo": [{"effectiveTime": "2026-11-01T00:00:00Z", "pricingExpression": expression}],
        "serviceProviderName": "Google",
    }


def some() -> list[dict[str, Any]]:
    """Enough for most types of the fake, among much that is no part of a machine of ours."""
    where = "running in Americas"
    return [
        sku(f"E2 Instance Core {where}", 0.02),
        sku(f"E2 Instance Ram {where}", 0.003, unit="GiBy.h"),
        sku(f"Spot Preemptible E2 Instance Core {where}", 0.006, spot=True),
        sku(f"Spot Preemptible E2 Instance Ram {where}", 0.001, spot=True, unit="GiBy.h"),
        sku(f"N1 Predefined Instance Core {where}", 0.03),
        sku(f"N1 Predefined Instance Ram {where}", 0.004, unit="GiBy.h"),
        sku(f"N2 Instance Core {where}", 0.04),  # Its memory has no price.
        sku(f"N2 Custom Instance Ram {where}", 0.01, unit="GiBy.h"),
        sku(f"T2A Arm Instance Core {where}", 0.01),
        sku(f"T2A Arm Instance Ram {where}", 0.002, unit="GiBy.h"),
        sku(f"G2 Instance Core {where}", 0.025),
        sku(f"G2 Instance Ram {where}", 0.003, unit="GiBy.h"),
        sku(f"A2 Instance Core {where}", 0.03),
        sku(f"A2 Instance Ram {where}", 0.004, unit="GiBy.h"),
        sku(f"A3 Instance Core {where}", 0.03),
        sku(f"A3 Instance Ram {where}", 0.002, unit="GiBy.h"),
        sku(f"Nvidia Tesla T4 GPU {where}", 0.35),
        sku(f"Nvidia L4 GPU {where}", 0.56),
        sku(f"Nvidia Tesla A100 GPU {where}", 2.5),
        sku(f"Nvidia Tesla A100 80GB GPU {where}", 3.9),
        sku(f"Nvidia H100 80GB GPU {where}", 9.8),
        sku(f"Nvidia L4 GPU attached to Spot Preemptible VMs {where}", 0.22, spot=True),
        sku("SSD backed Local Storage", 0.08, unit="GiBy.mo"),
        sku(f"E2 Instance Core {where}", 9.0, usage="Commit1Yr"),
        sku(f"Sole Tenancy E2 Instance Core {where}", 9.0),
        sku(f"C4 Instance Core {where}", 0.05),
        sku(f"C4 Instance Ram {where}", 0.004, unit="GiBy.h"),
        sku(f"C4 Instance Ram {where}", 0.005, unit="GiBy.h"),  # Two prices: which one holds?
        {"description": "Nothing that can be read"},
    ]
