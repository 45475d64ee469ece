"""Scrapes that wait for the control plane."""

from __future__ import annotations

from gateway.schema import Counts, Latency, Load, Request, Stats, Unanswered
from gateway.traffic.backlog import (
    MOST_ENTRIES,
    MOST_REQUESTS,
    MOST_SCRAPES,
    MOST_UNANSWERED,
    SCRAPES_WITH_REQUESTS,
    Backlog,
    parts,
)


def scrape(second: int, *, boot: str = "b", endpoint: str = "e", **fields: object) -> Stats:
    counts = [Counts(endpoint=endpoint, key="k", by_class=(0, second, 0, 0, 0))]
    return Stats(boot_id=boot, sequence=second * 1000, at=second, **{"counts": counts, **fields})


def drained(backlog: Backlog) -> list[Stats]:
    found = []
    while first := backlog.first:
        found.append(first)
        backlog.sent()
    return found


def test_gives_scrapes_in_their_order() -> None:
    backlog = Backlog()
    backlog.add(scrape(1))
    backlog.add(scrape(2))

    assert drained(backlog) == [scrape(1), scrape(2)]


def test_thins_ten_minutes_to_a_scrape_for_each_ten_seconds() -> None:
    backlog = Backlog()
    for second in range(600):
        backlog.add(scrape(second))

    found = drained(backlog)

    assert 60 <= len(found) <= 63
    assert found[-1].counts[0].by_class[1] == 599
    assert [each.sequence for each in found] == sorted(each.sequence for each in found)


def test_keeps_every_endpoint_that_changed_when_it_merges() -> None:
    backlog = Backlog()
    for second in range(2, 7):
        backlog.add(scrape(second, endpoint=f"e{second}"))

    named = [each.endpoint for sent in drained(backlog) for each in sent.counts]

    assert sorted(named) == ["e2", "e3", "e4", "e5", "e6"]


def test_says_what_is_under_way_at_the_newest_scrape() -> None:
    backlog = Backlog()
    for second in range(5):
        load = [Load(endpoint="e", in_flight=second)] if second < 4 else []
        latency = [Latency(endpoint="e", total=[second])]
        backlog.add(scrape(second, load=load, latency=latency))

    last = drained(backlog)[-1]

    assert (last.load, last.latency) == ([], [Latency(endpoint="e", total=[4])])


def test_is_bounded_and_forgets_old_scrapes_before_new_sums() -> None:
    backlog = Backlog()
    for hour in range(500):
        backlog.add(scrape(hour * 3600, endpoint=f"e{hour}"))
    size = len(backlog)

    named = {each.endpoint for sent in drained(backlog) for each in sent.counts}

    assert size == MOST_SCRAPES
    assert named == {f"e{hour}" for hour in range(500)}


def test_never_mixes_two_runs_of_haproxy() -> None:
    backlog = Backlog()
    for second in range(20):
        backlog.add(scrape(second, boot="a" if second < 9 else "b"))

    newest = {each.boot_id: each.counts[0].by_class[1] for each in drained(backlog)}

    assert newest == {"a": 8, "b": 19}


def test_leaves_the_scrape_alone_that_is_on_its_way() -> None:
    backlog = Backlog()
    for second in range(9):
        backlog.add(scrape(second))

    assert backlog.first == scrape(0)


def test_cuts_a_long_scrape_into_requests() -> None:
    counts = [Counts(endpoint=f"e{number}") for number in range(MOST_ENTRIES * 2 + 1)]
    latency = [Latency(endpoint="e")]

    cut = parts(scrape(3, counts=counts, latency=latency, load=[Load(endpoint="e", held=1)]))

    assert [len(each.counts) for each in cut] == [MOST_ENTRIES, MOST_ENTRIES, 1]
    assert [len(each.latency) for each in cut] == [1, 0, 0]
    assert [each.sequence for each in cut] == [3000, 3001, 3002]
    assert all(each.load for each in cut)


def test_sends_a_scrape_that_only_says_what_is_under_way() -> None:
    assert len(parts(scrape(1, counts=[]))) == 1


def unanswered(*seconds: int) -> list[Unanswered]:
    return [Unanswered(replica="r", at=second, method="GET", path="/") for second in seconds]


def test_keeps_the_newest_requests_without_an_answer() -> None:
    backlog = Backlog()
    for second in range(9):
        backlog.add(scrape(second, unanswered=unanswered(second)))
    for hour in range(1, 300):
        backlog.add(scrape(hour * 3600, unanswered=unanswered(hour * 3600)))

    found = drained(backlog)

    told = [int(each.at) for sent in found for each in sent.unanswered]
    assert told == sorted(told)
    assert told[-1] == 299 * 3600
    assert max(len(sent.unanswered) for sent in found) == MOST_UNANSWERED


def test_tells_of_a_request_in_one_part_only() -> None:
    counts = [Counts(endpoint=f"e{number}") for number in range(MOST_ENTRIES + 1)]

    cut = parts(scrape(3, counts=counts, unanswered=unanswered(1)))

    assert [len(each.unanswered) for each in cut] == [1, 0]


def test_keeps_the_newest_requests_alone() -> None:
    backlog = Backlog()
    for second in range(600):
        rows = [Request(endpoint="e", at=second, id=f"{second}-{each}") for each in range(100)]
        backlog.add(scrape(second, requests=rows))

    found = drained(backlog)
    with_rows = [each for each in found[1:] if each.requests]
    assert len(with_rows) < SCRAPES_WITH_REQUESTS
    assert max(len(each.requests) for each in with_rows) <= MOST_REQUESTS
    assert found[-1].requests[-1].id == "599-99"


def test_sends_requests_once() -> None:
    counts = [Counts(endpoint="e", key=f"k{number}") for number in range(2 * MOST_ENTRIES)]
    whole = scrape(1, counts=counts, requests=[Request(endpoint="e", at=1)])

    assert [len(part.requests) for part in parts(whole)] == [1, 0]
