from __future__ import annotations

import pytest

from apps.instances.tunnels import ports

ALL = set(range(ports.FIRST, ports.LAST + 1))
PREFERRED = set(range(ports.PREFERRED, ports.LAST + 1))


@pytest.mark.parametrize(
    ("taken", "start", "port"),
    [
        (set(), 0, 30000),
        (set(), 1999, 31999),
        (set(), 2000, 30000),
        ({30000}, 0, 30001),
        ({31999}, 1999, 30000),
        (PREFERRED, 0, 20000),
        (PREFERRED | {20000, 20001}, 0, 20002),
        (PREFERRED, 9999, 29999),
        (ALL - {20007}, 5, 20007),
        (ALL - {31999}, 0, 31999),
        (ALL, 0, None),
    ],
)
def test_chooses_a_port_that_is_free(taken: set[int], start: int, port: int | None) -> None:
    assert ports.choose(taken, start=start) == port
