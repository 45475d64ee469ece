"""What most commands begin with: the project they act on, opened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apps.cli.http import config
from apps.cli.http.client import Client, connect
from apps.cli.render.console import say


@contextmanager
def opened(project: str | None) -> Iterator[Client]:
    """Open the project that flag, environment or configuration name."""
    with connect(config.choose(project)) as client:
        yield client


def print_json(data: Any) -> None:
    """Print data for programs."""
    say(json.dumps(data, indent=2, ensure_ascii=False))
