"""Chat templates render to the letter as transformers itself renders them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.tgi.errors import Refused
from gateway.tgi.request import read_chat
from gateway.tgi.templates import Renderer
from tests.e2e.model import tools

HERE = Path(__file__).parent
TEMPLATES = {path.stem: path.read_text() for path in (HERE / "chat_templates").glob("*.jinja")}

SYSTEM = {"role": "system", "content": " You are <b>kind</b> & brief. "}
USER = {"role": "user", "content": " Wie heißt “du”? 你好 \n"}
ASSISTANT = {"role": "assistant", "content": "  My name is 'T'.  "}
AGAIN = {"role": "user", "content": "And?"}
CALLING = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "abcdefghi",
            "type": "function",
            "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 2}},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "content": '{"sky": "<blue>"}'}
THOUGHT = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes."}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the <weather>",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": ["integer", "null"]}},
            "required": ["city"],
        },
    },
}
ASK: dict[str, Any] = {"add_generation_prompt": True}
CHATS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "one": ([USER], ASK),
    "system": ([SYSTEM, USER], ASK),
    "turns": ([SYSTEM, USER, ASSISTANT, AGAIN], ASK),
    "no prompt": ([USER, ASSISTANT], {}),
    "continued": ([USER, ASSISTANT], {"continue_final_message": True}),
    "continued plainly": ([USER, {**ASSISTANT, "content": "My"}], {"continue_final_message": True}),
    "thought": ([USER, THOUGHT, AGAIN], ASK),
    "wrong turns": ([USER, USER], ASK),
    "tools": ([SYSTEM, USER], {**ASK, "tools": [WEATHER]}),
    "called": ([USER, CALLING, RESULT], {**ASK, "tools": [WEATHER]}),
    "own variables": ([USER], {**ASK, "enable_thinking": False, "date_string": "1 Jan 2026"}),
}
CASES = [(template, chat) for template in sorted(TEMPLATES) for chat in CHATS]

# The first session of a machine installs transformers.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def expected() -> dict[tuple[str, str], dict[str, Any]]:
    """What transformers makes of all cases, in one process."""
    asked = [
        {"template": TEMPLATES[name], "messages": CHATS[chat][0], "options": CHATS[chat][1]}
        for name, chat in CASES
    ]
    done = subprocess.run(
        [str(tools.environment() / "bin" / "python"), str(HERE / "transformers_render.py")],
        input=json.dumps(asked),
        env={"PATH": os.defpath, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def renderer() -> AsyncIterator[Renderer]:
    made = Renderer()
    await made.start()
    yield made
    await made.stop()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("template", "chat"), CASES)
async def test_renders_as_transformers(
    renderer: Renderer, expected: dict[tuple[str, str], dict[str, Any]], template: str, chat: str
) -> None:
    messages, options = CHATS[chat]

    got = await rendered(renderer, TEMPLATES[template], messages, options)

    theirs = expected[template, chat]
    # Words of an error are our own, that there is one is not.
    assert got == theirs.get("text"), theirs


async def rendered(
    renderer: Renderer, template: str, messages: list[dict[str, Any]], options: dict[str, Any]
) -> str | None:
    """The prompt by way of a request, or None where the template refuses."""
    own = {k: v for k, v in options.items() if k in ("enable_thinking", "date_string")}
    body = {
        "messages": messages,
        "add_generation_prompt": options.get("add_generation_prompt", False),
        "continue_final_message": options.get("continue_final_message", False),
        "tools": options.get("tools"),
        "chat_template_kwargs": own,
    }
    asked = read_chat(body, eos_token=None)
    assert asked.conversation is not None
    variables = {"bos_token": "<s>", "eos_token": "</s>", **asked.conversation.variables}
    try:
        return await renderer.render(template, variables, continues=asked.conversation.continues)
    except Refused:
        return None


def test_compares_prompts_of_all_families(
    expected: dict[tuple[str, str], dict[str, Any]],
) -> None:
    """A template that only ever refuses would compare nothing."""
    families = {template for (template, _), found in expected.items() if "text" in found}

    assert families == set(TEMPLATES)
    assert len(families) >= 12
