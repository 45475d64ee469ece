"""Panels of scaling, composed by other pages."""

from __future__ import annotations

from django.urls import path

from apps.autoscaling import views

app_name = "autoscaling"

urlpatterns = [
    path(
        "projects/<str:project>/services/<str:name>/decisions/", views.decisions, name="decisions"
    ),
]
