"""All URLs of the server."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from dstack_web import health
from dstack_web.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    # Long polls hold neither thread nor connection, so these stand beside django-ninja.
    path("api/agent/", include("apps.instances.agent_urls")),
    path("api/gateway/", include("apps.routing.gateway_urls")),
    path("api/", api.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]
