"""The figures of models in their list: calls, speed, and what their tokens cost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import F, Q, Sum

from apps.runs.models import Replica
from apps.telemetry.metrics import series, token_price
from apps.telemetry.metrics.token_price import Stay
from apps.telemetry.models import Traffic
from apps.telemetry.traffic.histograms import percentile
from apps.telemetry.traffic.ingest import bucket_of, summed

PRICE_MINUTES = 60


@dataclass(frozen=True)
class Speed:
    """How a model does: requests and written tokens a second of the last minute, and in how many
    milliseconds half of the answers of the last minutes had begun. None is not measured."""

    rps: float = 0.0
    tokens_per_second: float | None = None
    first_token_ms: float | None = None

    @property
    def first_token(self) -> str:
        """`84 ms`, `8.53 s`, or nothing."""
        return series.time_words(self.first_token_ms)


@dataclass(frozen=True)
class ModelFigures:
    """One row of the list; `usd_per_million` is of the last PRICE_MINUTES, None not measured."""

    outcome: series.Outcome = field(default_factory=series.Outcome)
    speed: Speed = field(default_factory=Speed)
    usd_per_million: Decimal | None = None


def of_runs(*, run_ids: Iterable[UUID], at: datetime) -> dict[UUID, ModelFigures]:
    """Return the figures of these runs, with three queries for all."""
    rows: dict[UUID, list[Traffic]] = {pk: [] for pk in run_ids}
    lately = at - timedelta(minutes=series.OUTCOME_MINUTES)
    for row in Traffic.objects.filter(run_id__in=rows, at__gte=lately, at__lte=at):
        rows[row.run_id].append(row)
    prices = _prices(rows, at=at)
    return {
        pk: ModelFigures(series.outcome_of(its), _speed(its, at), prices[pk])
        for pk, its in rows.items()
    }


def _prices(run_ids: Collection[UUID], *, at: datetime) -> dict[UUID, Decimal | None]:
    """What a million tokens cost. A page asks this every few seconds, so the database adds up."""
    since = at - timedelta(minutes=PRICE_MINUTES)
    hour = Traffic.objects.filter(run_id__in=run_ids, at__gte=since, at__lte=at)
    counted = hour.values_list("run_id").annotate(tokens=Sum(F("tokens_in") + F("tokens_out")))
    tokens: dict[UUID, int] = dict(counted)
    stays = _stays(run_ids, since=since)
    return {
        pk: token_price.usd_per_million(
            cost=token_price.cost_usd(stays.get(pk, []), since=since, until=at),
            tokens=tokens.get(pk, 0),
        )
        for pk in run_ids
    }


def _speed(rows: Sequence[Traffic], at: datetime) -> Speed:
    # The minute ends now, so that what was just asked counts, and begins with a whole bucket.
    begin = bucket_of(at, 10) - timedelta(seconds=series.RECENT_SECONDS - 10)
    seconds = (at - begin).total_seconds()
    minute = [row for row in rows if row.at >= begin]
    by_class = summed(*(row.by_class for row in minute))
    measured = [row.tokens_out for row in minute if row.has_tokens]
    return Speed(
        rps=sum(by_class[1:]) / seconds,
        tokens_per_second=sum(measured) / seconds if measured else None,
        first_token_ms=percentile(series.first_byte_times_of(rows), 0.5),
    )


def _stays(run_ids: Iterable[UUID], *, since: datetime) -> dict[UUID, list[Stay]]:
    there = Replica.objects.filter(Q(finished_at=None) | Q(finished_at__gt=since))
    there = there.filter(run_id__in=list(run_ids), started_at__isnull=False)
    found: dict[UUID, list[Stay]] = {}
    fields = ("run_id", "price_usd_per_hour", "started_at", "finished_at")
    for run_id, price, begin, end, machine, running_at in there.values_list(
        *fields, "instance_id", "instance__running_at"
    ):
        if machine is not None and running_at is None:
            continue  # its machine is not there yet, and costs nothing
        stay = Stay(price, max(begin, running_at or begin), end)
        found.setdefault(run_id, []).append(stay)
    return found
