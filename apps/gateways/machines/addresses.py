"""Addresses that are reserved though their gateways are over: found by the backends' own lists, and
given back. One comes about where an answer is lost, or a row goes before its address."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from apps.backends import services as backends
from apps.backends.base import Address, Feature, Provider, ProviderError
from apps.backends.faults import leaving
from apps.backends.models import Backend
from apps.backends.registry import PROVIDERS
from apps.core.sweep import one_by_one
from apps.gateways.machines.reconcile import ADDRESS, address_name
from apps.gateways.models import Gateway
from apps.instances import calls

logger = logging.getLogger(__name__)


def collect() -> list[str]:
    """Give back each address of a gateway that is no more; return their names.

    Addresses of other servers on the same account are left alone, and so are names that this
    server does not give. A backend that does not answer is asked again the next time.
    """
    released: list[str] = []
    kinds = [kind for kind, made in PROVIDERS.items() if Feature.STATIC_ADDRESS in made.features]
    found = Backend.objects.filter(kind__in=kinds).exclude(config=backends.FORGOTTEN)
    one_by_one(found.order_by("pk"), lambda backend: released.extend(_collect(backend)))
    return released


def _collect(backend: Backend) -> list[str]:
    server_id = backends.server_id()
    try:
        listed = calls.ask(backend, lambda provider: provider.list_addresses(server_id))
        # Read after the list: a gateway that reserves one meanwhile has its row before.
        known = {address_name(each) for each in Gateway.objects.all()}
        orphans = [each for each in listed if _is_ours(each) and each.name not in known]
        for address in orphans:
            logger.warning("address %s of %s belongs to no gateway", address.ip, backend)
            calls.ask(backend, partial(_release, address=address))
            leaving.found(backend.kind, address.name)
        return [each.name for each in orphans]
    except calls.Busy:
        return []
    except ProviderError as error:
        logger.warning("no list of addresses from %s: %s", backend, error)
        return []


def _is_ours(address: Address) -> bool:
    return address.name.startswith(ADDRESS)


def _release(provider: Provider, *, address: Address) -> None:
    provider.release_address(address)


def let_go() -> None:
    """Forget the machines and addresses of gateways in clouds, which another server has: these get
    ones of their own, under names that are not the other's."""
    for gateway in Gateway.objects.exclude(connection=None).select_related("connection"):
        if gateway.connection is not None and not backends.is_standing(gateway.connection.kind):
            fresh: dict[str, Any] = {
                "uid": Gateway().uid,
                "instance": None,
                "reserved": {},
                "address": "",
            }
            Gateway.objects.filter(pk=gateway.pk).update(**fresh)
