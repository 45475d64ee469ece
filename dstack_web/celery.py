"""The Celery application of the workers: two queues. Beat is the only clock (clock.py).

`control` decides and writes rows and never waits for the outside; `outside` calls providers and
may wait for them. A worker each, so that a cloud that hangs never delays a decision.
"""

from __future__ import annotations

import os

from celery import Celery

from dstack_web.worker import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dstack_web.settings")

broker.install()
app = Celery("dstack_web")
app.config_from_object("django.conf:settings", namespace="CELERY")
# By name, so that only a worker loads them.
app.conf.worker_consumer = "dstack_web.worker.worker_pulse:BeatingConsumer"
app.steps["consumer"].add("dstack_web.worker.worker_pulse:WorkerPulse")
app.autodiscover_tasks()
# A room of an app is no app of its own.
app.autodiscover_tasks(["apps.offers.catalog", "apps.gateways.machines"])
