"""The refresh of prices: one region at a time, so that making machines never waits for many."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.backends import services as backends
from apps.backends.base import ProviderError
from apps.backends.models import Backend
from apps.offers.catalog import refresh

logger = logging.getLogger(__name__)
# What failed is left alone for a while, and what a cloud calls its regions is kept as long.
PAUSE = timedelta(minutes=30)
_failed_at: dict[tuple[str, str, bool], datetime] = {}
_regions: dict[int, tuple[datetime, list[str]]] = {}


@shared_task
def refresh_prices(**_: Any) -> None:
    refresh_oldest(at=timezone.now())


def refresh_oldest(*, at: datetime) -> tuple[str, str, bool] | None:
    """Refresh the oldest prices that a connected backend can be asked for; say which they were."""
    for backend in Backend.objects.filter(closed_at=None, disabled_at=None).order_by("pk"):
        for region, spot in refresh.due(backend, _regions_of(backend, at=at), at=at):
            what = (backend.kind, region, spot)
            if at - _failed_at.get(what, at - PAUSE) < PAUSE:
                continue
            _failed_at[what] = at
            try:
                count = refresh.refresh(backend, region, spot=spot, at=at)
            except ProviderError as error:
                logger.warning("no prices of %s in %s: %s", backend.kind, region, error)
            else:
                if count:
                    del _failed_at[what]
                logger.info("%s prices of %s in %s", count, backend.kind, region)
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
