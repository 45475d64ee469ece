"""The keys of a profile, which may stand in the service's file too: where, how long, how dear."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from apps.specs.errors import Misfit
from apps.specs.fields.cron import read_cron, read_timezone
from apps.specs.fields.durations import DURATION, DURATION_OR_OFF, IDLE, seconds, seconds_or_off
from apps.specs.fields.field_types import OWN, Form, JsonSchema, Section
from apps.specs.fields.scalars import (
    ANY_WHOLE,
    FLAG,
    check_line,
    choice,
    flag,
    found,
    line,
    list_of,
    mapping,
    matching,
    positive,
    whole,
)

EVENTS = ("no-capacity", "interruption", "error")
IDLE_SECONDS = 300
RETRY_SECONDS = 3600
STOP_SECONDS = 300
# A machine of AWS takes 50 with ours.
MOST_TAGS = 40
# AWS keeps these for itself.
_OF_CLOUDS = "aws:"

_TEXT: JsonSchema = {"type": "string"}
_NUMBER: JsonSchema = {"type": ["number", "string"]}
_WORDS: JsonSchema = {"type": "array", "items": {"type": "string"}}

_word = matching(
    r"[A-Za-z0-9][A-Za-z0-9._/ -]*", "a name of letters, digits and . _ / -", limit=128
)
read_words = list_of(_word, "names")
_backend = matching(r"[A-Za-z][A-Za-z0-9_-]*", "a backend's name such as aws", limit=64)
_spot = choice("spot", "on-demand", "auto")
_tag_key = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", re.ASCII)


def _enum(*words: str) -> JsonSchema:
    return {"enum": list(words)}


def _backends(value: Any) -> list[str]:
    return [name.lower() for name in list_of(_backend, "backends")(value)]


def _events(value: Any) -> list[str]:
    events = list_of(choice(*EVENTS), "events")(value)
    if not events:
        raise Misfit(f"expected at least one of {', '.join(EVENTS)}, found an empty list")
    return list(dict.fromkeys(events))


def _at_least_a_second(value: Any) -> int:
    return seconds(value, least=1)


class Retry(Section):
    """On which events a replica is tried again, and for how long."""

    on_events: Annotated[list[str], Form(_events, {"type": "array", "items": _enum(*EVENTS)})] = (
        list(EVENTS)
    )
    duration_seconds: Annotated[int, Form(_at_least_a_second, DURATION)] = Field(
        default=RETRY_SECONDS, alias="duration"
    )


def read_retry(value: Any) -> Any:
    """Read true (all events, an hour) or false; the model reads a mapping."""
    if isinstance(value, Mapping):
        return value
    try:
        return Retry() if flag(value) else None
    except Misfit as misfit:
        raise Misfit(
            f"expected true, false or a mapping with on_events and duration, {found(value)}"
        ) from misfit


class RetryPolicy(Section):
    """The older form of `retry`."""

    retry: Annotated[bool, Form(flag, FLAG)] = False
    duration_seconds: Annotated[int, Form(_at_least_a_second, DURATION)] = Field(
        default=RETRY_SECONDS, alias="duration"
    )
    limit_seconds: Annotated[int | None, Form(_at_least_a_second, DURATION)] = Field(
        default=None, alias="limit"
    )


def _percent(value: Any) -> int:
    return whole(value, least=0, most=100)


def _time_window(value: Any) -> int:
    return seconds(value, least=300)


class UtilizationPolicy(Section):
    """Ends a run whose GPUs were all used less than this for the whole window."""

    min_gpu_utilization: Annotated[int, Form(_percent, ANY_WHOLE)]
    time_window_seconds: Annotated[int, Form(_time_window, DURATION)] = Field(alias="time_window")


class Schedule(Section):
    """When a service runs: cron expressions of five fields (weekdays as in cron: 0 and 7 are
    Sunday). It starts at `cron`; with `stop`, it is off from each of those times to the next start.
    """

    cron: Annotated[list[str], Form(read_cron, {"anyOf": [_TEXT, _WORDS]})]
    stop: Annotated[list[str], Form(read_cron, {"anyOf": [_TEXT, _WORDS]})] = []
    timezone: Annotated[str, Form(read_timezone, _TEXT)] = "UTC"


class InstanceRef(Section):
    """One instance: by name, by host name, or by its number in a fleet."""

    name: Annotated[str | None, Form(_word, _TEXT)] = None
    hostname: Annotated[str | None, Form(_word, _TEXT)] = None
    fleet: Annotated[str | None, Form(_word, _TEXT)] = None
    instance: Annotated[int | None, Form(lambda v: whole(v, least=0, most=10**6), ANY_WHOLE)] = None


def _instance(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return InstanceRef.of(name=_word(value))
    given = {key for key, item in value.items() if item is not None}
    if given & {"name", "hostname", "fleet", "instance"} and given not in (
        {"name"},
        {"hostname"},
        {"fleet", "instance"},
    ):
        raise Misfit("expected name, or hostname, or fleet with instance")
    return value


def _tags(value: Any) -> dict[str, str]:
    tags: dict[str, str] = {}
    for key, item in mapping(value, "a mapping of tags").items():
        if not _tag_key.fullmatch(key):
            raise Misfit(below=[((key,), "expected a tag of letters, digits and . _ : / -")])
        if isinstance(item, (bool, list, Mapping)) or item is None:
            raise Misfit(below=[((key,), f"expected text, {found(item)}: put it in quotes")])
        if key.lower().startswith(_OF_CLOUDS):
            raise Misfit(below=[((key,), "expected a tag that does not begin with aws:")])
        tags[key] = getattr(item, "source", str(item))
        try:
            check_line(tags[key], limit=256)
        except Misfit as misfit:
            raise Misfit(below=[((key,), str(misfit))]) from misfit
    if len(tags) > MOST_TAGS:
        raise Misfit(f"has {len(tags)} tags; at most {MOST_TAGS}")
    return tags


def _options(value: Any) -> list[dict[str, Any]]:
    return list_of(lambda item: dict(mapping(item, "a mapping with type")), "options")(value)


def _max_duration(value: Any) -> int | None:
    return seconds_or_off(value, default=None, least=1)


def _stop_duration(value: Any) -> int | None:
    return seconds_or_off(value, default=STOP_SECONDS)


def _start_duration(value: Any) -> int:
    return seconds(value, least=1, most=7 * 86400)


def _idle_duration(value: Any) -> int | None:
    return seconds_or_off(value, default=IDLE_SECONDS, minus_one=True)


def _priority(value: Any) -> int:
    return whole(value, least=0, most=100)


class Policy(Section):
    """Every key that a profile may hold."""

    backends: Annotated[list[str], Form(_backends, _WORDS)] = Field(
        default=[], description="Backends to use; all if absent."
    )
    regions: Annotated[list[str], Form(read_words, _WORDS)] = Field(
        default=[], description="Regions to use; all if absent."
    )
    instance_types: Annotated[list[str], Form(read_words, _WORDS)] = Field(
        default=[], description="Instance types to use; all if absent."
    )
    availability_zones: Annotated[list[str], Form(read_words, _WORDS)] = Field(
        default=[], description="Zones to use, such as us-east-1a; all if absent."
    )
    reservation: Annotated[str | None, Form(line, _TEXT)] = None
    spot_policy: Annotated[
        Literal["spot", "on-demand", "auto"], Form(_spot, _enum("spot", "on-demand", "auto"))
    ] = Field(default="on-demand", description="Spot instances, on-demand ones, or either (auto).")
    retry: Annotated[Retry | None, Form(read_retry, {"anyOf": [FLAG, OWN]})] = Field(
        default=None, description="Try again: true, or {on_events, duration}."
    )
    retry_policy: RetryPolicy | None = None
    max_duration_seconds: Annotated[int | None, Form(_max_duration, DURATION_OR_OFF)] = Field(
        default=None, alias="max_duration", description="Ends the run after this time: 2h, off."
    )
    stop_duration_seconds: Annotated[int | None, Form(_stop_duration, DURATION_OR_OFF)] = Field(
        default=STOP_SECONDS,
        alias="stop_duration",
        description="Time to end well before it is killed: 5m, off.",
    )
    start_duration_seconds: Annotated[int | None, Form(_start_duration, DURATION)] = Field(
        default=None, alias="start_duration", description="Time for a replica to become ready."
    )
    max_price: Annotated[float | None, Form(positive, _NUMBER)] = Field(
        default=None, description="Most US dollars per hour and instance."
    )
    creation_policy: Annotated[
        Literal["reuse", "reuse-or-create"],
        Form(choice("reuse", "reuse-or-create"), _enum("reuse", "reuse-or-create")),
    ] = Field(
        default="reuse-or-create", description="Use machines that are there, or new ones too."
    )
    idle_duration_seconds: Annotated[int | None, Form(_idle_duration, IDLE)] = Field(
        default=IDLE_SECONDS,
        alias="idle_duration",
        description="Time that an unused machine is kept: 5m, off.",
    )
    termination_policy: Annotated[
        Literal["dont-destroy", "destroy-after-idle"] | None,
        Form(
            choice("dont-destroy", "destroy-after-idle"),
            _enum("dont-destroy", "destroy-after-idle"),
        ),
    ] = None
    termination_idle_seconds: Annotated[int | None, Form(_idle_duration, IDLE)] = Field(
        default=None, alias="termination_idle_time"
    )
    utilization_policy: UtilizationPolicy | None = Field(
        default=None, description="Ends the run where its GPUs are used too little for too long."
    )
    startup_order: Annotated[
        Literal["any", "master-first", "workers-first"] | None,
        Form(
            choice("any", "master-first", "workers-first"),
            _enum("any", "master-first", "workers-first"),
        ),
    ] = None
    stop_criteria: Annotated[
        Literal["all-done", "master-done"] | None,
        Form(choice("all-done", "master-done"), _enum("all-done", "master-done")),
    ] = None
    schedule: Schedule | None = Field(
        default=None, description="When it runs: cron starts it, stop stops it; else always."
    )
    fleets: Annotated[list[str], Form(read_words, _WORDS)] = []
    instances: list[Annotated[InstanceRef, Form(_instance, {"anyOf": [_TEXT, OWN]})]] = []
    pool_name: Annotated[str | None, Form(line, _TEXT)] = None
    instance_name: Annotated[str | None, Form(line, _TEXT)] = None
    priority: Annotated[int, Form(_priority, ANY_WHOLE)] = 0
    tags: Annotated[
        dict[str, str],
        Form(_tags, {"type": "object", "additionalProperties": {"type": ["string", "number"]}}),
    ] = Field(default={}, description="Labels of the run, put on cloud resources too.")
    backend_options: Annotated[
        list[dict[str, JsonValue]],
        Form(_options, {"type": "array", "items": {"type": "object"}}),
    ] = []


def modernised(keys: Mapping[str, Any]) -> tuple[str, str] | None:
    """Refuse an older key beside the one that replaced it."""
    for old, new in (
        ("retry_policy", "retry"),
        ("termination_policy", "idle_duration"),
        ("termination_idle_time", "idle_duration"),
    ):
        if keys.get(old) is not None and keys.get(new) is not None:
            return old, f"{old} is the older form of {new}: keep only {new}"
    return None
