"""The entry of `up` in Django's list of commands; `dstack_web.manage` runs it before settings."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Start dstack-web on this machine: databases, workers, gateway and agent."
    requires_system_checks = ()

    def handle(self, *args: object, **options: object) -> None:
        raise CommandError("`up` makes the settings, so it cannot run under them: `manage.py up`")
