"""Labels: lower case, digits, _ and -, at most 63 characters, and a key begins with a letter.
Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from apps.backends.base import SERVER_TAG, InstanceSpec

BOOT_LABEL = "dstack-web-boot"
LONGEST, MOST = 63, 64


def of(spec: InstanceSpec) -> dict[str, str]:
    """Return the caller's tags below ours, by which machines are found."""
    ours = {SERVER_TAG: spec.server_id, BOOT_LABEL: spec.boot.name}
    theirs = {key_of(key): value_of(value) for key, value in spec.tags.items()}
    room = [(key, value) for key, value in theirs.items() if key not in ours][: MOST - len(ours)]
    return {**dict(room), **{key: value_of(value) for key, value in ours.items()}}


def key_of(text: str) -> str:
    said = value_of(text).lstrip("-_")
    return (said if said[:1].isalpha() else f"x-{said}")[:LONGEST]


def value_of(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:LONGEST]


def filtered(server_id: str) -> str:
    """Return the filter that finds all that a server made."""
    return f'labels.{SERVER_TAG} = "{value_of(server_id)}"'


def read(labels: Mapping[str, str]) -> dict[str, str]:
    return {str(key): str(value) for key, value in labels.items()}
