"""What the agent makes of a cloud's metadata, against a fake on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.agent.host import spot_notice
from tests.fakes.imds import NOTICE_PATH, Imds

AT = "2026-09-18T08:22:00Z"


@pytest.fixture
def imds() -> Iterator[Imds]:
    fake = Imds()
    yield fake
    fake.stop()


def test_says_when_the_machine_ends(imds: Imds) -> None:
    imds.take_back(AT)

    assert spot_notice.Aws(imds.url).ends_at() == AT


def test_says_nothing_where_the_cloud_did_not(imds: Imds) -> None:
    assert spot_notice.Aws(imds.url).ends_at() == ""


def test_asks_for_a_token_once_and_anew_when_it_ran_out(imds: Imds) -> None:
    asked = spot_notice.Aws(imds.url)
    first = [asked.ends_at(), asked.ends_at()]
    imds.tokens.clear()
    imds.take_back(AT)

    assert [*first, asked.ends_at()] == ["", "", AT]
    assert imds.calls.count("PUT /latest/api/token") == 2
    assert imds.calls.count(f"GET {NOTICE_PATH}") == 4


@pytest.mark.parametrize(
    "notice", ["", "not json", "[]", "null", "{}", '{"time": 7}', '{"action": "terminate"}']
)
def test_an_answer_that_is_no_notice_is_none(imds: Imds, notice: str) -> None:
    imds.notice = notice

    assert spot_notice.Aws(imds.url).ends_at() is None


def test_metadata_that_do_not_answer_say_nothing(imds: Imds) -> None:
    imds.broken = True
    broken = spot_notice.Aws(imds.url).ends_at()
    imds.stop()

    assert (broken, spot_notice.Aws(imds.url).ends_at()) == (None, None)


def test_looks_until_there_is_a_notice_and_tells_once(imds: Imds) -> None:
    watch, told, waited = spot_notice.Watch("aws", imds.url), [], []

    def is_over(seconds: float) -> bool:
        waited.append(seconds)
        if len(waited) == 2:
            imds.take_back(AT)
        return False

    watch.watch(tell=lambda: told.append(watch.ends_at), is_over=is_over)

    assert (told, waited) == ([AT], [5.0, 5.0])


@pytest.mark.parametrize("cloud", ["", "oracle", "AWS", "GCP", "Azure", "local"])
def test_a_machine_of_no_cloud_that_we_know_is_not_asked(imds: Imds, cloud: str) -> None:
    imds.take_back(AT)
    watch = spot_notice.Watch(cloud, imds.url)

    watch.watch(tell=lambda: pytest.fail("told"), is_over=lambda seconds: False)

    assert (watch.ends_at, imds.calls) == ("", [])


def test_ends_with_the_agent(imds: Imds) -> None:
    watch = spot_notice.Watch("aws", imds.url)

    watch.watch(tell=lambda: pytest.fail("told"), is_over=lambda seconds: True)

    assert watch.ends_at == ""


def test_google_says_that_a_machine_ends_and_when_is_half_a_minute_later(imds: Imds) -> None:
    asked = spot_notice.Gcp(imds.url)
    before = asked.ends_at()
    imds.preempted = "TRUE"
    now = datetime.now(UTC)

    ends_at = datetime.fromisoformat(str(asked.ends_at()))

    assert before == ""
    assert 24 <= (ends_at - now).total_seconds() <= 30


@pytest.mark.parametrize("said", ["", "<html>", "true", "1"])
def test_what_google_does_not_say_is_no_notice(imds: Imds, said: str) -> None:
    imds.preempted = said

    assert spot_notice.Gcp(imds.url).ends_at() is None


def test_google_is_asked_every_second(imds: Imds) -> None:
    watch, told, waited = spot_notice.Watch("gcp", imds.url), [], []

    def is_over(seconds: float) -> bool:
        waited.append(seconds)
        imds.preempted = "TRUE"
        return False

    watch.watch(tell=lambda: told.append(watch.ends_at), is_over=is_over)

    assert len(told) == 1 and told[0].endswith("Z")
    assert waited == [1.0]


def test_metadata_of_google_that_do_not_answer_say_nothing(imds: Imds) -> None:
    imds.broken = True
    broken = spot_notice.Gcp(imds.url).ends_at()
    imds.stop()

    assert (broken, spot_notice.Gcp(imds.url).ends_at()) == (None, None)


def event(**changes: Any) -> dict[str, Any]:
    """A scheduled event as Azure documents it."""
    return {
        "EventId": "602d9444-d2cd-49c7-8624-8643e7171297",
        "EventStatus": "Scheduled",
        "EventType": "Preempt",
        "ResourceType": "VirtualMachine",
        "Resources": ["dstack-1"],
        "NotBefore": "Fri, 18 Sep 2026 08:22:00 GMT",
        "Description": "",
        "EventSource": "Platform",
        "DurationInSeconds": -1,
        **changes,
    }


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([], ""),
        ([event(EventType="Reboot"), event(EventType="Freeze")], ""),
        ([event()], AT),
        ([event(NotBefore="Fri, 18 Sep 2026 09:22:00 GMT"), event()], AT),
        (None, None),
        (["odd"], None),
        ([{}], None),
        ([event(NotBefore="soon")], None),
    ],
)
def test_azure_says_when_a_machine_ends_and_no_other_event_is_that(
    imds: Imds, events: Any, said: str | None
) -> None:
    imds.events = events

    assert spot_notice.Azure(imds.url).ends_at() == said


def test_what_azure_has_begun_ends_now(imds: Imds) -> None:
    imds.events = [event(EventStatus="Started", NotBefore="")]
    now = datetime.now(UTC)

    ends_at = datetime.fromisoformat(str(spot_notice.Azure(imds.url).ends_at()))

    assert abs((ends_at - now).total_seconds()) <= 2


def test_azure_is_asked_every_second(imds: Imds) -> None:
    watch, told, waited = spot_notice.Watch("azure", imds.url), [], []

    def is_over(seconds: float) -> bool:
        waited.append(seconds)
        imds.events = [event()]
        return False

    watch.watch(tell=lambda: told.append(watch.ends_at), is_over=is_over)

    assert (told, waited) == ([AT], [1.0])


def test_metadata_of_azure_that_do_not_answer_say_nothing(imds: Imds) -> None:
    imds.broken = True
    broken = spot_notice.Azure(imds.url).ends_at()
    imds.stop()

    assert (broken, spot_notice.Azure(imds.url).ends_at()) == (None, None)
