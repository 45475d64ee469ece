"""Replicas behind tunnels, by real sshd and ssh: what is served, and who has to leave."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from pathlib import Path

from gateway.tunnels import service as tunnels
from tests.fakes.control_plane_gateway import key, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, until
from tests.integration.gateway.ssh_clients import Machine, is_open, tunnel_port
from tests.integration.gateway.tunnel_stage import Stage, stage

__all__ = ["stage"]


async def test_a_service_answers_through_the_tunnel(stage: Stage) -> None:
    version = await stage.serve()
    waiting = await stage.control.wait_status(lambda each: bool(each.pending))
    assert list(waiting.pending.values()) == ["the tunnel is not open yet"]
    await stage.opened()
    await stage.control.applied(version)

    answer = await stage.gateway.call("/far", token=ALICE)

    assert answer.status == 200
    assert stage.target.seen[-1] == "/far"


async def test_a_revoked_key_is_cut_off_and_not_let_in_again(stage: Stage) -> None:
    child = await stage.opened()

    await stage.control.drop(stage.machine.row(stage.port))

    await until(lambda: child.poll() is not None)
    await until(lambda: not is_open(stage.port))
    code, said = await stage.machine.asks(stage.server, "-N", "127.0.0.1")
    assert (code, "Permission denied" in said) == (255, True)


async def test_another_key_of_a_machine_takes_the_place_of_the_one_before(
    stage: Stage, tmp_path: Path
) -> None:
    child, fresh = await stage.opened(), Machine(tmp_path, name="fresh")
    row = fresh.row(stage.port).model_copy(update={"id": stage.machine.name})

    await stage.control.put(row)

    await until(lambda: child.poll() is not None)
    code, said = await stage.machine.asks(stage.server, "-N", "127.0.0.1")
    assert (code, "Permission denied" in said) == (255, True)
    await fresh.opens(stage.server, stage.port, stage.target.address)
    fresh.stop()


async def test_a_port_that_was_taken_back_is_given_up_or_the_connection_ends(
    stage: Stage,
) -> None:
    child, other = await stage.opened(), tunnel_port()

    await stage.control.put(stage.machine.row(other))

    await until(lambda: child.poll() is not None)
    assert not is_open(stage.port)


async def test_a_port_that_is_another_machines_now_leads_to_no_machine_of_before(
    stage: Stage, tmp_path: Path
) -> None:
    child = await stage.opened()
    heir, near = Machine(tmp_path, name="heir"), await Target(name="near").start()
    hello = service("hello", f"127.0.0.1:{stage.port}")
    rows = (stage.machine.row(tunnel_port()), heir.row(stage.port))

    version = await stage.control.put(*rows, hello, key(ALICE, projects=["p1"]))
    call = asyncio.create_task(stage.gateway.call("/private", token=ALICE))

    # The busier the machine, the less often the kernel is asked who listens.
    await until(lambda: child.poll() is not None, seconds=15)
    await heir.opens(stage.server, stage.port, near.address)
    await stage.control.applied(version)
    assert (await call).status in (200, 401, 404)
    assert stage.target.seen == []
    assert (await stage.gateway.call("/private", token=ALICE)).status == 200
    assert near.seen[-1] == "/private"
    heir.stop()
    await near.stop()


async def test_another_program_on_the_port_is_not_taken_for_the_machine(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", stage.port)):
        version = await stage.serve()
        await stage.control.wait_status(
            lambda each: (
                each.applied >= version
                and any("somebody else" in why for why in each.pending.values())
            )
        )


async def test_a_program_that_takes_the_port_of_a_cut_tunnel_gets_no_request(stage: Stage) -> None:
    child = await stage.opened()
    await stage.control.applied(await stage.serve())
    assert (await stage.gateway.call("/before", token=ALICE)).status == 200
    child.kill()
    await until(lambda: not is_open(stage.port))
    seen = len(stage.control.statuses)
    await stage.control.wait_status(lambda each: each.cut == [stage.port], since=seen - 1)

    thief = await Target(name="thief", port=stage.port).start()
    try:
        await stage.control.wait_status(
            lambda each: any("somebody else" in why for why in each.pending.values()), since=seen
        )
        taken = len(thief.seen)
        call = asyncio.create_task(stage.gateway.call("/held", token=ALICE))
        await asyncio.sleep(2.5)
        assert not call.done() and len(thief.seen) == taken
        # Whoever listens there, the tunnel is none.
        assert stage.control.statuses[-1].cut == [stage.port]
    finally:
        await thief.stop()

    await stage.opened()
    await stage.control.wait_status(lambda each: not each.cut, since=seen)
    assert (await call).json["name"] == "far"


async def test_a_killed_sidecar_cuts_no_tunnel_and_its_successor_knows_them(stage: Stage) -> None:
    child = await stage.opened()
    await stage.control.applied(await stage.serve())
    assert stage.gateway.sidecar is not None
    stage.gateway.sidecar.send_signal(signal.SIGKILL)
    stage.gateway.sidecar.wait()
    assert (await stage.gateway.call("/", token=ALICE)).status == 200

    await stage.gateway.start()

    count = len(stage.control.statuses)
    await stage.control.wait_status(lambda each: each.tunnels is not None, since=count)
    assert (await stage.gateway.call("/", token=ALICE)).status == 200
    assert child.poll() is None
    await stage.control.drop(stage.machine.row(stage.port))
    await until(lambda: child.poll() is not None)


async def test_an_orderly_end_leaves_no_connection(stage: Stage) -> None:
    child = await stage.opened()

    await stage.gateway.stop()

    await until(lambda: child.poll() is not None)
    assert not is_open(stage.port)


async def test_a_restart_shows_the_same_host_key(stage: Stage) -> None:
    await stage.gateway.stop()
    stage.gateway.session = None
    await stage.gateway.start()

    count = len(stage.control.statuses)
    said = await stage.control.wait_status(lambda each: each.tunnels is not None, since=count)

    assert said.tunnels == stage.server


async def test_keys_and_their_ports_are_no_secret_to_the_tunnels_user_alone(stage: Stage) -> None:
    home = stage.gateway.home / "data"
    assert (home / "tunnels" / "host_key").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    if os.geteuid() == 0:
        assert stage.server.user == "dstack-tunnel"


async def test_who_says_nothing_keeps_no_machine_out(stage: Stage) -> None:
    count = tunnels.MOST_UNKNOWN + 16
    silent = [await asyncio.open_connection("127.0.0.1", stage.server.port) for _ in range(count)]
    gone = [asyncio.create_task(reader.read()) for reader, _ in silent]
    first = gone[: tunnels.MOST_UNKNOWN // 2]
    await until(lambda: sum(each.done() for each in gone) >= 16)
    # Those who have just come may be about to log in: none made room for those after them.
    assert not any(each.done() for each in first)
    await asyncio.sleep(tunnels.LOGS_IN_SECONDS)

    await stage.opened()

    assert any(each.done() for each in first)
    for _, writer in silent:
        writer.close()
    await asyncio.gather(*gone, return_exceptions=True)


async def test_one_machine_has_so_many_connections_and_no_more(stage: Stage) -> None:
    most = tunnels.EACH_PORT + tunnels.BESIDES
    argv = [stage.machine.ssh, *stage.machine.options(stage.server), "-N", "127.0.0.1"]
    first = await stage.opened()
    more = [subprocess.Popen(argv, stderr=subprocess.DEVNULL) for _ in range(most + 2)]
    stage.machine.children += more

    await until(lambda: sum(each.poll() is not None for each in more) >= 3)

    await asyncio.sleep(0.5)
    assert sum(each.poll() is None for each in more) == most - 1
    assert first.poll() is None
