"""Pages of gateways."""

from __future__ import annotations

from django.urls import path

from apps.gateways import views

app_name = "gateways"

urlpatterns = [path("projects/<str:project>/gateways/", views.gateway_list, name="list")]
