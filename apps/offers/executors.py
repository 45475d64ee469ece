"""How a service would run on an offer: as a container, or as a process of the machine. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator

from apps.backends.base import Offer
from apps.specs.sections.service import ServiceSpec

DOCKER, PROCESS = "docker", "process"
# Folders that no service may have of a machine, nor what holds one of them: as its agent has it,
# which follows links besides.
CLOSED = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run"),
    *("/sbin", "/sys", "/usr", "/root/.ssh", "/opt/dstack-agent", "/var/lib/cloud"),
    *("/var/lib/containerd", "/var/lib/docker", "/var/run", "/var/spool", "/var/lib/dstack-agent"),
)


def executor(offer: Offer, spec: ServiceSpec, *, base_image: str) -> str:
    """Return DOCKER or PROCESS: how the service would run there.

    Without an `image` it is a container only of a base image that can be had; where a process is
    possible too, that is better than a pull that cannot work.
    """
    if DOCKER not in offer.executors:
        return PROCESS
    if spec.image or PROCESS not in offer.executors or can_be_had(base_image, offer):
        return DOCKER
    return PROCESS


def container_image(
    offer: Offer, spec: ServiceSpec, *, base_image: str, gpu_base_image: str
) -> str:
    """Return the image of a service's containers there.

    Without an `image` that is the base image. Machines with GPUs of NVIDIA that have no Python of
    their own to offer get `gpu_base_image` where the base image cannot be had.
    """
    gpu = offer.hardware.gpu
    has_nvidia = gpu is not None and gpu.count > 0 and gpu.vendor == "nvidia"
    is_to_replace = has_nvidia and PROCESS not in offer.executors
    if is_to_replace and not can_be_had(base_image, offer):
        return spec.image or gpu_base_image or base_image
    return spec.image or base_image


def can_be_had(image: str, offer: Offer) -> bool:
    """Tell whether an image is on the offer's machine, or names the registry that has it."""
    return names_registry(image) or _full(image) in {_full(each) for each in offer.images}


def names_registry(image: str) -> bool:
    """Tell whether an image's name begins with the host of a registry, as engines read it."""
    host, slash, _ = image.partition("/")
    return bool(slash) and host != "localhost" and ("." in host or ":" in host)


def lacks_image(base_image: str) -> str:
    """Say what keeps a service without an `image` from a machine that runs containers alone and has
    no base image."""
    why = (
        f"the base image {base_image} names no registry" if base_image else "there is no base image"
    )
    return f"needs one, since services with GPUs are containers there, and {why}"


def acts_in_container(spec: ServiceSpec) -> str:
    """Return the key of a service that acts in a container only, "" where it has none."""
    keys = (("privileged", spec.privileged), ("user", spec.user is not None))
    return next((key for key, wanted in keys if wanted), "")


def _full(image: str) -> str:
    """The name with its tag; Podman calls what was built on the machine localhost/NAME."""
    name = image.removeprefix("localhost/").removeprefix("docker.io/").removeprefix("library/")
    last = name.rpartition("/")[2]
    return name if ":" in last or "@" in last else f"{name}:latest"


def shell(offer: Offer | None, spec: ServiceSpec, *, base_image: str) -> str | None:
    """Say in which shell the commands would run there; None where none is used."""
    if spec.entrypoint is not None or not spec.commands:
        return None
    if spec.shell is not None:
        return spec.shell
    if offer is None or executor(offer, spec, base_image=base_image) == DOCKER:
        return "bash where the image has it, else sh"
    if not offer.shells:
        return "bash where the machine has it, else sh"
    return "bash" if "bash" in offer.shells else "sh"


def unfit_for_process(offer: Offer, spec: ServiceSpec) -> str | None:
    """Say what keeps a service without an `image` from running as a process there."""
    if key := acts_in_container(spec):
        return f"{key}: acts in a container only, {_why_no_container(offer)}: give an `image`"
    if spec.python and spec.python not in offer.pythons:
        found = ", ".join(offer.pythons) or "none"
        return f"python: {spec.python} is not there (found {found})"
    return None


