"""The refresh of prices: one region at a time, so that making machines never waits for many."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.backends import services as backends
from apps.backends.base import ProviderError
from apps.backends.models import Backend
from apps.offers.catalog import refresh, retail

logger = logging.getLogger(__name__)
# What failed is left alone for a while, and what a cloud calls its regions is kept as long.
PAUSE = timedelta(minutes=30)
_failed_at: dict[tuple[str, str, bool], datetime] = {}
_regions: dict[int, tuple[datetime, list[str]]] = {}


@shared_task
def refresh_prices(**_: Any) -> None:
    refresh_oldest(at=timezone.now())


def refresh_oldest(*, at: datetime) -> tuple[str, str, bool] | None:
    """Refresh the oldest prices that somebody can be asked for; say which they were.

    First connected backends are asked, then the public list, if an administrator wants that.
    """
    for backend in Backend.objects.filter(closed_at=None, disabled_at=None).order_by("pk"):
        regions = _regions_of(backend, at=at)
        if done := _first_due(backend.kind, regions, partial(refresh.refresh, backend), at=at):
            return done
    if settings.DSTACK_AZURE_PRICES:
        return _first_due(retail.KIND, retail.regions(), retail.refresh, at=at)
    return None


def _first_due(
    kind: str, regions: list[str], ask: Callable[..., int], *, at: datetime
) -> tuple[str, str, bool] | None:
    """Ask for the oldest of a kind that is due and did not fail a moment ago."""
    for region, spot in refresh.due(kind, regions, at=at):
        what = (kind, region, spot)
        if at - _failed_at.get(what, at - PAUSE) < PAUSE:
            continue
        _failed_at[what] = at
        try:
            count = ask(region, spot=spot, at=at)
        except ProviderError as error:
            logger.warning("no prices of %s in %s: %s", kind, region, error)
        else:
            if count:
                del _failed_at[what]
            logger.info("%s prices of %s in %s", count, kind, region)
        return what
    return None


def _regions_of(backend: Backend, *, at: datetime) -> list[str]:
    """Return the regions of a backend that is in the catalog; none where it cannot be asked."""
    try:
        provider = backends.provider_of(backend)
    except ProviderError:
        return []
    configured = provider.in_catalog()
    if configured is None or configured:
        return list(configured or ())
    known = _regions.get(backend.pk)
    if known is None or at - known[0] >= PAUSE:
        try:
            known = (at, provider.regions())
        except ProviderError as error:
            logger.warning("no regions of %s: %s", backend, error)
            known = (at, known[1] if known else [])
        _regions[backend.pk] = known
    return known[1]
