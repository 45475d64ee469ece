"""Pages of gateways."""

from __future__ import annotations

from django.urls import path

from apps.gateways import views

app_name = "gateways"

ALL = "projects/<str:project>/gateways/"
ONE = ALL + "<str:name>/certificates/"

urlpatterns = [
    path(ALL, views.gateway_list, name="list"),
    path(ONE, views.certificate_list, name="certificates"),
    path(ONE + "<int:pk>/remove", views.certificate_remove, name="certificate_remove"),
]
