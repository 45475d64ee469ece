from __future__ import annotations

from django.apps import AppConfig


class DstackWebConfig(AppConfig):
    name = "dstack_web"
