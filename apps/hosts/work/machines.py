"""The instance of a host: made when its agent is installed, ended when the host is removed; and
what the project's backend `ssh` offers."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.accounts.models import Project
from apps.backends import queries as connected
from apps.backends import services as backends
from apps.backends.connecting import rows
from apps.backends.models import Backend
from apps.backends.providers.ssh import provider as ssh
from apps.core import crypto
from apps.core.transition import created, transition
from apps.hosts import states
from apps.hosts.models import Host
from apps.hosts.work import facts, findings
from apps.instances import ending
from apps.instances import states as instance_states
from apps.instances.boot import credentials
from apps.instances.models import Instance

OF_ANOTHER = (
    "This machine has an agent of another server or project already. Remove it there, or on the "
    "machine itself with `sudo python3 /opt/dstack-agent/uninstall.py`."
)
ASKED_FOR = "its agent is being installed"
LIVE = (instance_states.READY, instance_states.LOST)


class OfAnother(Exception):
    """The agent there belongs to somebody else."""


def require_ours(host: Host, installed_for: str) -> None:
    """Raise OfAnother where the agent that is there is neither of this host nor over."""
    if installed_for in ("", str(host.instance_id)):
        return
    try:
        there = Instance.objects.filter(pk=UUID(installed_for)).first()
    except ValueError:
        raise OfAnother(OF_ANOTHER) from None
    is_live_elsewhere = there is not None and not there.is_final
    if there is None or there.project_id != host.project_id or is_live_elsewhere:
        raise OfAnother(OF_ANOTHER)


def wanted(host: Host, installed_for: str, *, at: datetime) -> tuple[Instance, str]:
    """Return the instance of a host, and the enrolment of its agent, "" where that one has a token
    already. An instance whose agent is gone from the host is ended, and another takes its place."""
    with transaction.atomic():
        instance = _locked(host.instance_id)
        if instance is not None and not instance.is_final:
            if installed_for == str(instance.pk):
                return instance, ""
            if instance.enrolled_at is None:
                return instance, crypto.decrypt(instance.token)
            end(instance, "its host was set up anew", at=at)
        made = _made(host, at=at)
        Host.objects.filter(pk=host.pk).update(instance=made)
        host.instance = made
        return made, crypto.decrypt(made.token)


def _locked(pk: UUID | None) -> Instance | None:
    if pk is None:
        return None
    return Instance.objects.select_for_update().filter(pk=pk).first()


def _made(host: Host, *, at: datetime) -> Instance:
    offer = ssh.offers_of(offered(host))[0]
    instance = Instance(
        project=host.project,
        backend=_backend(host.project),
        state=instance_states.INSTANCE.initial,
        state_at=at,
        next_check_at=None,
        backend_kind=connected.SSH,
        name=host.name,
        region=offer.region,
        instance_type=offer.instance,
        offer=dataclasses.asdict(offer),
        price_usd_per_hour=host.price_usd_per_hour,
        shared=True,
        idle_seconds=None,
        **credentials.of_enrolment(),
    )
    instance.save()
    created(instance, at=at)
    fields: dict[str, Any] = {"ref": f"host-{host.pk}", "next_check_at": at}
    transition(instance, instance_states.CREATING, at=at, reason=ASKED_FOR)
    transition(instance, instance_states.BOOTING, at=at, reason=ASKED_FOR, **fields)
    return instance


def end(instance: Instance, reason: str, *, at: datetime, actor: str = "") -> None:
    """End the instance of a host; what runs there is placed elsewhere. Its machine stays: there is
    nothing to wait for."""
    if instance.is_final:
        return
    with transaction.atomic():
        if instance.state != instance_states.TERMINATING:
            ending.begin(instance, reason, at=at, actor=actor)
        transition(instance, instance_states.TERMINATED, at=at, reason=reason, next_check_at=None)


def _backend(project: Project) -> Backend:
    kept = {"project": project, "kind": connected.SSH, "closed_at": None}
    found = Backend.objects.filter(**kept).first()
    if found is not None:
        return found
    return backends.connect(project=project, kind=connected.SSH, config={})


def note_hardware(host: Host) -> None:
    """Take over what the agent says that the host has by now."""
    said = facts.of_agent(host.instance.hardware) if host.instance else {}
    now = {**host.facts, **said}
    if now != host.facts:
        Host.objects.filter(pk=host.pk).update(facts=now)
        host.facts = now


def publish(project: Project) -> None:
    """Offer what the project's hosts have whose agents have reported."""
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        hosts = Host.objects.filter(project=project, instance__state__in=LIVE)
        there = hosts.exclude(state__in=(states.REMOVING, states.REMOVED)).order_by("pk")
        found = [offered(host) for host in there.select_related("instance") if host.fact("cpus")]
        config = {"hosts": [each.model_dump(mode="json") for each in found]}
        backend = Backend.objects.filter(
            project=project, kind=connected.SSH, closed_at=None
        ).first()
        if backend is None and not found:
            return
        if backend is None or rows.stored(backend) != config:
            backends.connect(project=project, kind=connected.SSH, config=config)


def executors(host: Host) -> tuple[str, ...]:
    return ("process",) if host.fact("images") is None else ("docker", "process")


def offered(host: Host) -> ssh.Host:
    """Return what the host has, as its backend keeps it."""
    gpus = findings.gpus(host.facts)
    images = host.fact("images")
    return ssh.Host(
        name=host.name,
        ref=f"host-{host.pk}",
        address=host.address,
        cpus=host.fact("cpus"),
        memory_mib=host.fact("memory_mib"),
        disk_mib=host.fact("disk_mib"),
        arch=host.fact("arch"),
        gpus=tuple(ssh.HostGpu(**_gpu(each)) for each in gpus.kinds),
        gpu_problems=gpus.problems,
        price_usd_per_hour=float(host.price_usd_per_hour),
        executors=executors(host),
        pythons=tuple(host.fact("pythons") or ()),
        images=tuple(images or ()),
        shells=tuple(host.fact("shells") or ()),
        isolation=host.instance.isolation if host.instance else "",
    )


def _gpu(gpu: Any) -> dict[str, Any]:
    return {name: getattr(gpu, name) for name in ssh.HostGpu.model_fields}
