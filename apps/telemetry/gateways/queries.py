"""Reads of what gateways carry and write."""

from __future__ import annotations

from datetime import datetime

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.gateways import queries as gateways
from apps.gateways.models import Gateway
from apps.telemetry.logs import queries as logs
from apps.telemetry.logs.queries import Line
from apps.telemetry.metrics import series
from apps.telemetry.metrics.series import Figures


def figures(access: Access, project: Project, gateway: Gateway, *, at: datetime) -> Figures:
    """Return what its services are asked now, all together: the project's own, where others have
    theirs there and one does not see these."""
    runs = gateway.runs.all()
    if gateways.is_shared(project, gateway) and not access.is_global_admin:
        runs = runs.filter(project=project)
    return series.figures_together(run_ids=runs.values("pk"), at=at)


def log_tail(gateway: Gateway, *, limit: int) -> list[Line]:
    """Return the newest lines that its program wrote on its machine, oldest first."""
    return logs.newest(run_id=gateway.uid, limit=limit)
