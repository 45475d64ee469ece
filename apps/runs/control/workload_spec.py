"""What an agent must run for one replica: the spec in the words of the wire."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from django.conf import settings

from apps.agent import wire
from apps.backends.base import Offer
from apps.core import crypto
from apps.instances import caches
from apps.instances.services import NewWorkload
from apps.offers import executors
from apps.runs import public_urls
from apps.runs.models import Replica, Run
from apps.runs.rollout import image_pins
from apps.specs.fields.durations import unending
from apps.specs.fields.ranges import Range
from apps.specs.sections.service import ServiceSpec

UPLOAD_LIMIT_BYTES_PER_MB = 2**20


def new_workload(*, run: Run, replica: Replica, offer: Offer) -> NewWorkload:
    """Return the workload of a replica on the machine of an offer."""
    spec = ServiceSpec.from_json(run.spec)
    executor = executors.executor(offer, spec, base_image=settings.DSTACK_BASE_IMAGE)
    image = _image(spec, offer) if executor == executors.DOCKER else None
    gpus = _gpus(spec, offer)
    auth = spec.registry_auth
    workload = wire.WorkloadSpec(
        id="",
        name=f"{run.name}-{replica.num}",
        run_id=str(run.pk),
        run_name=run.name,
        project=run.project.name,
        executor=executor,
        image=image,
        image_pin=image_pins.pin(run, image=image) if image else None,
        registry_username=auth.username if auth else None,
        entrypoint=shlex.join(spec.entrypoint) if spec.entrypoint else None,
        commands=list(spec.commands),
        shell=spec.shell or "sh",
        prefers_bash=spec.shell is None,
        working_dir=spec.working_dir,
        user=spec.user,
        privileged=spec.privileged,
        python=spec.python,
        upload_hash=run.upload.blob_hash if run.upload else None,
        upload_times=run.upload_times,
        upload_limit_bytes=4 * settings.DSTACK_UPLOAD_LIMIT_MB * UPLOAD_LIMIT_BYTES_PER_MB,
        container_port=spec.port.container_port,
        cpu_limit=_limit(spec.resources.cpu.count, offer, has=offer.hardware.cpus),
        memory_limit_mib=_limit(spec.resources.memory_mib, offer, has=offer.hardware.memory_mib),
        shm_size_mib=spec.resources.shm_size_mib,
        disk_limit_mib=_limit(spec.resources.disk_mib, offer, has=offer.hardware.disk_mib),
        stop_seconds=float(unending(spec.stop_duration_seconds)),
        probes=probes(spec),
        mounts=mounts(spec, offer),
        owns_machine=not offer.shared,
        cache=caches.wanted(run.project),
    )
    secrets: dict[str, Any] = crypto.decrypt(run.secrets)
    secrets["env"] |= environment(run, replica, gpus, executor)
    return NewWorkload(
        *(run.pk, workload.name, _stored(workload), secrets, gpus),
        upload_blob=run.upload.blob if run.upload else "",
        idle_seconds=spec.idle_duration_seconds,
        owner_id=replica.pk,
        zones=tuple(offer.zones) if spec.availability_zones else (),
        tags=spec.tags,
        may_create=spec.creation_policy == "reuse-or-create",
    )


def _image(spec: ServiceSpec, offer: Offer) -> str:
    return executors.container_image(
        offer,
        spec,
        base_image=settings.DSTACK_BASE_IMAGE,
        gpu_base_image=settings.DSTACK_GPU_BASE_IMAGE,
    )


def _stored(workload: wire.WorkloadSpec) -> dict[str, Any]:
    stored = dataclasses.asdict(workload)
    for name in ("id", "name", "desired", "env", "registry_password", "gpu_indices"):
        del stored[name]
    return stored


def _limit(wish: Range, offer: Offer, *, has: int) -> int | None:
    """On a shared host a replica gets its part, and no more where the spec says how much.

    A limit beyond what the host has limits nothing, and container engines refuse it.
    """
    return wish.max if offer.shared and wish.max is not None and wish.max < has else None


def _gpus(spec: ServiceSpec, offer: Offer) -> int:
    """A shared host gives as many as are asked for at least; another machine gives all it has."""
    has = offer.hardware.gpu.count if offer.hardware.gpu else 0
    if not offer.shared:
        return has
    wish = spec.resources.gpu
    return min(wish.count.min or 0, has) if wish else 0


def environment(run: Run, replica: Replica, gpus: int, executor: str) -> dict[str, str]:
    """Return what we add to the spec's own environment.

    `DSTACK_HOST` is the address to listen on: a container has a network of its own and is reached
    from outside of it, a process shares the machine's, where only the gateway should reach it.
    """
    return {
        "DSTACK_HOST": "0.0.0.0" if executor == executors.DOCKER else "127.0.0.1",
        "DSTACK_RUN_NAME": run.name,
        "DSTACK_RUN_ID": str(run.pk),
        "DSTACK_REPLICA_NUM": str(replica.num),
        "DSTACK_PROJECT": run.project.name,
        "DSTACK_SERVICE_URL": public_urls.service_url(run),
        "DSTACK_GPUS_NUM": str(gpus),
    }


def mounts(spec: ServiceSpec, offer: Offer) -> list[wire.MountSpec]:
    """Return the folders of the machine that the replica may have there."""
    return [
        wire.MountSpec(volume.instance_path, volume.path, volume.optional)
        for volume in spec.volumes
        if volume.instance_path is not None
        and executors.is_open(offer, volume.instance_path, settings.DSTACK_VOLUME_PATHS)
    ]


def probes(spec: ServiceSpec) -> list[wire.ProbeSpec]:
    """Return the spec's probes; without any, whether the port opens.

    The probe that a model has by default asks for one token until it is answered, then no more: a
    busy GPU has better to do. A refusal will do, or a model that does not chat never got traffic.
    """
    asked = _asked(spec)
    if spec.model is None or spec.wrote("probes") or not asked:
        return asked or [wire.ProbeSpec()]
    chats = [dataclasses.replace(each, until_ready=True, accepts_refusal=True) for each in asked]
    return [*chats, wire.ProbeSpec()]


def _asked(spec: ServiceSpec) -> list[wire.ProbeSpec]:
    return [
        wire.ProbeSpec(
            kind="http",
            method=probe.method.upper(),
            url=probe.url,
            headers=[(header.name, header.value) for header in probe.headers],
            body=probe.body,
            timeout_seconds=float(probe.timeout_seconds),
            interval_seconds=float(probe.interval_seconds),
            ready_after=probe.ready_after,
            until_ready=probe.until_ready,
        )
        for probe in spec.probes
    ]
