from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from apps.accounts.models import Token
from apps.core import notifications
from apps.core.ids import new_token, token_hash
from apps.core.stores import valkey
from apps.gateways.models import Gateway
from apps.runs.control import replica_load
from apps.runs.models import Run
from apps.telemetry.models import Counter, KeyUse, RequestTotal, Traffic
from apps.telemetry.traffic import ingest, live_points
from gateway import schema
from tests import factories
from tests.people import People

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_url")]

AT = datetime(2030, 1, 1, 12, 0, 5, tzinfo=UTC)
URL = "/api/gateway/stats"


@pytest.fixture
def gateway(people: People) -> Gateway:
    return factories.gateway(people.project, name="local")


@pytest.fixture
def run(people: People, gateway: Gateway) -> Run:
    return factories.run(people.project, user=people.bob, name="hello", gateway=gateway)


def counts(run: Run, *by_class: int, **more: Any) -> schema.Counts:
    padded = (0, *by_class, *[0] * (4 - len(by_class)))
    return schema.Counts(endpoint=str(run.pk), by_class=padded, **more)


def look(sequence: int, *counted: schema.Counts, after: float = 0, **more: Any) -> schema.Stats:
    at = AT.timestamp() + after
    values = {"boot_id": "b1", "sequence": sequence, "at": at, "counts": list(counted), **more}
    return schema.Stats.model_validate(values)


def take(gateway: Gateway, stats: schema.Stats, *, late: float = 0) -> bool:
    at = datetime.fromtimestamp(stats.at, UTC) + timedelta(seconds=late)
    return ingest.take(gateway=gateway, stats=stats, at=at)


def answered(run: Run) -> list[int]:
    rows = Traffic.objects.filter(run_id=run.pk)
    return ingest.summed(*(row.by_class for row in rows))


def test_cumulative_counts_become_what_is_new(gateway: Gateway, run: Run) -> None:
    take(gateway, look(1, counts(run, 5, bytes_out=100)))
    take(gateway, look(2, counts(run, 7, 0, 1, bytes_out=150, tokens_out=9), after=1))

    (row,) = Traffic.objects.all()
    assert row.by_class == [0, 7, 0, 1, 0]
    assert (row.bytes_out, row.tokens_out, row.seconds) == (150, 9, 10)
    assert row.at == AT.replace(second=0)


def test_counts_who_said_tokens(gateway: Gateway, run: Run) -> None:
    take(gateway, look(1, counts(run, 5, usages=2, tokens_in=7)))
    take(gateway, look(2, counts(run, 7, usages=3, tokens_in=7), after=1))

    (row,) = Traffic.objects.all()
    assert (row.usages, row.tokens_in, row.has_tokens) == (3, 7, True)


def test_goes_on_with_counters_that_an_earlier_version_kept(gateway: Gateway, run: Run) -> None:
    take(gateway, look(1, counts(run, 5, tokens_in=7)))
    (kept,) = Counter.objects.all()
    Counter.objects.update(values=kept.values[:-1])
    take(gateway, look(2, counts(run, 6, usages=2, tokens_in=9), after=1))

    assert answered(run) == [0, 6, 0, 0, 0]
    assert Traffic.objects.get().usages == 2


def test_a_row_for_each_ten_seconds(gateway: Gateway, run: Run) -> None:
    for second in range(25):
        take(gateway, look(second, counts(run, second), after=second))

    rows = Traffic.objects.order_by("at").values_list("at__second", "by_class")
    assert [(second, sum(c)) for second, c in rows] == [(0, 4), (10, 10), (20, 10)]


def test_a_look_that_comes_twice_or_late_changes_nothing(gateway: Gateway, run: Run) -> None:
    first, second = look(1, counts(run, 5)), look(2, counts(run, 7), after=1)

    assert [take(gateway, one) for one in (first, first, second, first)] == [
        True,
        False,
        True,
        False,
    ]
    assert answered(run) == [0, 7, 0, 0, 0]


def test_a_lost_look_is_in_the_next(gateway: Gateway, run: Run) -> None:
    take(gateway, look(1, counts(run, 5)))
    take(gateway, look(9, counts(run, 50), after=8))

    assert answered(run) == [0, 50, 0, 0, 0]


def test_a_new_boot_begins_at_zero(gateway: Gateway, run: Run) -> None:
    take(gateway, look(8, counts(run, 5)))
    take(gateway, look(1, counts(run, 3), after=1, boot_id="b2"))

    assert answered(run) == [0, 8, 0, 0, 0]


def test_latency_and_load_are_kept(gateway: Gateway, run: Run) -> None:
    spent = schema.Latency(endpoint=str(run.pk), total=[0, 4, 1], first_byte=[5])
    load = schema.Load(endpoint=str(run.pk), in_flight=3, held=2)
    take(gateway, look(1, latency=[spent], load=[load]))
    take(gateway, look(2, latency=[spent.model_copy(update={"total": [0, 4, 3]})], after=1))

    (row,) = Traffic.objects.all()
    assert (row.latency, row.first_byte) == ([0, 4, 3], [5])
    assert (row.in_flight_max, row.held_max) == (3, 2)