def unfit_for_volumes(
    offer: Offer, spec: ServiceSpec, *, base_image: str, volume_paths: Collection[str]
) -> str | None:
    """Say which folder of the machine the service needs and cannot have there."""
    for volume in spec.volumes:
        if volume.optional or volume.instance_path is None:
            continue
        if closed := _closed(volume.instance_path):
            return (
                f"volumes: {volume.instance_path} cannot be had of any machine, because of "
                f"{closed}: give a folder such as /mnt/cache"
            )
        if not is_open(offer, volume.instance_path, volume_paths):
            return (
                f"volumes: {volume.instance_path} is not open to services on a machine that "
                "several share; its administrator may list it in DSTACK_VOLUME_PATHS"
            )
        process = executor(offer, spec, base_image=base_image) == PROCESS
        if process and not offer.keeps_processes_apart:
            return "volumes: processes are not kept apart there, and share its folders"
    return None


def _closed(folder: str) -> str | None:
    """Return the closed folder that keeps this one from services."""
    wanted = f"{posixpath.normpath(f'/{folder}').lstrip('/')}/".lstrip("/")
    for closed in CLOSED:
        below = f"{closed}/".lstrip("/")
        if below.startswith(wanted) or wanted.startswith(below):
            return closed
    return None


def is_open(offer: Offer, folder: str, volume_paths: Collection[str]) -> bool:
    """Tell whether services may mount a folder: any of a machine of their own, which its agent
    checks, and of a shared one those that are listed. What lies below one is not open, for whoever
    writes there could put a link to another in its place.
    """
    listed = {posixpath.normpath(path) for path in volume_paths}
    return not offer.shared or posixpath.normpath(folder) in listed


def _why_no_container(offer: Offer) -> str:
    if DOCKER in offer.executors:
        return "and there is no base image"
    return "and no container engine answers there"


def open_to_strangers(offer: Offer, spec: ServiceSpec, *, base_image: str) -> bool:
    """Tell whether nothing would keep the service there from the server and other services."""
    process = executor(offer, spec, base_image=base_image) == PROCESS
    return process and not offer.keeps_processes_apart


def remarks(
    offer: Offer, spec: ServiceSpec, *, base_image: str, gpu_base_image: str = ""
) -> Iterator[str]:
    """Say what a person may not expect of how a service would run there."""
    if executor(offer, spec, base_image=base_image) != PROCESS:
        images = {"base_image": base_image, "gpu_base_image": gpu_base_image}
        yield from _in_container(offer, spec, container_image(offer, spec, **images))
        return
    if DOCKER in offer.executors:
        yield (
            f"Runs as a process of {offer.instance}, with its Python: the service has no `image`, "
            f"and the base image {base_image} is not on that machine and names no registry. For "
            "a container give an `image`, build the base image (`make images`), or set "
            "DSTACK_BASE_IMAGE to one with a registry."
        )
    if not offer.keeps_processes_apart:
        yield (
            f"Not isolated: it shares the network of {offer.instance} with the server and all "
            "other services there, see /docs/isolation/."
        )
    if offer.unbounded:
        yield (
            f"Not bounded: it may use all memory and processes of {offer.instance} "
            f"({offer.unbounded}), see /docs/isolation/."
        )
    if spec.resources.shm_size_mib is not None and not offer.keeps_processes_apart:
        yield "resources.shm_size: does not act here; a process has its machine's /dev/shm."
    if spec.registry_auth is not None:
        yield "registry_auth: is for an `image`, and this service has none."
    if spec.env.get("PORT") is not None:
        yield (
            "env.PORT: processes of one machine each get a port of their own, which is the PORT "
            "that they see: listen on $PORT."
        )


def _in_container(offer: Offer, spec: ServiceSpec, image: str) -> Iterator[str]:
    if spec.image is None and spec.python is not None:
        yield f"python: does not act here; a container has the Python of its image, {image}."
    if spec.image is None and can_be_had(image, offer):
        yield f"Runs in a container of {image}, since the service has no `image`."
    elif spec.image is None:
        yield (
            f"Cannot start on {offer.instance}, it seems: the service has no `image`, and the base "
            f"image {image or '(none)'} names no registry that has it. Give an `image`, or set "
            "DSTACK_BASE_IMAGE to one with a registry."
        )
