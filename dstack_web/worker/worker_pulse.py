"""A worker's pulse, sent by the loop that takes tasks and hands them to its threads."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.worker import consumer

from dstack_web.worker import pulse


class WorkerPulse(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Beats from the loop, as long as that has a broker."""

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:
        hub.call_repeatedly(pulse.SECONDS, pulse.beat)


class BeatingConsumer(consumer.Consumer):  # type: ignore[misc]  # Celery has no types
    """Beats also while it looks for its broker."""

    def ensure_connected(self, conn: Any) -> Any:
        return super().ensure_connected(pulse.beating(conn))
