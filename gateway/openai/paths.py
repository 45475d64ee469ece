"""Paths as clients join them: `//v1/models`, `/v1//models/`, `/v1/v1/models`. Pure.

HAProxy does the same to a POST (see `untidy` in to_model.cfg), so that both ways lead to one path.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

JOINTS = re.compile(r"/(\.?/)+")
VERSIONS = re.compile(r"(/v1)+(?=/|$)")
LAST_SLASH = re.compile(r"(.)/\.?$")
ONE_MODEL = re.compile(r"/+(?:(?:v1|\.)/+)*models/+(.*[^/].*)", re.DOTALL)


def bare(path: str) -> str:
    """Return a raw path without doubled and last slashes, and without the API's version."""
    joined = LAST_SLASH.sub(r"\1", JOINTS.sub("/", path))
    return VERSIONS.sub("", joined, count=1) if VERSIONS.match(joined) else joined


def models_named(path: str) -> list[str]:
    """Return the names that `/models/NAME` may mean, as it was written first; [] for other paths.

    A name may have slashes itself, written as they are or as %2F.
    """
    found = ONE_MODEL.fullmatch(path)
    if found is None:
        return []
    name = unquote(found[1])
    return list(dict.fromkeys((name, name.rstrip("/"), JOINTS.sub("/", name).rstrip("/"))))
