"""P1 and P4: an authenticated request through the gateway, against plain HAProxy and direct.

    python -m tests.bench.gateway_p1 [--rounds 5] [--seconds 3] [--unlimited]

One core for the gateway (or plain HAProxy), one for wrk and the upstream; the rounds of all three
are interleaved, so that a neighbour on the machine disturbs them alike. The table holds 5,000
services and 20,000 keys; the service and the caller's key have rate limits, and all is counted.
Then all 20,000 callers ask in turn, on the same connections. Prints a table of each, with the
ratios of the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from gateway.schema import RateLimit
from tests.bench import gateway_stage as stage
from tests.bench import wrk
from tests.bench.gateway_stage import Asked
from tests.free_ports import free_port
from tests.integration.gateway.harness import ALICE

SERVICES, KEYS = 4_990, 20_000
HEADERS = {"Host": "hello.localhost", "Authorization": f"Bearer {ALICE}"}
# Each request has the token of the next of the keys that `full_keys` makes.
CALLERS = """\
local number = 0
function request()
  number = (number + 1) % {count}
  local token = "Bearer dsk_u_" .. number
  return wrk.format("GET", "/", {{Host = "hello.localhost", Authorization = token}})
end
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--unlimited", action="store_true", help="leave the rate limits out")
    options = parser.parse_args()
    wrk.need()
    with tempfile.TemporaryDirectory(prefix="gateway-p1-") as folder:
        asyncio.run(
            measure(
                Path(folder),
                rounds=options.rounds,
                seconds=options.seconds,
                limited=not options.unlimited,
            )
        )


async def measure(folder: Path, *, rounds: int, seconds: int, limited: bool) -> None:
    upstream, plain = free_port(), free_port()
    upstream_config = stage.UPSTREAM.format(port=upstream, body=stage.BODY)
    plain_config = stage.PLAIN.format(port=plain, upstream=upstream)
    *others, hello = stage.full_endpoints(SERVICES, f"127.0.0.1:{upstream}")
    *strangers, alice = stage.full_keys(KEYS)
    if limited:
        limit = RateLimit(rps=1e6, burst=1_000_000)
        hello = hello.model_copy(update={"rate_limits": [limit]})
        alice = alice.model_copy(update={"rps": 1e6, "burst": 1_000_000})
    # First, so that it gets a slot of its kind: the last of so many finds only one of those which
    # read tokens.
    endpoints = [hello, *others]
    with (
        stage.haproxy(folder, "upstream", upstream_config, stage.LOAD_CORE) as upstream_pid,
        stage.haproxy(folder, "plain", plain_config, stage.MEASURED_CORE) as plain_pid,
    ):
        async with stage.gateway(
            folder / "gateway", endpoints=endpoints, keys=[*strangers, alice]
        ) as gateway:
            process = gateway.haproxy()
            if process is None:
                raise RuntimeError("the gateway ended")
            servers = {
                "direct": (upstream, upstream_pid),
                "plain HAProxy": (plain, plain_pid),
                "gateway": (gateway.port, process.pid),
            }
            for asked in requests(folder):
                found = await stage.compare(servers, asked, rounds=rounds, seconds=seconds)
                stage.show(asked, rounds, found)


def requests(folder: Path) -> list[Asked]:
    """Return what is asked, in this order."""
    callers = folder / "callers.lua"
    callers.write_text(CALLERS.format(count=KEYS))
    return [
        Asked("one caller", headers=HEADERS),
        Asked(f"{KEYS:,} callers in turn", script=callers),
        Asked("one caller", connections=1, headers=HEADERS),
    ]


if __name__ == "__main__":
    main()
