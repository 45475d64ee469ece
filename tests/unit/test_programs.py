from __future__ import annotations

from tests import programs


def test_only_the_limits_of_a_host_excuse_a_skip_in_ci() -> None:
    reasons = ["Skipped: needs root, to become other users", "Skipped: no HAProxy on PATH"]

    assert programs.avoidable(reasons) == {"no HAProxy on PATH"}
