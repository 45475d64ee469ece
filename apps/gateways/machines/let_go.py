"""Gateways that a copy of a database knows, and whose machines stay with the other server."""

from __future__ import annotations

from apps.backends import services as backends
from apps.gateways.models import Gateway


def let_go() -> None:
    """Forget the machines and addresses of gateways in clouds: they get ones of their own."""
    for gateway in Gateway.objects.exclude(connection=None).select_related("connection"):
        if gateway.connection is not None and not backends.is_standing(gateway.connection.kind):
            Gateway.objects.filter(pk=gateway.pk).update(instance=None, reserved={}, address="")
