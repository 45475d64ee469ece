"""Pages of hosts."""

from __future__ import annotations

from django.urls import path

from apps.hosts import views

app_name = "hosts"

ALL = "projects/<str:project>/hosts/"
ONE = ALL + "<str:name>/"

urlpatterns = [
    path(ALL, views.host_list, name="list"),
    path(ALL + "new/add/", views.host_add, name="add"),
    path(ONE, views.host_detail, name="detail"),
    path(ONE + "check/", views.host_check, name="check"),
    path(ONE + "accept-key/", views.host_accept_key, name="accept-key"),
    path(ONE + "remove/", views.host_remove, name="remove"),
]
