"""Which instance is calling."""

from __future__ import annotations

from django.http import HttpRequest

from apps.core import ids
from apps.core.errors import NotSignedIn
from apps.core.http.bearer import token_of
from apps.instances.boot import former
from apps.instances.models import Instance


def instance_of_token(token: str) -> Instance:
    """Return the unfinished instance whose agent has this token.

    Raise NotSignedIn, and Gone for that of an agent which has to leave its machine. A token opens
    nothing but the routes of its own instance.
    """
    unfinished = Instance.objects.filter(state__in=Instance.state_machine.unfinished)
    instance = unfinished.filter(token_hash=ids.token_hash(token)).first()
    if instance is None:
        former.refuse(token=token)
        raise NotSignedIn("This token belongs to no instance.")
    return instance


def instance_of(request: HttpRequest) -> Instance:
    token = token_of(request)
    if not token.startswith("dsk_a_"):
        raise NotSignedIn("Send `Authorization: Bearer dsk_a_...`.")
    return instance_of_token(token)
