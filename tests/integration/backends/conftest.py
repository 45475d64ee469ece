from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def agent_folder(tmp_path: Path, settings: Any) -> Path:
    """This machine as one that a supervisor keeps an agent on."""
    settings.SERVER_DIR = tmp_path
    folder = tmp_path / "agent"
    folder.mkdir(parents=True)
    return folder