def fine(run: Run, times: dict[int, int], **more: Any) -> schema.Latency:
    said = {"fine_total": times, "fine_first_byte": {0: 1}, **more}
    return schema.Latency(endpoint=str(run.pk), **said)


def test_fine_times_are_kept_beside_the_coarse_ones(gateway: Gateway, run: Run) -> None:
    take(gateway, look(1, latency=[fine(run, {166: 8}, total=[0, 8])]))
    take(gateway, look(2, latency=[fine(run, {166: 8, 40: 2}, total=[0, 10])], after=1))

    (row,) = Traffic.objects.all()
    assert (row.total_us, row.first_us) == ([40, 2, 166, 8], [0, 1])
    assert (row.latency, row.first_byte) == ([], [])


def test_fine_times_begin_anew_with_a_boot(gateway: Gateway, run: Run) -> None:
    take(gateway, look(1, latency=[fine(run, {166: 8})]))
    take(gateway, look(1, latency=[fine(run, {166: 3})], after=1, boot_id="b2"))

    assert Traffic.objects.get().total_us == [166, 11]


def test_goes_on_with_a_gateway_that_learned_fine_times(gateway: Gateway, run: Run) -> None:
    spent = schema.Latency(endpoint=str(run.pk), total=[0, 5])
    take(gateway, look(1, latency=[spent]))
    # A sidecar that is new: another boot, or the same HAProxy and its counts begun again.
    take(gateway, look(2, latency=[fine(run, {3: 90})], after=1))
    take(gateway, look(3, latency=[fine(run, {3: 91})], after=2))
    take(gateway, look(1, latency=[fine(run, {7: 4})], after=3, boot_id="b2"))

    (row,) = Traffic.objects.all()
    # What it counted up to its first look may be in what was counted coarsely.
    assert (row.latency, row.total_us) == ([0, 5], [3, 1, 7, 4])


def test_passes_over_buckets_that_do_not_exist(gateway: Gateway, run: Run) -> None:
    absurd = {-1: 5, 2: 10**40, 3: -7, 10**9: 1}
    take(gateway, look(1, latency=[fine(run, absurd)]))

    assert Traffic.objects.get().total_us == [2, ingest.MOST]


def test_live_points_follow_each_look(gateway: Gateway, run: Run) -> None:
    load = schema.Load(endpoint=str(run.pk), in_flight=3, held=2)
    take(gateway, look(1, counts(run, 500)))
    take(gateway, look(2, counts(run, 510), after=2, load=[load]))
    take(gateway, look(3, after=3))

    points = live_points.of({run.pk: gateway.pk}, at=AT.timestamp() + 3)[run.pk]

    # What was counted before the first look is no rate.
    seen = [(p.seconds, p.answered, p.in_flight, p.held) for p in points]
    assert seen == [(1, 0, 0, 0), (2, 10, 3, 2), (1, 0, 0, 0)]


def test_replicas_have_the_load_that_the_newest_look_says(gateway: Gateway, run: Run) -> None:
    load = schema.Load(endpoint=str(run.pk), in_flight=3, replicas={"r1": 2, "r2": 1})
    stranger = load.model_copy(update={"endpoint": "0" * 32, "replicas": {"r3": 9}})
    take(gateway, look(1, load=[load, stranger]))
    assert replica_load.of([run.pk]) == {"r1": 2, "r2": 1}

    take(gateway, look(2, load=[load.model_copy(update={"replicas": {"r2": 5}})], after=1))
    assert replica_load.of([run.pk]) == {"r2": 5}


