from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.autoscaling.models import Decision
from apps.runs.models import Run
from apps.telemetry.metrics import series
from apps.telemetry.models import GatewayFeed, Traffic, Usage
from apps.telemetry.traffic import histograms
from apps.telemetry.traffic.ingest import bucket_of
from gateway.traffic.latency import Histogram
from tests import factories
from tests.people import People, scraper, signed_in

pytestmark = pytest.mark.django_db

AT = datetime(2030, 1, 1, 12, 0, 7, tzinfo=UTC)


@pytest.fixture
def run(people: People) -> Run:
    made_at = datetime(2020, 1, 1, tzinfo=UTC)
    return factories.run(people.project, user=people.bob, name="hello", created_at=made_at)


def bucket(run: Run, *, age: float, at: datetime = AT, **more: Any) -> None:
    begin = bucket_of(at - timedelta(seconds=age), 10)
    values = {"by_class": [0, 100, 0, 0, 0], "latency": [0, 0, 0, 100], **more}
    Traffic.objects.create(run_id=run.pk, seconds=10, at=begin, **values)


def test_a_series_is_whole_and_has_zeros_where_nothing_was_asked(run: Run) -> None:
    bucket(run, age=25, tokens_out=30, held_max=2)
    bucket(run, age=0)

    found = series.requests_of(run=run, length=timedelta(minutes=1), at=AT)

    # Nobody has counted anything of the step that is not over.
    assert [point["rps"] for point in found["points"]] == [0, 0, 0, 0, 10, 0]
    point = found["points"][4]
    assert (point["p50_ms"], point["tokens_out"], point["held"]) == (7.079, 30, 2)
    assert found["points"][0]["p95_ms"] is None


@pytest.mark.parametrize(
    ("rows", "tokens"),
    [
        ([{}], (None, None)),
        ([{"usages": 1}], (0, 0)),
        ([{"usages": 2, "tokens_in": 7}], (7, 0)),
        ([{"usages": 2, "tokens_in": 7, "tokens_out": 3}, {}], (7, 3)),
        ([{"tokens_out": 30}], (0, 30)),
        ([], (None, None)),
    ],
)
def test_tokens_that_nobody_said_are_no_zero(
    run: Run, rows: list[dict[str, Any]], tokens: tuple[int | None, int | None]
) -> None:
    for place, more in enumerate(rows):
        bucket(run, age=30 + 10 * place, **more)

    found = series.requests_of(run=run, length=timedelta(minutes=15), at=AT, most_points=1)
    drawn = series.as_numbers(found)

    (point,) = [each for each in found["points"] if each["rps"]] or found["points"][:1]
    assert (point["tokens_in"], point["tokens_out"]) == tokens
    per_second = [None if each is None else each / point["seconds"] for each in tokens]
    place = found["points"].index(point)
    assert [drawn["tokens_in"][place], drawn["tokens_out"][place]] == per_second


@pytest.mark.parametrize("counted", [0.1, 1, 2, 6])
def test_a_series_has_what_was_just_asked(run: Run, people: People, counted: float) -> None:
    run.gateway = factories.gateway(people.project)
    GatewayFeed.objects.create(
        gateway=run.gateway, looked_at=bucket_of(AT, 10) + timedelta(seconds=counted)
    )
    bucket(run, age=0)
    Usage.objects.create(
        run_id=run.pk, replica_num=0, seconds=10, at=bucket_of(AT, 10),
        cpu_cores_sum=1, cpu_cores_max=1, memory_bytes_max=1,
    )  # fmt: skip

    found = series.requests_of(run=run, length=timedelta(minutes=1), at=AT)

    (used,) = found["resources"]
    assert len(used["points"]) == len(found["points"])
    assert used["points"][-1]["cpu_cores"] == 1
    seconds = max(counted, 1)
    newest = found["points"][-1]
    assert (newest["seconds"], newest["rps"]) == (seconds, round(100 / seconds, 3))
    assert [point["seconds"] for point in found["points"][:-1]] == [10] * 6
    assert series.as_numbers(found)["by_class"]["2xx"][-1] == pytest.approx(100 / seconds)
    assert found["end"] == bucket_of(AT, 10) + timedelta(seconds=seconds)


