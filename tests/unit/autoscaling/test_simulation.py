from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.autoscaling.decide import Policy
from apps.autoscaling.simulation import drawing, traces
from apps.autoscaling.simulation.rules import Own
from apps.autoscaling.simulation.simulate import Service, simulate

POLICY = Policy(metric="rps", target=10, least=0, most=10)
SERVICE = Service(capacity=20, start_seconds=5, hold_requests=2000)


@pytest.mark.parametrize("name", traces.TRACES)
def test_every_load_is_answered_and_ends_asleep(name: str) -> None:
    trace = [*traces.TRACES[name](), *[0.0] * 400]

    moments = simulate(Own(POLICY), SERVICE, trace, least=0)

    assert sum(m.failed for m in moments) == 0
    assert sum(m.answered for m in moments) == pytest.approx(sum(trace), abs=1)
    assert (moments[-1].desired, moments[-1].ready) == (0, 0)


def test_a_flash_crowd_is_met_within_seconds() -> None:
    moments = simulate(Own(POLICY), SERVICE, traces.flash(), least=0)

    enough = next(m.second for m in moments if m.ready >= 8)
    assert 60 < enough <= 60 + 2 * SERVICE.start_seconds


@given(
    st.lists(st.floats(0, 200), min_size=1, max_size=200), st.integers(0, 20), st.integers(0, 100)
)
def test_no_request_is_lost_or_invented(rates: list[float], start: int, hold: int) -> None:
    service = Service(capacity=20, start_seconds=start, hold_requests=hold, hold_seconds=30)

    moments = simulate(Own(POLICY), service, rates, least=0)

    over = sum(m.answered + m.failed for m in moments) + moments[-1].waiting
    assert abs(over - sum(rates)) <= 1
    assert all(m.ready <= POLICY.most for m in moments)


def test_reads_a_recorded_load() -> None:
    assert traces.recorded(["second,rps", "0,1.5", "", "2,3"]) == [1.5, 1.5, 3.0]


@pytest.mark.parametrize("lines", [[], ["a,b"], ["5,1", "5,2"], ["5,1", "4,2"], ["0,1", "1e9,1"]])
def test_refuses_what_is_no_load(lines: list[str]) -> None:
    with pytest.raises(ValueError, match="second"):
        traces.recorded(lines)


def test_draws_text_and_a_page(tmp_path: Path) -> None:
    moments = simulate(Own(POLICY), SERVICE, traces.flash(), least=0)

    text, page = drawing.text(moments), drawing.page("<flash>", {"dstack-web": moments})

    assert len(text.splitlines()) <= drawing.ROWS * 2
    assert "&lt;flash&gt;" in page
    assert page.count("<svg") == 4
    assert "0 -&gt; 1: a request is held" in page
