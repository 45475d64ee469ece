"""Who a gateway is: by the token that it sends."""

from __future__ import annotations

from django.http import HttpRequest

from apps.core import ids
from apps.core.errors import NotSignedIn
from apps.core.http.bearer import token_of
from apps.gateways.models import Gateway


def gateway_of(request: HttpRequest) -> Gateway:
    """Return the gateway that has the request's token. Raise NotSignedIn."""
    found = Gateway.objects.filter(token_hash=ids.token_hash(token_of(request))).first()
    if found is None:
        raise NotSignedIn("Send `Authorization: Bearer dsk_g_...` of a gateway of this server.")
    return found
