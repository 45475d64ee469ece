"""The ASGI application that granian serves."""

from __future__ import annotations

import os

import django
from django.conf import settings

from dstack_web.front.peer import Peer
from dstack_web.web.body_limit import Application, BodyLimit

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dstack_web.settings")
django.setup(set_prefix=False)

# Only now: it loads settings and models.
from dstack_web.web.streams import StreamHandler  # noqa: E402

application: Application = BodyLimit(
    StreamHandler(), most_bytes=settings.DSTACK_UPLOAD_LIMIT_MB * 2**20
)
if settings.DSTACK_BEHIND_FRONT:
    application = Peer(application)
