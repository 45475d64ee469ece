"""Puts the templates and the collected static files into a wheel, so that it needs no npm.

A wheel of a checkout without collected files (`make wheel` collects them) carries the command line
and the gateway, and the server says what it misses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGED = {"templates": "dstack_web/_templates", "staticfiles": "dstack_web/_static"}


class DataFiles(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        for folder, inside in PACKAGED.items():
            if Path(self.root, folder).is_dir():
                build_data["force_include"][folder] = inside
