"""Answering with what came of a check, if it is over in time: a worker asks the cloud meanwhile."""

from __future__ import annotations

from uuid import UUID

from apps.backends.connecting import checks
from apps.backends.models import Check
from apps.core import live_hints
from apps.core.errors import Detail, Invalid
from apps.core.threads import in_thread

# Proxies before us may give up after a minute.
MOST_SECONDS = 25.0


async def outcome(check: Check, *, seconds: float) -> Check:
    """Return the check once it is over, or as it is after so many seconds."""
    if check.is_final:
        return check

    async def over() -> Check | None:
        found = await in_thread(_read, check.pk)
        return found if found.is_final else None

    seconds = min(max(seconds, 0.0), MOST_SECONDS)
    found = await live_hints.wait_until(checks.channel(check.pk), over, seconds=seconds)
    return await in_thread(_read, check.pk) if found is None else found


def refusal(check: Check) -> Invalid:
    """Return the error of a backend that was not connected or changed, with each problem."""
    count = len(check.problems)
    details = [Detail("", each["message"]) for each in check.problems]
    what = "was not changed" if check.backend_id else "was not connected"
    return Invalid(
        f"Backend {check.name} {what}: its check found {count} problem{'s' if count != 1 else ''}.",
        details=details,
    )


def _read(pk: UUID) -> Check:
    return Check.objects.select_related("backend__project", "project").get(pk=pk)
