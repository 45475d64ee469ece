"""`dstack --version`; of its own, because reading metadata is slow."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from apps.cli.render.console import say


def show() -> None:
    """Print the installed version."""
    try:
        say(f"dstack {version('dstack-web')}")
    except PackageNotFoundError:
        say("dstack (not installed)")
