"""Processes that die: what happens to running traffic, and what is there again afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.haproxy.process import PID_FILE, Process
from tests.fakes.control_plane_gateway import replica, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Gateway, Load, hello, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Two seconds, and as much again for a machine that is busy.
STOP_SECONDS = 4.0
# Three probes, a second apart, and a start.
NOTICED_SECONDS = 8.0

Fresh = tuple[Gateway, Target]


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(tmp_path: Path) -> AsyncIterator[Fresh]:
    # A space in the home's path must not matter to anything.
    async with hello(tmp_path / "a home") as (gateway, targets):
        yield gateway, targets[0]


def kill(process: Process | subprocess.Popen[bytes] | None) -> None:
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    if isinstance(process, subprocess.Popen):
        process.wait(20)


def running(gateway: Gateway) -> Process:
    found = gateway.haproxy()
    assert found is not None
    return found


async def test_starts_haproxy_again_with_all_routes(fresh: Fresh) -> None:
    gateway, _ = fresh
    old = running(gateway)
    await gateway.control.stop()
    kill(old)

    async def is_back() -> bool:
        return await gateway.is_alive() and (await gateway.call(token=ALICE)).status == 200

    await until(is_back)
    assert running(gateway) != old
    assert (await gateway.call()).status == 401


async def test_goes_on_following_the_table_after_haproxy_died(fresh: Fresh) -> None:
    gateway, target = fresh
    kill(gateway.haproxy())

    await gateway.control.applied(await gateway.control.put(service("next", target.address)))

    assert (await gateway.call(host="next.localhost", token=ALICE)).status == 200


async def test_carries_traffic_while_the_sidecar_is_killed(fresh: Fresh) -> None:
    gateway, target = fresh
    haproxy = running(gateway)
    async with Load(gateway) as load:
        kill(gateway.sidecar)
        await until(lambda: load.count > 200)
        await gateway.start()
        version = await gateway.control.put(service("next", target.address))
        await gateway.control.applied(version)

    assert load.failures == []
    assert running(gateway) == haproxy
    assert (await gateway.call(host="next.localhost", token=ALICE)).status == 200


async def test_finishes_a_drain_that_another_sidecar_began(fresh: Fresh) -> None:
    gateway, target = fresh
    control = gateway.control
    waiting = asyncio.create_task(gateway.call("/wait", token=ALICE))
    await until(lambda: "/wait" in target.seen)
    await control.put(service("hello"))
    await control.wait_status(lambda s: s.draining == {replica(target.address).id: 1})
    kill(gateway.sidecar)
    control.statuses.clear()
    await gateway.start()
    await control.wait_status(lambda s: s.draining == {replica(target.address).id: 1})

    target.go_on.set()

    assert (await waiting).body == b"first\nsecond\n"
    seen = len(control.statuses)
    await control.wait_status(lambda s: not s.draining, since=seen)


async def test_puts_right_what_was_changed_while_the_sidecar_was_dead(fresh: Fresh) -> None:
    gateway, target = fresh
    kill(gateway.sidecar)
    gateway.sidecar = None
    await runtime(gateway, "clear map maps/keys.map")
    await runtime(gateway, "clear map maps/hosts.map")
    await runtime(gateway, f"add server s9/n99 {target.address}")

    await gateway.start()
    await gateway.control.applied(await gateway.control.put(service("next", target.address)))

    assert (await gateway.call(token=ALICE)).status == 200
    assert "n99" not in await runtime(gateway, "show servers state s9")


async def runtime(gateway: Gateway, command: str) -> str:
    previous = Path.cwd()
    os.chdir(gateway.home / "data")
    try:
        reader, writer = await asyncio.open_unix_connection("haproxy.sock")
    finally:
        os.chdir(previous)
    writer.write(command.encode() + b"\n")
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_serves_the_last_table_when_the_control_plane_is_away(fresh: Fresh) -> None:
    gateway, target = fresh
    await gateway.control.stop()
    assert gateway.sidecar is not None
    gateway.sidecar.terminate()
    assert gateway.sidecar.wait(20) == 0

    await gateway.start()

    assert (await gateway.call(token=ALICE)).status == 200
    assert (await gateway.call()).status == 401


async def test_starts_without_files_it_cannot_read(fresh: Fresh) -> None:
    gateway, _ = fresh
    kill(gateway.sidecar)
    for name in ("table.json", "layout.json"):
        (gateway.home / "data" / name).write_text("{broken")

    await gateway.start()

    async def is_back() -> bool:
        return (await gateway.call(token=ALICE)).status == 200

    await until(is_back)


async def test_stops_all_soon_and_lets_requests_finish(fresh: Fresh) -> None:
    gateway, target = fresh
    haproxy = running(gateway)
    short = asyncio.create_task(gateway.call("/sse?count=5&pause=0.1", token=ALICE))
    endless = asyncio.create_task(gateway.call("/wait", token=ALICE))
    await until(lambda: "/wait" in target.seen)
    assert gateway.sidecar is not None
    began = time.monotonic()

    gateway.sidecar.terminate()
    code = await asyncio.to_thread(gateway.sidecar.wait, 20)

    assert (code, time.monotonic() - began < STOP_SECONDS) == (0, True)
    assert not haproxy.is_alive()
    assert not (gateway.home / "data" / PID_FILE).exists()
    assert (await short).body.endswith(b"data: 4\n\n")
    assert isinstance((await asyncio.gather(endless, return_exceptions=True))[0], Exception)


async def test_ends_a_haproxy_that_an_earlier_sidecar_started(fresh: Fresh) -> None:
    gateway, _ = fresh
    haproxy = running(gateway)
    kill(gateway.sidecar)
    gateway.control.statuses.clear()
    await gateway.start()
    await gateway.control.wait_status(lambda s: s.applied > 0)
    assert gateway.sidecar is not None

    gateway.sidecar.terminate()
    code = await asyncio.to_thread(gateway.sidecar.wait, 20)

    assert code == 0
    assert not haproxy.is_alive()


async def test_reports_every_five_seconds_that_it_lives(fresh: Fresh) -> None:
    gateway, _ = fresh
    seen = len(gateway.control.statuses)

    status = await gateway.control.wait_status(lambda s: True, since=seen)

    assert (status.applied, status.error) == (gateway.control.version, "")


async def test_replaces_a_haproxy_with_other_settings(fresh: Fresh) -> None:
    gateway, target = fresh
    old = running(gateway)
    stream = asyncio.create_task(gateway.call("/wait", token=ALICE))
    await until(lambda: "/wait" in target.seen)
    async with Load(gateway) as load:
        kill(gateway.sidecar)
        gateway.environ["DSTACK_GATEWAY_SLOTS"] = "50"

        await gateway.start()
        await until(lambda: gateway.haproxy() not in (None, old))
        seen = load.count
        await until(lambda: load.count > seen + 200)

    # Who was connected to the one before is served to the end, and nobody is turned away.
    assert load.failures == []
    target.go_on.set()
    assert (await stream).body.startswith(b"first\n") and stream.result().status == 200
    assert (await gateway.call(token=ALICE)).status == 200
    assert gateway.sidecar is not None

    gateway.sidecar.terminate()
    await asyncio.to_thread(gateway.sidecar.wait, 20)

    assert not old.is_alive()


async def test_takes_no_stranger_for_its_haproxy(fresh: Fresh) -> None:
    gateway, _ = fresh
    haproxy = running(gateway)
    kill(gateway.sidecar)
    kill(haproxy)
    stranger = subprocess.Popen(["sleep", "60"])
    file = gateway.home / "data" / PID_FILE
    _, *rest = file.read_text().split()
    file.write_text("\n".join([str(stranger.pid), *rest]))

    await gateway.start()

    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


async def test_says_in_one_line_that_its_port_is_taken(fresh: Fresh, tmp_path: Path) -> None:
    gateway, _ = fresh
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = Gateway(tmp_path / "other", gateway.control, port=taken.getsockname()[1])
        code = await asyncio.to_thread(other.spawn().wait, 20)

    said = (other.home / "gateway.log").read_text().splitlines()[-1]
    assert code == 1
    assert said.startswith("gateway: HAProxy ended")
    assert str(other.port) in said


async def test_refuses_a_home_that_another_gateway_has(fresh: Fresh) -> None:
    gateway, _ = fresh
    first = gateway.sidecar
    code = await asyncio.to_thread(gateway.spawn().wait, 20)
    gateway.sidecar = first

    assert code == 1
    assert "another gateway runs" in gateway.log_text()
    assert (await gateway.call(token=ALICE)).status == 200


async def test_runs_any_haproxy_that_it_is_pointed_to(fresh: Fresh, tmp_path: Path) -> None:
    gateway, _ = fresh
    program = shutil.which("haproxy")
    if program is None:
        pytest.skip("no HAProxy on PATH")
    other = Gateway(tmp_path / "other", gateway.control, environ={"DSTACK_HAPROXY": program})
    await other.start()

    async def serves() -> bool:
        return (await other.call(token=ALICE)).status == 200

    await until(serves)
    running_program = Path(f"/proc/{running(other).pid}/exe").readlink()
    await other.stop()

    assert running_program == Path(program).resolve()


async def test_replaces_a_haproxy_that_was_stopped(fresh: Fresh) -> None:
    gateway, _ = fresh
    old = running(gateway)
    os.kill(old.pid, signal.SIGSTOP)

    async def is_back() -> bool:
        if gateway.haproxy() in (old, None):
            return False
        return await gateway.is_alive() and (await gateway.call(token=ALICE)).status == 200

    await until(is_back, seconds=NOTICED_SECONDS)
    assert not old.is_alive()


async def test_keeps_a_haproxy_that_slept_as_the_sidecar_did(fresh: Fresh) -> None:
    gateway, _ = fresh
    old = running(gateway)
    assert gateway.sidecar is not None
    for pid in (gateway.sidecar.pid, old.pid):
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(NOTICED_SECONDS)
    for pid in (old.pid, gateway.sidecar.pid):
        os.kill(pid, signal.SIGCONT)

    await asyncio.sleep(2)

    assert running(gateway) == old
    assert (await gateway.call(token=ALICE)).status == 200
