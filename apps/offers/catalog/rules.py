"""What a service asks of a row of the catalog, in SQL: one list, in the order in which it is told.

The same list finds what fits and counts why the rest does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce
from operator import or_

from django.db.models import Q

from apps.backends import capabilities, cards
from apps.backends.base import gigabytes
from apps.offers import executors
from apps.offers.catalog import zones
from apps.offers.catalog.kinds import KINDS
from apps.specs.fields.gpu import Gpu
from apps.specs.fields.ranges import Range
from apps.specs.sections.service import ServiceSpec

GPU = "resources.gpu"


@dataclass(frozen=True)
class Rule:
    """What a service asks: `fits` are the rows that have it, `otherwise` what is said of others.

    Of these the nearest are those whose `field` is nearest to `bound`, where it asks for a number.
    """

    path: str
    fits: Q
    otherwise: str
    field: str = ""
    bound: int = 0


def rules(
    spec: ServiceSpec,
    *,
    backend: str = "",
    base_image: str | None = None,
    gpu_base_image: str = "",
) -> Iterator[Rule]:
    """Return what a service asks of a machine, in the order in which it is told.

    `backend` is the name of the one that gives the rows, where it is connected; the images as
    of `Supply`.
    """
    yield from _places(spec, backend)
    yield from _zones(spec)
    yield from _price(spec)
    yield from _hardware(spec)
    if spec.resources.gpu is not None and spec.resources.gpu.count.max != 0:
        yield from _gpu(spec.resources.gpu)
    if base_image is not None and not (spec.image or executors.names_registry(base_image)):
        yield from _image(spec, base_image, gpu_base_image)


def _image(spec: ServiceSpec, base_image: str, gpu_base_image: str) -> Iterator[Rule]:
    """A new machine has no image yet: one without GPUs can run a process, one with them cannot, and
    gets the image for GPUs of NVIDIA where that can be had."""
    with_image = Q(pk=None)
    if executors.names_registry(gpu_base_image):
        with_image = Q(gpu_count__gt=0, gpu_vendor="nvidia")
    yield Rule("image", Q(gpu_count=0) | with_image, executors.lacks_image(base_image))
    if key := executors.acts_in_container(spec):
        said = "acts in a container only, and there is no base image: give an `image`"
        yield Rule(key, with_image, said)


def _places(spec: ServiceSpec, backend: str) -> Iterator[Rule]:
    # A name that is asked for is all that it takes.
    named = backend.lower() in {name.lower() for name in spec.backends}
    for path, field, names in (
        ("backends", "kind", () if named else spec.backends),
        ("regions", "region", spec.regions),
        ("instance_types", "instance_type", spec.instance_types),
    ):
        if names:
            fits = reduce(or_, (Q(**{f"{field}__iexact": name}) for name in names))
            yield Rule(path, fits, f"is not among {', '.join(names)}")


def _zones(spec: ServiceSpec) -> Iterator[Rule]:
    names = spec.availability_zones
    places = [
        Q(kind=kind, region=region, zones__contains=[behind])
        for kind in KINDS
        for region, behind in (zones.split(kind, name.lower()) for name in names)
        if region
    ]
    if names:
        fits = reduce(or_, places, Q(pk=None))
        yield Rule("availability_zones", fits, f"is not in {' or '.join(names)}")


def _price(spec: ServiceSpec) -> Iterator[Rule]:
    if spec.max_price is not None:
        most = Decimal(str(spec.max_price))
        yield Rule("max_price", Q(usd_per_hour__lte=most), f"costs more than ${spec.max_price:g}/h")
    if spec.spot_policy == "spot":
        yield Rule("spot_policy", Q(spot=True), "is not a spot instance")
    if spec.spot_policy == "on-demand":
        yield Rule("spot_policy", Q(spot=False), "is a spot instance")


def _hardware(spec: ServiceSpec) -> Iterator[Rule]:
    wish = spec.resources
    cpus = f"does not have {_counted(wish.cpu.count)} CPUs"
    yield _ranged("resources.cpu", "cpus", wish.cpu.count, cpus)
    if arch := wish.machine_arch:
        yield Rule("resources.cpu", Q(arch=arch), f"is not {arch}")
    memory = f"does not have {_sizes(wish.memory_mib)} of memory"
    yield _ranged("resources.memory", "memory_mib", wish.memory_mib, memory)
    kinds = [kind for kind, cloud in KINDS.items() if _overlaps(wish.disk_mib, cloud.disk_mib)]
    if len(kinds) < len(KINDS):
        said = f"has no disk of {_sizes(wish.disk_mib)}"
        yield Rule("resources.disk", Q(kind__in=kinds), said)


def _gpu(wish: Gpu) -> Iterator[Rule]:
    """What is asked of GPUs; who takes none as well is content with a machine without."""
    takes_none = wish.count.min == 0
    if not takes_none:
        yield Rule(GPU, Q(gpu_count__gt=0), "has no GPU")
    for rule in _cards(wish):
        yield replace(rule, fits=rule.fits | Q(gpu_count=0)) if takes_none else rule
    yield _ranged(GPU, "gpu_count", wish.count, f"does not have {_counted(wish.count)} GPUs")


def _cards(wish: Gpu) -> Iterator[Rule]:
    if wish.vendor:
        yield Rule(GPU, Q(gpu_vendor=wish.vendor), f"is not of {wish.vendor}")
    if wish.name:
        yield Rule(GPU, _named(wish.name), f"is not {' or '.join(wish.name)}")
    if wish.memory_mib:
        memory = f"does not have {_sizes(wish.memory_mib)} each"
        yield _ranged(GPU, "gpu_memory_mib", wish.memory_mib, memory)
    if wish.compute_capability:
        able = Q(gpu_name__in=capabilities.at_least(wish.compute_capability))
        least = "{}.{}".format(*wish.compute_capability)
        yield Rule(GPU, able, f"is not known to have compute capability {least}")
    if wish.total_memory_mib:
        total = f"does not have {_sizes(wish.total_memory_mib)} together"
        yield _ranged(GPU, "total", wish.total_memory_mib, total)


def _named(wishes: Sequence[str]) -> Q:
    return reduce(or_, (_card(cards.card(wish)) for wish in wishes))


def _card(wanted: cards.Card) -> Q:
    named = Q(gpu_name__in=cards.family(wanted.name))
    if wanted.memory_gb is None:
        return named
    return named & Q(gpu_memory_mib=wanted.memory_gb * cards.MIB_PER_GB)


def _ranged(path: str, field: str, wanted: Range, otherwise: str) -> Rule:
    bound = wanted.max if wanted.min is None else wanted.min
    return Rule(path, _within(field, wanted), otherwise, field, int(bound or 0))


def _within(field: str, wanted: Range) -> Q:
    found = Q()
    if wanted.min is not None:
        found &= Q(**{f"{field}__gte": wanted.min})
    if wanted.max is not None:
        found &= Q(**{f"{field}__lte": wanted.max})
    return found


def _overlaps(wanted: Range, sizes: tuple[int, int]) -> bool:
    least, most = sizes
    return (wanted.min is None or wanted.min <= most) and (
        wanted.max is None or wanted.max >= least
    )


def _counted(wanted: Range) -> str:
    return _range(wanted, str)


def _sizes(wanted: Range) -> str:
    return _range(wanted, gigabytes)


def _range(wanted: Range, told: Callable[[int], str]) -> str:
    """Write a range as a person does: `8`, `2..8`, `2..`."""
    least = "" if wanted.min is None else told(wanted.min)
    most = "" if wanted.max is None else told(wanted.max)
    return least if least == most else f"{least}..{most}"
