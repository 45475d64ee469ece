from __future__ import annotations

from typing import Any

import pytest

from dstack_web.front.peer import Peer

Headers = list[tuple[bytes, bytes]]


async def passed(scope: dict[str, Any]) -> dict[str, Any]:
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    await Peer(application)(scope, None, None)  # type: ignore[arg-type]
    found: dict[str, Any] = seen[0]
    return found


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ([], None),
        ([(b"x-dstack-peer", b"203.0.113.9")], ("203.0.113.9", 0)),
        ([(b"x-dstack-peer", b"2001:db8::1")], ("2001:db8::1", 0)),
        ([(b"x-dstack-peer", b"\xff")], ("ÿ", 0)),
        ([(b"x_dstack_peer", b"203.0.113.9")], None),
        ([(b"x-forwarded-for", b"203.0.113.9")], None),
    ],
)
async def test_only_one_header_names_the_caller(headers: Headers, client: Any) -> None:
    sent = {"type": "http", "client": ("", "0"), "headers": [*headers, (b"host", b"x")]}

    found = await passed(sent)

    assert found["client"] == client
    assert b"x-dstack-peer" not in dict(found["headers"])
    assert (b"host", b"x") in found["headers"]


async def test_other_messages_pass_as_they_are() -> None:
    scope = {"type": "lifespan"}

    assert await passed(scope) is scope
