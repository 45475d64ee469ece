"""Histograms from HAProxy's samples.

A sample is `ENDPOINT WEIGHT TOTAL REQUEST QUEUE CONNECT RESPONSE`, times in ms.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from gateway.schema import LATENCY_BOUNDS_MS, Latency

BUCKETS = len(LATENCY_BOUNDS_MS) + 1
FIELDS = 7


@dataclass(frozen=True)
class Sample:
    """One answer of a service, which stands for `weight` of them."""

    endpoint: str
    weight: int
    total_ms: int
    first_byte_ms: int


def parse(text: str) -> Sample | None:
    """This function will read a sample; None for what no service answered."""
    fields = text.split()
    if len(fields) != FIELDS:
        return None
    try:
        weight, total, *parts = (int(each) for each in fields[1:])
    except ValueError:
        return None
    if weight < 1 or total < 0 or min(parts) < 0:
        return None
    return Sample(fields[0], weight, total, sum(parts))


@dataclass
class Histogram:
    """How many took how long, by LATENCY_BOUNDS_MS, and the sum of all."""

    buckets: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    sum_ms: int = 0

    def add(self, ms: int, weight: int) -> None:
        self.buckets[bisect_left(LATENCY_BOUNDS_MS, ms)] += weight
        self.sum_ms += ms * weight


@dataclass
class Times:
    """Both histograms of an endpoint."""

    total: Histogram = field(default_factory=Histogram)
    first_byte: Histogram = field(default_factory=Histogram)

    def add(self, sample: Sample) -> None:
        self.total.add(sample.total_ms, sample.weight)
        self.first_byte.add(sample.first_byte_ms, sample.weight)

    def as_message(self, endpoint: str) -> Latency:
        return Latency(
            endpoint=endpoint,
            total=list(self.total.buckets),
            first_byte=list(self.first_byte.buckets),
        )
