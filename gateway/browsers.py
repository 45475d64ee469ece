"""Opening a service in a browser: a ticket of the dashboard becomes a cookie of the service.

The dashboard sends a member's browser to `/-/dstack/open?ticket=...` of the service's host; HAProxy
leads that here and says which endpoint it is. The control plane takes each ticket once. The cookie
is of this host alone, no script can read it, and no replica ever gets it; which requests it counts
for, the rules in `haproxy/rules/identify.cfg` say. It ends when its key leaves the table.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from gateway.control.client import ControlPlane
from gateway.errors import BadConfig, ControlPlaneError
from gateway.haproxy import error_pages
from gateway.schema import TICKET, Opened, Ticket

log = logging.getLogger(__name__)

SOCKET = "browsers.sock"
PATH = "/-/dstack/open"
ENDPOINT = "X-Dstack-Endpoint"
NAME = "dstack_open"
# Strangers may come with tickets that they invent: each is a question to the control plane.
MOST_AT_ONCE = 16
APPLY_SECONDS = 5.0
HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
USED = error_pages.Page(
    403,
    "ticket_refused",
    "This link opens nothing",
    "A link to open a service works once and for a minute. Open it again from its page.",
)
AWAY = error_pages.Page(
    503,
    "control_plane_away",
    "The service cannot be opened right now",
    "The gateway could not ask its server. Open the service again from its page in a minute.",
)


class Browsers:
    """Answers on `browsers.sock`. `applied` says which version of the table is in force."""

    def __init__(self, *, control: ControlPlane, applied: Callable[[], int]) -> None:
        self._control = control
        self._applied = applied
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def run(self, home: Path) -> None:
        """Serve until it is cancelled. Raise OSError."""
        app = web.Application()
        app.router.add_get(PATH, self._open, allow_head=False)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.UnixSite(runner, str(home / SOCKET)).start()
            (home / SOCKET).chmod(0o600)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _open(self, request: web.Request) -> web.Response:
        ticket = request.query.get("ticket", "")
        if not re.fullmatch(TICKET, ticket):
            return refused(USED)
        if self._turns.locked():
            return refused(AWAY)
        try:
            async with self._turns, asyncio.timeout(APPLY_SECONDS):
                asked = Ticket(endpoint=request.headers[ENDPOINT], ticket=ticket)
                opened = await self._control.exchange(asked)
                if not opened.cookie:
                    return refused(USED)
                await self._in_force(opened.version)
        except (ControlPlaneError, BadConfig, TimeoutError) as error:
            log.warning("a service could not be opened in a browser: %s", error or "too late")
            return refused(AWAY)
        return welcome(opened)

    async def _in_force(self, version: int) -> None:
        while self._applied() < version:
            await asyncio.sleep(0.02)


def welcome(opened: Opened) -> web.Response:
    """Give the browser its cookie, and lead it to the service's first page."""
    answer = web.Response(status=303, headers={**HEADERS, "Location": "/"})
    answer.set_cookie(
        # Browsers take a cookie of this name only from its own host, by TLS and for all paths.
        f"__Host-{NAME}" if opened.secure else NAME,
        opened.cookie,
        max_age=opened.max_age_seconds,
        path="/",
        secure=opened.secure,
        httponly=True,
        # Strict would not come along when a link leads here; see identify.cfg for all else.
        samesite="Lax",
    )
    return answer


def refused(page: error_pages.Page) -> web.Response:
    return web.Response(
        status=page.status,
        text=error_pages.as_html(page),
        content_type="text/html",
        charset="utf-8",
        headers=HEADERS,
    )
