"""Files keep their times up to the replica, and no browser keeps a copy of what was replaced."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from tests.e2e import stack as stacks
from tests.e2e.stack import Stack, eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]
SERVE = """type: service
name: pages
auth: false
commands: [python3 -m http.server --bind 127.0.0.1 $PORT]
port: 8000
"""
AT = 1_600_000_000
A, B = "one", "two"  # of equal size


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = stacks.new(tmp_path_factory.mktemp("times"))
    yield running
    if running.is_alive():
        running.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "serve.dstack.yml").write_text(SERVE)
    write(tmp_path, "page.html", A, AT)
    write(tmp_path, "same.html", "always the same", AT + 1)
    write(tmp_path, "old.html", "of the first days", 0)
    return tmp_path


def write(folder: Path, name: str, text: str, time: int) -> None:
    (folder / name).write_text(text)
    os.utime(folder / name, (time, time))


def deploy(stack: Stack, folder: Path) -> str:
    return stack.dstack("run", ".", "-f", "serve.dstack.yml", "-y", "-d", cwd=folder)


def get(stack: Stack, name: str, **headers: str) -> httpx.Response:
    return stack.call("pages", f"/{name}", **headers)


def time_of(answer: httpx.Response) -> int:
    return int(parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp())


class Browser:
    """Keeps its copy and asks for what is newer, as all browsers do."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.copy = get(stack, "page.html")

    def look(self) -> str:
        said = {"If-Modified-Since": self.copy.headers["Last-Modified"]}
        answer = get(self.stack, "page.html", **said)
        if answer.status_code != 304:
            self.copy = answer
        return self.copy.text

    def sees(self, text: str) -> None:
        fresh = eventually(lambda: get(self.stack, "page.html").text == text, seconds=60)
        # Of the version before nothing is left that could answer.
        run = "/projects/main/runs/pages"
        eventually(lambda: self.stack.api("GET", run)["state"] == "running", seconds=60)
        eventually(lambda: len(self.stack.api("GET", run)["replicas"]) == 1, seconds=60)
        assert fresh
        assert self.look() == text
        assert self.look() == text


def test_files_keep_their_times_and_browsers_see_each_version(stack: Stack, folder: Path) -> None:
    deploy(stack, folder)

    assert time_of(get(stack, "page.html")) == AT
    assert time_of(get(stack, "same.html")) == AT + 1
    assert time_of(get(stack, "old.html")) == 315_619_200
    browser = Browser(stack)
    old = browser.copy.headers["Last-Modified"]
    assert get(stack, "page.html", **{"If-Modified-Since": old}).status_code == 304

    # Touched: the same contents are no new version, and nothing is sent again.
    write(folder, "page.html", A, AT + 30)
    assert "Nothing differs" in deploy(stack, folder)

    write(folder, "page.html", B, AT + 60)
    deploy(stack, folder)
    browser.sees(B)
    assert time_of(get(stack, "page.html")) == AT + 60

    stack.dstack("rollback", "pages", cwd=folder)
    browser.sees(A)
    assert time_of(get(stack, "same.html")) == AT + 1

    # A file that is older than what it replaces, as of a copy or a checkout.
    write(folder, "page.html", B, AT)
    deploy(stack, folder)
    browser.sees(B)

    stack.dstack("stop", "pages", "-y")
    write(folder, "page.html", A, AT)
    deploy(stack, folder)
    browser.sees(A)


def test_an_archive_that_is_sent_to_the_api_keeps_times(stack: Stack) -> None:
    def archive(time: int) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            info = tarfile.TarInfo("page.html")
            info.size, info.mtime = len(A), time
            tar.addfile(info, io.BytesIO(A.encode()))
        return buffer.getvalue()

    sent = stack.api("POST", "/projects/main/uploads", content=archive(AT + 5))
    again = stack.api("POST", "/projects/main/uploads", content=archive(AT + 9))
    assert again["hash"] == sent["hash"]

    text = SERVE.replace("pages", "sent")
    body = {"configuration": text, "upload": sent["hash"]}
    stack.api("POST", "/projects/main/runs", json=body)
    answer = eventually(
        lambda: (found := stack.call("sent", "/page.html")).status_code == 200 and found, seconds=60
    )

    assert time_of(answer) == AT + 5
