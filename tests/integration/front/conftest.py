from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.front.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """One that serves, for tests that change nothing of it."""
    # A socket's path is short.
    with tempfile.TemporaryDirectory(prefix="front-") as name:
        made = Stage(Path(name))
        try:
            made.start()
            yield made
        finally:
            made.stop()


@pytest.fixture
def new_stage() -> Iterator[Callable[..., Stage]]:
    """Makes one that a test starts itself."""
    made: list[Stage] = []
    with tempfile.TemporaryDirectory(prefix="front-") as name:

        def make(**settings: Any) -> Stage:
            folder = Path(name) / str(len(made))
            folder.mkdir()
            made.append(Stage(folder, **settings))
            return made[-1]

        yield make
        for each in made:
            each.stop()
