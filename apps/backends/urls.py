"""Pages of backends."""

from __future__ import annotations

from django.urls import path

from apps.backends.pages import views

app_name = "backends"

ALL = "projects/<str:project>/backends/"

urlpatterns = [
    path(ALL, views.backend_list, name="list"),
    path(ALL + "local/open/", views.open_local, name="open_local"),
    path(ALL + "<str:name>/close/", views.close, name="close"),
]
