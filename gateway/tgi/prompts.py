"""The text that goes to TGI: a completion's prompts as they are, a chat by the model's template."""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict
from typing import Any, Protocol

import aiohttp

from gateway import schema
from gateway.tgi import errors
from gateway.tgi.call import Upstream, packed, read_bounded
from gateway.tgi.errors import Refused
from gateway.tgi.messages import Conversation
from gateway.tgi.request import Asked

MOST_REMEMBERED = 4096


class Renderer(Protocol):
    async def render(self, source: str, variables: dict[str, Any], *, continues: bool) -> str: ...


class Prompts:
    """Makes prompts; remembers of each endpoint whether its server puts a first token itself."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._adds_bos: OrderedDict[tuple[str, str], bool] = OrderedDict()

    async def of(
        self, asked: Asked, *, endpoint: schema.Endpoint, upstream: Upstream
    ) -> tuple[str, ...]:
        """Return the prompts of a request; raises Refused."""
        model, conversation = endpoint.model, asked.conversation
        if model is None or conversation is None:
            return asked.prompts
        source = template_of(model, with_tools=asked.tools is not None)
        variables = {
            "bos_token": model.bos_token or "",
            "eos_token": model.eos_token or "",
            **conversation.variables,
        }
        if asked.tools is not None:
            # A template that knows of tools writes their definitions itself.
            said = asked.tools.instruction(with_definitions="tools" not in source)
            variables["messages"] = with_instruction(conversation, said)
        prompt = await self._renderer.render(source, variables, continues=conversation.continues)
        bos = model.bos_token
        if bos and prompt.startswith(bos) and await self._adds(bos, endpoint, upstream):
            # TGI puts the token in front of each prompt; two of them make answers worse.
            prompt = prompt[len(bos) :]
        return (prompt,)

    async def _adds(self, bos: str, endpoint: schema.Endpoint, upstream: Upstream) -> bool:
        """Asked once of each endpoint: how many first tokens the server makes of one."""
        key = (endpoint.id, bos)
        known = self._adds_bos.get(key)
        if known is None:
            known = await _ask_tokens(bos, upstream)
            self._adds_bos[key] = known
            if len(self._adds_bos) > MOST_REMEMBERED:
                self._adds_bos.popitem(last=False)
        return known


async def _ask_tokens(bos: str, upstream: Upstream) -> bool:
    """Servers that cannot say are taken to add it, as those of nearly all models do."""
    try:
        response = await upstream.post("/tokenize", json=packed({"inputs": bos}), headers={})
        with contextlib.closing(response):
            if response.status in (404, 405):
                return True
            if response.status != 200:
                said = await read_bounded(response)
                raise errors.of_upstream(response.status, said)
            return len(json.loads(await read_bounded(response))) != 1
    except (ValueError, TypeError, RecursionError):
        return True
    except (aiohttp.ClientError, OSError):
        raise Refused("The model's server did not answer.", status=502) from None


def template_of(model: schema.Model, *, with_tools: bool) -> str:
    """Return the model's template; raises Refused where none is known."""
    template = (model.tool_template if with_tools else None) or model.chat_template
    if template is None:
        why = f" ({model.notice})" if model.notice else ""
        raise Refused(
            f"No chat template is known for {model.name}{why}: set model.chat_template.",
            status=503,
            code="no_chat_template",
        )
    return template


def with_instruction(conversation: Conversation, said: str) -> list[dict[str, Any]]:
    """Return the messages with `said` at the end of the last one of a user."""
    messages: list[dict[str, Any]] = list(conversation.variables["messages"])
    users = [num for num, message in enumerate(messages) if message["role"] == "user"]
    num = users[-1] if users else len(messages) - 1
    messages[num] = {**messages[num], "content": f"{messages[num].get('content') or ''}{said}"}
    return messages