def test_a_look_of_before_adds_no_point(run: Run, people: People) -> None:
    run.gateway = factories.gateway(people.project)
    GatewayFeed.objects.create(gateway=run.gateway, looked_at=AT - timedelta(seconds=10))

    found = series.requests_of(run=run, length=timedelta(minutes=1), at=AT)

    assert len(found["points"]) == 6


@pytest.mark.parametrize(
    ("text", "step"),
    [("1m", 10), ("15m", 10), ("1h", 30), ("6h", 120), ("24h", 600), ("7d", 3600), ("30d", 21600)],
)
def test_a_chart_has_a_bounded_number_of_points(text: str, step: int) -> None:
    assert series.step_of(series.read_range(text)) == step


def test_few_points_have_the_percentiles_of_all_that_they_sum_up(run: Run) -> None:
    # Three of 11 s in one step, 97 of 84 ms in another: half of all took 84 ms.
    bucket(run, age=20, latency=[], total_us=pairs_of(11_000, 3))
    bucket(run, age=30, latency=[], total_us=pairs_of(84, 97), first_us=pairs_of(2.4, 97))

    found = series.requests_of(run=run, length=timedelta(minutes=15), at=AT, most_points=2)

    assert found["step_seconds"] == 600
    (point,) = [each for each in found["points"] if each["p50_ms"] is not None]
    assert point["p50_ms"] == pytest.approx(84, rel=0.1)
    assert point["p95_ms"] == pytest.approx(84, rel=0.1)
    assert point["p99_ms"] == pytest.approx(11_000, rel=0.1)
    assert point["first_byte_p95_ms"] == pytest.approx(2.4, rel=0.1)


def test_reads_what_an_earlier_version_wrote(run: Run) -> None:
    with connection.cursor() as cursor:
        # It knows no other columns, and may still serve beside us.
        cursor.execute(
            "INSERT INTO telemetry_traffic (run_id, seconds, at, by_class, bytes_in, bytes_out,"
            " tokens_in, tokens_out, latency, first_byte, in_flight_max, held_max)"
            " VALUES (%s, 10, %s, '{0,8,0,0,0}', 0, 0, 0, 0,"
            " '{0,0,0,0,0,0,0,0,0,0,0,0,0,8}', '{8}', 0, 0)",
            [run.pk, bucket_of(AT - timedelta(seconds=20), 10)],
        )
    bucket(run, age=30, latency=[], total_us=pairs_of(84, 2), first_us=None)

    found = series.requests_of(run=run, length=timedelta(minutes=15), at=AT, most_points=2)

    (point,) = [each for each in found["points"] if each["p50_ms"] is not None]
    assert 10_000 < point["p50_ms"] < 30_000
    assert point["first_byte_p50_ms"] < 1


def pairs_of(ms: float, count: int) -> list[int]:
    histogram = Histogram()
    histogram.add(round(ms * 1000), count)
    return histograms.pairs(histogram.counts)


def test_the_api_takes_a_number_of_points(people: People, run: Run) -> None:
    url = "/api/projects/main/runs/hello/metrics?range=1h&points="
    steps = [client(people).get(f"{url}{points}").json()["step_seconds"] for points in (180, 12)]

    assert steps == [30, 300]
    assert client(people).get(f"{url}0").status_code == 422


def test_points_begin_and_end_with_the_run(run: Run) -> None:
    run.created_at, run.finished_at = AT - timedelta(minutes=9), AT - timedelta(minutes=2)

    found = series.requests_of(run=run, length=timedelta(minutes=15), at=AT)
    drawn = series.as_numbers(found)

    assert found["points"][0]["at"] == found["begin"] == bucket_of(run.created_at, 10)
    assert found["end"] == bucket_of(run.finished_at, 10) + timedelta(seconds=10)
    assert drawn["range"] == [
        (AT - timedelta(minutes=15, seconds=7)).timestamp(),
        bucket_of(AT, 10).timestamp(),
    ]


