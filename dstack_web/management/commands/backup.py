"""The entry of `backup` in Django's list; `dstack_web.manage` runs it before settings."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Write all that the running server knows to one file."
    requires_system_checks = ()

    def handle(self, *args: object, **options: object) -> None:
        raise CommandError("`backup` runs without settings: `manage.py backup FILE`")
