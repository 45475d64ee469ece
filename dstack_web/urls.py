"""All URLs of the server."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from apps.telemetry.agent_api import logs as agent_logs
from apps.telemetry.agent_api import usage as agent_usage
from apps.telemetry.gateway_api import stats as gateway_stats
from dstack_web.api import api
from dstack_web.web import health, live, overview, palette, views

urlpatterns: list[URLPattern | URLResolver] = [
    # Long polls hold neither thread nor connection, so these stand beside django-ninja.
    path("api/agent/logs", agent_logs),
    path("api/agent/usage", agent_usage),
    path("api/agent/", include("apps.instances.agents.urls")),
    path("api/gateway/stats", gateway_stats),
    path("api/gateway/", include("apps.routing.gateway_urls")),
    path("api/", api.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("", views.home, name="home"),
    path("live", live.stream, name="live"),
    path("search/", palette.search, name="search"),
    path("projects/<str:project>/", overview.overview, name="overview"),
    path("docs/", views.doc, name="docs"),
    path("docs/<str:name>/", views.doc, name="doc"),
    path("", include("apps.accounts.urls")),
    path("", include("apps.runs.urls")),
    path("", include("apps.routing.urls")),
    path("", include("apps.telemetry.urls")),
    path("", include("apps.autoscaling.urls")),
    path("", include("apps.backends.urls")),
    path("", include("apps.gateways.urls")),
    path("", include("apps.hosts.urls")),
    path("", include("apps.instances.listing.urls")),
    path("", include("apps.instances.costs.urls")),
    path("", include("apps.offers.urls")),
]

handler400 = "dstack_web.web.views.bad_request"
handler403 = "dstack_web.web.views.forbidden"
handler404 = "dstack_web.web.views.not_found"
handler500 = "dstack_web.web.views.server_error"
