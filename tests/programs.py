"""Programs of the machine that some tests need, and what happens where one is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from typing import NoReturn

import pytest

# What a host may refuse for good; everything else that a test skips for can be installed.
LIMITS_OF_A_HOST = (
    "only root",
    "needs root",
    "dockerd does not start",
    "this host lets nobody",
    "no Python of this host is open to all",
    "this checkout lies where",
)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def require_program(*names: str, package: str) -> str:
    """Return the path of the first of `names` that the machine has.

    Without one the test is skipped with the reason, and fails where CI is set, since there
    `.ci/run` installs everything.
    """
    search = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    for name in names:
        if found := shutil.which(name, path=search):
            return found
    return missing(f"no {names[0]} on this machine: apt-get install {package}")


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, with the reason."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def avoidable(reasons: Iterable[str]) -> set[str]:
    """Return the reasons for which no test may be skipped in CI."""
    bare = {reason.removeprefix("Skipped: ") for reason in reasons}
    return {reason for reason in bare if not reason.startswith(LIMITS_OF_A_HOST)}
