"""The disk of the home is full: everybody is told so, and once there is room all goes on."""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.services import publish
from tests.e2e.stack import PASSWORD, Stack, eventually, new

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]
WORDS = "free some space"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=260m", "tmpfs", str(home)], check=True)
    made = None
    try:
        made = new(tmp_path)
        yield made
    finally:
        (home / "ballast").unlink(missing_ok=True)
        if made is not None and made.is_alive():
            made.stop()
        subprocess.run(["umount", "-l", str(home)], check=True)


def fill(path: Path) -> None:
    """Take what there is, to the last block."""
    with path.open("ab", buffering=0) as file:
        for size in (2**20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def packed(kib: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("noise")
        info.size, info.mtime = kib * 1024, 1_700_000_000
        tar.addfile(info, io.BytesIO(random.Random(kib).randbytes(info.size)))
    return buffer.getvalue()


def send(stack: Stack, method: str, path: str, **more: object) -> httpx.Response:
    url = f"{stack.url}{path}"
    return httpx.request(method, url, headers=stack.bearer(), timeout=60, **more)  # type: ignore[arg-type]


def signed_in(stack: Stack) -> httpx.Client:
    browser = httpx.Client(base_url=stack.url, timeout=60, follow_redirects=True)
    browser.get("/sign-in/")
    form = {"username": "admin", "password": PASSWORD}
    form["csrfmiddlewaretoken"] = browser.cookies["dstack_csrf"]
    assert browser.post("/sign-in/", data=form).status_code == 200
    return browser


def post(browser: httpx.Client, path: str, **more: object) -> httpx.Response:
    data = {"csrfmiddlewaretoken": browser.cookies["dstack_csrf"]}
    return browser.post(path, data=data, **more)  # type: ignore[arg-type]


def until_refused(stack: Stack, ballast: Path) -> list[httpx.Response]:
    """Submit large runs until the database has no room either."""
    answers = []
    for number in range(400):
        body = {"configuration": "type: service\ncommands: [x]\nport: 80\n# " + "é" * 200_000}
        body["name"] = f"big-{number}"
        answers.append(send(stack, "POST", "/api/projects/main/runs", json=body))
        if answers[-1].status_code != 201:
            break
        fill(ballast)
    return answers


def test_says_that_the_disk_is_full_and_goes_on_when_it_is_not(
    stack: Stack, tmp_path: Path
) -> None:
    ballast = stack.home / "ballast"
    publish(stack, "before")
    browser = signed_in(stack)
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "serve.dstack.yml").write_text(
        "type: service\nname: late\ncommands: ['python3 -m http.server $PORT']\nport: 8000\n"
    )
    (folder / "noise").write_bytes(random.Random(0).randbytes(9 * 2**20))
    fill(ballast)

    refused = send(stack, "POST", "/api/projects/main/uploads", content=packed(9000))
    assert (refused.status_code, refused.json()["error"]["code"]) == (507, "disk_full")
    assert WORDS in refused.text.lower()

    archive = {"archive": ("app.tar.gz", packed(9001), "application/gzip")}
    shown = post(browser, "/projects/main/deploy/files/", files=archive)
    assert shown.status_code == 507
    assert WORDS in shown.text.lower()

    said = stack.dstack("run", ".", "-f", "serve.dstack.yml", "-y", "-d", cwd=folder, code=1)
    assert WORDS in said.lower()

    answers = until_refused(stack, ballast)
    assert answers[-1].status_code == 507
    assert WORDS in answers[-1].text.lower()
    for page in ("/projects/main/services/", "/projects/main/deploy/", "/projects/main/uploads/"):
        shown = browser.get(page)
        assert shown.status_code == 200 or (
            shown.status_code == 507 and WORDS in shown.text.lower()
        )

    ballast.unlink()
    eventually(lambda: send(stack, "GET", "/readyz").status_code == 200, seconds=60)
    names = [run["name"] for run in stack.api("GET", "/projects/main/runs?limit=1000")["items"]]
    assert "before" in names
    accepted = [f"big-{n}" for n, answer in enumerate(answers) if answer.status_code == 201]
    assert set(accepted) <= set(names)
    eventually(lambda: stack.call("before", **stack.bearer()).status_code == 200)
    assert stack.dstack("run", ".", "-f", "serve.dstack.yml", "-y", "-d", cwd=folder)
    assert browser.get("/projects/main/services/").status_code == 200
