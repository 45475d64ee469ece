"""Who called: behind the proxy of our own, the header in which it says so."""

from __future__ import annotations

from dstack_web.web.body_limit import Application, Receive, Scope, Send

HEADER = b"x-dstack-peer"


class Peer:
    """An ASGI application whose callers have the addresses that the proxy before it names.

    Only for a server that nothing but this proxy reaches: its socket is this user's alone, and the
    proxy replaces whatever a caller has put into the header.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = called(scope)
        await self.application(scope, receive, send)


def called(scope: Scope) -> Scope:
    """Return the scope with the caller's address, and without the header that named it."""
    named = [value for name, value in scope["headers"] if name == HEADER]
    others = [(name, value) for name, value in scope["headers"] if name != HEADER]
    client = (named[-1].decode("latin-1"), 0) if named else None
    return {**scope, "headers": others, "client": client}
