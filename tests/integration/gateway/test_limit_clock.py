"""The arithmetic of rate limits in the real HAProxy, on a clock that the test sets.

HAProxy's clock comes round every 12.7 days: each case is tried far from that moment and across it.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator

import httpx
import pytest

from gateway.haproxy import config, template
from gateway.state.limits import pace
from tests.e2e.stack import eventually
from tests.free_ports import free_port
from tests.integration.gateway.harness import haproxy_program

ROUND_US = 2**40
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
# A start is kept in steps of so many.
STEP_US = 256
STARTS_US = [1_700_000_000 * SECOND_US, 1_500 * ROUND_US - 2 * SECOND_US, 1_500 * ROUND_US]
CONFIG = """\
global
  lua-load limits.lua
  stats socket unix@haproxy.sock mode 600 level admin
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 1s
frontend limited
  bind 127.0.0.1:{port}
  acl has_key always_false
  acl preflight always_false
  acl has_limit always_true
  acl bounded always_true
  http-request set-var(txn.endpoint) str(e)
  http-request set-var(txn.key) req.hdr(x-name)
  http-request set-var(req.counter) req.hdr(x-name)
  http-request set-var(req.who) req.hdr(x-name)
  http-request set-var(req.limit) req.hdr(x-limit)
  http-request set-var(req.bound) req.hdr(x-bound)
{limits}
  default_backend passed
backend passed
  http-request return status 200
backend limits
  stick-table type string len 150 size 10k expire 24h store gpc(1),gpt(1)
"""
FREE = pace(1e6, 1_000_000)

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Ask at a moment, in µs, under the limit of a name (and the bound of a key)."""
    home, port = tmp_path_factory.mktemp("clock"), free_port()
    limits = template.text("charge.cfg")
    assert limits.count("date(0,us)") == 1
    limits = limits.replace("date(0,us)", "req.hdr(x-now),add(0)")
    (home / "pages").mkdir()
    (home / "pages" / "429.map").write_text("json no\n")
    (home / "limits.lua").write_text(config.LUA["limits.lua"])
    (home / "haproxy.cfg").write_text(CONFIG.format(port=port, limits=limits))
    child = subprocess.Popen([haproxy_program(), "-f", "haproxy.cfg", "-db"], cwd=home)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:

        def ask(at_us: int, name: str, limit: str, bound: str = FREE) -> httpx.Response:
            headers = {"x-now": str(at_us), "x-name": name, "x-limit": f"{limit}:c:"}
            return client.get("/", headers={**headers, "x-bound": bound})

        try:
            eventually(lambda: answers(client), what="HAProxy")
            yield ask
        finally:
            child.kill()
            child.wait()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/", headers={"x-now": "1", "x-limit": f"{FREE}:c:"}).is_success
    except httpx.TransportError:
        return False


class Reference:
    """GCRA as its description has it: one moment for each counter, without a clock that ends."""

    def __init__(self, interval_us: int, tolerance_us: int) -> None:
        self.interval_us, self.tolerance_us = interval_us, tolerance_us
        self.idle_at_us = 0

    def passes(self, at_us: int) -> bool:
        over_us = self.idle_at_us - at_us - self.tolerance_us
        if over_us > 0:
            return False
        self.idle_at_us = max(self.idle_at_us, at_us) + self.interval_us
        return True

    def is_close(self, at_us: int) -> bool:
        """Whether the steps of a start may decide."""
        return abs(self.idle_at_us - at_us - self.tolerance_us) <= STEP_US


@pytest.mark.parametrize("start_us", STARTS_US)
@pytest.mark.parametrize(("rps", "burst"), [(1 / 60, 0), (1, 3), (10, 5), (1000, 0), (1000, 30)])
def test_decides_as_the_description_does(ask: Ask, start_us: int, rps: float, burst: int) -> None:
    limit = pace(rps, burst)
    interval_us, tolerance_us = map(int, limit.split(":")[:2])
    chance, reference = random.Random(f"{start_us} {rps}"), Reference(interval_us, tolerance_us)
    at_us, name = start_us, f"{start_us}-{rps}-{burst}"
    seen: list[int] = []
    for _ in range(150):
        at_us += int(chance.choice((0.05, 0.3, 1, 1, 4)) * interval_us * chance.random())
        if reference.is_close(at_us):
            at_us += 2 * STEP_US + 1
        wanted = 200 if reference.passes(at_us) else 429
        assert ask(at_us, name, limit).status_code == wanted, (at_us - start_us, seen)
        seen.append(wanted)

    assert {200, 429} <= set(seen)


@pytest.mark.parametrize("start_us", STARTS_US)
@pytest.mark.parametrize("idle_us", [SECOND_US, DAY_US])
def test_forgives_while_nobody_asks(ask: Ask, start_us: int, idle_us: int) -> None:
    limit, name = pace(1, 4), f"idle-{start_us}-{idle_us}"
    for at_us in (start_us, start_us + 5 * SECOND_US + idle_us):
        codes = [ask(at_us + n, name, limit).status_code for n in range(6)]
        assert codes == [200] * 5 + [429]


def test_says_how_long_the_wait_is(ask: Ask) -> None:
    limit = pace(0.1, 0)
    ask(STARTS_US[0], "wait", limit)

    refused = ask(STARTS_US[0] + SECOND_US, "wait", limit)

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "9")


def test_starts_anew_once_the_clock_was_set_back(ask: Ask) -> None:
    limit = pace(1, 0)
    ask(STARTS_US[0], "back", limit)

    assert ask(STARTS_US[0] - 3600 * SECOND_US, "back", limit).status_code == 200
    assert ask(STARTS_US[0] - 3600 * SECOND_US, "back", limit).status_code == 429


def test_charges_neither_where_one_refuses(ask: Ask) -> None:
    """A key's bound of one a minute and six at once, over a service of one a second and one."""
    limit, bound, at_us = pace(1, 0), pace(1 / 60, 5), 10**15
    first = [ask(at_us, "both", limit, bound).status_code for _ in range(9)]
    later = [ask(at_us + n * SECOND_US, "both", limit, bound).status_code for n in range(1, 8)]

    assert first == [200] + [429] * 8
    assert later == [200] * 5 + [429] * 2
    refused = ask(at_us + 9 * SECOND_US, "both", limit, bound)
    assert refused.headers["retry-after"] == "51"


def test_a_burst_is_worth_ten_days_at_most(ask: Ask) -> None:
    limit = pace(1 / 60, 1_000_000)
    at_us, name = STARTS_US[1], "burst"

    assert {ask(at_us + n, name, limit).status_code for n in range(300)} == {200}
    assert int(limit.split(":")[1]) == 10 * DAY_US