@pytest.mark.parametrize("age", [0, 3])
def test_a_run_of_this_moment_has_no_point_or_one(run: Run, age: int) -> None:
    run.created_at = AT - timedelta(seconds=age)

    found = series.requests_of(run=run, length=timedelta(minutes=15), at=AT)

    assert found["points"] == []
    assert series.as_numbers(found)["at"] == []


def test_figures_are_those_of_the_last_minute(run: Run) -> None:
    # 57 seconds: five whole buckets and the 7 seconds of the one that is being filled.
    bucket(run, age=60, by_class=[0, 999, 0, 0, 0])
    for age in range(10, 60, 10):
        bucket(run, age=age, by_class=[0, 45, 0, 0, 5])
    bucket(run, age=0, by_class=[0, 32, 0, 0, 3])

    found = series.figures(run_ids=[run.pk], at=AT)[run.pk]

    assert found.rps == 5
    assert found.p95_ms == pytest.approx(9.66, rel=0.01)
    assert found.errors_percent == pytest.approx(2800 / 285)
    assert len(found.spark) == series.SPARK_MINUTES
    short = series.figures_of_last_minute(run_ids=[run.pk], at=AT)[run.pk]
    assert short == dataclasses.replace(found, spark=())


def test_figures_have_what_was_just_asked(run: Run) -> None:
    bucket(run, age=0, by_class=[0, 57, 0, 0, 0])

    assert series.figures(run_ids=[run.pk], at=AT)[run.pk].rps == 1


def client(people: People) -> Client:
    return Client(headers=factories.token(people.bob).headers)


def test_the_api_gives_series_and_decisions(people: People, run: Run) -> None:
    bucket(run, age=300, at=timezone.now())
    Decision.objects.create(
        run=run,
        at=AT,
        before=2,
        desired_replicas=4,
        ready=2,
        kind="panic",
        reason="2 -> 4: because",
    )

    metrics = client(people).get("/api/projects/main/runs/hello/metrics?range=15m").json()
    decisions = client(people).get("/api/projects/main/runs/hello/decisions").json()

    assert sum(point["requests"]["2xx"] for point in metrics["points"]) == 100
    assert [(one["wanted"], one["reason"]) for one in decisions["items"]] == [
        (4, "2 -> 4: because")
    ]


@pytest.mark.parametrize("text", ["", "x", "-1h", "1s", "400d", "9" * 500, "\u0661h"])
def test_a_range_that_is_none_is_refused(people: People, run: Run, text: str) -> None:
    answer = client(people).get("/api/projects/main/runs/hello/metrics", {"range": text})

    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith("range must be a time")


def test_the_page_says_what_goes_on(people: People, run: Run) -> None:
    browser = signed_in(people.bob)
    figures = "/projects/main/services/hello/figures/"
    assert "no requests" in browser.get(figures).content.decode()

    for age in range(10, 70, 10):
        bucket(run, age=age, at=timezone.now(), by_class=[0, 45, 0, 0, 5])

    assert "10.0 % errors" in browser.get(figures).content.decode()
    assert (
        "polyline" in browser.get("/projects/main/figures/", {"run": str(run.pk)}).content.decode()
    )


def test_the_table_hears_of_its_own_rows_alone(people: People, run: Run) -> None:
    others = [factories.run(people.project) for _ in range(60)]
    strange = factories.run(factories.project("other"))
    asked = {"run": [str(run.pk), str(others[0].pk), str(strange.pk), "no-uuid", ""]}

    for page in ("figures", "model-figures"):
        text = signed_in(people.bob).get(f"/projects/main/{page}/", asked).content.decode()
        told = set(re.findall(r'id="[a-z0-9]+-([0-9a-f-]{36})"', text))
        assert told == {str(run.pk), str(others[0].pk)}


