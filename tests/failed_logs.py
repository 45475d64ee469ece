"""What the servers of a test that failed wrote: else its only trace is a folder that CI removes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MOST_FILES, MOST_CHARACTERS = 6, 3000


def found(fixtures: Mapping[str, object]) -> str:
    """Return the ends of the newest logs in a test's folder and in the homes of its servers."""
    homes = (fixtures.get("tmp_path"), *(getattr(each, "home", None) for each in fixtures.values()))
    logs = {
        log
        for folder in homes
        if isinstance(folder, Path)
        for log in folder.rglob("*.log")
        if log.is_file()
    }
    newest = sorted(logs, key=_written_at)[-MOST_FILES:]
    return "\n".join(f"--- {log}\n{_end(log)}" for log in newest)


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # a server that still runs removed it
        return 0.0


def _end(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[-MOST_CHARACTERS:]
    except OSError as error:
        return str(error)
