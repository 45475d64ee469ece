"""`manage.py adduser`: add a user from the server's own shell."""

from __future__ import annotations

import getpass
import secrets
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from apps.accounts import services, tokens
from apps.accounts.models import Project, Role
from apps.core.errors import AppError, NotFound


class Command(BaseCommand):
    help = "Add a user; prints the password (when none was given) and the first token, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--admin", action="store_true", help="an admin of the whole server")
        parser.add_argument("--project", help="make the user a member of this project")
        parser.add_argument("--role", default=Role.USER, choices=Role.values)
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password, not make one"
        )

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        given = _read_password() if options["password_stdin"] else None
        password = given if given is not None else secrets.token_urlsafe(12)
        try:
            token = self._add(username, password, options)
        except AppError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"User      {username}")
        if given is None:
            self.stdout.write(f"Password  {password}")
        self.stdout.write(f"API token {token}")

    def _add(self, username: str, password: str, options: dict[str, Any]) -> str:
        with transaction.atomic():
            user = services.create_user(
                username=username, password=password, admin=options["admin"]
            )
            if options["project"] is not None:
                project = _project(options["project"])
                services.set_member(project=project, username=username, role=options["role"])
            wanted = tokens.TokenRequest(name="first token")
            return tokens.create_token(user=user, request=wanted).text


def _read_password() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Password: ")
    return sys.stdin.readline().rstrip("\r\n")


def _project(name: str) -> Project:
    found = Project.objects.filter(name=name, deleted_at=None).first()
    if found is None:
        raise NotFound(f"There is no project {name!r}.")
    return found
