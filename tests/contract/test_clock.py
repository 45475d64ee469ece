"""Beat knows tasks by their names alone, so the names must be right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dstack_web import celery
from dstack_web.worker import clock

ROOT = Path(__file__).parents[2]
LOADED = """
import sys
from dstack_web.worker.clock import app
app.loader.init_worker()
app.finalize()
assert app.conf.beat_schedule
print(*sys.modules)
"""


def test_every_task_of_the_schedule_is_one_of_the_workers() -> None:
    celery.app.loader.import_default_modules()

    names = {entry["task"] for entry in clock.app.conf.beat_schedule.values()}

    assert names
    assert names <= celery.app.tasks.keys()


def test_the_clock_sends_to_the_workers_queues() -> None:
    for name in ("broker_url", "task_default_queue", "task_routes"):
        assert clock.app.conf[name] == celery.app.conf[name]


def test_beat_loads_no_app() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )

    loaded = [name for name in done.stdout.split() if name.startswith(("apps.", "django.db.mod"))]
    assert loaded == []
