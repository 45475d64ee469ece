"""Pages of telemetry: panels that other pages compose by their address."""

from __future__ import annotations

from django.urls import path

from apps.telemetry.alerts import views as alerts_views
from apps.telemetry.gateways import views as gateways_views
from apps.telemetry.logs import views
from apps.telemetry.logs.download import download
from apps.telemetry.metrics import views as metrics_views
from apps.telemetry.requests import views as requests_views

app_name = "telemetry"

SERVICE = "projects/<str:project>/services/<str:name>/"
GATEWAY = "projects/<str:project>/gateways/<str:name>/"

urlpatterns = [
    path(f"{SERVICE}log-lines/", views.logs, name="logs"),
    path(f"{SERVICE}log-file/", download, name="log_file"),
    path(f"{SERVICE}charts/", metrics_views.metrics, name="metrics"),
    path(f"{SERVICE}chart-data/", metrics_views.metrics_data, name="metrics_data"),
    path(f"{SERVICE}request-rows/", requests_views.requests, name="requests"),
    path(f"{SERVICE}alerts/", alerts_views.alerts, name="alerts"),
    path(f"{SERVICE}figures/", metrics_views.figures, name="figures"),
    path(f"{GATEWAY}traffic/", gateways_views.traffic, name="gateway_traffic"),
    path(f"{GATEWAY}log/", gateways_views.log, name="gateway_log"),
    path("projects/<str:project>/figures/", metrics_views.list_figures, name="list_figures"),
    path(
        "projects/<str:project>/model-figures/", metrics_views.model_figures, name="model_figures"
    ),
]
