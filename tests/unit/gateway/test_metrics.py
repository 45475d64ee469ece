"""The page for Prometheus."""

from __future__ import annotations

from gateway.schema import LATENCY_BOUNDS_MS, Endpoint, Load, Table
from gateway.traffic import metrics
from gateway.traffic.latency import Sample, Times
from gateway.traffic.service import endpoint_load

HELLO = Endpoint(id="e-1", version=1, project="p1", run="hello")
TABLE = Table(version=1, whole=True, gateway="g", endpoints=[HELLO])
WHO = 'project="p1",service="hello",endpoint="e-1"'


def page(**given: object) -> list[str]:
    nothing = {"table": TABLE, "sums": {}, "load": [], "times": {}}
    return metrics.page(**{**nothing, **given}).splitlines()  # type: ignore[arg-type]


def test_names_counters_with_their_unit() -> None:
    shown = page(sums={("e-1", "k"): (0, 5, 0, 1, 0, 4, 70, 30, 1000, 2**53)})

    assert "# TYPE dstack_gateway_requests_total counter" in shown
    assert f'dstack_gateway_requests_total{{{WHO},key="k",code="2xx"}} 5' in shown
    assert f'dstack_gateway_requests_total{{{WHO},key="k",code="4xx"}} 1' in shown
    assert f'dstack_gateway_model_tokens_total{{{WHO},key="k",direction="output"}} 30' in shown
    assert f'dstack_gateway_request_bytes_total{{{WHO},key="k"}} 1000' in shown
    assert f'dstack_gateway_response_bytes_total{{{WHO},key="k"}} 9007199254740992' in shown


def test_shows_histograms_in_seconds_and_cumulative() -> None:
    times = Times()
    times.add(Sample("e-1", 16, 3000, 1000))
    times.add(Sample("e-1", 1, 70_000_000, 1000))

    shown = page(times={"e-1": times})

    name = "dstack_gateway_request_duration_seconds"
    assert f'{name}_bucket{{{WHO},le="0.002"}} 0' in shown
    assert f'{name}_bucket{{{WHO},le="0.005"}} 16' in shown
    assert f'{name}_bucket{{{WHO},le="60"}} 16' in shown
    assert f'{name}_bucket{{{WHO},le="+Inf"}} 17' in shown
    assert f"{name}_sum{{{WHO}}} 70.048" in shown
    assert f"{name}_count{{{WHO}}} 17" in shown


def test_shows_both_bounds_of_what_is_filled_and_few_others() -> None:
    times = Times()
    times.add(Sample("e-1", 1, 11_000_000, 11_000_000))

    shown = page(times={"e-1": times})

    bounds = [
        float(line.split('le="')[1].split('"')[0])
        for line in shown
        if line.startswith("dstack_gateway_request_duration_seconds_bucket")
    ]
    assert bounds == sorted(bounds)
    assert len(bounds) == len(LATENCY_BOUNDS_MS) + 3
    above = min(bound for bound in bounds if bound >= 11)
    assert above / max(bound for bound in bounds if bound < 11) < 1.085


def test_shows_what_is_under_way_and_who_left_the_table() -> None:
    shown = page(load=[Load(endpoint="gone", in_flight=2, held=1)])

    who = 'project="",service="",endpoint="gone"'
    assert f"dstack_gateway_requests_in_flight{{{who}}} 2" in shown
    assert f"dstack_gateway_requests_held{{{who}}} 1" in shown


def test_counts_a_held_request_once() -> None:
    found = endpoint_load({("e", "a"): 3, ("e", "b"): 1, ("f", ""): 1}, {"e": 2, "g": 5, "h": 0})

    assert found == [
        Load(endpoint="e", in_flight=2, held=2),
        Load(endpoint="f", in_flight=1),
        Load(endpoint="g", held=5),
    ]
