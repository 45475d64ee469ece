"""What the rules of alerts look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from apps.backends import queries as backends
from apps.backends.faults import unheard
from apps.instances.costs import in_use as costs
from apps.runs import states
from apps.runs.models import Replica, Run
from apps.runs.public_urls import has_host
from apps.telemetry.alerts.decide import Alert, Facts, alerts
from apps.telemetry.metrics.series import OUTCOME_MINUTES, outcomes
from apps.telemetry.models import Traffic


def of_run(run: Run, *, at: datetime) -> list[Alert]:
    """Return what to look at of a run, nothing of one that is over."""
    return [] if run.is_final else alerts(facts(run, at=at))


def facts(run: Run, *, at: datetime) -> Facts:
    outcome = outcomes(run_ids=[run.pk], at=at)[run.pk]
    live = list(run.replicas.exclude(state__in=states.REPLICA.final).order_by("num"))
    # What waited for a replica to start has waited for no room.
    grown_at = max((each.ready_at for each in live if each.ready_at), default=at)
    since = max(at - timedelta(minutes=OUTCOME_MINUTES), grown_at)
    held = Traffic.objects.filter(run_id=run.pk, at__gte=since, at__lte=at)
    return Facts(
        minutes=OUTCOME_MINUTES,
        calls=outcome.calls,
        refused=outcome.refused,
        errors=outcome.errors,
        held_most=max(held.values_list("held_max", flat=True), default=0),
        ready=sum(each.state == states.RUNNING for each in live),
        most_replicas=run.spec["replicas"]["max"] if run.spec.get("scaling") else None,
        has_model=bool(run.spec.get("model")),
        unhealthy=[(each.num, each.message) for each in live if each.state == states.UNHEALTHY],
        certificate=_certificate(run),
        unheard=_unheard(run, live),
        budget=_budget(run, live, at=at),
    )


def _unheard(run: Run, live: Sequence[Replica]) -> list[str]:
    """Of a service that has fewer replicas than it should."""
    ready = sum(each.state == states.RUNNING for each in live)
    if ready and ready >= run.desired_now:
        return []
    return [why for each in backends.usable_by(run.project) if (why := unheard.why(each))]


def _budget(run: Run, live: Sequence[Replica], *, at: datetime) -> str:
    """Of a service that costs something: another one needs none."""
    if not any(each.price_usd_per_hour > 0 for each in live):
        return ""
    return costs.budget_warning(run.project, at=at)


def _certificate(run: Run) -> Mapping[str, str] | None:
    gateway = run.gateway
    if gateway is None or not has_host(run) or run.spec.get("https", True) is False:
        return None
    host = f"{run.name}.{gateway.domain}"
    return next((each for each in gateway.secured if each["host"] == host), None)
