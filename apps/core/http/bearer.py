"""`Authorization: Bearer TOKEN`, as people's programs, agents, gateways and scrapers send it."""

from __future__ import annotations

from django.http import HttpRequest


def token_of(request: HttpRequest) -> str:
    """Return the token that a request bears, "" where it bears none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
