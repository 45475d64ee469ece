"""A backup of a running server makes another one, at another place, with all that it knew."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import PASSWORD, ROOT, Stack, eventually, new
from tests.free_ports import free_port

SERVICE = """
type: service
name: kept
env: [SECRET]
commands:
  - echo -n "$SECRET" > secret
  - date +%s%N > started
  - python3 -m http.server $PORT --bind $DSTACK_HOST
port: 8000
"""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = new(tmp_path_factory.mktemp("backup"))
    yield made
    if made.is_alive():
        made.stop()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Stack]:
    """Another home on other ports, not started."""
    made = Stack(tmp_path / "other", free_port(), free_port())
    yield made
    if made.is_alive():
        made.stop()


def manage(stack: Stack, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *words],
        env=stack.environ(), capture_output=True, text=True, timeout=120, cwd=ROOT,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert (done.returncode, "Traceback" in said) == (code, False), said
    return said


def test_another_server_goes_on_from_a_backup(stack: Stack, other: Stack, tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "serve.dstack.yml").write_text(SERVICE)
    (app / "index.html").write_text("uploaded")
    stack.dstack("run", ".", "-f", "serve.dstack.yml", "-y", "-d", "-e", "SECRET=kept", cwd=app)
    made = stack.dstack("token", "create", "caller", "--run", "kept")
    key = next(word for word in made.split() if word.startswith("dsk_s_"))
    file = tmp_path / "backup.tar.gz"

    manage(stack, "backup", str(file))
    before = stack.api("GET", "/projects/main/runs/kept")
    uploads = stack.api("GET", "/projects/main/uploads")["items"]
    started_at = page(stack, "/started", Authorization=f"Bearer {key}")
    # As on another machine: what the old server left running would be taken for one's own here.
    stack.stop(seconds=60)
    manage(other, "restore", str(file))
    other.start()

    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".backup*"))
    after = other.api("GET", "/projects/main/runs/kept", token=stack.token)
    assert (after["id"], after["version"]) == (before["id"], before["version"])
    assert f":{other.gateway_port}" in after["url"]
    headers = {"Authorization": f"Bearer {key}"}
    assert eventually(lambda: page(other, **headers), seconds=60) == "uploaded"
    assert page(other, "/started", **headers) != started_at
    assert page(other, "/secret", **headers) == "kept"
    found = other.api("GET", "/projects/main/uploads")["items"]
    assert [each["hash"] for each in found] == [each["hash"] for each in uploads]
    assert signs_in(other)


def page(stack: Stack, path: str = "/", **headers: str) -> str | None:
    answer = stack.call("kept", path, **headers)
    return answer.text if answer.status_code == 200 else None


def signs_in(stack: Stack) -> bool:
    with httpx.Client(base_url=stack.url, follow_redirects=True) as browser:
        browser.get("/sign-in/")
        form = {"username": "admin", "password": PASSWORD}
        form["csrfmiddlewaretoken"] = browser.cookies["dstack_csrf"]
        return "dstack_session" in browser.post("/sign-in/", data=form).request.headers.get(
            "cookie", ""
        )


def test_refuses_what_cannot_be_done_in_words(stack: Stack, other: Stack, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    manage(stack, "backup", str(file))
    broken, text = tmp_path / "broken", tmp_path / "text"
    broken.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    text.write_text("no backup")

    for wrong in (broken, text):
        assert "no whole backup" in manage(other, "restore", str(wrong), code=1)
    assert "No such file" in manage(other, "restore", str(tmp_path / "none"), code=1)
    assert "is not empty" in manage(stack, "restore", str(file), code=1)
    assert "no server runs" in manage(other, "backup", str(tmp_path / "x"), code=1)
    assert "No such file" in manage(stack, "backup", str(tmp_path / "no" / "x"), code=1)
    assert "usage" in manage(stack, "backup", code=2)
    assert not (other.home / "server").exists()
    other.more = {"DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}
    assert "pg_dump" in manage(other, "backup", str(tmp_path / "x"), code=1)
    assert not (tmp_path / "x").exists()
