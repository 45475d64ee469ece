"""The control plane's side of `gateway.schema`, over HTTP."""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
from pydantic import ValidationError

from gateway.config import read_token
from gateway.errors import BadConfig, ControlPlaneError
from gateway.schema import DnsAnswer, DnsState, Opened, Stats, Status, Ticket

CONNECT_SECONDS = 5
ANSWER_SECONDS = 15


def connector(*, authority: Path | None) -> aiohttp.TCPConnector:
    """Return what connects, and trusts these certificates alone where there are some. Raise
    BadConfig where they cannot be used."""
    if authority is None:
        return aiohttp.TCPConnector()
    try:
        return aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=authority))
    except OSError as error:
        raise BadConfig(f"cannot read the control plane's authority: {error}") from None


class ControlPlane:
    """One gateway's connection to its control plane.

    The token is read from its file each time, so a new one needs no restart; redirects are
    refused, so it goes nowhere else.
    """

    def __init__(self, *, session: aiohttp.ClientSession, url: str, token_file: Path) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._token_file = token_file

    async def table(self, *, since: int, wait_seconds: int) -> bytes:
        """Return a table newer than `since`; raises ControlPlaneError."""
        query = {"since": str(since), "wait": str(wait_seconds)}
        return await self._call("GET", "/api/gateway/table", wait_seconds, params=query)

    async def report(self, status: Status) -> None:
        """Send what is so here; raises ControlPlaneError."""
        text = status.model_dump_json()
        await self._call("POST", "/api/gateway/status", 0, data=text)

    async def dns(self, asked: DnsAnswer) -> DnsState:
        """Have an answer written or taken away; raises ControlPlaneError."""
        said = await self._call("POST", "/api/gateway/dns", 0, data=asked.model_dump_json())
        try:
            return DnsState.model_validate_json(said)
        except ValidationError:
            raise ControlPlaneError("the control plane does not say how an answer stands") from None

    async def count(self, stats: Stats) -> None:
        """Send one scrape of the counters; raises ControlPlaneError."""
        text = stats.model_dump_json(exclude_defaults=True)
        await self._call("POST", "/api/gateway/stats", 0, data=text)

    async def exchange(self, ticket: Ticket) -> Opened:
        """Return what a ticket opens; raises ControlPlaneError."""
        body = await self._call("POST", "/api/gateway/ticket", 0, data=ticket.model_dump_json())
        try:
            return Opened.model_validate_json(body)
        except ValidationError as error:
            reason = f"the control plane answered {error.error_count()} fields that are not right"
            raise ControlPlaneError(reason) from None

    async def _call(
        self,
        method: str,
        path: str,
        wait_seconds: int,
        *,
        params: dict[str, str] | None = None,
        data: str | None = None,
    ) -> bytes:
        headers = {
            "Authorization": f"Bearer {read_token(self._token_file)}",
            "Content-Type": "application/json",
        }
        limit = aiohttp.ClientTimeout(
            total=wait_seconds + ANSWER_SECONDS, sock_connect=CONNECT_SECONDS
        )
        try:
            async with self._session.request(
                method,
                self._url + path,
                params=params,
                data=data,
                headers=headers,
                timeout=limit,
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise ControlPlaneError(f"the control plane did not answer: {reason}") from None
        if answer.status != 200:
            raise ControlPlaneError(f"the control plane answered {answer.status} to {path}")
        return body
