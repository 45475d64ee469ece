"""A model of format tgi: its template comes from a hub, with the token of the service."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.e2e import browser
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack, eventually
from tests.fakes.hub import Hub

SERVER = Path(__file__).parent / "model" / "tgi_server.py"
SERVE = """\
type: service
name: chat
commands:
  - python3 tgi_server.py $PORT
port: 8000
model:
  name: My model
  format: tgi
env:
  - MODEL_ID=org/m
  - HF_TOKEN
"""
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"


@pytest.fixture
def hub() -> Iterator[Hub]:
    started = Hub(token="hf_secret").start()
    started.put("org/m", template=TEMPLATE, config=json.dumps({"eos_token": {"content": "</s>"}}))
    yield started
    started.stop()


@pytest.fixture
def stack(hub: Hub, tmp_path: Path) -> Iterator[Stack]:
    running = stacks.new(tmp_path / "tgi", DSTACK_HUB_URL=hub.url)
    yield running
    assert running.stop() == 0


def deploy(stack: Stack, folder: Path, token: str) -> None:
    folder.mkdir(exist_ok=True)
    shutil.copy(SERVER, folder)
    (folder / "serve.dstack.yml").write_text(SERVE)
    words = ("run", ".", "-f", "serve.dstack.yml", "-e", f"HF_TOKEN={token}", "-y", "-d")
    stack.dstack(*words, cwd=folder)


def ask(stack: Stack, **fields: Any) -> httpx.Response:
    body = {"model": "My model", "messages": [{"role": "user", "content": "hi"}], **fields}
    url = f"http://127.0.0.1:{stack.gateway_port}/v1/chat/completions"
    headers = {**stack.bearer(), "Host": f"gateway.localhost:{stack.gateway_port}"}
    return httpx.post(url, json=body, headers=headers, timeout=60)


def test_reads_the_template_with_the_services_token(
    stack: Stack, hub: Hub, tmp_path: Path, chromium: str
) -> None:
    deploy(stack, tmp_path / "work", "hf_wrong")

    def notice() -> str:
        return str(stack.api("GET", "/projects/main/runs/chat").get("notice") or "")

    eventually(lambda: "401" in notice(), seconds=30, what=stack.said())
    refused = ask(stack)
    assert refused.status_code == 503
    assert "HF_TOKEN of the service may not read it" in refused.json()["error"]["message"]
    with browser.opened(chromium) as page:
        browser.sign_in(page, stack)
        page.goto(f"{stack.url}/projects/main/services/chat/")
        expect(page.get_by_text("Set model.chat_template.")).to_be_visible()

    deploy(stack, tmp_path / "work", "hf_secret")

    eventually(lambda: ask(stack).status_code == 200, seconds=30, what=stack.said())
    assert ask(stack).json()["choices"][0]["message"]["content"] == "<user>hi<assistant>"
    assert ask(stack, stream=True).text.endswith("data: [DONE]\n\n")
    assert notice() == ""
    assert "hf_secret" not in stack.said()
    assert {token for _, token in hub.asked} == {"hf_wrong", "hf_secret"}
