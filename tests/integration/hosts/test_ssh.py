"""Calls of hosts by real OpenSSH, to an sshd in a network of its own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from apps.hosts.address import Place
from apps.hosts.ssh import client, words
from apps.instances.boot import keys
from tests.integration.gateway.namespaces import Host, host, ip
from tests.programs import require_program

NETWORKS = (ip_network("10.214.0.0/16"), ip_network("fd12:3456::/64"))
FAR_IPV6 = "fd12:3456::2"
PORT, BEHIND_PORT, WEB_PORT = 2022, 2023, 8080
WEB = (
    "import socket\n"
    "s = socket.create_server(('', 8080))\n"
    "while True:\n"
    "    c, _ = s.accept()\n"
    "    c.sendall(b'HTTP/1.1 200 OK\\r\\n\\r\\nsecret\\x00\\xff\\n')\n"
    "    c.close()\n"
)
CONFIG = """
Port {port}
{listen}
HostKey {folder}/{identity}
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
"""


@dataclass
class Room:
    """A host whose sshd is reached, and has another one on its loopback behind it."""

    host: Host
    folder: Path
    key: keys.Pair

    @property
    def target(self) -> client.Target:
        place = Place("root", self.host.far, PORT)
        return client.Target(place, self.key.private, networks=NETWORKS)

    def starts(self, identity: str, *, port: int, listen: str = "") -> subprocess.Popen[bytes]:
        file = self.folder / f"{identity}.{port}.config"
        where = f"ListenAddress {listen}" if listen else ""
        said = {"port": port, "listen": where, "folder": self.folder, "identity": identity}
        file.write_text(CONFIG.format(**said))
        sshd = require_program("sshd", package="openssh-server")
        with (self.folder / "log").open("ab") as log:
            command = self.host.command(sshd, "-D", "-e", "-f", str(file))
            return subprocess.Popen(command, stderr=log, start_new_session=True)


def says(target: client.Target, script: str = "echo here") -> client.Ran:
    """Run a script there; the sshd that was just started gets a moment."""
    until = time.monotonic() + 20
    while True:
        try:
            return client.run(target, client.PLAIN, script, seconds=20)
        except client.SshError as error:
            if "Nothing listens" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.05)


def ended(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    child.wait(20)


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    require_program("ssh", package="openssh-client")
    folder = Path(tempfile.mkdtemp(prefix="dstack-own-host-"))
    folder.chmod(0o755)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    key = keys.new()
    (folder / "authorized_keys").write_text(f"{key.public}\n")
    for name in ("first", "second", "behind"):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(keys.new().private)
    with host() as there:
        ip("-n", there.name, "addr", "add", f"{FAR_IPV6}/64", "dev", "eth0", "nodad")
        ip("addr", "add", "fd12:3456::1/64", "dev", there.name, "nodad")
        made = Room(there, folder, key)
        children = [
            made.starts("behind", port=BEHIND_PORT, listen="127.0.0.1"),
            subprocess.Popen(there.command("python3", "-c", WEB), start_new_session=True),
        ]
        try:
            yield made
        finally:
            for child in children:
                ended(child)
            shutil.rmtree(folder)


@pytest.fixture
def sshd(room: Room) -> Iterator[None]:
    child = room.starts("first", port=PORT)
    try:
        yield
    finally:
        ended(child)


@pytest.mark.usefixtures("sshd")
def test_a_key_that_was_given_opens_a_host_by_both_kinds_of_addresses(room: Room) -> None:
    by_ipv4 = says(room.target)
    by_ipv6 = says(replace(room.target, place=Place("root", FAR_IPV6, PORT)))

    assert by_ipv4.output == by_ipv6.output == "here\n"
    mark = words.fingerprint(by_ipv4.known_hosts, client.HOST)
    assert mark.startswith("SHA256:")
    assert mark == words.fingerprint(by_ipv6.known_hosts, client.HOST)
    with pytest.raises(client.SshError, match="does not let this key in"):
        says(replace(room.target, key=keys.new().private))


@pytest.mark.usefixtures("sshd")
def test_what_lies_behind_a_jump_host_is_reached_through_it(room: Room) -> None:
    through = replace(
        room.target, place=Place("root", "127.0.0.1", BEHIND_PORT), jump=room.target.place
    )

    found = says(through)

    assert found.output == "here\n"
    marks = {words.fingerprint(found.known_hosts, each) for each in (client.HOST, client.JUMP)}
    assert len(marks) == 2
    with pytest.raises(client.SshError, match="private network where this server may have no"):
        says(replace(through, networks=()))


def test_another_key_is_refused_with_both_fingerprints_and_can_be_accepted(room: Room) -> None:
    child = room.starts("first", port=PORT)
    try:
        known = says(room.target).known_hosts
    finally:
        ended(child)
    child = room.starts("second", port=PORT)
    try:
        for target in (
            replace(room.target, known_hosts=known),
            replace(
                room.target,
                place=Place("root", "127.0.0.1", BEHIND_PORT),
                jump=room.target.place,
                known_hosts=known.replace("host ", "jump ", 1),
            ),
        ):
            with pytest.raises(client.OtherKey) as refused:
                says(target)

            alias = client.JUMP if target.jump else client.HOST
            before = words.fingerprint(target.known_hosts, alias)
            now = words.fingerprint(refused.value.known_hosts, alias)
            assert refused.value.fingerprint == now != before
            assert f"is {now} now, and was {before} at the first contact" in str(refused.value)
            accepted = replace(target, known_hosts=refused.value.known_hosts)
            assert says(accepted).output == "here\n"
    finally:
        ended(child)


def test_nothing_is_told_of_what_is_no_ssh(room: Room) -> None:
    target = replace(room.target, place=Place("root", room.host.far, WEB_PORT))

    with pytest.raises(client.SshError) as refused:
        says(target)

    assert "no ssh" in str(refused.value) or "before ssh begins" in str(refused.value)
    assert "secret" not in str(refused.value) and "HTTP" not in str(refused.value)


@pytest.mark.usefixtures("sshd")
def test_a_host_cannot_say_too_much_or_take_too_long(room: Room) -> None:
    with pytest.raises(client.SshError, match="says more than 1 MiB"):
        says(room.target, "cat /dev/zero")
    says(room.target)
    with pytest.raises(client.SshError, match="did not answer within 1 s"):
        client.run(room.target, client.PLAIN, "sleep 60", seconds=1)


@pytest.mark.usefixtures("sshd")
def test_this_server_is_no_host_of_its_own(room: Room) -> None:
    near = replace(room.target, place=Place("root", room.host.near, PORT))

    with pytest.raises(client.SshError, match="is this server itself"):
        says(near)
