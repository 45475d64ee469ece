"""Which requests that may not run twice were handed on, also by a sidecar that was killed.

HAProxy sends what is held to the next sidecar when one dies. What only waited goes on waiting; a
POST that was released may have run, so it is refused. Written before the release, and without
waiting for the disk: only a machine that goes down loses what the kernel has, with all that waits.
"""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)

FILE, OLDER = "released", "released.old"
MOST_KEYS = 50_000


class ReplayJournal:
    """The idempotency keys of the newest `most_keys` requests, or up to twice as many."""

    def __init__(self, home: Path, *, most_keys: int = MOST_KEYS) -> None:
        self._home = home
        self._most_keys = most_keys
        self._older, self._newer = keys_in(home / OLDER), keys_in(home / FILE)
        self._file = (home / FILE).open("ab", buffering=0)

    def __contains__(self, key: str) -> bool:
        return key in self._newer or key in self._older

    def note(self, key: str) -> None:
        """Write down that the request of `key` is about to be handed on.

        A disk that takes nothing is logged, and holds up no request: this process knows the key.
        """
        try:
            if len(self._newer) >= self._most_keys:
                self._rotate()
            self._file.write(f"{key}\n".encode())
        except OSError as error:
            log.warning("a request that was handed on is not noted: %s", error)
        self._newer.add(key)

    def _rotate(self) -> None:
        """Begin a new file. Raise OSError, and goes on with the old one then."""
        (self._home / FILE).replace(self._home / OLDER)
        begun = (self._home / FILE).open("ab", buffering=0)
        self._file.close()
        self._file = begun
        self._older, self._newer = self._newer, set()

    def close(self) -> None:
        self._file.close()


def keys_in(path: Path) -> set[str]:
    try:
        return set(path.read_text(errors="replace").split())
    except OSError:
        return set()
