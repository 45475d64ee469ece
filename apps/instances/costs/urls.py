"""Pages of costs."""

from __future__ import annotations

from django.urls import path

from apps.instances.costs import views

app_name = "costs"

urlpatterns = [path("projects/<str:project>/spend/", views.spend_page, name="spend")]
