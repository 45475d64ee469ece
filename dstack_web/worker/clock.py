"""Beat: when each task is due, without the code of any.

A Celery application of its own, because the workers' one loads Django and every app, sixty
megabytes of which beat needs nothing: a task is a name to it.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.beat import Scheduler

from dstack_web.worker import pulse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dstack_web.settings")


class Clock(Celery):  # type: ignore[misc]  # Celery has no types
    """Celery without its hook that sets Django up."""

    builtin_fixups = frozenset[str]()


class BeatingScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """The schedule in memory, with a pulse at each look at it."""

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        pulse.beat()
        return super().tick(*args, **kwargs)

    def _ensure_connected(self) -> Any:
        pulse.beating(self.connection)
        return super()._ensure_connected()


app = Clock("dstack_web", set_as_current=False)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = {
    # One second: what a lost hint costs. Two of them at once are harmless, since rows are claimed.
    "sweep": {
        "task": "dstack_web.tasks.sweep_due",
        "schedule": 1.0,
        "options": {"expires": 5, "ignore_result": True},
    },
    # A workload cannot make its replica due, since that is a later stage's row.
    "catch-up": {
        "task": "apps.runs.tasks.catch_up",
        "schedule": 3.0,
        "options": {"expires": 5, "ignore_result": True},
    },
    # Catches what a lost hint left unpublished; it writes nothing when nothing differs.
    "publish": {
        "task": "apps.routing.tasks.publish_all",
        "schedule": 10.0,
        "options": {"expires": 20, "ignore_result": True},
    },
    # A machine that nobody owns costs money; five minutes of it are cents.
    "orphans": {
        "task": "apps.instances.tasks.collect_orphans",
        "schedule": 300.0,
        "options": {"expires": 300, "ignore_result": True},
    },
    # So does an address that no gateway has.
    "addresses": {
        "task": "apps.gateways.machines.tasks.collect_addresses",
        "schedule": 900.0,
        "options": {"expires": 900, "ignore_result": True},
    },
    # What is not booked yet is counted all the same where costs are shown.
    "charges": {
        "task": "apps.instances.tasks.book_charges",
        "schedule": 60.0,
        "options": {"expires": 60, "ignore_result": True},
    },
    # One region of one cloud each time, and none where all are fresh.
    "prices": {
        "task": "apps.offers.catalog.tasks.refresh_prices",
        "schedule": 60.0,
        "options": {"expires": 60, "ignore_result": True},
    },
    # Repositories that could not be read, and runs whose hint was lost.
    "templates": {
        "task": "apps.chat_templates.tasks.read_due",
        "schedule": 15.0,
        "options": {"expires": 30, "ignore_result": True},
    },
    # What the panic window of 6 s is worth is lost with a slower look.
    "scale": {
        "task": "apps.autoscaling.tasks.tick",
        "schedule": 2.0,
        "options": {"expires": 4, "ignore_result": True},
    },
    "utilization": {
        "task": "apps.autoscaling.tasks.stop_unused",
        "schedule": 30.0,
        "options": {"expires": 30, "ignore_result": True},
    },
    "prune-history": {
        "task": "dstack_web.tasks.prune_history",
        "schedule": 900.0,
        "options": {"expires": 900, "ignore_result": True},
    },
    "prune-uploads": {
        "task": "apps.runs.tasks.prune",
        "schedule": 600.0,
        "options": {"expires": 600, "ignore_result": True},
    },
    "prune": {
        "task": "apps.telemetry.tasks.prune",
        "schedule": 300.0,
        "options": {"expires": 300, "ignore_result": True},
    },
}
