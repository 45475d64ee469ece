from __future__ import annotations

from tests.integration.runs.conftest import cloudy, eager, owner, world

__all__ = ["cloudy", "eager", "owner", "world"]
