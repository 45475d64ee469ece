"""What the sidecar itself has counted, on disk, so that the next one goes on with it.

It belongs to one run of HAProxy (`boot_id`), whose counters the numbers add to. It is written
before numbers are sent: what was sent once never becomes less.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from gateway import atomic_write
from gateway.schema import LATENCY_BOUNDS_US
from gateway.traffic.counters import NONE, Key, Values
from gateway.traffic.latency import Histogram, Times

log = logging.getLogger(__name__)

FILE = "traffic.json"


class Row(BaseModel):
    """Both histograms of an endpoint: sum in us, and counts by index in LATENCY_BOUNDS_US."""

    endpoint: str
    total_us: int
    total: dict[int, int]
    first_byte_us: int
    first_byte: dict[int, int]

    @property
    def is_sound(self) -> bool:
        return all(0 <= i <= len(LATENCY_BOUNDS_US) for i in (*self.total, *self.first_byte))


class Checkpoint(BaseModel):
    """`carried`: endpoint, key and values. What earlier versions called `times` had other buckets,
    and begins anew."""

    boot_id: str
    carried: list[tuple[str, str, list[int]]] = []
    histograms: list[Row] = []


def write(
    home: Path, *, boot_id: str, carried: Mapping[Key, Values], times: Mapping[str, Times]
) -> None:
    """Keep both for the next start. Raise OSError."""
    rows = [
        {
            "endpoint": endpoint,
            "total_us": each.total.sum_us,
            "total": each.total.counts,
            "first_byte_us": each.first_byte.sum_us,
            "first_byte": each.first_byte.counts,
        }
        for endpoint, each in times.items()
    ]
    lost = [(endpoint, key, values) for (endpoint, key), values in carried.items()]
    text = json.dumps({"boot_id": boot_id, "carried": lost, "histograms": rows})
    atomic_write.write_text(home / FILE, text)


def read(home: Path, *, boot_id: str) -> tuple[dict[Key, Values], dict[str, Times]]:
    """Read what belongs to this run of HAProxy; nothing of another one."""
    try:
        checkpoint = Checkpoint.model_validate_json((home / FILE).read_bytes())
    except FileNotFoundError:
        return {}, {}
    except (OSError, ValidationError) as error:
        log.warning("the stored histograms cannot be read: %s", error)
        return {}, {}
    if checkpoint.boot_id != boot_id:
        return {}, {}
    carried = {(endpoint, key): whole(values) for endpoint, key, values in checkpoint.carried}
    times = {
        row.endpoint: Times(
            Histogram(row.total, row.total_us), Histogram(row.first_byte, row.first_byte_us)
        )
        for row in checkpoint.histograms
        if row.is_sound
    }
    return carried, times


def whole(values: list[int]) -> Values:
    """Return sums as they are counted now: an earlier version did not count who said tokens."""
    if len(values) == len(NONE) - 1:
        values = [*values[:5], int(any(values[5:7])), *values[5:]]
    return tuple(values)
