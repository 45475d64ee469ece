"""Azure's retail prices on loopback, after the documentation of the list; of its filter the region
alone is read. It was never held against Azure itself.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

# Where the real list says that its next page is: nobody may go there.
ELSEWHERE = "https://prices.azure.invalid:443/api/retail/prices"


def row(size: str, usd: Any, region: str = "eastus", **changes: Any) -> dict[str, Any]:
    """One row, on demand on Linux unless `changes` say otherwise."""
    short = size.removeprefix("Standard_").replace("_", " ")
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": usd,
        "unitPrice": usd,
        "armRegionName": region,
        "location": "US East",
        "effectiveStartDate": "2025-01-01T00:00:00Z",
        "meterId": "000a794b-bdb0-58be-a0cd-0c3a0f222923",
        "meterName": short,
        "productId": "DZH318Z0BQPS",
        "skuId": "DZH318Z0BQPS/00TG",
        "productName": "Virtual Machines Dsv5 Series",
        "skuName": short,
        "serviceName": "Virtual Machines",
        "serviceId": "DZH313Z7MMC8",
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": size,
        **changes,
    }


def spot(size: str, usd: Any, region: str = "eastus", **changes: Any) -> dict[str, Any]:
    plain = row(size, usd, region)
    names = {key: f"{plain[key]} Spot" for key in ("skuName", "meterName")}
    return {**plain, **names, **changes}


@dataclass
class PriceList:
    """`answers` are taken, one for each request, before the list itself is: status, headers, body.

    `page` is how many rows are on one; `asked` holds the path and query of each request.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    page: int = 2
    url: str = ""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(path)
        if self.answers:
            return self.answers.pop(0)
        query = parse_qs(urlsplit(path).query)
        found = re.search(r"armRegionName eq '([a-z0-9]+)'", query["$filter"][0])
        region, start = found[1] if found else "", int(query.get("$skip", ["0"])[0])
        items = [each for each in self.rows if each["armRegionName"] == region]
        after = start + self.page
        more = f"{ELSEWHERE}?$skip={after}" if after < len(items) else None
        return 200, {}, page_of(items[start:after], more)


def page_of(items: list[Any], more: str | None, **changes: Any) -> bytes:
    content = {
        "BillingCurrency": "USD",
        "CustomerEntityId": "Default",
        "CustomerEntityType": "Retail",
        "Items": items,
        "NextPageLink": more,
        "Count": len(items),
        **changes,
    }
    return json.dumps(content).encode()


@contextmanager
def serving() -> Iterator[PriceList]:
    prices = PriceList()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = prices.answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: the output is that of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    prices.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield prices
    finally:
        server.shutdown()
        server.server_close()
