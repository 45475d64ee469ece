from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from uuid import UUID

from celery.signals import task_failure
from django.apps import AppConfig

from apps.core import notifications
from apps.core.stores import database
from dstack_web.celery import app as celery_app

# Imported for its effect: tasks find their broker through the current Celery application.
__all__ = ["DstackWebConfig", "celery_app"]


class DstackWebConfig(AppConfig):
    name = "dstack_web"

    def ready(self) -> None:
        notifications.subscribe(react)
        task_failure.connect(task_failed, dispatch_uid="database away")
        # A stage may not call a higher one, so who makes projects does not know of gateways.
        import_module("apps.accounts.services").on_project_created(project_created)
        import_module("apps.accounts.projects").on_project_deleted(project_deleted)
        import_module("apps.backends.services").on_closing(backend_closing)
        import_module("apps.backends.services").on_ending(backend_ending)
        lift = import_module("apps.offers.blocked").lift_mended
        import_module("apps.backends.connecting.rows").on_mended(lift)
        import_module("apps.gateways.machines.verbs").on_deleting(gateway_deleting)
        import_module("apps.accounts.tokens").on_naming_runs(runs_named)
        lately = import_module("apps.telemetry.metrics.lately")
        told_by = import_module("apps.runs.pages.load").told_by
        told_by(loads=lately.loads, figures=lately.figures)


def react(machine: str, state: str, ids: Sequence[UUID]) -> None:
    """The table of reactions imports models, which must wait until all apps are loaded."""
    import_module("dstack_web.reactions").react(machine, state, ids)


def project_created(project: object) -> None:
    import_module("apps.gateways.services").publish_preset(project=project)


def project_deleted(project: object) -> None:
    import_module("apps.runs.planning.backend_in_use").end_project(project)
    import_module("apps.gateways.machines.closing").project_deleted(project)
    import_module("apps.hosts.services").project_deleted(project)
    import_module("apps.gateways.services").unpublish(project=project)
    import_module("apps.backends.services").close_all(project=project)


def gateway_deleting(gateway: object) -> None:
    import_module("apps.runs.rollout.unpublishing").unpublish(gateway)


def backend_closing(backend: object) -> None:
    import_module("apps.gateways.machines.closing").refuse_while_used(backend)
    import_module("apps.runs.planning.backend_in_use").refuse_while_used(backend)


def backend_ending(backend: object) -> None:
    import_module("apps.gateways.machines.closing").delete_all(backend)
    import_module("apps.instances.ending").end_all(backend)


def runs_named(project: object, names: Sequence[str]) -> None:
    import_module("apps.runs.planning.token_runs").refuse_unknown(project, names)


def task_failed(exception: BaseException | None = None, **_: object) -> None:
    """The sweep repeats what failed; it should not fail again on the next dead connection."""
    if isinstance(exception, database.AWAY):
        database.drop_dead_connections()
