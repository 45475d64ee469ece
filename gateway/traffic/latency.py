"""Histograms from HAProxy's samples."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.schema import LATENCY_BOUNDS_MS, LATENCY_BOUNDS_US, Latency
from gateway.state.sample_line import UNKNOWN, SampleLine

FIELDS = (len(SampleLine._fields) - len(SampleLine._field_defaults), len(SampleLine._fields))
US_PER_MS = 1000
# Milliseconds are differences of two that were cut off. A time in us that differs by more leaves
# something out (a body that came slowly).
FAR_US = 3000
COARSE = [bisect_left(LATENCY_BOUNDS_MS, bound / US_PER_MS) for bound in LATENCY_BOUNDS_US]
COARSE.append(len(LATENCY_BOUNDS_MS))


@dataclass(frozen=True)
class Sample:
    """One answer of a service, which stands for `weight` of them."""

    endpoint: str
    weight: int
    total_us: int
    first_byte_us: int


def parse(text: str) -> Sample | None:
    """Read a sample; None for what no service answered."""
    fields = text.split()
    if len(fields) not in FIELDS:
        return None
    line = SampleLine(*fields)
    try:
        weight, total = int(line.weight), int(line.total)
        parts = [int(each) for each in (line.request, line.queue, line.connect, line.response)]
        total_us, first_us = _exact(line.total_us), _exact(line.first_us)
    except ValueError:
        return None
    if weight < 1 or total < 0 or min(parts) < 0:
        return None
    took_us = _us(total, total_us)
    return Sample(line.endpoint, weight, took_us, _first_us(sum(parts), first_us, most=took_us))


def _exact(text: str) -> int | None:
    return None if text == UNKNOWN else int(text)


def _us(ms: int, exact_us: int | None) -> int:
    middle_us = ms * US_PER_MS + US_PER_MS // 2
    if exact_us is None or exact_us < 0 or abs(exact_us - middle_us) > FAR_US:
        return middle_us
    return exact_us


def _first_us(headers_ms: int, exact_us: int | None, *, most: int) -> int:
    """Return when an answer began: with its headers, or later with the first piece of a stream.

    The clock that tells so exactly may be set meanwhile: no answer began after its end.
    """
    return min(max(_us(headers_ms, exact_us), exact_us or 0), most)


@dataclass
class Histogram:
    """How many took how long, by index in LATENCY_BOUNDS_US, and the sum of all."""

    counts: dict[int, int] = field(default_factory=dict)
    sum_us: int = 0

    def add(self, us: int, weight: int) -> None:
        index = bisect_left(LATENCY_BOUNDS_US, us)
        self.counts[index] = self.counts.get(index, 0) + weight
        self.sum_us += us * weight


def coarse(counts: Mapping[int, int]) -> list[int]:
    """Return a histogram by LATENCY_BOUNDS_MS, whose bounds are among the fine ones."""
    buckets = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    for index, count in counts.items():
        buckets[COARSE[index]] += count
    return buckets


@dataclass
class Times:
    """Both histograms of an endpoint."""

    total: Histogram = field(default_factory=Histogram)
    first_byte: Histogram = field(default_factory=Histogram)

    def add(self, sample: Sample) -> None:
        self.total.add(sample.total_us, sample.weight)
        self.first_byte.add(sample.first_byte_us, sample.weight)

    def as_message(self, endpoint: str) -> Latency:
        return Latency(
            endpoint=endpoint,
            total=coarse(self.total.counts),
            first_byte=coarse(self.first_byte.counts),
            fine_total=dict(self.total.counts),
            fine_first_byte=dict(self.first_byte.counts),
        )
