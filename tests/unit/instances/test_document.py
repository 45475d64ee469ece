"""What a machine boots with: valid, short, the same each time, and quoted whatever it holds."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.backends.way_home import WayHome
from apps.instances.boot import document, keys
from apps.instances.boot.document import Boot, TooLong
from dstack_web.variables import authority
from tests import programs

SECRET = "dsk_e_" + "0" * 39
HERE = Path(document.FOLDER)


def boot(**changes: Any) -> Boot:
    said: dict[str, Any] = {
        "url": "https://dstack.example:8443",
        "enrolment": SECRET,
        "program_sha256": "0" * 64,
        "cloud": "aws",
        "silent_seconds": 43200,
        **changes,
    }
    return Boot(**said)


def read(text: str) -> dict[str, Any]:
    assert text.startswith("#cloud-config\n")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def files(text: str) -> dict[str, dict[str, str]]:
    return {one["path"]: one for one in read(text)["write_files"]}


def enrolment(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files(text)["/etc/dstack-agent/enrolment.json"]["content"])
    return found


PAIR = keys.of_secret("secret", purpose="test")
WAY = WayHome(
    "gateway",
    "http://127.0.0.1:621",
    host="192.0.2.9",
    ssh_port=2222,
    user="dstack-tunnel",
    host_key=PAIR.public,
    port=19999,
)
TO_GATEWAY = boot(url=WAY.url, to_gateway=document.ToGateway(WAY, PAIR.private))
RELAY = boot(needs_gateway=True, relay=document.Relay(2223, PAIR.private, PAIR.public))
BOOTS = [
    boot(),
    boot(needs_docker=True),
    boot(needs_docker=True, needs_nvidia=True),
    TO_GATEWAY,
    RELAY,
    boot(authority="-----BEGIN CERTIFICATE-----\n" + "A" * 700),
]
ODD = "https://a.example/'\"$(reboot)`id`\\;#&|<>{}[]: - !!python/object %40\t"


@pytest.mark.parametrize("one", [*BOOTS, boot(url=ODD), boot(url="http://[2001:db8::1]:3000")])
def test_is_valid_for_cloud_init_itself(one: Boot, tmp_path: Path) -> None:
    program = programs.require_program("cloud-init", package="cloud-init")
    file = tmp_path / "user-data"
    file.write_text(document.document(one))

    ran = subprocess.run(
        [program, "schema", "--config-file", str(file)], capture_output=True, text=True, timeout=60
    )

    assert (ran.returncode, "Valid" in ran.stdout) == (0, True), ran.stdout + ran.stderr


@pytest.mark.parametrize("one", BOOTS)
def test_is_short_enough_for_all_clouds_and_the_same_each_time(one: Boot) -> None:
    text = document.document(one)

    assert len(text.encode()) < 13 * 1024
    assert document.document(one) == text


def test_has_room_for_the_longest_authority() -> None:
    longest = ("A" * 64 + "\n") * (authority.MOST_BYTES // 65)
    needs = {"needs_docker": True, "needs_nvidia": True}

    assert len(document.document(boot(authority=longest, **needs)).encode()) < 15.5 * 1024


def test_refuses_to_be_longer_than_clouds_take() -> None:
    with pytest.raises(TooLong, match="16 KB"):
        document.document(boot(url="https://a.example/" + "x" * 16_000))


@settings(deadline=None, max_examples=50)
@given(st.text(), st.text())
def test_carries_every_character_as_it_is(url: str, cloud: str) -> None:
    found = enrolment(document.document(boot(url=url, cloud=cloud)))

    assert (found["url"], found["metadata"]) == (url, cloud)


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_puts_nothing_that_differs_into_a_script(url: str) -> None:
    ours, usual = (files(document.document(one)) for one in (boot(url=url), boot()))

    for path in set(usual) - {"/etc/dstack-agent/enrolment.json"}:
        assert ours[path] == usual[path]


def test_has_the_authority_only_where_there_is_one() -> None:
    assert enrolment(document.document(BOOTS[-1]))["authority"] == BOOTS[-1].authority
    assert "authority" not in enrolment(document.document(boot()))


def test_shows_its_secret_to_root_alone() -> None:
    found = files(document.document(boot()))

    with_secret = [path for path, one in found.items() if SECRET in one["content"]]
    assert with_secret == ["/etc/dstack-agent/enrolment.json"]
    assert found[with_secret[0]]["permissions"] == "0600"
    assert {one["owner"] for one in found.values()} == {"root:root"}
    assert SECRET not in repr(boot())


def test_asks_for_what_the_machine_needs_alone() -> None:
    units = [files(document.document(one))[f"/etc/systemd/system/{document.UNIT}"] for one in BOOTS]
    lines = [unit["content"].split("ExecStartPre=")[1].splitlines()[0] for unit in units]

    script = "/bin/sh /opt/dstack-agent/boot.sh"
    needs = ["", " docker", " docker nvidia", "", " gateway", ""]
    assert lines == [f"{script}{each}" for each in needs]


@pytest.mark.parametrize("shell", ["bash", "dash", "busybox"])
def test_its_script_is_one_for_every_shell(shell: str) -> None:
    program = programs.require_program(shell, package=shell)
    words = [program, "sh"] if shell == "busybox" else [program]

    ran = subprocess.run([*words, "-n", str(HERE / "boot.sh")], capture_output=True, text=True)

    assert (ran.returncode, ran.stderr) == (0, "")


def test_its_program_is_one_for_old_pythons() -> None:
    source = (HERE / "fetch.py").read_text()

    ast.parse(source, feature_version=(3, 9))
    assert "pip" not in source


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, {}),
        ("", {}),
        ("{", {}),
        ('{"runtimes": {"nvidia": {}}}', {"runtimes": {"nvidia": {}}}),
        ('{"exec-opts": ["native.cgroupdriver=systemd"]}', {}),
    ],
)
def test_tells_docker_its_driver_and_nothing_else(
    tmp_path: Path, before: str | None, after: dict[str, Any]
) -> None:
    file = tmp_path / "docker" / "daemon.json"
    if before is not None:
        file.parent.mkdir()
        file.write_text(before)
    for _ in range(2):
        argv = [sys.executable, str(HERE / "fetch.py"), "--cgroupfs", str(file)]
        subprocess.run(argv, check=True, timeout=30)

    wanted = {**after, "exec-opts": ["native.cgroupdriver=cgroupfs"]}
    assert json.loads(file.read_text()) == wanted
    assert list(file.parent.iterdir()) == [file]


def test_a_way_through_a_gateway_is_kept_open_by_a_unit_and_its_key_is_roots_alone() -> None:
    text = document.document(TO_GATEWAY)

    unit = files(text)["/etc/systemd/system/dstack-way-home.service"]["content"]
    assert "-L 127.0.0.1:621:127.0.0.1:19999" in unit and "@" not in unit
    assert unit.splitlines()[8].endswith("-p 2222 -l dstack-tunnel -- 192.0.2.9")
    key = files(text)["/etc/dstack-agent/way-home.key"]
    assert (key["content"], key["permissions"]) == (PAIR.private, "0600")
    known = files(text)["/etc/dstack-agent/way-home.known"]["content"]
    assert known == f"gateway {PAIR.public}\n"
    assert [each[-1] for each in read(text)["runcmd"][1:]] == [
        "dstack-agent.service",
        "dstack-way-home.service",
    ]


@pytest.mark.parametrize("odd", ["-oProxyCommand=id", "a b", "a;id", "$(id)", "a\nb", "", "x%h"])
def test_a_gateway_of_an_odd_name_is_refused(odd: str) -> None:
    for way in (replace(WAY, host=odd), replace(WAY, user=odd)):
        with pytest.raises(ValueError, match="no name or address"):
            document.document(boot(to_gateway=document.ToGateway(way, PAIR.private)))


def test_the_server_may_have_one_port_of_its_gateways_machine_and_nothing_else() -> None:
    found = files(document.document(RELAY))

    line = found["/etc/dstack-relay/authorized_keys"]["content"]
    assert line == (
        'restrict,port-forwarding,command="/bin/false",permitopen="127.0.0.1:1",'
        f'permitlisten="127.0.0.1:19999" {PAIR.public}\n'
    )
    config = found["/etc/dstack-relay/sshd_config"]["content"]
    assert "PermitListen 127.0.0.1:19999\nPermitOpen none\n" in config and "@" not in config
    assert found["/etc/dstack-relay/host_key"]["permissions"] == "0600"
    assert "/etc/dstack-agent/way-home.key" not in found
