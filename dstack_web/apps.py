from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from uuid import UUID

from django.apps import AppConfig

from apps.core import wake
from dstack_web.celery import app as celery_app

# Imported for its effect: tasks find their broker through the current Celery application.
__all__ = ["DstackWebConfig", "celery_app"]


class DstackWebConfig(AppConfig):
    name = "dstack_web"

    def ready(self) -> None:
        wake.subscribe(react)


def react(machine: str, state: str, ids: Sequence[UUID]) -> None:
    """The table of reactions imports models, which must wait until all apps are loaded."""
    import_module("dstack_web.reactions").react(machine, state, ids)
