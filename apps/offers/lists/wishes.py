"""Asking for offers without a configuration."""

from __future__ import annotations

from typing import Any

from apps.core.errors import Detail, Invalid
from apps.specs import parse
from apps.specs.errors import SpecError
from apps.specs.sections.service import ServiceSpec

# Any service will do: only what the wishes say is matched.
NEUTRAL = "type: service\nport: 80\ncommands: [':']\n"


def asked_for(**wishes: Any) -> ServiceSpec:
    """Turn wishes (the flags of `dstack run`) into a spec to match.

    Raise Invalid with the wish that cannot be read.
    """
    given = {key: value for key, value in wishes.items() if value not in (None, [])}
    try:
        return parse.apply_overrides(parse.parse(NEUTRAL), given)
    except SpecError as error:
        details = [Detail(p.path, p.message) for p in error.problems]
        raise Invalid(f"{details[0].path}: {details[0].message}", details=details) from error
