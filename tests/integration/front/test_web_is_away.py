"""While the web server starts anew requests wait, as long as a person does, then hear why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.front.stage import Stage, eventually

pytestmark = pytest.mark.timeout(90)
HTML = "text/html,application/xhtml+xml"


@pytest.fixture
def stage(new_stage: Callable[..., Stage]) -> Stage:
    made = new_stage()
    made.start()
    return made


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_what_comes_while_it_is_away_waits(stage: Stage, method: str) -> None:
    stage.kill("web")
    threading.Timer(1.0, stage.start_web).start()

    began = time.monotonic()
    answer = httpx.request(method, stage.url, timeout=30)

    assert answer.status_code == 200
    assert time.monotonic() - began > 0.9


def test_a_long_upload_waits_too(stage: Stage) -> None:
    stage.kill("web")
    threading.Timer(1.0, stage.start_web).start()

    answer = httpx.post(stage.url, content=b"x" * 3_000_000, timeout=30)

    assert answer.json()["size"] == 3_000_000


def test_many_wait_at_once(stage: Stage) -> None:
    stage.kill("web")
    with ThreadPoolExecutor(40) as pool:
        waiting = [pool.submit(httpx.get, stage.url, timeout=30) for _ in range(40)]
        time.sleep(0.5)  # not for luck: they are to come before it does
        stage.start_web()

    assert {each.result().status_code for each in waiting} == {200}


def under_way(
    stage: Stage, pool: ThreadPoolExecutor, method: str, **more: Any
) -> Future[httpx.Response]:
    """A request that the web server is working on."""
    asked = pool.submit(httpx.request, method, f"{stage.url}/slow", timeout=60, **more)
    eventually(stage.is_asked_slowly)
    return asked


def test_a_question_under_way_is_asked_again(stage: Stage) -> None:
    before = httpx.get(stage.url).json()["pid"]
    with ThreadPoolExecutor(1) as pool:
        asked = under_way(stage, pool, "GET")
        stage.kill("web")
        stage.start_web(slow_seconds=0)
        answer = asked.result()

    assert answer.status_code == 200
    assert answer.json()["pid"] != before


def test_a_question_is_asked_again_though_the_socket_outlives_who_served_it(stage: Stage) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = under_way(stage, pool, "GET")
        stage.kill_worker_of_web()
        time.sleep(0.3)  # not for luck: if it came later, nothing would take the connection
        stage.kill("web")
        stage.start_web(slow_seconds=0)

        assert asked.result().status_code == 200


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 502)])
def test_so_is_a_question_that_had_waited_for_the_server_that_ended(
    new_stage: Callable[..., Stage], method: str, status: int
) -> None:
    stage = new_stage()
    stage.start_front()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.request, method, f"{stage.url}/slow", timeout=60)
        stage.start_web()
        eventually(stage.is_asked_slowly)
        stage.kill("web")
        stage.start_web(slow_seconds=0)

        assert asked.result().status_code == status


@pytest.mark.parametrize(
    ("accept", "kind", "words"),
    [
        (HTML, "text/html; charset=utf-8", "<h1>The server ended while it answered</h1>"),
        ("*/*", "application/json", '"code": "server_ended"'),
    ],
)
def test_a_change_under_way_is_not_made_twice(
    stage: Stage, accept: str, kind: str, words: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = under_way(stage, pool, "POST", headers={"Accept": accept})
        stage.kill("web")
        answer = asked.result()

    assert (answer.status_code, answer.headers["content-type"]) == (502, kind)
    assert answer.headers["retry-after"] == "5"
    assert words in answer.text


@pytest.mark.parametrize(
    ("accept", "path", "kind", "words"),
    [
        (HTML, "/", "text/html; charset=utf-8", "<h1>The server is not there</h1>"),
        ("*/*", "/", "application/json", '"code": "server_away"'),
        (HTML, "/api/runs", "application/json", '"details": []'),
    ],
)
def test_says_that_it_stays_away(
    new_stage: Callable[..., Stage], accept: str, path: str, kind: str, words: str
) -> None:
    stage = new_stage(patience_seconds=1)
    stage.start_front()

    began = time.monotonic()
    answer = httpx.get(stage.url + path, headers={"Accept": accept}, timeout=30)

    assert time.monotonic() - began > 0.9
    assert (answer.status_code, answer.headers["content-type"]) == (503, kind)
    assert answer.headers["retry-after"] == "5"
    assert words in answer.text


def test_a_socket_that_nobody_listens_on_is_one_that_is_away(stage: Stage) -> None:
    stage.kill("web")
    assert (stage.folder / "web.sock").exists()
    threading.Timer(0.5, stage.start_web).start()

    assert httpx.get(stage.url, timeout=30).status_code == 200


def test_the_socket_is_ours_alone(stage: Stage) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in Path(stage.folder).glob("*.sock")}

    assert modes == {"web.sock": 0o600, "front.sock": 0o600, "front-door.sock": 0o600}


def test_another_proxy_takes_over_where_one_was_killed(stage: Stage) -> None:
    stage.kill("front")
    stage.start_front()

    eventually(lambda: stage.status("/") == 200)
