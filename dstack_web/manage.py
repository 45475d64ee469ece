"""The command line of the server: `manage.py up` (`dstack-web up`), `backup`, `restore`, and
Django's own commands."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError

from dstack_web.embedded import up
from dstack_web.embedded.attach import attach
from dstack_web.embedded.backup import backup, restore
from dstack_web.processes import StartFailed
from dstack_web.variables.values import check
from dstack_web.variables.variable import BadVariable

OWN = {"up": up.main, "backup": backup.main, "restore": restore.main}


def main() -> None:
    if own := OWN.get(" ".join(sys.argv[1:2])):
        # They make the variables that the settings are read from, or do without.
        sys.exit(own(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dstack_web.settings")
    try:
        attach(os.environ)
        check(os.environ)
        execute_from_command_line(sys.argv)
    except (StartFailed, BadVariable) as error:
        sys.exit(f"dstack-web: {error}")
    except OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        sys.exit(f"dstack-web: The database does not answer ({reason}); is `manage.py up` running?")
