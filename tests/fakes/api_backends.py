"""What the fake API does to backends: connect, check, change, close."""

from __future__ import annotations

from typing import Any

from tests.fakes.api_state import CREATED, ApiError, FakeApi, Json, Seen


def connect(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    kind = seen.body["kind"]
    if kind not in ("local", "aws"):
        raise ApiError(422, "invalid", f"There is no backend `{kind}`; there is: aws, local.")
    if kind == "aws" and seen.body.get("check", True):
        if fake.slow_checks:
            return 202, _check(fake)
        if fake.problems:
            details = [{"path": "", "message": each} for each in fake.problems]
            raise ApiError(422, "invalid", "It was not connected.", details)
    made = {"kind": kind, "name": seen.body.get("name", kind), "created_at": CREATED}
    if kind == "aws":
        made["check"] = _check(fake) if seen.body.get("check", True) else None
        made["notes"] = fake.backend_notes
    fake.backends.append(made)
    return 201, made


def _check(fake: FakeApi) -> Json:
    """One more look at the only check that there is."""
    fake.slow_checks, is_slow = max(fake.slow_checks - 1, 0), fake.slow_checks > 0
    told = [] if is_slow else [{"message": each, "policy": ""} for each in fake.problems]
    state = "checking" if is_slow else "problems" if told else "passed"
    facts = [] if is_slow or told else ["Account 1."]
    return {"id": "1", "backend": "aws", "state": state, "problems": told, "facts": facts}


def check(fake: FakeApi, seen: Seen, *_: str) -> tuple[int, Any]:
    return 200, _check(fake)


def change(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    return 200, {"name": name, "notes": fake.backend_notes}


def close(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    if fake.runs:
        raise ApiError(409, "conflict", f"Services of project main still need {name}.")
    fake.backends.clear()
    return 204, None
