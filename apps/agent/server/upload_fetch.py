"""Fetching uploads from a server that may be away for a while."""

from __future__ import annotations

import time
import typing
from pathlib import Path

from apps.agent.server.backoff import Backoff
from apps.agent.server.client import Client, Refused, ServerAway
from apps.agent.workloads.executor import Check, PrepareFailed

ATTEMPTS = 5


class Fetching:
    def __init__(self, client: Client, say: typing.Callable[[str], None]) -> None:
        self._client = client
        self._say = say

    def fetch(self, blob: str, target: Path, check: Check) -> None:
        """Write an upload to `target`, however long the server is away. Raise PrepareFailed."""
        backoff, refusals = Backoff(), 0
        while True:
            check()
            try:
                self._client.fetch(blob=blob, target=target, check=check)
                return
            except ServerAway as error:
                self._say(f"fetching an upload: {error}; trying again")
            except Refused as error:
                # 401 is about the agent, the others are about the upload.
                refusals += 0 if error.status == 401 else 1
                if refusals == ATTEMPTS:
                    raise PrepareFailed(f"the uploaded files cannot be fetched: {error}") from error
            time.sleep(backoff.next())
