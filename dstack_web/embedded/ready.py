"""Whether a child answers yet."""

from __future__ import annotations

import http.client
from collections.abc import Container
from pathlib import Path

TIMEOUT_SECONDS = 2


def answers(*, host: str, port: int, path: str, wanted: Container[int] = range(100, 600)) -> bool:
    """This function will tell whether `GET path` gives one of the `wanted` status codes."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status in wanted
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def log_says(log: Path, words: str) -> bool:
    """This function will tell whether a child has written `words`; each start has new logs."""
    return log.exists() and words in log.read_text(errors="replace")
