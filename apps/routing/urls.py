"""Pages of routing."""

from __future__ import annotations

from django.urls import path

from apps.routing import views

app_name = "routing"

urlpatterns = [
    path(
        "projects/<str:project>/services/<str:name>/open/", views.open_service, name="open_service"
    ),
]
