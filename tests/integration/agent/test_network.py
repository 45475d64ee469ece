"""As root: each process replica has a network of its own, which gateway and agent alone reach."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent import wire
from apps.agent.host import users
from apps.agent.isolation import netlink
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent import outsiders
from tests.integration.agent.running import RunningAgent, eventually, workload

pytestmark = pytest.mark.skipif(not users.can_isolate(), reason="needs root, to make namespaces")

SERVE = "python3 -m http.server $PORT --bind {bind}"
ASK = "python3 -c 'import sys,urllib.request as u; print(u.urlopen(sys.argv[1],timeout=3).status)'"
NOBODY = 65534
# Groups of rtnetlink.h: who listens hears of addresses that come and go.
RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x10, 0x100


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """A test's page says nothing."""


@contextlib.contextmanager
def page(host: str = "127.0.0.1") -> Iterator[int]:
    """A page of this machine: what a dashboard or a gateway is to a replica."""
    with http.server.ThreadingHTTPServer((host, 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def interfaces(agent: RunningAgent) -> set[str]:
    """Return those of the agent: other agents of this host have theirs beside them."""
    own = f"dsk{_home_id(agent)[:5]}"
    return {name for _, name in socket.if_nameindex() if name.startswith(own)}


def said(control: ControlPlane, *commands: str, id: str = "asker") -> str:
    control.assign(workload(*commands, id=id))
    return "\n".join(control.wait_for(id, state=wire.EXITED).last_lines)


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0", "::", "localhost"])
def test_reaches_a_replica_wherever_it_listens(
    control: ControlPlane, agent: RunningAgent, bind: str
) -> None:
    control.assign(workload(SERVE.format(bind=bind), container_port=80))

    report = control.wait_for("w1", ready=True)

    assert report.address is not None and report.address.endswith(":80")
    with socket.create_connection(_pair(report.address), timeout=3) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (SERVE.format(bind="::1"), "it listens on ::1 alone; let it listen on 127.0.0.1"),
        ("python3 -m http.server 9000", "it listens on port 9000; let it listen on 8000"),
    ],
)
def test_tells_where_it_listens_instead(
    control: ControlPlane, agent: RunningAgent, command: str, told: str
) -> None:
    control.assign(workload(command))

    assert control.wait(lambda: (r := control.seen("w1")) and told in r.probe_message)


