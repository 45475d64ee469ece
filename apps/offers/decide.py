"""Which offers fit a service, and in what order they are tried. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from apps.backends.base import Gpu, Offer, gigabytes
from apps.backends.cards import is_wanted
from apps.offers import executors, reasons
from apps.specs.fields.gpu import Gpu as GpuWish
from apps.specs.fields.ranges import Range
from apps.specs.sections.service import ServiceSpec


@dataclass(frozen=True)
class Matches:
    """`offers` fit, in the order in which they are tried; `refused` are the others by reason, each
    by the name that the reason is about."""

    offers: Sequence[Offer] = ()
    refused: dict[str, list[str]] = field(default_factory=dict)

    @property
    def max_price_usd_per_hour(self) -> float | None:
        return max((offer.price_usd_per_hour for offer in self.offers), default=None)


def match(
    offers: Iterable[Offer],
    spec: ServiceSpec,
    *,
    base_image: str | None = None,
    gpu_base_image: str = "",
    trusted: bool = True,
    volume_paths: Collection[str] = (),
) -> Matches:
    """Keep the offers that fit, cheapest first, and say why others do not.

    `base_image` is what a service without an `image` would run in, None where no service is meant,
    as in a list of offers, and `gpu_base_image` what it gets instead where GPUs want that. Who is
    not `trusted` gets nothing where services are not kept apart. `volume_paths` are the folders of
    shared machines that services may mount.
    """
    fitting: list[Offer] = []
    refused: dict[str, list[str]] = {}
    for offer in offers:
        reason = refusal(
            offer,
            spec,
            base_image=base_image,
            gpu_base_image=gpu_base_image,
            volume_paths=volume_paths,
        )
        if reason is None and not trusted:
            reason = _strange(offer, spec, base_image)
        if reason is None:
            fitting.append(in_zones(offer, spec))
        else:
            refused.setdefault(reason, []).append(reasons.subject(offer, reason))
    fitting.sort(key=order)
    return Matches(fitting, refused)


def order(offer: Offer) -> tuple[float, str, str, str, bool]:
    """Return by what offers are sorted: the cheapest is tried first; of one price it goes by names,
    and what is on demand, which nobody takes back, comes before a spot machine."""
    return offer.price_usd_per_hour, offer.backend, offer.region, offer.instance, offer.spot


def refusal(
    offer: Offer,
    spec: ServiceSpec,
    *,
    base_image: str | None = None,
    gpu_base_image: str = "",
    volume_paths: Collection[str] = (),
) -> str | None:
    """Say why an offer does not fit, or None when it does."""
    return (
        _where(offer, spec)
        or _zones(offer, spec)
        or _price(offer, spec)
        or _hardware(offer, spec)
        or _runs(offer, spec, base_image, gpu_base_image)
        or executors.unfit_for_volumes(
            offer, spec, base_image=base_image or "", volume_paths=volume_paths
        )
    )


def _strange(offer: Offer, spec: ServiceSpec, base_image: str | None) -> str | None:
    if executors.open_to_strangers(offer, spec, base_image=base_image or ""):
        return reasons.STRANGE
    return None


def _where(offer: Offer, spec: ServiceSpec) -> str | None:
    for key, wanted, has in (
        ("backends", spec.backends, {offer.backend, offer.kind}),
        ("regions", spec.regions, {offer.region}),
        ("instance_types", spec.instance_types, {offer.instance}),
    ):
        names = {name.lower() for name in has}
        if wanted and names.isdisjoint(name.lower() for name in wanted):
            return f"{key}: is not among {', '.join(wanted)}"
    return None


def in_zones(offer: Offer, spec: ServiceSpec) -> Offer:
    """Return the offer with no zones but those that the service takes."""
    if not spec.availability_zones:
        return offer
    wanted = {name.lower() for name in spec.availability_zones}
    return replace(offer, zones=tuple(zone for zone in offer.zones if zone.lower() in wanted))


def _zones(offer: Offer, spec: ServiceSpec) -> str | None:
    if not spec.availability_zones or in_zones(offer, spec).zones:
        return None
    return f"availability_zones: is not in {' or '.join(spec.availability_zones)}"


def _price(offer: Offer, spec: ServiceSpec) -> str | None:
    if spec.max_price is not None and offer.price_usd_per_hour > spec.max_price:
        return f"max_price: costs more than ${spec.max_price:g}/h"
    if spec.spot_policy == "spot" and not offer.spot:
        return "spot_policy: is not a spot instance"
    if spec.spot_policy == "on-demand" and offer.spot:
        return "spot_policy: is a spot instance"
    return None


def _hardware(offer: Offer, spec: ServiceSpec) -> str | None:
    """On a shared host, only what the person wrote counts: a default never excludes it."""
    wish, has = spec.resources, offer.hardware
    checks = (
        ("cpu", wish.cpu.count, has.cpus, f"{has.cpus} CPUs"),
        ("memory", wish.memory_mib, has.memory_mib, f"{gigabytes(has.memory_mib)} of memory"),
        ("disk", wish.disk_mib, has.disk_mib, f"{gigabytes(has.disk_mib)} of disk"),
    )
    for key, wanted, amount, words in checks:
        if offer.shared and not spec.wrote(f"resources.{key}"):
            continue
        if not _holds(wanted, amount, shared=offer.shared):
            return f"resources.{key}: has {words}"
    arch = wish.cpu.arch if offer.shared else wish.machine_arch
    if arch and arch != has.arch:
        return f"resources.cpu: is {has.arch}"
    refused = _gpu(wish.gpu, has.gpu, shared=offer.shared)
    return " - ".join([refused, *has.gpu_problems]) if refused else None


def _holds(wanted: Range, amount: int, *, shared: bool) -> bool:
    """A machine of one's own must lie in the range; a shared host must have at least that much,
    since a replica takes only its part of it."""
    return wanted.min is None or amount >= wanted.min if shared else wanted.holds(amount)


def _gpu(wish: GpuWish | None, has: Gpu | None, *, shared: bool) -> str | None:
    if wish is None or (wish.count.max == 0):
        return None
    if has is None or has.count == 0:
        return None if wish.count.min == 0 else "resources.gpu: has no GPU"
    if wish.vendor and wish.vendor != has.vendor:
        return f"resources.gpu: is {has.vendor}"
    names = (is_wanted(name, name=has.name, memory_mib=has.memory_mib) for name in wish.name)
    if wish.name and not any(names):
        return f"resources.gpu: is {has.name}"
    if wish.memory_mib and not wish.memory_mib.holds(has.memory_mib):
        return f"resources.gpu: has {gigabytes(has.memory_mib)} each"
    if not _holds(wish.count, has.count, shared=shared):
        return f"resources.gpu: has {has.count}"
    total = has.memory_mib * has.count
    if wish.total_memory_mib and not _holds(wish.total_memory_mib, total, shared=shared):
        return f"resources.gpu: has {gigabytes(total)} together"
    return _capability(wish, has)


def _capability(wish: GpuWish, has: Gpu) -> str | None:
    least = wish.compute_capability
    if least is None or (has.compute_capability or (0, 0)) >= least:
        return None
    if has.compute_capability is None:
        return "resources.gpu: its compute capability is not known"
    return "resources.gpu: has compute capability {}.{}".format(*has.compute_capability)


def _runs(
    offer: Offer, spec: ServiceSpec, base_image: str | None, gpu_base_image: str
) -> str | None:
    """Whether there is a way to run it there; the text is what the plan says when nothing fits."""
    if spec.image and executors.DOCKER not in offer.executors:
        return "image: needs a container engine, and none answers there"
    if executors.executor(offer, spec, base_image=base_image or "") == executors.PROCESS:
        return executors.unfit_for_process(offer, spec)
    if spec.image or base_image is None or not offer.hardware.gpu:
        return None
    image = executors.container_image(
        offer, spec, base_image=base_image, gpu_base_image=gpu_base_image
    )
    if not executors.can_be_had(image, offer):
        return f"image: {executors.lacks_image(base_image)}"
    return None
