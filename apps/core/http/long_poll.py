"""A long poll: `?since=REVISION&wait=SECONDS` is answered on news, or when the wait is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.http import HttpRequest

from apps.core import live_hints
from apps.core.errors import Invalid
from apps.core.threads import in_thread

T = TypeVar("T")


def number(request: HttpRequest, name: str) -> float:
    """Read a number of the query; -1 is none yet. Raise Invalid."""
    try:
        value = float(request.GET.get(name, "0"))
    except ValueError:
        value = float("nan")
    if not -1 <= value < 2**63:
        raise Invalid(f"{name}: expected a number from -1")
    return value


def since(request: HttpRequest) -> int:
    """Return the revision that the caller has."""
    return int(number(request, "since"))


async def long_poll(
    request: HttpRequest, channel: str, *, has_news: Callable[[], bool], answer: Callable[[], T]
) -> T:
    """Return `answer()` as soon as `has_news()`, and after the caller's `wait` seconds in any case.

    Both read the database, each in a thread; hints on `channel` say when to look again.
    """

    async def news() -> tuple[T] | None:
        return (await in_thread(answer),) if await in_thread(has_news) else None

    found = await live_hints.wait_until(channel, news, seconds=number(request, "wait"))
    return await in_thread(answer) if found is None else found[0]
