"""The machine that an instance asks its backend for."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from django.conf import settings

from apps.backends import services as backends
from apps.backends import way_home
from apps.backends.base import Boot, Gpu, Hardware, InstanceSpec, Offer
from apps.core import crypto
from apps.instances.boot import document, home, program, relay
from apps.instances.models import GATEWAY, Instance

# Where a gateway on a machine serves, and where machines open tunnels to it.
HTTP, HTTPS, TUNNELS = 80, 443, 2222
GATEWAY_PORTS = (HTTP, HTTPS, TUNNELS, relay.SSH_PORT)
PROJECT_TAG, RUN_TAG = "dstack-web-project", "dstack-web-run"


def wanted(instance: Instance) -> InstanceSpec:
    """Return it; asked again for the same instance it is the same, so that it is one machine.

    Only a machine that was there before us is handed a lasting token. Raise way_home.NoWayHome.
    """
    offer = offer_of(instance)
    standing = backends.is_standing(instance.backend_kind)
    has_gateway = _has_gateway(instance)
    ways = _ways(instance, has_gateway=has_gateway) if not standing else Ways("")
    boot = Boot(
        name=instance.boot_name,
        instance_id=str(instance.pk),
        url=settings.DSTACK_AGENT_URL if standing else ways.url,
        token=crypto.decrypt(instance.token) if standing else "",
    )
    return InstanceSpec(
        offer=offer,
        boot=boot,
        disk_mib=offer.hardware.disk_mib,
        zones=tuple(instance.offer.get("zones") or ()),
        tags=_tags(instance),
        user_data="" if standing else _user_data(instance, offer, ways),
        server_id=backends.server_id(),
        inbound_ports=GATEWAY_PORTS if has_gateway else (),
    )


class Ways(NamedTuple):
    """Where the agent calls this server, by which authority it knows it, and what keeps that way
    open."""

    url: str
    authority: str = ""
    to_gateway: document.ToGateway | None = None
    relay: document.Relay | None = None


def _ways(instance: Instance, *, has_gateway: bool) -> Ways:
    """Raise way_home.NoWayHome."""
    if has_gateway and not way_home.direct():
        return Ways(f"http://127.0.0.1:{way_home.RELAY_PORT}", relay=relay.of_machine(instance))
    way = way_home.of(home.of(instance))
    if way.kind == way_home.DIRECT:
        return Ways(way.url, way.authority)
    to_gateway = document.ToGateway(way, home.boot_key(instance).private)
    return Ways(way.url, to_gateway=to_gateway)


def _has_gateway(instance: Instance) -> bool:
    return instance.workloads.filter(owner_kind=GATEWAY).exists()


def _user_data(instance: Instance, offer: Offer, ways: Ways) -> str:
    gpu = offer.hardware.gpu
    is_gateway = _has_gateway(instance)
    has_nvidia = gpu is not None and gpu.count > 0 and gpu.vendor == "nvidia"
    return document.document(
        document.Boot(
            url=ways.url,
            authority=ways.authority,
            enrolment=crypto.decrypt(instance.token),
            program_sha256=program.program().sha256,
            cloud=instance.backend_kind,
            silent_seconds=settings.DSTACK_MACHINE_SILENCE_SECONDS,
            needs_docker="docker" in offer.executors and not is_gateway,
            needs_nvidia=has_nvidia,
            needs_gateway=is_gateway,
            to_gateway=ways.to_gateway,
            relay=ways.relay,
        )
    )


def offer_of(instance: Instance) -> Offer:
    """The offer as it was kept. A newer server, which knows more of it, may have kept it."""
    stored = dict(instance.offer)
    hardware = dict(stored["hardware"])
    gpu = hardware.pop("gpu", None)
    whole = Hardware(**_known(Hardware, hardware), gpu=Gpu(**_known(Gpu, gpu)) if gpu else None)
    return Offer(**{**_known(Offer, stored), "hardware": whole})


def _tags(instance: Instance) -> dict[str, str]:
    """The run is that of the first workload: a machine that is used again keeps its tags."""
    first = instance.workloads.order_by("pk").first()
    run = str(first.spec.get("run_name") or "") if first is not None else ""
    ours = {PROJECT_TAG: instance.project.name, **({RUN_TAG: run} if run else {})}
    return {**instance.tags, **ours}


def _known(kind: type, stored: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in stored.items() if name in names}
