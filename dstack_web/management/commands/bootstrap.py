"""Makes a database ready to serve: migrations, then the rows of the first start."""

from __future__ import annotations

import dataclasses
import json
import os
from argparse import ArgumentParser
from pathlib import Path

from django.core.management import call_command
from django.core.management.base import BaseCommand

from dstack_web.bootstrap import bootstrap


class Command(BaseCommand):
    """Run by `manage.py up`; the tokens come in the environment, the answer goes to a file.

    Neither may stand in a command line or in a log.
    """

    help = "Migrate the database and make the first project, user, backend and gateway."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--output", type=Path, required=True, help="where to write the answer")

    def handle(self, *args: object, output: Path, **options: object) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        answer = bootstrap(
            admin_password=os.environ.get("DSTACK_ADMIN_PASSWORD") or None,
            admin_token=os.environ.get("DSTACK_ADMIN_TOKEN") or None,
            gateway_token=os.environ["DSTACK_GATEWAY_TOKEN"],
        )
        output.touch(mode=0o600)
        output.write_text(json.dumps(dataclasses.asdict(answer)))
