from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from dstack_web.embedded.home import Home
from dstack_web.processes import StartFailed


@pytest.fixture
def made(tmp_path: Path) -> Home:
    found = Home(tmp_path / "a home")
    found.prepare()
    return found


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_is_where_the_environment_says(tmp_path: Path) -> None:
    assert Home.from_environment({"DSTACK_HOME": str(tmp_path)}).root == tmp_path


def test_is_below_the_users_home_by_default() -> None:
    assert Home.from_environment({"DSTACK_HOME": ""}).root == Path.home() / ".dstack-web"


def test_keeps_its_folders_to_this_user(made: Home) -> None:
    assert {mode(path) for path in (made.root, made.server, *made.server.iterdir())} == {0o700}


def test_makes_the_secrets_once(made: Home) -> None:
    first = made.secrets({})

    assert made.secrets({}) == first
    assert mode(made.server / "secrets.json") == 0o600


def test_takes_secrets_from_the_environment_and_keeps_its_own(made: Home) -> None:
    own = made.secrets({})

    given = made.secrets({"DSTACK_SECRET_KEY": "x", "DSTACK_ENCRYPTION_KEYS": "new, old"})

    assert (given.secret_key, given.encryption_keys) == ("x", ["new", "old"])
    assert made.secrets({}) == own


def test_refuses_to_make_new_keys_over_a_file_it_cannot_read(made: Home) -> None:
    (made.server / "secrets.json").write_text('{"secret_key": ')

    with pytest.raises(StartFailed, match=r"secrets\.json cannot be read .* restore it"):
        made.secrets({})


def test_refuses_a_second_server_and_names_the_first(made: Home) -> None:
    made.lock()

    with pytest.raises(StartFailed, match=r"already runs on .* \(process \d+\)"):
        made.lock()


def test_refuses_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StartFailed, match="set DSTACK_HOME to a folder that you may write to"):
        Home(tmp_path / "file" / "home").prepare()


def test_gives_the_command_line_its_first_project(made: Home) -> None:
    made.write_cli_config(url="http://127.0.0.1:3000", token="dsk_u_x")

    config = made.root / "config.yml"
    project = {"name": "main", "url": "http://127.0.0.1:3000", "token": "dsk_u_x", "default": True}
    assert yaml.safe_load(config.read_text()) == {"projects": [project]}
    assert mode(config) == 0o600


def test_leaves_an_existing_configuration_alone(made: Home) -> None:
    (made.root / "config.yml").write_text("projects: []\n")

    made.write_cli_config(url="http://127.0.0.1:3000", token="dsk_u_x")

    assert (made.root / "config.yml").read_text() == "projects: []\n"


@pytest.mark.parametrize("before", [None, "{", "[]", '{"url": "http://127.0.0.1:1", "token": "t"}'])
def test_tells_the_agent_where_the_server_is_now(tmp_path: Path, before: str | None) -> None:
    home = Home(tmp_path)
    home.prepare()
    config = home.folder("agent") / "config.json"
    if before is not None:
        config.write_text(before)

    home.update_agent_config(url="http://127.0.0.1:2", authority="ours")

    known = before is not None and "url" in before
    told = {"url": "http://127.0.0.1:2", "token": "t", "authority": "ours"}
    expected = told if known else before
    assert (json.loads(config.read_text()) if known else _text(config)) == expected


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
