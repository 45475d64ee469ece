"""Pages of instances."""

from __future__ import annotations

from django.urls import path

from apps.instances import views

app_name = "instances"

urlpatterns = [path("projects/<str:project>/instances/", views.instance_list, name="list")]
