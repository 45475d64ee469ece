"""The verbs of gateways."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from apps.accounts.models import Project
from apps.core import ids
from apps.gateways.models import Gateway, Publication
from apps.instances.tunnels import claims as tunnels


@dataclass(frozen=True)
class Preset:
    """The gateway that every project of this server may use. Where it takes tunnels, it says
    itself where; that it takes none is known before."""

    name: str
    domain: str
    scheme: str
    port: int
    plain_port: int
    address: str
    own_hosts: tuple[str, ...]
    takes_tunnels: bool = False


def ensure_preset(*, preset: Preset, token: str) -> Gateway:
    """Make the server's own gateway, or bring it up to date at a restart."""
    before = Gateway.objects.filter(name=preset.name).values_list("address", flat=True).first()
    gateway, _ = Gateway.objects.update_or_create(
        name=preset.name,
        defaults={
            "domain": preset.domain,
            "scheme": preset.scheme,
            "port": preset.port,
            "plain_port": preset.plain_port,
            "address": preset.address,
            "own_hosts": list(preset.own_hosts),
            "preset": True,
            "token_hash": ids.token_hash(token),
            **({} if preset.takes_tunnels else {"tunnel_port": None}),
        },
    )
    if before not in (None, preset.address):
        tunnels.gateway_moved(gateway.pk)
    for project in Project.objects.filter(deleted_at=None):
        publish_preset(project=project)
    return gateway


def unpublish(*, project: Project) -> None:
    """Have a project that is deleted publish nowhere."""
    Publication.objects.filter(project=project).delete()


def publish_preset(*, project: Project) -> None:
    """Let a project publish on the preset gateways; the first is its default."""
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        for gateway in Gateway.objects.filter(preset=True).order_by("pk"):
            has_default = Publication.objects.filter(project=project, is_default=True).exists()
            Publication.objects.get_or_create(
                project=project, gateway=gateway, defaults={"is_default": not has_default}
            )
