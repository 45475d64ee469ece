"""Profiles and flags over a service's file: flag > file > profile."""

from __future__ import annotations

from typing import Any

import pytest

from apps.specs.errors import SpecError
from apps.specs.parse import apply_overrides, apply_profile, parse, parse_profiles, read_profile
from apps.specs.sections.service import ServiceSpec
from tests.unit.specs.tables import part, service

_FILE = """\
profiles:
  - name: large
    default: true
    backends: [AWS]
    max_price: 2
    retry_policy: {retry: true, limit: 2h}
  - name: small
    spot_policy: spot
"""


def _applied(keys: str, profile: dict[str, Any]) -> ServiceSpec:
    return apply_profile(parse(service(keys)), read_profile(profile))


def test_reads_a_profiles_file() -> None:
    profiles = parse_profiles(_FILE)

    assert list(profiles) == ["large", "small"]
    assert [profile.default for profile in profiles.values()] == [True, False]


def test_carries_a_profile_in_a_request_as_it_was_written() -> None:
    large = parse_profiles(_FILE)["large"]

    spec = apply_profile(parse(service("")), read_profile(large.keys))

    assert spec == apply_profile(parse(service("")), large)
    assert (spec.backends, spec.max_price) == (["aws"], 2)
    assert spec.retry is not None
    assert spec.retry.duration_seconds == 7200


@pytest.mark.parametrize(
    ("keys", "profile", "field", "value"),
    [
        ("", {"max_duration": "1h"}, "max_duration_seconds", 3600),
        ("max_duration: 2h", {"max_duration": "1h"}, "max_duration_seconds", 7200),
        ("max_duration: off", {"max_duration": "1h"}, "max_duration_seconds", None),
        ("", {"spot_policy": "spot"}, "spot_policy", "spot"),
        ("spot_policy: on-demand", {"spot_policy": "spot"}, "spot_policy", "on-demand"),
        ("retry: false", {"retry": True}, "retry", None),
        ("retry_policy: {retry: false}", {"retry": True}, "retry", None),
        ("", {"termination_policy": "dont-destroy"}, "idle_duration_seconds", None),
        ("", {"tags": {"a": "b"}}, "tags", {"a": "b"}),
        ("stop_duration: 1m", {"name": "x"}, "stop_duration_seconds", 60),
        ("", {}, "max_price", None),
        ("", {"max_price": None}, "max_price", None),
    ],
)
def test_lets_the_file_win_over_the_profile(
    keys: str, profile: dict[str, Any], field: str, value: object
) -> None:
    assert part(_applied(keys, profile).to_json(), field) == value


def test_keeps_the_run_s_name_out_of_a_profile_s() -> None:
    assert _applied("", {"name": "large", "max_price": 1}).name is None


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("", (None, None), "expected the key profiles"),
        ("- a", (1, 1), "expected the key profiles"),
        ("profiles: 3", (1, 1), "found the number 3"),
        ("profiles: [a]", (1, 12), "expected a mapping with name"),
        ("profiles:\n- max_price: 1", (2, 3), "required key name is missing"),
        ("profiles:\n- name: a\n- name: a", (3, 9), 'the profile "a" is in the file already'),
        ("profiles:\n- {name: a, default: yes}\n- {name: b, default: yes}", (3, 22), "default"),
        ("profiles:\n- {name: a, max_price: 0}", (2, 24), "above 0"),
        ("profiles:\n- {name: a, port: 1}", (2, 13), 'unknown key "port"'),
        ("profiles:\n- {name: a, fleets: [x]}", (2, 13), "not supported yet: fleets"),
        ("profiles:\n- {name: a, name: b}", (2, 13), "already on line 2"),
        ("profiles: []\nother: 1", (2, 1), "unknown key"),
        ("profiles:\n- {name: a, retry: 1, retry_policy: {}}", (2, 37), "older form"),
    ],
)
def test_refuses_a_profiles_file_at_the_place(
    text: str, place: tuple[int | None, int | None], says: str
) -> None:
    with pytest.raises(SpecError) as refused:
        parse_profiles(text)

    assert says in str(refused.value)
    assert place in [(p.line, p.column) for p in refused.value.problems]


def test_refuses_the_profile_of_a_request_by_path() -> None:
    with pytest.raises(SpecError) as refused:
        read_profile({"max_price": 0, "regions": ["a", "b;c"], "nope": 1})

    assert {p.path for p in refused.value.problems} == {"max_price", "regions[1]", "nope"}


_FLAGS = {
    "name": ("web-1", "name", "web-1"),
    "max_price": ("1.5", "max_price", 1.5),
    "max_duration": ("off", "max_duration_seconds", None),
    "backends": (["GCP"], "backends", ["gcp"]),
    "regions": (["eu"], "regions", ["eu"]),
    "instance_types": (["m5"], "instance_types", ["m5"]),
    "spot_policy": ("auto", "spot_policy", "auto"),
    "retry": (True, "retry.duration_seconds", 3600),
    "gpu": ("A100:2", "resources.gpu.count.max", 2),
    "cpu": ("4..", "resources.cpu.count.min", 4),
    "memory": ("2GB", "resources.memory_mib.max", 2048),
    "disk": ("10GB..", "resources.disk_mib.min", 10240),
}
_EVERY_KEY = service(
    "name: other\nmax_price: 9\nmax_duration: 9h\nbackends: [aws]\nregions: [us]\n"
    "instance_types: [x]\nspot_policy: spot\nretry: false\n"
    "resources: {gpu: 9, cpu: 9, memory: 9, disk: 9, shm_size: 9}"
)


@pytest.mark.parametrize("flag", _FLAGS)
@pytest.mark.parametrize("text", [service(""), _EVERY_KEY])
def test_lets_a_flag_win_over_the_file(flag: str, text: str) -> None:
    value, path, meaning = _FLAGS[flag]

    spec = apply_overrides(parse(text), {flag: value})

    assert part(spec.to_json(), path) == meaning
    assert spec.wrote(f"resources.{flag}" if path.startswith("resources.") else flag)
    assert ServiceSpec.from_json(spec.to_json()) == spec


def test_leaves_the_rest_alone() -> None:
    spec = apply_overrides(parse(_EVERY_KEY), {"gpu": "A100", "name": None})

    assert spec.name == "other"
    assert spec.resources.shm_size_mib == 9 * 1024
    assert spec.resources.cpu.count.max == 9


def test_lets_no_profile_undo_a_flag() -> None:
    spec = apply_overrides(parse(service("")), {"max_price": 1})

    assert apply_profile(spec, read_profile({"max_price": 7})).max_price == 1


def test_refuses_flags_by_their_names_all_at_once() -> None:
    with pytest.raises(SpecError) as refused:
        apply_overrides(
            parse(service("")),
            {"name": "gateway", "gpu": "A100:", "memory": "4..1", "backends": ["a b"], "port": 1},
        )

    paths = {p.path for p in refused.value.problems}
    assert paths == {"name", "gpu", "memory", "backends[0]", "port"}
