from __future__ import annotations

from django.urls import path

from apps.routing import gateway_api

urlpatterns = [
    path("table", gateway_api.table),
    path("status", gateway_api.status),
    path("ticket", gateway_api.ticket),
    path("dns", gateway_api.dns),
]