@pytest.mark.parametrize(
    ("by_class", "is_bad", "refused", "errors"),
    [
        ([0, 0, 0, 12, 0], True, "100.0 %", "0.0 %"),
        ([0, 0, 0, 0, 12], True, "0.0 %", "100.0 %"),
        ([0, 4, 0, 3, 3], True, "30.0 %", "30.0 %"),
        ([0, 9, 0, 1, 0], False, "10.0 %", "0.0 %"),
        ([3, 9, 3, 0, 0], False, "0.0 %", "0.0 %"),
    ],
)
def test_the_page_of_models_says_how_calls_end(
    people: People, run: Run, by_class: list[int], is_bad: bool, refused: str, errors: str
) -> None:
    bucket(run, age=600, at=timezone.now(), by_class=by_class)

    page = signed_in(people.bob).get("/projects/main/model-figures/", {"run": str(run.pk)})
    cells = dict(re.findall(r'id="([a-z]+)-[^"]+"[^>]*>(.*?)</span>\n', page.content.decode()))

    assert ("most calls fail" in cells["outcome"]) == is_bad
    assert refused in cells["refused"]
    assert errors in cells["errors"]


def model_cells(people: People, run: Run) -> dict[str, str]:
    page = signed_in(people.bob).get("/projects/main/model-figures/", {"run": str(run.pk)})
    cells = re.findall(r'id="([a-z]+)-[^"]+"[^>]*>(.*?)</span>\n', page.content.decode())
    return {name: re.sub(r"<.*?>", "", text) for name, text in cells}


def test_the_page_of_models_says_how_fast_and_at_what_price(
    people: People, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = timezone.now()
    # A slow machine adds a second to the cost, or begins the next bucket.
    monkeypatch.setattr(timezone, "now", lambda: at)
    factories.replica(run, price_usd_per_hour="3.60", started_at=at - timedelta(minutes=30))
    first = [0, 0, 0, 100]
    bucket(run, age=15, at=at, usages=9, tokens_in=600, tokens_out=300, first_byte=first)
    bucket(run, age=2400, at=at, usages=9, tokens_in=100, tokens_out=800)

    cells = model_cells(people, run)

    seconds = 50 + at.timestamp() % 10
    assert float(cells["rps"].removesuffix(" rps")) == pytest.approx(100 / seconds, abs=0.06)
    tokens = float(cells["tokens"].removesuffix(" tokens/s"))
    assert tokens == pytest.approx(300 / seconds, abs=0.06)
    assert cells["first"] == "7.08 ms"
    # Half an hour at $3.60 by 1,800 tokens.
    assert cells["price"] == "$1,000"


def test_the_page_of_models_says_what_was_not_measured(people: People, run: Run) -> None:
    factories.replica(run, price_usd_per_hour="3.60", started_at=timezone.now())
    bucket(run, age=15, at=timezone.now())

    cells = model_cells(people, run)

    assert (cells["tokens"], cells["price"]) == ("not measured", "not measured")


def test_a_model_that_nobody_called_has_no_share(people: People, run: Run) -> None:
    bucket(run, age=3600, at=timezone.now(), by_class=[0, 0, 0, 12, 0])

    page = signed_in(people.bob).get("/projects/main/model-figures/", {"run": str(run.pk)})

    assert "%" not in page.content.decode()
    assert "most calls fail" not in page.content.decode()


def test_decisions_are_told_in_words(people: People, run: Run) -> None:
    browser = signed_in(people.bob)
    address = "/projects/main/services/hello/decisions/"
    assert "fixed number of replicas" in browser.get(address).content.decode()

    Decision.objects.create(
        run=run,
        at=AT,
        before=2,
        desired_replicas=4,
        ready=2,
        kind="panic",
        reason="2 -> 4: <38 rps>",
    )

    assert "2 -&gt; 4: &lt;38 rps&gt;" in browser.get(address).content.decode()


def test_prometheus_gets_what_is_asked_of_services(
    people: People, run: Run, redis_url: str
) -> None:
    page = scraper().get("/metrics").content.decode()

    assert 'dstack_service_wanted{project="main",run="hello"} 1' in page
