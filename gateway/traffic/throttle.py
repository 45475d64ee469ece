"""Which scrapes are worth sending. Pure."""

from __future__ import annotations

from gateway.schema import Stats

# That nothing is asked is worth knowing too: a gateway that says nothing might as well be away, and
# then nobody may scale a service down.
QUIET_SECONDS = 2.0


class ReportThrottle:
    """Every scrape with news is sent, and a quiet one every 2 s."""

    def __init__(self) -> None:
        self._sent_at = float("-inf")
        self._left_out: Stats | None = None

    def due(self, scrape: Stats, *, is_quiet: bool, at: float) -> list[Stats]:
        """Return what to send now, oldest first; `at` is monotonic, seconds.

        What begins now did not begin before the last scrape that was left out: a rate over both
        would be half of what it is, so that one goes first.
        """
        if is_quiet and at - self._sent_at < QUIET_SECONDS:
            self._left_out = scrape
            return []
        before = [self._left_out] if self._left_out is not None and not is_quiet else []
        self._sent_at, self._left_out = at, None
        return [*before, scrape]
