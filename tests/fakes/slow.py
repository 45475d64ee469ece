"""Imported by a Celery worker (`--include`), it knows a task that lasts."""

from __future__ import annotations

import time
from pathlib import Path

from dstack_web.celery import app


@app.task(name="tests.slow")
def slow(path: str, seconds: float) -> None:
    """This task will make the file `path`, and last `seconds`."""
    Path(path).touch()
    time.sleep(seconds)
