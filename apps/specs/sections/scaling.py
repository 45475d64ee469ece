"""`replicas` and `scaling`: how many replicas, and what makes their number change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from apps.specs.errors import Misfit
from apps.specs.fields import foreign_keys
from apps.specs.fields.durations import DURATION, seconds
from apps.specs.fields.field_types import Form, JsonSchema, Section
from apps.specs.fields.ranges import COUNT_RANGE, count_range
from apps.specs.fields.scalars import choice, found, positive

MOST_REPLICAS = 10_000
REPLICAS = COUNT_RANGE

_TARGET: JsonSchema = {"type": ["number", "string"], "exclusiveMinimum": 0}
_METRICS = {"enum": ["rps", "concurrency"]}


class Replicas(Section):
    """The least and the most replicas; 0..0 is a paused service, 0..N one that may sleep."""

    min: int = 1
    max: int = 1

    @property
    def is_range(self) -> bool:
        return self.min != self.max


def read_replicas(value: Any) -> Replicas:
    """Read a number or a range of replicas."""
    if isinstance(value, str) and value.strip().startswith("-"):
        raise Misfit(f"the number of replicas cannot be negative, {found(value)}")
    if isinstance(value, int) and not isinstance(value, bool) and value < 0:
        raise Misfit(f"the number of replicas cannot be negative, {found(value)}")
    counted = count_range(value, of="a number of replicas")
    if counted.max is None:
        raise Misfit(
            f"a range of replicas needs a maximum, such as {counted.min}..4, {found(value)}"
        )
    if counted.max > MOST_REPLICAS:
        raise Misfit(f"expected at most {MOST_REPLICAS:,} replicas, {found(value)}")
    return Replicas.of(min=counted.min or 0, max=counted.max)


def _up(value: Any) -> int:
    return seconds(value, most=86400)


def _window(value: Any) -> int:
    return seconds(value, least=5, most=3600)


class Scaling(Section):
    """What the autoscaler aims at, per replica, and how patient it is.

    `rps` counts requests per second, `concurrency` (ours) requests in flight and held.
    """

    foreign: ClassVar[Mapping[str, str]] = foreign_keys.SCALING

    metric: Annotated[Literal["rps", "concurrency"], Form(choice("rps", "concurrency"), _METRICS)]
    target: Annotated[float, Form(positive, _TARGET)]
    window_seconds: Annotated[int, Form(_window, DURATION)] = Field(default=60, alias="window")
    scale_up_delay_seconds: Annotated[int, Form(_up, DURATION)] = Field(
        default=0, alias="scale_up_delay"
    )
    scale_down_delay_seconds: Annotated[int, Form(_up, DURATION)] = Field(
        default=300, alias="scale_down_delay"
    )
    scale_to_zero_delay_seconds: Annotated[int | None, Form(_up, DURATION)] = Field(
        default=None,
        alias="scale_to_zero_delay",
        description="Time without a request before the last replica goes.",
    )


def scaling_problem(keys: Mapping[str, Any]) -> tuple[str, str] | None:
    """Check that scaling stands exactly where replicas are a range.

    `keys` is what was written, at the top or in a group. Return the key and the message.
    """
    value = keys.get("replicas", keys.get("count"))
    try:
        replicas = Replicas() if value is None else read_replicas(value)
    except Misfit:
        return None
    if replicas.is_range and keys.get("scaling") is None:
        return "replicas", (
            f"the range {replicas.min}..{replicas.max} needs `scaling` "
            "with a metric and a target, such as {metric: rps, target: 10}"
        )
    if not replicas.is_range and keys.get("scaling") is not None:
        return "scaling", (
            f"scaling needs `replicas` to be a range such as {min(replicas.min, 1)}.."
            f"{max(replicas.max, 4)}, found {replicas.max}"
        )
    return None
