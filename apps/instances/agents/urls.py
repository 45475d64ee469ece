from __future__ import annotations

from django.urls import path, re_path

from apps.instances.agents import api

urlpatterns = [
    path("assignment", api.assignment),
    path("report", api.report),
    path("enrol", api.enrol),
    path("step", api.boot_step),
    path("agent.pyz", api.agent_program),
    path("gateway.whl", api.gateway_wheel),
    re_path(r"^blobs/(?P<digest>[0-9a-f]{64})$", api.blob),
]
