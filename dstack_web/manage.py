"""The command line of the server: `manage.py up`, `dstack-web up` and Django's own commands."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

from dstack_web.embedded import up


def main() -> None:
    if sys.argv[1:2] == ["up"]:
        # It makes the variables that the settings are read from.
        sys.exit(up.main(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dstack_web.settings")
    execute_from_command_line(sys.argv)
