"""A real model server, `transformers serve`, with a tiny model that is made here, as a service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.e2e import browser
from tests.e2e import stack as stacks
from tests.e2e.model import tools
from tests.e2e.stack import Stack, eventually
from tests.node import tools as node

PROGRAMS = Path(__file__).parent / "model"
MODEL = "tiny"
SERVE = """\
type: service
commands:
  - {venv}/bin/transformers serve {model} --host 0.0.0.0 --port $PORT --device cpu --dtype float32
port: 8000
model: {model}
env:
  - HF_HUB_OFFLINE=1
  - OMP_NUM_THREADS=1
"""

SLEEPER = """\
type: service
commands:
  - python3 endless.py $PORT
port: 8000
model: a/sleeper
replicas: 0..1
scaling: {metric: rps, target: 10}
"""

# The first session of a machine installs the model server.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def venv() -> Path:
    return tools.environment()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = stacks.new(tmp_path_factory.mktemp("model"))
    yield running
    assert running.stop() == 0


@dataclass(frozen=True)
class Chat:
    """The published service, and the environment in which its clients live."""

    stack: Stack
    venv: Path
    host: str

    def stream(self, key: str) -> subprocess.CompletedProcess[str]:
        """Have OpenAI's client stream a completion; it prints JSON."""
        url = f"http://127.0.0.1:{self.stack.gateway_port}/v1"
        script = str(PROGRAMS / "chat.py")
        return subprocess.run(
            [str(self.venv / "bin" / "python"), script, url, self.host, MODEL],
            env={"PATH": os.defpath, "OPENAI_API_KEY": key},
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="module")
def chat(stack: Stack, venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Chat:
    folder = tmp_path_factory.mktemp("chat")
    make = [str(venv / "bin" / "python"), str(PROGRAMS / "make_model.py"), str(folder / MODEL)]
    subprocess.run(make, check=True, timeout=120, capture_output=True)
    (folder / "chat.dstack.yml").write_text(SERVE.format(venv=venv, model=MODEL))
    stack.dstack("run", ".", "-f", "chat.dstack.yml", "-n", "chat", "-y", "-d", cwd=folder)
    return Chat(stack, venv, f"chat.localhost:{stack.gateway_port}")


def test_streams_a_completion_to_openais_client_as_it_is_made(chat: Chat) -> None:
    done = chat.stream(chat.stack.token)

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    times = [chunk["at"] for chunk in said["chunks"]]
    assert "".join(chunk["text"] for chunk in said["chunks"]).strip()
    assert len(set(times)) > 10
    # A gateway that collected the answer would hand out all chunks at the end.
    assert times[-1] - times[0] > 0.3 * (times[-1] - said["asked_at"])


def test_the_stream_arrives_as_events_in_pieces(chat: Chat) -> None:
    body = {
        "model": MODEL,
        "stream": True,
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "the yellow moon"}],
    }
    url = f"http://127.0.0.1:{chat.stack.gateway_port}/v1/chat/completions"
    headers = {"Host": chat.host, **chat.stack.bearer()}

    # A reader that the machine keeps waiting finds several events at once: it reads again then.
    for _ in range(5):
        with httpx.stream("POST", url, json=body, headers=headers, timeout=60) as answer:
            pieces = list(answer.iter_raw())
        if len(pieces) > 5:
            break

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["transfer-encoding"] == "chunked"
    assert len(pieces) > 5
    assert all(line.startswith(b"data:") for line in b"".join(pieces).split(b"\n\n") if line)


def test_the_client_sees_that_its_key_is_wrong(chat: Chat) -> None:
    done = chat.stream("dsk_u_wrong")

    assert "AuthenticationError" in done.stderr
    assert "401" in done.stderr


def test_serves_openais_client_for_node(chat: Chat) -> None:
    url = f"http://gateway.localhost:{chat.stack.gateway_port}/v1"

    said = node.call(url, MODEL, key=chat.stack.token)

    assert said["whole"][0].strip()
    assert said["stream"][0].strip()
    assert said["models"] == [MODEL]
    assert said["wrongKey"][:2] == ["AuthenticationError", 401]
    assert said["unknownModel"][:2] == ["NotFoundError", 404]


def test_chats_in_the_browser(chat: Chat, chromium: str, tmp_path: Path) -> None:
    shutil.copy(PROGRAMS / "endless.py", tmp_path)
    (tmp_path / "sleeper.dstack.yml").write_text(SLEEPER)
    words = ("-f", "sleeper.dstack.yml", "-n", "sleeper", "-y", "-d")
    chat.stack.dstack("run", ".", *words, cwd=tmp_path)
    address = f"{chat.stack.url}/projects/main/models/playground/"

    with browser.opened(chromium) as page:
        browser.sign_in(page, chat.stack)
        page.goto(f"{address}?model=a%2Fsleeper&beside={MODEL}")
        sleeper, other = page.locator("[data-column]").all()
        message = page.get_by_label("Message")

        # A model that sleeps is woken, and stopped as it is written.
        message.fill("go on and on")
        page.keyboard.press("Control+Enter")
        expect(sleeper.locator(".turn-note").last).to_contain_text("waking up, ")
        expect(sleeper.locator(".turn-text").last).to_contain_text("word 3 <i> ")
        page.keyboard.press("Escape")
        expect(sleeper.locator(".turn-note").last).to_have_text("stopped")
        expect(sleeper.locator("[data-figures]")).to_contain_text("of it waking up")
        eventually(lambda: "the caller went" in chat.stack.dstack("logs", "sleeper"))

        # One question to both: one says how many tokens it wrote.
        page.get_by_text("System prompt and parameters").click()
        page.get_by_label("Tokens at most").fill("20")
        message.fill("what is the cat")
        page.get_by_role("button", name="Send").click()
        expect(sleeper.locator("[data-figures]")).to_contain_text("tokens/s not measured")
        expect(other.locator("[data-figures]")).to_contain_text(" tokens/s · 20 tokens")

        # The same call in code runs as it is pasted.
        other.get_by_role("button", name="Code").click()
        page.get_by_role("button", name="Create a key for it").click()
        expect(page.get_by_text("This key calls chat and nothing else")).to_be_visible()
        code = page.locator("#code-python").inner_text()
    assert "what is the cat" in code
    done = subprocess.run(
        [str(chat.venv / "bin" / "python"), "-c", code],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
