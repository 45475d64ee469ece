"""What a plan says of machines that are idle: they are taken before one is made."""

from __future__ import annotations

from collections.abc import Sequence

from apps.accounts.models import Project
from apps.backends.base import Offer
from apps.instances.costs import in_use
from apps.specs.sections.service import ServiceSpec

NONE_IDLE = "No machine that fits is idle, and `creation_policy: reuse` has none made."
# Nobody reads more names.
MOST_NAMED = 3


def remarks(project: Project, spec: ServiceSpec, fitting: Sequence[Offer]) -> list[str]:
    """Say which idle machines replicas are placed on; `fitting` is in the order of trial.

    Where machines may be made only those of the first offer are taken before one is.
    """
    makes_none = spec.creation_policy == "reuse"
    wanted = fitting if makes_none else fitting[:1]
    made = [offer for offer in wanted if in_use.makes_a_machine(offer)]
    names = in_use.idle_named(project, made, zones=spec.availability_zones)
    if names:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        are = "is" if len(names) == 1 else "are"
        return [
            f"{', '.join(names[:MOST_NAMED])}{more} {are} idle: replicas are placed there first, "
            "and no machine is made for those."
        ]
    return [NONE_IDLE] if makes_none and len(made) == len(wanted) > 0 else []
