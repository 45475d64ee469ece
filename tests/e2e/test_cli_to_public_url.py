"""The main job from the command line: a folder and a YAML become an authenticated URL."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import stack as stacks
from tests.e2e.stack import Stack, eventually

SERVE = """\
type: service
commands:
  - python3 -m http.server $PORT
port: 8000
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # A space in the path, since people's homes have them.
    running = stacks.new(tmp_path_factory.mktemp("a home"))
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("app")
    (made / "app.py").write_text("print('hello')\n")
    (made / "serve.dstack.yml").write_text(SERVE)
    (made / ".gitignore").write_text("secret.txt\n")
    (made / "secret.txt").write_text("not for upload")
    return made


@pytest.fixture(scope="module")
def published(stack: Stack, folder: Path) -> str:
    """The name of a running service."""
    said = stack.dstack("run", ".", "-f", "serve.dstack.yml", "-n", "hello", "-y", "-d", cwd=folder)
    assert f"Service is published at http://hello.localhost:{stack.gateway_port}" in said
    return "hello"


def test_answers_with_either_header(stack: Stack, published: str) -> None:
    plain = stack.call(published, "/app.py", Authorization=f"Bearer {stack.token}")
    quoted = stack.call(published, "/app.py", Authentication=f'"Bearer {stack.token}"')

    assert (plain.status_code, quoted.status_code) == (200, 200)
    assert plain.text == "print('hello')\n"


def test_refuses_callers_without_a_good_token(stack: Stack, published: str) -> None:
    user = stack.api("POST", "/users", json={"username": "stranger", "password": None})
    stranger = user["token"]["token"] if isinstance(user["token"], dict) else user["token"]

    def status() -> int:
        return stack.call(published, Authorization=f"Bearer {stranger}").status_code

    assert stack.call(published).status_code == 401
    assert stack.call(published, Authorization="Bearer dsk_u_wrong").status_code == 401
    # The gateway learns of a stranger's token too, within a moment, and that it opens nothing here.
    eventually(lambda: status() == 403)


def test_a_user_of_another_project_is_forbidden(stack: Stack, published: str) -> None:
    user = stack.api("POST", "/users", json={"username": "other", "password": None})
    token = user["token"]["token"] if isinstance(user["token"], dict) else user["token"]
    stack.api("POST", "/projects", token=token, json={"name": "elsewhere"})

    def forbidden() -> bool:
        answer = stack.call(published, Authorization=f"Bearer {token}")
        return answer.status_code == 403

    assert eventually(forbidden, seconds=5)


def test_works_without_wildcard_dns(stack: Stack, published: str) -> None:
    import_free = f"http://localhost:{stack.gateway_port}/services/main/{published}/app.py"
    done = subprocess.run(
        [
            str(shutil.which("curl")),
            "-s",
            "-H",
            f"Authorization: Bearer {stack.token}",
            import_free,
        ],
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert done.stdout == "print('hello')\n"


def test_uploads_what_is_not_ignored(stack: Stack, published: str) -> None:
    headers = stack.bearer()

    assert stack.call(published, "/secret.txt", **headers).status_code == 404


def test_lists_follows_and_stops(stack: Stack, published: str) -> None:
    assert "hello" in stack.dstack("ps")
    stack.call(published, "/seen-in-the-log", **stack.bearer())
    eventually(lambda: "/seen-in-the-log" in stack.dstack("logs", published), seconds=10)

    assert "Stopped" in stack.dstack("stop", published, "-y")

    assert stack.call(published, **stack.bearer()).status_code == 404
    assert not processes_below(stack.home)


def processes_below(home: Path) -> list[str]:
    """Command lines of living replica processes whose working folder lies below `home`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            where = (entry / "cwd").readlink()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"http.server" in command and str(where).startswith(str(home)):
            found.append(command.decode())
    return found


def test_says_why_a_command_that_exits_fails(stack: Stack, folder: Path) -> None:
    (folder / "broken.dstack.yml").write_text(
        "type: service\ncommands: ['echo no such model >&2; exit 3']\nport: 8000\n"
    )
    said = stack.dstack(
        "run", ".", "-f", "broken.dstack.yml", "-n", "broken", "-y", "-d", cwd=folder, code=1
    )

    assert "code 3" in said
    assert "no such model" in said
