"""The entry of `restore` in Django's list; `dstack_web.manage` runs it before settings."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Make a server in an empty home from a file of `backup`."
    requires_system_checks = ()

    def handle(self, *args: object, **options: object) -> None:
        raise CommandError("`restore` runs without settings: `manage.py restore FILE`")
