from __future__ import annotations

from django.urls import path, re_path

from apps.instances import agent_api

urlpatterns = [
    path("assignment", agent_api.assignment),
    path("report", agent_api.report),
    re_path(r"^blobs/(?P<digest>[0-9a-f]{64})$", agent_api.blob),
]
