"""The three of every page test: alice owns the project, bob is a member, charlie a stranger."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.test import Client

from apps.accounts.models import Project, Role, User
from tests import factories


@dataclass(frozen=True)
class People:
    alice: User
    bob: User
    charlie: User
    root: User
    project: Project


def make() -> People:
    """Make project `main` with its people, and `root`, the server's admin."""
    alice, bob, charlie = (factories.user(name) for name in ("alice", "bob", "charlie"))
    project = factories.project("main", admin=alice)
    factories.member(project, bob, role=Role.USER)
    return People(alice, bob, charlie, factories.user("root", admin=True), project)


def signed_in(user: User, *, htmx: str = "") -> Client:
    """Return the user's browser; `htmx` names the element it fills."""
    headers = {"HX-Request": "true", "HX-Target": htmx} if htmx else {}
    client = Client(headers=headers)
    client.force_login(user)
    return client


def scraper() -> Client:
    """Return Prometheus, with the token that the server knows."""
    return Client(headers={"Authorization": f"Bearer {settings.DSTACK_METRICS_TOKEN}"})
