"""Every key that holds a duration: what it takes of numbers, units, off, yes and no."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from apps.specs.errors import SpecError
from apps.specs.parse import apply_overrides, apply_profile, parse, parse_profiles, read_profile
from apps.specs.schema import service_schema
from apps.specs.sections.service import ServiceSpec
from apps.specs.yaml.tree import read
from tests.unit.specs.tables import part, service

ENDS = {
    "max_duration": ("max_duration: {}", "max_duration_seconds", None),
    "stop_duration": ("stop_duration: {}", "stop_duration_seconds", 300),
    "idle_duration": ("idle_duration: {}", "idle_duration_seconds", 300),
    "termination_idle_time": ("termination_idle_time: {}", "idle_duration_seconds", 300),
}
_SCALED = "replicas: 0..4\nscaling: {{metric: rps, target: 1, "
ALWAYS = {
    "start_duration": ("start_duration: {}", "start_duration_seconds"),
    "idle_timeout": ("idle_timeout: {}", "idle_timeout_seconds"),
    "hold": ("hold: {{timeout: {}}}", "hold.timeout_seconds"),
    "retry": ("retry: {{duration: {}}}", "retry.duration_seconds"),
    "retry_policy": ("retry_policy: {{retry: true, duration: {}}}", "retry.duration_seconds"),
    "retry_limit": ("retry_policy: {{retry: true, limit: {}}}", "retry.duration_seconds"),
    "probe_interval": ("probes: [{{interval: {}}}]", "probes.0.interval_seconds"),
    "probe_timeout": ("probes: [{{timeout: {}}}]", "probes.0.timeout_seconds"),
    "up": (_SCALED + "scale_up_delay: {}}}", "scaling.scale_up_delay_seconds"),
    "down": (_SCALED + "scale_down_delay: {}}}", "scaling.scale_down_delay_seconds"),
    "to_zero": (_SCALED + "scale_to_zero_delay: {}}}", "scaling.scale_to_zero_delay_seconds"),
    "window": (_SCALED + "window: {}}}", "scaling.window_seconds"),
}
OFF = ["off", "Off", "OFF", "'off'", "false", "no", "'false'", "never"]
ON = ["true", "on", "yes", "True"]
NEGATIVE = ["-1", "'-1'", "-5m", "'-5 m'", "-90"]
NONSENSE = ["1.5", "1.5h", "5 years", "'5m 3s'", "[]", "{}", "''", "m", "'true'", "+5m"]
LONG = [("120", 120), ("'120'", 120), ("2m", 120), ("2 M", 120), ("'120 s'", 120)]


def meaning(text: str, path: str) -> Any:
    spec = parse(service(text), not_yet={})
    return part(spec.to_json(), path)


def fits_schema(text: str) -> bool:
    validator = Draft202012Validator(service_schema(not_yet={}))
    return validator.is_valid(read(service(text)).data)


@pytest.mark.parametrize(("written", "seconds"), LONG)
@pytest.mark.parametrize("key", [*ENDS, *ALWAYS])
def test_reads_seconds_and_units(key: str, written: str, seconds: int) -> None:
    text, path, *_ = (ENDS | ALWAYS)[key]

    assert meaning(text.format(written), path) == seconds
    assert fits_schema(text.format(written))


@pytest.mark.parametrize("written", OFF)
@pytest.mark.parametrize("key", ENDS)
def test_takes_off_where_there_can_be_no_limit(key: str, written: str) -> None:
    text, path, _ = ENDS[key]

    assert meaning(text.format(written), path) is None


@pytest.mark.parametrize("written", ON)
@pytest.mark.parametrize("key", ENDS)
def test_takes_yes_for_the_default(key: str, written: str) -> None:
    text, path, default = ENDS[key]

    assert meaning(text.format(written), path) == default
    assert fits_schema(text.format(written))


@pytest.mark.parametrize("key", ["idle_duration", "termination_idle_time"])
@pytest.mark.parametrize("written", ["-1", "'-1'"])
def test_takes_minus_one_as_older_files_write_off(key: str, written: str) -> None:
    assert meaning(f"{key}: {written}", "idle_duration_seconds") is None
    assert fits_schema(f"{key}: {written}")


@pytest.mark.parametrize("written", NEGATIVE)
@pytest.mark.parametrize("key", ["max_duration", "stop_duration", *ALWAYS])
def test_refuses_a_negative_duration(key: str, written: str) -> None:
    text = (ENDS | ALWAYS)[key][0].format(written)

    with pytest.raises(SpecError, match="a duration cannot be negative"):
        parse(service(text), not_yet={})
    assert not fits_schema(text)


@pytest.mark.parametrize("written", ["-2", "-5m"])
@pytest.mark.parametrize("key", ["idle_duration", "termination_idle_time"])
def test_refuses_another_negative_number(key: str, written: str) -> None:
    with pytest.raises(SpecError, match="a duration cannot be negative"):
        parse(service(f"{key}: {written}"))


@pytest.mark.parametrize("written", [*OFF, *ON])
@pytest.mark.parametrize("key", ALWAYS)
def test_refuses_yes_and_no_where_there_is_always_a_duration(key: str, written: str) -> None:
    text = ALWAYS[key][0].format(written)

    with pytest.raises(SpecError, match="expected a duration"):
        parse(service(text), not_yet={})
    assert not fits_schema(text)


@pytest.mark.parametrize("written", NONSENSE)
@pytest.mark.parametrize("key", [*ENDS, *ALWAYS])
def test_refuses_what_is_no_duration(key: str, written: str) -> None:
    with pytest.raises(SpecError, match="expected a duration"):
        parse(service((ENDS | ALWAYS)[key][0].format(written)), not_yet={})


def test_keeps_off_when_it_is_stored() -> None:
    spec = parse(service("stop_duration: off\nmax_duration: off\nidle_duration: off"))

    assert ServiceSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(("written", "seconds"), [("off", None), (True, 300), (0, 0)])
def test_reads_the_same_in_a_profile(written: Any, seconds: int | None) -> None:
    profile = read_profile({"stop_duration": written})

    assert apply_profile(parse(service("")), profile).stop_duration_seconds == seconds


def test_takes_notes_in_the_file_of_profiles() -> None:
    text = "x-a: &a {stop_duration: off}\nprofiles: [{name: a, <<: *a}]\n"

    assert parse_profiles(text)["a"].keys == {"stop_duration": False}


@pytest.mark.parametrize("written", [-1, "-1", "-5m"])
def test_refuses_a_negative_flag(written: Any) -> None:
    with pytest.raises(SpecError, match="a duration cannot be negative"):
        apply_overrides(parse(service("")), {"max_duration": written})
