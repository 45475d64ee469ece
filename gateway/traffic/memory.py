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

from gateway.haproxy.process import write_whole
from gateway.traffic.counters import Key, Values
from gateway.traffic.latency import BUCKETS, Histogram, Times

log = logging.getLogger(__name__)

FILE = "traffic.json"


class Memory(BaseModel):
    """`carried`: endpoint, key and values; `times`: endpoint, then sum and buckets, of both."""

    boot_id: str
    carried: list[tuple[str, str, list[int]]] = []
    times: list[tuple[str, int, list[int], int, list[int]]] = []


def write(
    home: Path, *, boot_id: str, carried: Mapping[Key, Values], times: Mapping[str, Times]
) -> None:
    """This function will keep both for the next start. Raises OSError."""
    rows = [
        (
            endpoint,
            each.total.sum_ms,
            each.total.buckets,
            each.first_byte.sum_ms,
            each.first_byte.buckets,
        )
        for endpoint, each in times.items()
    ]
    lost = [(endpoint, key, values) for (endpoint, key), values in carried.items()]
    text = json.dumps({"boot_id": boot_id, "carried": lost, "times": rows})
    write_whole(home / FILE, text)


def read(home: Path, *, boot_id: str) -> tuple[dict[Key, Values], dict[str, Times]]:
    """This function will read what belongs to this run of HAProxy; nothing of another one."""
    try:
        memory = Memory.model_validate_json((home / FILE).read_bytes())
    except FileNotFoundError:
        return {}, {}
    except (OSError, ValidationError) as error:
        log.warning("the stored histograms cannot be read: %s", error)
        return {}, {}
    if memory.boot_id != boot_id:
        return {}, {}
    carried = {(endpoint, key): tuple(values) for endpoint, key, values in memory.carried}
    times = {
        endpoint: Times(Histogram(total, total_ms), Histogram(first, first_ms))
        for endpoint, total_ms, total, first_ms, first in memory.times
        if len(total) == len(first) == BUCKETS
    }
    return carried, times
