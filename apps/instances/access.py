"""Which instance is calling."""

from __future__ import annotations

from django.http import HttpRequest
from ninja.security import HttpBearer

from apps.core import ids
from apps.core.errors import NotSignedIn
from apps.instances.models import Instance


def instance_of_token(token: str) -> Instance:
    """This function will return the unfinished instance whose agent has this token.

    Raises NotSignedIn. An agent's token opens nothing but its own instance's routes.
    """
    unfinished = Instance.objects.filter(state__in=Instance.machine.unfinished)
    instance = unfinished.filter(token_hash=ids.token_hash(token)).first()
    if instance is None:
        raise NotSignedIn("This token belongs to no instance.")
    return instance


def instance_of(request: HttpRequest) -> Instance:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.startswith("dsk_a_"):
        raise NotSignedIn("Send `Authorization: Bearer dsk_a_...`.")
    return instance_of_token(token)


class AgentAuth(HttpBearer):
    """Authentication of the agent's routes in the API; sets `request.instance`."""

    def authenticate(self, request: HttpRequest, token: str) -> Instance:
        instance = instance_of_token(token)
        request.instance = instance  # type: ignore[attr-defined]
        return instance
