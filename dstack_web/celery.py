"""The Celery application of the workers: two queues. Beat is the only clock (clock.py).

`control` decides and writes rows and never waits for the outside; `outside` calls providers and
may wait for them. A worker each, so that a cloud that hangs never delays a decision.
"""

from __future__ import annotations

import os

from celery import Celery

from dstack_web import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dstack_web.settings")

broker.install()
app = Celery("dstack_web")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
