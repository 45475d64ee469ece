"""Whatever the text: problems or a spec, never another error; places lie inside the text."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apps.specs.errors import SpecError
from apps.specs.fields.durations import in_words, seconds
from apps.specs.fields.ranges import count_range, memory_range
from apps.specs.fields.validation import keys_of
from apps.specs.parse import (
    apply_overrides,
    decode,
    interpolate,
    parse,
    parse_profiles,
    read_profile,
)
from apps.specs.sections.service import ServiceKeys, ServiceSpec
from apps.specs.yaml.tree import scalar
from tests.unit.specs.tables import service

_FEW = settings(max_examples=150, deadline=None, derandomize=True)

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["1..4", "80GB", "A100:2", "5m", "off", "${{ secrets.x }}", "a", "/x", "http"]),
)
_KEYS = sorted(keys_of(ServiceKeys))
_INNER = ["name", "min", "max", "count", "gpu", "cpu", "memory", "metric", "target", "rps", "url"]
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_INNER), inner, max_size=3)
    ),
    max_leaves=6,
)
_CONFIGURATIONS = st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=6)
_YAML = st.lists(st.sampled_from(
    ["a", "type: service", "port: 1", "\n", "  ", "- ", ": ", "? ", "[", "]", "{", "}", ",", "&a ",
     "*a", "<<", "!!str ", "!x ", "'", '"', "|", ">", "#", "---", "...", "%YAML 1.2", "\t", "\r",
     "\\", "~", "é", "\u2028", "\x85", "1..4", "@", "`", "\ufeff", "env", "\0", "\ud800"]
), max_size=40).map("".join)  # fmt: skip


def _check(text: str) -> None:
    """Parse a text; a refusal must point into it."""
    try:
        spec = parse(text, not_yet={})
    except SpecError as error:
        assert error.problems
        lines = re.split(r"\r\n|\n|\r", text)
        for problem in error.problems:
            assert problem.line is not None
            assert problem.column is not None
            assert 1 <= problem.line <= len(lines)
            assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
            assert problem.message
    else:
        assert ServiceSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@_FEW
@given(st.text())
@example("\ufeff\ud800")
@example("a: !!int x")
@example("? a\n")
def test_survives_any_text(text: str) -> None:
    _check(text)


@_FEW
@given(_YAML)
def test_survives_any_pieces_of_yaml(text: str) -> None:
    _check(text)


@_FEW
@given(_CONFIGURATIONS)
def test_survives_any_values_of_its_keys(configuration: dict[str, Any]) -> None:
    whole = {"type": "service", "commands": ["a"], "port": 1, **configuration}

    _check(yaml.safe_dump(whole, allow_unicode=True))


@_FEW
@given(st.sampled_from(_KEYS), _VALUES)
def test_survives_any_value_of_one_key(key: str, value: Any) -> None:
    whole = {"type": "service", "commands": ["a"], "port": 1, key: value}

    _check(json.dumps(whole))


@_FEW
@given(st.binary())
def test_survives_any_bytes(data: bytes) -> None:
    try:
        text = decode(data)
    except SpecError as error:
        assert error.problems
    else:
        assert isinstance(text, str)


@_FEW
@given(st.dictionaries(st.sampled_from([*_KEYS, "gpu", "cpu", "memory", "disk"]), _VALUES))
def test_survives_any_flags_and_profiles(values: dict[str, Any]) -> None:
    spec = parse(service(""))
    for take in (lambda: apply_overrides(spec, values), lambda: read_profile(values)):
        try:
            take()
        except SpecError as error:
            assert all(problem.path for problem in error.problems)


@_FEW
@given(st.lists(st.dictionaries(st.sampled_from([*_KEYS, "default"]), _VALUES), max_size=3))
def test_survives_any_profiles_file(profiles: list[dict[str, Any]]) -> None:
    try:
        read = parse_profiles(yaml.safe_dump({"profiles": profiles}))
    except SpecError as error:
        assert error.problems
    else:
        assert all(profile.name == name for name, profile in read.items())


@_FEW
@given(st.text(alphabet="ab${} .secrtnvx", max_size=40))
def test_replaces_nothing_that_is_no_reference(value: str) -> None:
    try:
        spec = parse(json.dumps({"type": "service", "image": "a", "port": 1, "env": {"A": value}}))
    except SpecError:
        assert "${{" in value
    else:
        done = interpolate(spec, secrets={}, env={}) if "${{" not in value else None
        assert done is None or done.env["A"] == value


@_FEW
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_reads_a_range_in_each_of_its_forms(first: int, second: int) -> None:
    low, high = sorted((first, second))

    ranges = [
        count_range(f"{low}..{high}"),
        count_range(f" {low} .. {high} "),
        count_range({"min": low, "max": str(high)}),
    ]

    assert {(r.min, r.max) for r in ranges} == {(low, high)}
    assert ranges[0].holds(low) and ranges[0].holds(high)
    assert not ranges[0].holds(high + 1)


@_FEW
@given(st.integers(1, 10**6))
def test_reads_memory_alike_in_every_unit(gib: int) -> None:
    forms = [gib, str(gib), f"{gib}GB", f"{gib * 1024} mb", f"{gib}..{gib} Gb"]

    assert {(r.min, r.max) for r in map(memory_range, forms)} == {(gib * 1024, gib * 1024)}


@_FEW
@given(st.integers(0, 3650 * 86400))
def test_writes_durations_that_it_reads(amount: int) -> None:
    assert seconds(in_words(amount)) == amount


@_FEW
@given(st.text(max_size=30))
def test_types_any_unquoted_scalar(text: str) -> None:
    value = scalar(text)

    assert value is None or isinstance(value, (bool, int, float, str))
