"""What a machine boots with: valid, short, the same each time, and quoted whatever it holds."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.instances.boot import document
from apps.instances.boot.document import Boot, TooLong
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


BOOTS = [boot(), boot(needs_docker=True), boot(needs_docker=True, needs_nvidia=True)]
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

    assert len(text.encode()) < 12 * 1024
    assert document.document(one) == text


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
    assert lines == [script, f"{script} docker", f"{script} docker nvidia"]


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
