"""The command line of the server: `manage.py up`, `dstack-web up` and Django's own commands."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dstack_web.settings")
    execute_from_command_line(sys.argv)
