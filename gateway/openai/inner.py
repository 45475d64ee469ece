"""HAProxy's inner frontend: how the sidecar's own requests reach the replicas of a slot.

Balancing, retries, the hold and HAProxy's time-outs are then the same as for all others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gateway.openai.http import MOST_HEAD_BYTES, MOST_HEADERS

SOCKET = "inner.sock"
# Of this connection only, so never passed on (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    {
        "connection",
        # Answered already: the body is here.
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What waits for a replica may wait long: HAProxy and the hold bound it.
NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=5)


@dataclass(frozen=True)
class Caller:
    """Whose request it is, of one that HAProxy has neither counted nor limited yet."""

    endpoint: str
    key: str


class InnerClient:
    """Requests to slots; `close` ends its connections."""

    def __init__(self, path: str = SOCKET) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path, limit=0, force_close=False),
            auto_decompress=False,
            # Every service is the same host here: a cookie kept would be told to all of them.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=NO_LIMIT,
            max_line_size=MOST_HEAD_BYTES,
            max_field_size=MOST_HEAD_BYTES,
            max_headers=MOST_HEADERS,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        )

    async def ask(
        self,
        slot: int,
        method: str,
        path: str,
        *,
        headers: Iterable[tuple[str, str]],
        data: bytes | AsyncIterator[bytes] | None = None,
        caller: Caller | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a request to the slot's service. Raise aiohttp.ClientError."""
        sent = CIMultiDict(headers)
        sent["X-Dstack-Slot"] = f"s{slot}"
        if caller is not None:
            sent["X-Dstack-Endpoint"], sent["X-Dstack-Key"] = caller.endpoint, caller.key
        url = URL(f"http://inner{path}", encoded=True)
        return await self._session.request(
            method, url, headers=sent, data=data, allow_redirects=False
        )

    async def close(self) -> None:
        await self._session.close()


class SlotUpstream:
    """What translators ask: the service in one slot, with the headers of their caller."""

    def __init__(self, inner: InnerClient, slot: int, *, caller: Caller | None = None) -> None:
        self._inner = inner
        self._slot = slot
        self._caller = caller

    async def post(
        self, path: str, *, json: bytes, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """POST a JSON body. Raise aiohttp.ClientError."""
        sent = [*headers.items(), ("Content-Type", "application/json")]
        return await self._inner.ask(
            self._slot, "POST", path, headers=sent, data=json, caller=self._caller
        )


def passed_on(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Leave out what belongs to one connection, or is between us and HAProxy."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return [
        (name, value)
        for name, value in headers.items()
        if name.lower() not in HOP_BY_HOP | named and not name.lower().startswith("x-dstack-")
    ]
