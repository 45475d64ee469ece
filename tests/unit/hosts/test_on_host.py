"""What the programs that are sent to hosts do with files there, tried on a folder."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.hosts.work import scripts

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIOurOwn"
THEIRS = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAITheirs me\n"


def program(name: str, settings: Path) -> dict[str, Any]:
    """Return the names of a program, which works on this folder and was not started."""
    text = (scripts.FOLDER / name).read_text()
    body = [line for line in text.splitlines() if not line.startswith(("main()", 'print("dstack:'))]
    names: dict[str, Any] = {"__name__": "on_host"}
    exec(compile("\n".join(body), name, "exec", dont_inherit=True), names)
    names["SETTINGS"] = str(settings)
    return names


def test_a_removal_by_itself_knows_which_key_let_the_server_in(tmp_path: Path) -> None:
    uninstall = program("uninstall.py", tmp_path)
    assert uninstall["let_in"]() == {}
    (tmp_path / "let-in.json").write_text(json.dumps({"user": "ann", "key": KEY}))

    assert uninstall["let_in"]() == {"user": "ann", "key": KEY}


@pytest.mark.parametrize("text", ["{", "[1]", "null", '"x"'])
def test_a_removal_bears_what_is_no_such_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "let-in.json").write_text(text)

    program("uninstall.py", tmp_path)["forget_key"]({"user": "ann", "key": ""})
    assert program("uninstall.py", tmp_path)["let_in"]() == {}


def test_a_removal_forgets_the_servers_key_and_no_other(tmp_path: Path) -> None:
    uninstall = program("uninstall.py", tmp_path)
    uninstall["pwd"] = SimpleNamespace(getpwnam=lambda _: SimpleNamespace(pw_dir=str(tmp_path)))
    kept = tmp_path / ".ssh" / "authorized_keys"
    kept.parent.mkdir()
    kept.write_text(f"{THEIRS}ssh-ed25519 {KEY} dstack-web-main\n# {THEIRS}")

    uninstall["forget_key"]({"user": "ann", "key": KEY})
    assert kept.read_text() == f"{THEIRS}# {THEIRS}"

    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(f"ssh-ed25519 {KEY}\n")
    kept.unlink()
    kept.symlink_to(elsewhere)
    uninstall["forget_key"]({"user": "ann", "key": KEY})
    assert KEY in elsewhere.read_text()


def test_a_removal_has_a_gateway_take_its_own_away(tmp_path: Path) -> None:
    uninstall = program("uninstall.py", tmp_path)
    uninstall["HOME"] = str(tmp_path)
    uninstall["forget_gateway"]()
    python = tmp_path / "gateway/current/venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\n')
    python.chmod(0o755)

    uninstall["forget_gateway"]()

    assert (tmp_path / "asked").read_text() == f"-I -m gateway.tunnels {tmp_path}/gateway/home\n"


@pytest.mark.parametrize("others", [[], ["100001"]])
def test_a_removal_gives_up_the_users_of_what_is_gone(tmp_path: Path, others: list[str]) -> None:
    uninstall = program("uninstall.py", tmp_path)
    users = tmp_path / "users"
    users.mkdir()
    uninstall["USERS"] = str(users)
    (users / "lock").touch()
    (users / "100000").write_text(str(tmp_path / "gone"))
    for name in others:
        (users / name).write_text(str(tmp_path))

    uninstall["forget_users"]()

    found = sorted(path.name for path in users.iterdir()) if users.exists() else []
    assert found == ([*others, "lock"] if others else [])


@pytest.mark.parametrize(
    ("asked", "is_other"),
    [(None, False), (["one"], False), (["two"], True), ([], True)],
)
def test_a_removal_leaves_the_agent_of_another_server(
    tmp_path: Path, asked: list[str] | None, is_other: bool
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"instance_id": "one"}))

    assert program("uninstall.py", tmp_path)["is_of_another"](asked) is is_other


def test_an_agent_that_is_installed_follows_the_server(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    known = {"url": "http://old", "token": "dsk_a_secret", "instance_id": "one"}
    install = program("install.py", tmp_path)
    install["call"]({"url": "http://new", "authority": ""})
    assert not config.exists()
    config.write_text(json.dumps(known))

    install["call"]({"url": "http://new", "authority": "pem"})

    assert json.loads(config.read_text()) == {**known, "url": "http://new", "authority": "pem"}
    assert config.stat().st_mode & 0o777 == 0o600
