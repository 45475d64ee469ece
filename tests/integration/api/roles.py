"""Who gets what answer: the roles in which a route is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """A request that a good caller can make, and what the others are answered.

    `ok` is what those in `may` get, `others` what each other signed-in role gets.
    """

    may: tuple[str, ...]
    others: dict[str, int]
    ok: int = 200
    body: dict[str, Any] = field(default_factory=dict)


NEVER = {"anonymous": 401, "unknown": 401, "revoked": 401, "expired": 401, "disabled": 401}
NEVER |= {"call scope": 403, "service key": 403}
PEOPLE = ("stranger", "member", "admin", "root", "bound elsewhere", "bound here")
INSIDE = ("member", "admin", "root", "bound here")
OUTSIDE = {"stranger": 404, "bound elsewhere": 404}


def members(ok: int = 200, **body: Any) -> Case:
    return Case(INSIDE, OUTSIDE, ok, body)


def admins(ok: int = 200, **body: Any) -> Case:
    return Case(("admin", "root", "bound here"), {**OUTSIDE, "member": 403}, ok, body)


def global_admins(ok: int = 200, **body: Any) -> Case:
    return Case(("root",), dict.fromkeys(set(PEOPLE) - {"root"}, 403), ok, body)


def server_admins(ok: int = 200, **body: Any) -> Case:
    """Of what belongs to a project: who may not see the project finds nothing."""
    refused = {**OUTSIDE, **dict.fromkeys(("member", "admin", "bound here"), 403)}
    return Case(("root",), refused, ok, body)


def everybody(ok: int = 200, *, but: dict[str, int] | None = None, **body: Any) -> Case:
    refused = but or {}
    return Case(tuple(role for role in PEOPLE if role not in refused), refused, ok, body)
