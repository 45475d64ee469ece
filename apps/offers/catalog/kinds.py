"""The clouds of the catalog, whether connected or not. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

GIB = 1024


@dataclass(frozen=True)
class CloudKind:
    """A kind of cloud by its name in words; `disk_gib` is what a root disk may have."""

    label: str
    disk_gib: tuple[int, int]

    @property
    def disk_mib(self) -> tuple[int, int]:
        return self.disk_gib[0] * GIB, self.disk_gib[1] * GIB


# Sizes of root disks: EBS gp3, Azure's OS disks, GCP's balanced persistent disks;
# TensorDock documents the least alone.
KINDS: Mapping[str, CloudKind] = {
    "aws": CloudKind("AWS", (1, 16_384)),
    "azure": CloudKind("Azure", (30, 4_095)),
    "gcp": CloudKind("GCP", (10, 65_536)),
    "tensordock": CloudKind("TensorDock", (100, 2_000)),
}


def not_connected(connected: Container[str]) -> list[str]:
    """Return the clouds of the catalog beside those that are connected."""
    return [kind for kind in KINDS if kind not in connected]
