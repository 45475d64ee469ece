"""Flags that say what a run needs, shared by `run`, `apply` and `offer`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from apps.cli import flags
from apps.cli.completion import suggestions
from apps.cli.errors import CliError


def _positive(text: str | None) -> str | None:
    try:
        number = float(text) if text is not None else 1.0
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise typer.BadParameter(f"{text!r} is not a price in USD per hour, such as 1.5.")
    return text


Words = list[str] | None


class SpotPolicy(StrEnum):
    """As the key `spot_policy` has them."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"
    AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Requirements:
    max_price: Annotated[
        str | None,
        typer.Option("--max-price", metavar="USD", callback=_positive, help="Most USD per hour."),
    ] = None
    backends: Annotated[
        Words,
        typer.Option(
            "-b",
            "--backend",
            metavar="NAME",
            help="Only this backend; repeat.",
            autocompletion=suggestions.backends,
        ),
    ] = None
    regions: Annotated[
        Words, typer.Option("-r", "--region", metavar="NAME", help="Only this region; repeat.")
    ] = None
    instance_types: Annotated[
        Words, typer.Option("--instance-type", metavar="NAME", help="Only this type; repeat.")
    ] = None
    policy: Annotated[
        SpotPolicy | None,
        typer.Option("--spot-policy", help="The same as --spot, --on-demand, --spot-auto."),
    ] = None
    spot: Annotated[bool, typer.Option("--spot", help="Only spot instances.")] = False
    on_demand: Annotated[bool, typer.Option("--on-demand", help="No spot instances.")] = False
    spot_auto: Annotated[bool, typer.Option("--spot-auto", help="Spot or on demand.")] = False
    gpu: Annotated[str | None, typer.Option("--gpu", metavar="SPEC", help="80GB, A100:2.")] = None
    cpu: Annotated[str | None, typer.Option("--cpu", metavar="SPEC", help="4, 2..8.")] = None
    memory: Annotated[str | None, typer.Option("--memory", metavar="SIZE", help="16GB..")] = None
    disk: Annotated[str | None, typer.Option("--disk", metavar="SIZE", help="200GB..")] = None
    max_offers: Annotated[
        int | None, typer.Option("--max-offers", metavar="N", min=1, help="Offers to show.")
    ] = None
    project: flags.Project = None

    def wishes(self) -> dict[str, Any]:
        """Return what was asked for, by the keys of the configuration."""
        wishes = {
            "max_price": float(self.max_price) if self.max_price else None,
            "backends": self.backends,
            "regions": self.regions,
            "instance_types": self.instance_types,
            "spot_policy": self._spot_policy(),
            "gpu": self.gpu,
            "cpu": self.cpu,
            "memory": self.memory,
            "disk": self.disk,
        }
        return {key: value for key, value in wishes.items() if value not in (None, [], ())}

    def _spot_policy(self) -> str | None:
        named = {"spot": self.spot, "on-demand": self.on_demand, "auto": self.spot_auto}
        chosen = {policy for policy, given in named.items() if given}
        chosen |= {self.policy.value} if self.policy else set()
        if len(chosen) > 1:
            raise CliError("Choose one of --spot, --on-demand and --spot-auto.")
        return next(iter(chosen), None)
