"""`manage.py identity`: say which server this is in clouds, after a database was copied."""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from apps.backends import identity
from apps.gateways.machines import addresses as gateways
from apps.instances.strays import let_go as machines

logger = logging.getLogger(__name__)

KEPT = "This server goes on with id {id}: the machines that carry it in clouds are its own."
RENEWED = (
    "This server has the new id {id}. It let go of {count} of the other server's machines, which "
    "go on there; its own services get machines of their own."
)


class Command(BaseCommand):
    help = "Show the id of this server in clouds, keep it after a move, or renew that of a copy."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "do",
            nargs="?",
            default="show",
            choices=("show", "keep", "renew"),
            help="keep: the server that the database came from is gone, this one takes its "
            "machines. renew: this is a copy, and the machines stay with the other server.",
        )

    def handle(self, *args: Any, do: str, **options: Any) -> None:
        if do == "keep":
            identity.keep()
            self.stdout.write(KEPT.format(id=identity.server_id()))
        elif do == "renew":
            # At once: no machine of the other server may be ended, nor a new one be refused.
            with transaction.atomic():
                gateways.let_go()
                count = machines.let_go()
                identity.renew()
            self.stdout.write(RENEWED.format(id=identity.server_id(), count=count))
        else:
            self.stdout.write(identity.server_id())
            self.stdout.write(identity.why_held() or "The database is at its own place.")
