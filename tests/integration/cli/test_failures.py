from __future__ import annotations

import socket
from pathlib import Path

import pytest

from apps.cli.http import config
from apps.cli.http.config import Remote
from tests.fakes.api_state import TOKEN, FakeApi, drop, says
from tests.integration.cli.conftest import Cli


def test_says_that_no_server_answers(cli: Cli) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    config.save([Remote("main", url, TOKEN)])

    done = cli("ps")

    assert done.code == 1
    assert done.err.startswith(f"Error: No server answers at {url} (")
    assert "Errno" not in done.err


def test_says_that_a_server_does_not_speak_tls(cli: Cli, api: FakeApi) -> None:
    config.save([Remote("main", api.url.replace("http", "https"), TOKEN)])

    assert "does not speak TLS: use http://" in cli("ps").err


def test_says_that_a_host_is_unknown(cli: Cli) -> None:
    config.save([Remote("main", "http://nowhere.invalid", TOKEN)])

    assert cli("ps").err.startswith("Error: No server answers at http://nowhere.invalid (")


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (200, "<html>Welcome</html>", "does not answer like a dstack server (200 OK)"),
        (200, "[1]", "does not answer like a dstack server"),
        (200, '{"items": 5}', "does not answer like a dstack server"),
        (404, "<html>Not found</html>", "does not answer like a dstack server (404 Not Found)"),
        (500, '{"error": "no"}', "does not answer like a dstack server (500"),
        (500, '{"detail": []}', "does not answer like a dstack server (500"),
        (502, "<html>", "is not available (502 Bad Gateway); try again"),
        (200, '{"items": [5]}', "update dstack to the server's version"),
        (200, '{"items": [{"state": "x"}]}', "update dstack to the server's version"),
    ],
)
def test_says_that_something_else_answers(
    cli: Cli, api: FakeApi, status: int, text: str, reason: str
) -> None:
    api.interruptions = [says(status, text)]

    done = cli("ps", "-a")

    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert reason in done.err


def test_does_not_follow_a_redirect_with_its_token(cli: Cli, api: FakeApi) -> None:
    api.interruptions = [says(301, "", Location="https://example.com/login")]

    done = cli("ps")

    assert "redirects to https://example.com/login: use" in done.err
    assert api.seen == []


def test_says_that_the_connection_broke(cli: Cli, api: FakeApi) -> None:
    api.interruptions = [drop]

    assert cli("ps").err.startswith(f"Error: The connection to {api.url} broke: ")


def test_says_how_to_get_a_valid_token(cli: Cli, api: FakeApi) -> None:
    config.save([Remote("main", api.url, "dsk_u_wrong")])

    assert cli("ps").err == (
        "Error: This token is not known here. Save a valid token with: "
        "dstack config --url URL --project P --token T.\n"
    )


def test_shows_no_control_characters_of_a_server(cli: Cli, api: FakeApi) -> None:
    body = '{"error": {"code": "x", "message": "bad \\u001b]0;title\\u0007 \\u202e"}}'
    api.interruptions = [says(400, body)]

    assert cli("ps").err == "Error: bad \\x1b]0;title\\x07 \\u202e\n"


@pytest.mark.parametrize("content", ["projects: [", "- 5", "projects: {a: b}", "\x00"])
def test_says_that_its_configuration_is_broken(cli: Cli, home: Path, content: str) -> None:
    (home / "config.yml").write_text(content)

    done = cli.process("ps")

    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "config.yml is not valid" in done.err


def test_hides_a_bug_behind_one_sentence(cli: Cli, api: FakeApi) -> None:
    replica = '{"backend": "b", "price_usd_per_hour": {}}'
    api.interruptions = [says(200, f'{{"items": [{{"name": "x", "replicas": [{replica}]}}]}}')]

    done = cli.process("ps", "-a")

    assert done.code == 1
    assert done.err.startswith("Error: A bug in dstack (TypeError: ")
    assert "Traceback" not in done.err


def test_works_where_the_terminal_has_no_utf_8(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello").log("日本")

    done = cli.process("logs", "hello", PYTHONIOENCODING="ascii")

    assert (done.code, done.out) == (0, "??\n")
