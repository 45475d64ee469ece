"""The ASGI application that granian serves."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from dstack_web.body_limit import BodyLimit

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dstack_web.settings")

application = BodyLimit(get_asgi_application(), most_bytes=settings.DSTACK_UPLOAD_LIMIT_MB * 2**20)