def test_tells_at_once_who_is_asked_for(
    gateway: Gateway, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(notifications, "_subscribers", [lambda *args: told.append(args)])
    take(gateway, look(1, counts(run, 5)))
    take(gateway, look(2, counts(run, 5), after=1))
    take(gateway, look(3, counts(run, 9), after=2), late=600)

    assert told == [("endpoint", "counted", [run.pk])]


def test_parts_of_one_look_are_one_point(gateway: Gateway, run: Run) -> None:
    load = schema.Load(endpoint=str(run.pk), in_flight=3)
    take(gateway, look(1))
    take(gateway, look(2, after=2, load=[load]))
    take(gateway, look(3, counts(run, 10), after=2, load=[load]))

    last = live_points.of({run.pk: gateway.pk}, at=AT.timestamp() + 2)[run.pk][-1]

    assert (last.seconds, last.answered, last.in_flight) == (2, 10, 3)


def test_old_looks_are_no_live_points(gateway: Gateway, run: Run) -> None:
    take(gateway, look(1))
    take(gateway, look(2, counts(run, 10), after=1), late=600)

    assert live_points.of({run.pk: gateway.pk}, at=AT.timestamp() + 601)[run.pk] == []
    assert answered(run) == [0, 10, 0, 0, 0]


def test_without_valkey_nothing_is_lost(gateway: Gateway, run: Run, settings: Any) -> None:
    valkey.client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    take(gateway, look(1, counts(run, 5)))

    assert answered(run) == [0, 5, 0, 0, 0]
    assert live_points.of({run.pk: gateway.pk}, at=AT.timestamp()) == {run.pk: []}
    assert replica_load.of([run.pk]) == {}
    valkey.client.cache_clear()


def test_a_gateway_speaks_only_for_what_is_published_on_it(people: People, run: Run) -> None:
    other = factories.gateway(name="other")
    strange = schema.Counts(endpoint=str(uuid4()), by_class=(0, 1, 0, 0, 0))
    odd = schema.Counts(endpoint="no-uuid", by_class=(0, 1, 0, 0, 0))

    take(other, look(1, counts(run, 5), strange, odd))

    assert not Traffic.objects.exists()


def test_notes_which_key_asked_what(people: People, gateway: Gateway, run: Run) -> None:
    token = factories.token(people.bob).row
    take(gateway, look(1, counts(run, 5, 0, 0, 1, key=str(token.pk), tokens_in=30), counts(run, 2)))

    used = KeyUse.objects.order_by("token_id").values_list("token_id", "requests", "errors")
    assert list(used) == [(0, 2, 0), (token.pk, 6, 1)]
    token.refresh_from_db()
    assert token.last_used_at == AT


def test_notes_a_use_once_a_minute(people: People, gateway: Gateway, run: Run) -> None:
    token = factories.token(people.bob).row
    for second in (0, 59, 61):
        take(gateway, look(second, counts(run, second + 1, key=str(token.pk)), after=second))
        if second == 59:
            assert Token.objects.get(pk=token.pk).last_used_at == AT

    assert Token.objects.get(pk=token.pk).last_used_at == AT + timedelta(seconds=61)


@pytest.mark.parametrize("key", ["stranger", "999999", "x", "9" * 30])
def test_keys_of_strangers_count_as_none(
    people: People, gateway: Gateway, run: Run, key: str
) -> None:
    stranger = factories.token(people.charlie).row
    used = str(stranger.pk) if key == "stranger" else key
    take(gateway, look(1, counts(run, 5, key=used), counts(run, 2)))

    assert list(KeyUse.objects.values_list("token_id", "requests")) == [(0, 7)]
    assert Token.objects.get(pk=stranger.pk).last_used_at is None


def test_absurd_figures_break_nothing(gateway: Gateway, run: Run) -> None:
    spent = schema.Latency(endpoint=str(run.pk), total=[10**40] * 500)
    load = schema.Load(endpoint=str(run.pk), in_flight=-5, held=10**40)
    absurd = look(1, counts(run, 10**40, -3), latency=[spent], load=[load])

    for at in (0.0, 1e300):
        stats = absurd.model_copy(update={"at": at, "boot_id": str(at)})
        assert ingest.take(gateway=gateway, stats=stats, at=AT)


def post(gateway_token: str, body: Any) -> int:
    headers = {"Authorization": f"Bearer {gateway_token}"}
    client = Client(headers=headers)
    return client.post(URL, body, content_type="application/json").status_code


def test_the_route_takes_a_look_and_refuses_what_is_none(people: People) -> None:
    token = new_token("g")
    gateway = factories.gateway(people.project, token_hash=token_hash(token))
    run = factories.run(people.project, gateway=gateway)

    assert post(token, look(1, counts(run, 5)).model_dump_json()) == 200
    assert post("dsk_g_wrong", look(2).model_dump_json()) == 401
    for body in (b"", b"[]", b"{", b'{"boot_id": 1}', b"\xff"):
        assert post(token, body) == 422
    for bad in ({"boot_id": "x" * 65}, {"sequence": 2**63}, {"sequence": -1}):
        assert post(token, look(3).model_copy(update=bad).model_dump_json()) == 422


@pytest.mark.parametrize(
    ("more", "is_bad"),
    [
        ({}, False),
        ({"by_class": (4, 1)}, False),
        ({"by_class": (4, 0, 0, 1)}, True),
        ({"by_class": (0, 0, 0, 1)}, True),
        ({"held": 1}, True),
    ],
)
def test_notes_when_requests_last_failed_or_waited(
    gateway: Gateway, run: Run, more: dict[str, Any], is_bad: bool
) -> None:
    load = [schema.Load(endpoint=str(run.pk), in_flight=1, held=more.get("held", 0))]
    by_class = more.get("by_class", (4,))
    take(gateway, look(1, counts(run, *by_class), load=load))
    # What is well again later takes nothing back.
    take(gateway, look(2, counts(run, *by_class), after=1))

    noted = RequestTotal.objects.filter(bad_at__isnull=False).values_list("bad_at", flat=True)
    assert list(noted) == [AT] * is_bad
