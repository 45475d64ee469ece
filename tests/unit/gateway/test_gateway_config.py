"""The gateway's settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.config import load, read_token
from gateway.errors import BadConfig

NEEDED = {
    "DSTACK_GATEWAY_CONTROL_URL": "http://127.0.0.1:3000",
    "DSTACK_GATEWAY_TOKEN_FILE": "/tmp/token",
    "DSTACK_GATEWAY_HOME": "/tmp/home",
}


def test_has_defaults_for_all_but_three() -> None:
    settings = load(environ=NEEDED)

    assert (settings.bind, settings.port, settings.slots) == (["127.0.0.1"], 8080, 5000)
    assert 1 <= settings.thread_count <= 4


def test_lets_the_environment_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps({"port": 1234, "slots": 7}))
    settings = load(
        environ={
            **NEEDED,
            "DSTACK_GATEWAY_CONFIG": str(file),
            "DSTACK_GATEWAY_PORT": "4321",
        }
    )

    assert (settings.port, settings.slots) == (4321, 7)


def test_takes_several_addresses() -> None:
    settings = load(environ={**NEEDED, "DSTACK_GATEWAY_BIND": "127.0.0.1, ::1"})

    assert settings.bind == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("DSTACK_GATEWAY_CONTROL_URL", "not a url", "control_url"),
        ("DSTACK_GATEWAY_BIND", "localhost", "bind"),
        ("DSTACK_GATEWAY_BIND", "127.0.0.1;x", "bind"),
        ("DSTACK_GATEWAY_PORT", "65536", "port"),
        ("DSTACK_GATEWAY_PORT", "http", "port"),
        ("DSTACK_GATEWAY_SLOTS", "0", "slots"),
        ("DSTACK_GATEWAY_THREADS", "-1", "threads"),
    ],
)
def test_says_which_setting_is_wrong(variable: str, value: str, named: str) -> None:
    with pytest.raises(BadConfig, match=f"setting {named} .{variable}. is not right") as caught:
        load(environ={**NEEDED, variable: value})

    assert "\n" not in str(caught.value)


def test_says_which_setting_is_missing() -> None:
    with pytest.raises(BadConfig, match="DSTACK_GATEWAY_CONTROL_URL"):
        load(environ={})


@pytest.mark.parametrize("text", ["", "[]", "{", '{"unknown": 1}'])
def test_refuses_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "gateway.json"
    file.write_text(text)

    with pytest.raises(BadConfig):
        load(environ={**NEEDED, "DSTACK_GATEWAY_CONFIG": str(file)})


@pytest.mark.parametrize("text", ["", "  \n", "a\r\nX: y", "é"])
def test_refuses_a_token_that_could_not_be_one(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)

    with pytest.raises(BadConfig) as caught:
        read_token(file)

    assert not text.strip() or text.strip() not in str(caught.value)
