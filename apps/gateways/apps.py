from __future__ import annotations

from django.apps import AppConfig


class GatewaysConfig(AppConfig):
    name = "apps.gateways"
