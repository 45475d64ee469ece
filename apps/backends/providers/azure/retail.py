"""Azure's public list of retail prices: all pages of one region, or an error.

A list of which a page is missing is no list: a size that is left out would vanish from the catalog.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from apps.backends.base import ErrorKind, ProviderError, Scope

BASE = "https://prices.azure.com"
ENDPOINT = "DSTACK_AZURE_ENDPOINT"
PATH = "/api/retail/prices"
VERSION = "2023-01-01-preview"
REGION = re.compile(r"[a-z0-9]{1,64}", re.ASCII)
CONNECT_SECONDS, READ_SECONDS, ALL_SECONDS = 5.0, 20.0, 90.0
# A region has some five thousand rows, a thousand of them on a page.
MOST_PAGES, MOST_BYTES = 60, 16 * 2**20
TRIES, LONGEST_WAIT = 4, 30.0


def rows(region: str) -> list[Mapping[str, Any]]:
    """Return every row of a region's machines. Raise ProviderError where not all can be had."""
    if not REGION.fullmatch(region):
        raise _unusable(f"has no region of such a name: {region[:64]!r}")
    until = time.monotonic() + ALL_SECONDS
    found: list[Mapping[str, Any]] = []
    skip = 0
    with httpx.Client(timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)) as client:
        for _ in range(MOST_PAGES):
            page = _page(client, region, skip, until)
            found += page["Items"]
            following = page.get("NextPageLink")
            if not following:
                return found
            skip, before = _skip(following), skip
            if skip <= before:
                raise _unusable("repeats a page of its list")
    raise _unusable(f"has more than {MOST_PAGES} pages of {region}")


def _page(client: httpx.Client, region: str, skip: int, until: float) -> Mapping[str, Any]:
    """Return one page; one that is refused for a while is asked for again."""
    for left in reversed(range(TRIES)):
        answer = _asked(client, region, skip, until)
        if answer.status_code == 200:
            return _content(answer)
        if answer.status_code != 429 and answer.status_code < 500:
            break
        pause = _wait(answer)
        if not left or time.monotonic() + pause > until:
            break
        time.sleep(pause)
    is_busy = answer.status_code == 429
    kind = ErrorKind.THROTTLED if is_busy else ErrorKind.UNREACHABLE
    raise _error(f"answered {answer.status_code}", kind)


def _asked(client: httpx.Client, region: str, skip: int, until: float) -> httpx.Response:
    """Ask the one host there is: where a link of an answer leads is not followed."""
    wanted = " and ".join(
        (
            "serviceName eq 'Virtual Machines'",
            "priceType eq 'Consumption'",
            f"armRegionName eq '{region}'",
        )
    )
    base = os.environ.get(ENDPOINT, "").rstrip("/") or BASE
    params = {"api-version": VERSION, "currencyCode": "USD", "$filter": wanted}
    if skip:
        params["$skip"] = str(skip)
    try:
        with client.stream("GET", base + PATH, params=params) as answer:
            body = bytearray()
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > MOST_BYTES or time.monotonic() > until:
                    raise _unusable("sent a page that is too long or too slow")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _unusable(f"did not answer: {type(error).__name__}") from None
    return httpx.Response(answer.status_code, headers=_plain(answer), content=bytes(body))


def _plain(answer: httpx.Response) -> dict[str, str]:
    """Return the one header that is read; the body is decoded already."""
    return {"Retry-After": answer.headers.get("Retry-After", "")}


def _wait(answer: httpx.Response) -> float:
    said = answer.headers["Retry-After"]
    return min(float(said), LONGEST_WAIT) if said.isascii() and said.isdecimal() else 1.0


def _content(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        content = answer.json()
    except (ValueError, RecursionError):
        raise _unusable("sent what is no JSON") from None
    if not isinstance(content, dict) or not isinstance(content.get("Items"), list):
        raise _unusable("sent a page without rows")
    if content.get("BillingCurrency", "USD") != "USD":
        raise _unusable("told prices in another currency than USD")
    if not all(isinstance(row, dict) for row in content["Items"]):
        raise _unusable("sent rows that cannot be read")
    return content


def _skip(link: Any) -> int:
    """Return where the next page begins."""
    try:
        return int(parse_qs(urlsplit(str(link)).query)["$skip"][0])
    except (ValueError, KeyError):
        raise _unusable("does not say where its next page begins") from None


def _unusable(what: str) -> ProviderError:
    return _error(what, ErrorKind.UNREACHABLE)


def _error(what: str, kind: ErrorKind) -> ProviderError:
    return ProviderError(f"Azure's price list {what}.", kind=kind, scope=Scope.OFFER_REGION)
