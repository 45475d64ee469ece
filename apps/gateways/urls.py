"""Pages of gateways."""

from __future__ import annotations

from django.urls import path

from apps.gateways import views
from apps.gateways.machines import views as machines

app_name = "gateways"

ALL = "projects/<str:project>/gateways/"
ONE = ALL + "<str:name>/"
CERTIFICATES = ONE + "certificates/"

urlpatterns = [
    path(ALL, machines.gateway_list, name="list"),
    path(ONE, machines.gateway_page, name="gateway"),
    path(ONE + "change", machines.change, name="change"),
    path(ONE + "delete", machines.delete, name="delete"),
    path(ONE + "upgrade", machines.upgrade, name="upgrade"),
    path(ONE + "retry", machines.retry, name="retry"),
    path(CERTIFICATES, views.certificate_list, name="certificates"),
    path(CERTIFICATES + "<int:pk>/remove", views.certificate_remove, name="certificate_remove"),
]
