"""Reading single fields of a request: of their type and in their range, else one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.tgi.errors import Refused

Body = Mapping[str, Any]


def number(body: Body, name: str, *, low: float, high: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Refused(f"{name} must be a number from {low:g} to {high:g}.", param=name)
    return value


def whole(body: Body, name: str, *, low: int, high: int = 2**63 - 1) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        bounds = f"from {low} to {high}" if high < 2**31 else f"of {low} or more"
        raise Refused(f"{name} must be a whole number {bounds}.", param=name)
    return value


def flag(body: Body, name: str) -> bool | None:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused(f"{name} must be true or false.", param=name)
    return value


def text(body: Body, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(f"{name} must be a string.", param=name)
    return value


def mapping(body: Body, name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(f"{name} must be an object.", param=name)
    return value


def items(body: Body, name: str) -> list[Any]:
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refused(f"{name} must be a list.", param=name)
    return value
