"""Google's price list, read: what a CPU, a GiB and a card cost an hour, by region. Pure.

A machine has no price of its own: it is the sum of its parts, each of which is an item (SKU) that
is known by its description. What cannot be read is left out: a price that is missing hides an
offer, a wrong one costs money.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from apps.backends import cards

HOURS_OF_MONTH = 730
HOURLY = ("h", "GiBy.h")
CORE, RAM, GPU, SSD = "core", "ram", "gpu", "ssd"
SPOT = r"(?:Spot Preemptible |Preemptible )?"
OF_MACHINES = re.compile(
    rf"{SPOT}(?P<series>[A-Z]\d[A-Z]?|Compute optimized|Memory-optimized)"
    r"(?: Predefined)?(?: AMD| Arm)?(?: Instance)? (?P<part>Core|Ram) running in .+"
)
OF_CARDS = re.compile(
    rf"{SPOT}Nvidia (?:Tesla )?(?P<card>[A-Z]+\d+[A-Z]?)(?: (?P<gb>\d+)\s?GB)?(?: Plus)? GPU "
    r"(?:attached to Spot Preemptible VMs )?running in .+"
)
OF_DISKS = re.compile(
    r"SSD backed Local Storage(?: attached to Spot Preemptible VMs)?(?: in .+)?", re.IGNORECASE
)
SERIES = {"Compute optimized": "c2", "Memory-optimized": "m1"}
USAGE = {"OnDemand": False, "Preemptible": True}


class Part(NamedTuple):
    """A part of a machine: `name` is its series or card, "" for a local disk (by the GiB)."""

    what: str
    name: str
    spot: bool


Prices = Mapping[str, Mapping[Part, float]]


def read(items: Iterable[Mapping[str, Any]]) -> Prices:
    """Return USD an hour of each part, by region; one that has two prices has none."""
    found: dict[str, dict[Part, float]] = defaultdict(dict)
    doubtful: set[tuple[str, Part]] = set()
    for item in items:
        try:
            part, usd, regions = _item(item)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            continue
        for region in regions:
            known = found[region].setdefault(part, usd)
            if abs(known - usd) > 1e-9:
                doubtful.add((region, part))
    for region, part in doubtful:
        del found[region][part]
    return found


def _item(item: Mapping[str, Any]) -> tuple[Part, float, list[str]]:
    """Raise ValueError for what is no part of a machine that we rent."""
    spot = USAGE[item["category"]["usageType"]]
    part = _part(str(item["description"]), spot=spot)
    expression = item["pricingInfo"][-1]["pricingExpression"]
    [rate] = [rate for rate in expression["tieredRates"] if _usd(rate["unitPrice"]) > 0]
    usd = _usd(rate["unitPrice"])
    if part.what == SSD and expression["usageUnit"] == "GiBy.mo":
        usd /= HOURS_OF_MONTH
    elif expression["usageUnit"] not in HOURLY:
        raise ValueError("another unit")
    return part, usd, [str(region) for region in item["serviceRegions"]]


def _part(description: str, *, spot: bool) -> Part:
    if found := OF_MACHINES.fullmatch(description):
        series = SERIES.get(found["series"], found["series"].lower())
        return Part(CORE if found["part"] == "Core" else RAM, series, spot)
    if found := OF_CARDS.fullmatch(description):
        return Part(GPU, card_of(f"{found['card']} {found['gb'] or ''}".strip()), spot)
    if OF_DISKS.fullmatch(description):
        return Part(SSD, "", spot)
    raise ValueError("no part of a machine")


def card_of(text: str) -> str:
    """Return a card with its memory, where one of its name is sold with several: `A100-80`."""
    found = re.search(r"(\d+)\s?GB", f"{text}GB" if text[-1:].isdigit() and " " in text else text)
    name = cards.card(text.split()[0]).name
    sizes = cards.SIZES.get(name, ())
    several = {"A100": "40"}
    if name in several:
        return f"{name}-{found[1] if found else several[name]}"
    return name if sizes else text


def _usd(price: Mapping[str, Any]) -> float:
    if price.get("currencyCode", "USD") != "USD":
        raise ValueError("another currency")
    return int(price.get("units") or 0) + int(price.get("nanos") or 0) / 1e9