def test_gives_all_replicas_the_port_they_ask_for(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(*[workload(SERVE.format(bind="127.0.0.1"), id=f"w{n}") for n in range(3)])

    addresses = {control.wait_for(f"w{n}", ready=True).address for n in range(3)}

    assert len(addresses) == 3
    assert {_pair(address)[1] for address in addresses if address} == {8000}


def test_lets_no_other_user_of_the_host_reach_a_replica(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload(SERVE.format(bind="127.0.0.1")))
    address = control.wait_for("w1", ready=True).address or ""
    ask = f"import socket; socket.create_connection({_pair(address)!r}, timeout=1)"

    asked = subprocess.run(
        ["/usr/bin/env", "python3", "-c", ask], user=NOBODY, capture_output=True, cwd="/"
    )

    assert b"timed out" in asked.stderr


def test_keeps_replicas_from_one_another_and_from_the_host(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload(SERVE.format(bind="0.0.0.0")))
    host, port = _pair(control.wait_for("w1", ready=True).address or "")
    own = host.rpartition(".")[0] + ".1"
    with page("0.0.0.0") as dashboard, page() as private:
        places = [(host, port), (own, dashboard), (_own_address(), dashboard)]
        places += [("127.0.0.1", private), ("127.0.0.1", dashboard), ("169.254.169.254", 80)]
        asks = [f"{ASK} http://{at}:{number}/ 2>&1 | tail -1" for at, number in places]

        lines = said(control, *asks).splitlines()

    assert len(lines) == len(places)
    assert all("Connection refused" in line for line in lines), lines


def test_lets_a_replica_call_the_gateway_as_the_host_does(
    control: ControlPlane, stopped_agent: RunningAgent
) -> None:
    with page() as gateway:
        stopped_agent.env["DSTACK_AGENT_PUBLIC_PORTS"] = str(gateway)
        stopped_agent.start()

        lines = said(
            control, f"{ASK} http://127.0.0.1:{gateway}/", f"{ASK} http://localhost:{gateway}/"
        )

    assert lines.split() == ["200", "200"]


def test_lets_a_replica_reach_other_hosts_but_no_host_reach_it(
    control: ControlPlane, stopped_agent: RunningAgent, outside: str
) -> None:
    stopped_agent.start()
    control.assign(workload(SERVE.format(bind="0.0.0.0")))
    address = control.wait_for("w1", ready=True).address or ""

    lines = said(control, f"{ASK} http://{outside}:8000/")

    assert lines == "200"
    outsiders.in_outside("ip", "route", "replace", address.rpartition(":")[0], "via", "192.0.2.129")
    asked = outsiders.in_outside(
        "python3", "-c", f"import socket; socket.create_connection({_pair(address)!r}, 1)"
    )
    assert "timed out" in asked.stderr


def test_hides_processes_and_temporary_files(control: ControlPlane, agent: RunningAgent) -> None:
    marker = Path("/tmp/of the host")
    marker.write_text("seen")
    control.assign(
        workload(
            "echo mine > /tmp/of-another; echo mine > /dev/shm/of-another",
            SERVE.format(bind="0.0.0.0"),
        )
    )
    control.wait_for("w1", ready=True)

    lines = said(
        control,
        "ls /tmp /var/tmp /dev/shm",
        "ls /proc | grep -c '^[0-9]'",
        "echo x > /tmp/x; echo x > /dev/shm/x; echo x > /var/tmp/x; echo written",
        "echo $TMPDIR; pwd",
    )
    marker.unlink()

    assert "of the host" not in lines
    assert "of-another" not in lines
    assert "written" in lines
    assert int(next(line for line in lines.splitlines() if line.isdigit())) < 8


@pytest.mark.parametrize("end", ["stop", "kill the shim", "kill the agent", "forget"])
def test_frees_the_network_however_it_ends(
    control: ControlPlane, agent: RunningAgent, end: str
) -> None:
    control.assign(workload(SERVE.format(bind="127.0.0.1")))
    control.wait_for("w1", ready=True)
    assert len(interfaces(agent)) == 1

    if end == "stop":
        control.ask_to_stop("w1", stop_seconds=1)
    elif end == "kill the shim":
        os.kill(agent.shim_pid("w1"), signal.SIGKILL)
    elif end == "kill the agent":
        agent.kill()
        agent.end()
    else:
        control.forget("w1")

    eventually(lambda: not interfaces(agent))


def test_sends_nothing_to_other_hosts_once_a_replica_has_gone(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload(SERVE.format(bind="127.0.0.1")))
    address = control.wait_for("w1", ready=True).address or ""

    control.ask_to_stop("w1", stop_seconds=1)
    control.wait_for("w1", state=wire.EXITED)

    eventually(lambda: not _interface_to(_pair(address)[0]))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(_pair(address), timeout=3)


def test_goes_on_through_a_restart_of_the_agent(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload(SERVE.format(bind="127.0.0.1")))
    before = control.wait_for("w1", ready=True)

    agent.kill()
    agent.start()

    control.wait(
        lambda: control.reports[-1].agent_version and (r := control.seen("w1")) and r.ready
    )
    after = control.seen("w1")
    assert after is not None and (after.pid, after.address) == (before.pid, before.address)
    assert socket.create_connection(_pair(after.address or ""), timeout=3)


def test_leaves_the_host_as_it_was(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload(SERVE.format(bind="127.0.0.1")))
    control.wait_for("w1", ready=True)

    assert agent.stop() == 0

    assert not (agent.home / "network.json").exists()
    eventually(lambda: not _own_tables(agent))


@pytest.fixture
def outside() -> Iterator[str]:
    with outsiders.outside() as address:
        yield address


def _interface_to(address: str) -> str:
    said = subprocess.run(["ip", "route", "get", address], capture_output=True, text=True).stdout
    return next((word for word in said.split() if word.startswith("dsk")), "")


def _own_address() -> str:
    """The address by which other hosts know this one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        trial.connect(("192.0.2.1", 9))
        return str(trial.getsockname()[0])


def _own_tables(agent: RunningAgent) -> list[str]:
    listing = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    own = f"dstack_{_home_id(agent)[:8]}"
    return [line for line in listing.stdout.splitlines() if line.endswith(own)]


def _home_id(agent: RunningAgent) -> str:
    return str(json.loads((agent.home / "agent.json").read_text())["home_id"])


def _pair(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def test_no_address_of_the_host_comes_or_goes_with_a_replica(
    control: ControlPlane, agent: RunningAgent
) -> None:
    """A browser on the host takes that for another network, and drops what it just loads."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETLINK_ROUTE) as heard:
        heard.bind((0, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        control.assign(workload(SERVE.format(bind="0.0.0.0")))
        assert control.wait_for("w1", ready=True).address
        own = {socket.if_nametoindex(name) for name in interfaces(agent)}
        control.ask_to_stop("w1")
        control.wait_for("w1", state=wire.EXITED)
        eventually(lambda: not interfaces(agent))

        assert own
        # Other agents of this host may be of another version.
        assert own & set(_changed(heard)) == set()


def _changed(heard: socket.socket) -> Iterator[int]:
    """The interfaces whose addresses came or went, by number."""
    while True:
        try:
            data = heard.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        at = 0
        while at + 24 <= len(data):
            (length,) = struct.unpack_from("=I", data, at)
            yield struct.unpack_from("=I", data, at + 16 + 4)[0]
            at += max(16, (length + 3) & ~3)
