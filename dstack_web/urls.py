"""All URLs of the server."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from dstack_web import health
from dstack_web.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/", api.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]
