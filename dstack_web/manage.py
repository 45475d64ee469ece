"""The command line of the server: `manage.py up`, `dstack-web up` and Django's own commands."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError

from dstack_web.embedded import up
from dstack_web.embedded.attach import attach
from dstack_web.embedded.processes import StartFailed


def main() -> None:
    if sys.argv[1:2] == ["up"]:
        # It makes the variables that the settings are read from.
        sys.exit(up.main(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dstack_web.settings")
    try:
        attach(os.environ)
        execute_from_command_line(sys.argv)
    except StartFailed as error:
        sys.exit(f"dstack-web: {error}")
    except OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        sys.exit(f"dstack-web: The database does not answer ({reason}); is `manage.py up` running?")
