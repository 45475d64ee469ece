"""Pages of instances."""

from __future__ import annotations

from django.urls import path

from apps.instances.listing import views

app_name = "instances"

ALL = "projects/<str:project>/instances/"

urlpatterns = [
    path(ALL, views.instance_list, name="list"),
    path(ALL + "<str:name>/", views.instance_page, name="instance"),
    path(ALL + "<str:name>/terminate/", views.terminate, name="terminate"),
    path(ALL + "<str:name>/cache/", views.clear_cache, name="clear_cache"),
]
