"""The keys by which a gateway's machine and a server that nobody can call know each other: made
once for a gateway, whichever machine it stands on."""

from __future__ import annotations

from typing import NamedTuple

from django.apps import apps
from django.db import transaction

from apps.backends import way_home
from apps.core import crypto
from apps.instances.boot import document, keys
from apps.instances.boot.keys import Pair
from apps.instances.models import Instance

# Where the server comes to the machine: before a gateway runs there, and whatever becomes of it.
SSH_PORT = 2223
USER = "dstack-relay"


class Keys(NamedTuple):
    server: Pair
    host: Pair


def of_machine(instance: Instance) -> document.Relay:
    """Return what the machine of a gateway boots with. Raise way_home.NoWayHome."""
    gateway = apps.get_model("gateways", "Gateway").objects.filter(instance=instance).first()
    if gateway is None:
        raise way_home.NoWayHome("The gateway of this machine is no more.")
    known = keys_of(gateway.pk)
    return document.Relay(SSH_PORT, known.host.private, known.server.public)


def keys_of(gateway_id: int) -> Keys:
    """Return a gateway's keys, made if need be."""
    rows = apps.get_model("gateways", "Gateway").objects
    with transaction.atomic():
        gateway = rows.select_for_update().get(pk=gateway_id)
        if not gateway.relay_keys:
            made = {"server": keys.new().private, "host": keys.new().private}
            gateway.relay_keys = crypto.encrypt(made)
            gateway.save(update_fields=["relay_keys"])
    said = crypto.decrypt(gateway.relay_keys)
    return Keys(keys.read(said["server"]), keys.read(said["host"]))
