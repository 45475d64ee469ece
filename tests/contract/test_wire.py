"""What agent and server of neighbouring versions say to each other.

`messages/` holds one message of each kind as it was sent when it was recorded, every field filled.
The files are never changed to make a test pass: agents that send just this are in use. A field that
is new is not in them, so it needs a default.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire

FOLDER = Path(__file__).parent / "messages"
KINDS = sorted(path.stem for path in FOLDER.glob("*.json"))
# What each kind of object cannot be without; all else was added with a default, or may be left out.
NEEDED = {
    "Assignment": {"revision", "instance_id"},
    "Report": {"boot_id"},
    "Receipt": {"revision"},
    "LogBatch": set(),
    "LogReceipt": set(),
    "UsageBatch": set(),
    "Enrolment": {"enrolment", "token_sha256"},
    "BootStep": {"enrolment", "step"},
    "Enrolled": {"instance_id"},
}


def recorded(kind: str) -> Any:
    return json.loads((FOLDER / f"{kind}.json").read_text())


def is_within(old: Any, new: Any) -> bool:
    """Whether everything of `old` stands in `new`, which may have more fields."""
    if isinstance(old, dict):
        return all(key in new and is_within(value, new[key]) for key, value in old.items())
    if isinstance(old, list):
        return len(old) == len(new) and all(map(is_within, old, new))
    return bool(old == new)


def with_news(message: Any) -> Any:
    """The message as a later version sends it: each object has a field that nobody knows yet."""
    if isinstance(message, list):
        return [with_news(item) for item in message]
    if not isinstance(message, dict):
        return message
    return {key: with_news(value) for key, value in message.items()} | {"of_later": {"a": [1]}}


def read(kind: str, message: Any) -> Any:
    return wire.from_json(getattr(wire, kind), message)


def test_each_message_is_recorded() -> None:
    assert set(KINDS) == set(NEEDED)


@pytest.mark.parametrize("kind", KINDS)
def test_reads_what_the_version_before_sends(kind: str) -> None:
    message = read(kind, recorded(kind))

    # Through JSON, where a pair is a list.
    assert is_within(recorded(kind), json.loads(json.dumps(wire.to_json(message))))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "LogReceipt"])
def test_ignores_what_a_later_version_adds(kind: str) -> None:
    later = recorded(kind)
    if kind == "Assignment":
        # Names that a person chose are no fields: none is added among them.
        env, times = later["workloads"][0]["env"], later["workloads"][0]["upload_times"]
        later = with_news(later)
        later["workloads"][0].update(env=env, upload_times=times)
    else:
        later = with_news(later)

    assert read(kind, later) == read(kind, recorded(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_is_missing_has_its_default(kind: str) -> None:
    message = {key: value for key, value in recorded(kind).items() if key in NEEDED[kind]}
    found = read(kind, message)

    for one in dataclasses.fields(found):
        if one.name not in NEEDED[kind]:
            made = one.default_factory
            default = one.default if made is dataclasses.MISSING else made()
            assert getattr(found, one.name) == default


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind in KINDS for field in sorted(NEEDED[kind])]
)
def test_a_field_that_is_needed_is_named_when_it_is_missing(kind: str, field: str) -> None:
    message = {key: value for key, value in recorded(kind).items() if key != field}

    with pytest.raises(ValueError, match=field):
        read(kind, message)
