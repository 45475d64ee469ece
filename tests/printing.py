"""A replica that prints, for tests of logs: its agent's batches go straight to the service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from apps.agent.wire import LogBatch, LogLine, LogReceipt, WorkloadLog
from apps.instances.models import Instance, Workload
from apps.runs.models import Run
from apps.telemetry.logs import services
from tests import factories


@dataclass
class Printer:
    """A replica whose agent sends what it prints."""

    run: Run
    instance: Instance
    workload: Workload

    def send(self, *texts: str, first: int = 0, at: datetime | None = None) -> LogReceipt:
        lines = numbered(texts, first=first, at=at or datetime.now(UTC))
        batch = LogBatch([WorkloadLog(str(self.workload.pk), lines)])
        return services.ingest(instance_id=self.instance.pk, batch=batch, at=at)

    def next_seq(self, receipt: LogReceipt) -> int:
        return receipt.next_seq[str(self.workload.pk)]


def numbered(texts: Sequence[str], *, first: int = 0, at: datetime) -> list[LogLine]:
    return [LogLine(first + i, at.isoformat(), text) for i, text in enumerate(texts)]


def printer(run: Run, *, num: int = 0) -> Printer:
    instance = factories.instance(run.project)
    workload = factories.workload(instance, replica=factories.replica(run, num=num))
    return Printer(run, instance, workload)
