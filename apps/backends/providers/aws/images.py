"""Which image a machine starts from: Debian, or AWS's own with NVIDIA's driver and Docker.

The public parameter of its maker names the newest; where that cannot be read, the newest of the
maker's images by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from apps.backends.base import ErrorKind, Hardware, ProviderError, Scope
from apps.backends.providers.aws.errors import meaning_of
from apps.backends.providers.meanings import THROTTLED, UNREACHABLE


class Source(NamedTuple):
    parameter: str
    owner: str
    name: str


DEBIAN = "/aws/service/debian/release/13/latest"
DEBIAN_OWNER = "136693071363"
NVIDIA = "base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
NVIDIA_OWNER = "898082745236"
# By whether it has GPUs, and by architecture.
SOURCES = {
    (False, "x86"): Source(f"{DEBIAN}/amd64", DEBIAN_OWNER, "debian-13-amd64-*"),
    (False, "arm"): Source(f"{DEBIAN}/arm64", DEBIAN_OWNER, "debian-13-arm64-*"),
    (True, "x86"): Source(
        f"/aws/service/deeplearning/ami/x86_64/{NVIDIA}",
        NVIDIA_OWNER,
        "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04) *",
    ),
    (True, "arm"): Source(
        f"/aws/service/deeplearning/ami/arm64/{NVIDIA}",
        NVIDIA_OWNER,
        "Deep Learning ARM64 Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04) *",
    ),
}


@dataclass(frozen=True)
class Image:
    """`smallest_gib` is what its root disk has at least."""

    id: str
    root_device: str
    smallest_gib: int


def source_of(hardware: Hardware) -> Source:
    """Raise ProviderError for hardware that we have no image for."""
    has_gpu = hardware.gpu is not None and hardware.gpu.count > 0
    source = SOURCES.get((has_gpu, hardware.arch))
    if source is None or (hardware.gpu and has_gpu and hardware.gpu.vendor != "nvidia"):
        raise ProviderError(
            f"There is no image for machines with {hardware} ({hardware.arch}) on AWS.",
            kind=ErrorKind.REFUSED,
        )
    return source


def newest(ec2: Any, ssm: Any, source: Source) -> Image:
    """Return the image; raise ProviderError where the region has none."""
    rows = _by_parameter(ec2, ssm, source) or _by_name(ec2, source)
    if not rows:
        raise ProviderError(
            f"This region of AWS has no image `{source.name}` of {source.owner}.",
            kind=ErrorKind.REFUSED,
            scope=Scope.OFFER_REGION,
        )
    row = max(rows, key=lambda row: str(row["CreationDate"]))
    root = str(row["RootDeviceName"])
    disks = {disk["DeviceName"]: disk.get("Ebs", {}) for disk in row["BlockDeviceMappings"]}
    return Image(str(row["ImageId"]), root, int(disks.get(root, {}).get("VolumeSize", 0)))


def _by_parameter(ec2: Any, ssm: Any, source: Source) -> list[dict[str, Any]]:
    try:
        image_id = ssm.get_parameter(Name=source.parameter)["Parameter"]["Value"]
    except ClientError as error:
        if meaning_of(error) in (THROTTLED, UNREACHABLE):
            raise
        return []  # No such parameter here, or we may not read it: the name is the other way.
    rows: list[dict[str, Any]] = ec2.describe_images(ImageIds=[image_id])["Images"]
    return rows


def _by_name(ec2: Any, source: Source) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ec2.describe_images(
        Owners=[source.owner],
        Filters=[
            {"Name": "name", "Values": [source.name]},
            {"Name": "state", "Values": ["available"]},
        ],
    )["Images"]
    return rows
