"""Pages of telemetry: panels that other pages compose by their address."""

from __future__ import annotations

from django.urls import path

from apps.telemetry import views

app_name = "telemetry"

urlpatterns = [
    path("projects/<str:project>/services/<str:name>/log-lines/", views.logs, name="logs"),
]
