from __future__ import annotations

import pytest

from gateway.tls import schedule

DAY = 86_400.0


def test_a_certificate_is_renewed_after_two_thirds_of_its_lifetime() -> None:
    at = schedule.renew_at(host="a.example.org", not_before=1000 * DAY, not_after=1090 * DAY)
    assert 1055.5 * DAY <= at <= 1064.5 * DAY
    assert at == schedule.renew_at(
        host="a.example.org", not_before=1000 * DAY, not_after=1090 * DAY
    )


def test_certificates_of_one_day_do_not_come_due_together() -> None:
    times = {
        schedule.renew_at(host=f"s{number}.example.org", not_before=0, not_after=90 * DAY)
        for number in range(100)
    }
    assert len(times) == 100 and max(times) - min(times) > 5 * DAY


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 60), (2, 300), (3, 1500), (4, 7500), (5, 37_500), (6, 43_200), (1000, 43_200)],
)
def test_pauses_grow_to_half_a_day(failures: int, seconds: float) -> None:
    assert schedule.BACKOFF.after(failures, chance=0.5) == pytest.approx(seconds)
    assert schedule.BACKOFF.after(failures, chance=0.0) == pytest.approx(0.8 * seconds)


def test_few_orders_begin_in_three_hours() -> None:
    starts = [100.0 + number for number in range(schedule.MOST_STARTS)]
    assert schedule.may_start_at(starts[1:], now=400.0) == 400.0
    assert schedule.may_start_at(starts, now=400.0) == 100.0 + schedule.STARTS_WINDOW_SECONDS
    late = 100.5 + schedule.STARTS_WINDOW_SECONDS
    assert schedule.may_start_at(starts, now=late) == late


def test_a_clock_that_was_put_back_does_not_stop_orders_for_ever() -> None:
    starts = [1e9] * schedule.MOST_STARTS
    assert schedule.may_start_at(starts, now=1000.0) == 1000.0 + schedule.STARTS_WINDOW_SECONDS
