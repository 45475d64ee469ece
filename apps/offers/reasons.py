"""Why nothing fits, in one sentence: which machines lack what, and what a person can do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from apps.backends.base import Offer

SHOWN_REASONS = 3
SHOWN_MACHINES = 3
# What the reasons about a place say it of; the others say it of the machine.
PLACES = {"backends": "backend", "regions": "region", "instance_types": "instance"}
# A reason that begins so goes on after the machine's name.
VERBS = ("has", "is", "costs", "needs")
WAYS_OUT = {
    "backends": "Connect that one first, on the page Backends or with `dstack backend connect`, or "
    "name another",
    "resources.gpu": "Leave `gpu` out to run without one, or add a machine that has it",
    "resources.cpu": "Ask for less, or add a larger machine",
    "resources.memory": "Ask for less, or add a larger machine",
    "resources.disk": "Ask for less, or add a larger machine",
}
GIVE_IMAGE = (
    "Give an `image`, or have an admin of the server set DSTACK_BASE_IMAGE to one with a registry"
)
STRANGE = (
    "backends: is not isolated: a process there reaches the server and other services, so only "
    "admins of this server may deploy it, see /docs/isolation/"
)
CLOUDS = "or connect a cloud; `dstack offer --all` lists what clouds have"
OTHERWISE = "Ask for something else"


def subject(offer: Offer, reason: str) -> str:
    """Return what a reason is about: the machine, or its place."""
    name: str = getattr(offer, PLACES.get(reason.partition(":")[0], "instance"))
    return name


def told(reason: str, about: Sequence[str]) -> str:
    """Return a reason with the machines that it is about: `resources.gpu: box has no GPU`."""
    path, _, message = reason.partition(": ")
    names = list(dict.fromkeys(about))
    if not names:
        return reason
    if len(names) == 1:
        who = names[0]
    else:
        shown, more = names[:SHOWN_MACHINES], len(names) - SHOWN_MACHINES
        who = "each of " + ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    says = " " if message.split(" ")[0] in VERBS else ": "
    return f"{path}: {who}{says}{message}"


def times(count: int, reason: str) -> str:
    """Return a reason with how many offers it keeps away."""
    return f"{reason} ({count:,} {'offer' if count == 1 else 'offers'})"


def sentence(
    refused: Mapping[str, Sequence[str]],
    unavailable: Mapping[str, str],
    counted: Mapping[str, int] = MappingProxyType({}),
    *,
    is_without_cloud: bool = False,
) -> str:
    """Return what keeps machines from fitting, most first, and a way out.

    `refused` are machines by reason, `unavailable` reasons by backend that does not answer,
    `counted` how many offers of clouds each reason keeps away. A project that `is_without_cloud`
    is told that one may have it.
    """
    counts = [(len(refused[reason]), reason, told(reason, refused[reason])) for reason in refused]
    counts += [(count, why, times(count, why)) for why, count in counted.items()]
    counts.sort(key=lambda each: each[0], reverse=True)
    common = [reason for _, reason, _ in counts]
    reasons = [words for _, _, words in counts]
    reasons += [f"{kind}: {reason}" for kind, reason in unavailable.items()]
    said = "No offer fits"
    if reasons:
        said += ". " + "; ".join(reason.rstrip(".") for reason in reasons[:SHOWN_REASONS])
    if not common:
        return f"{said}."
    if is_without_cloud and common[0].partition(":")[0] in WAYS_OUT:
        return f"{said}. {_way_out(common[0])}, {CLOUDS}."
    return f"{said}. {_way_out(common[0])}; `dstack offer` lists what there is."


def nearest(offer: Offer, lacks: Sequence[tuple[str, str]]) -> str:
    """Say which offer comes nearest, what it lacks, and so what to change; `lacks` are paths with
    what is said of the offer there."""
    spot = " (spot)" if offer.spot else ""
    what = " and ".join(words for _, words in lacks)
    keys = list(dict.fromkeys(f"`{path}`" for path, _ in lacks))
    change = " and ".join(filter(None, [", ".join(keys[:-1]), keys[-1]]))
    return (
        f"The nearest is {offer.backend} {offer.region} {offer.instance}{spot} at "
        f"${offer.price_usd_per_hour:g}/h, which {what}: change {change}."
    )


def _way_out(reason: str) -> str:
    if reason == STRANGE:
        return "Ask one of them, or give an `image` where a container engine answers"
    if reason.startswith("image: needs one"):
        return GIVE_IMAGE
    return WAYS_OUT.get(reason.partition(":")[0], OTHERWISE)
