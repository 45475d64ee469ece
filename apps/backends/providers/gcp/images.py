"""Which image a machine starts from: Ubuntu, or Ubuntu with NVIDIA's driver.

Not Debian: its images at Google have no cloud-init, so that they would not read what a machine of
any cloud boots with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from apps.backends.base import ErrorKind, Hardware, ProviderError
from apps.backends.providers.gcp.clients import Clients


class Source(NamedTuple):
    project: str
    family: str


UBUNTU, ACCELERATED = "ubuntu-os-cloud", "ubuntu-os-accelerator-images"
# By whether it has GPUs, and by architecture.
SOURCES = {
    (False, "x86"): Source(UBUNTU, "ubuntu-2404-lts-amd64"),
    (False, "arm"): Source(UBUNTU, "ubuntu-2404-lts-arm64"),
    (True, "x86"): Source(ACCELERATED, "ubuntu-accelerator-2404-amd64-with-nvidia-580"),
    (True, "arm"): Source(ACCELERATED, "ubuntu-accelerator-2404-arm64-with-nvidia-580"),
}


@dataclass(frozen=True)
class Image:
    """`smallest_gib` is what its root disk has at least."""

    link: str
    smallest_gib: int


def source_of(hardware: Hardware) -> Source:
    """Raise ProviderError for hardware that we have no image for."""
    has_gpu = hardware.gpu is not None and hardware.gpu.count > 0
    source = SOURCES.get((has_gpu, hardware.arch))
    if source is None or (hardware.gpu and has_gpu and hardware.gpu.vendor != "nvidia"):
        raise ProviderError(
            f"There is no image for machines with {hardware} ({hardware.arch}) on Google Cloud.",
            kind=ErrorKind.REFUSED,
        )
    return source


def newest(clients: Clients, source: Source) -> Image:
    """Return the newest image of a family."""
    row = clients.call("Images", "get_from_family", project=source.project, family=source.family)
    return Image(f"projects/{source.project}/global/images/{row.name}", int(row.disk_size_gb))
