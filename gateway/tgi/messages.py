"""The conversation of a chat request, as templates expect it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gateway.tgi import fields
from gateway.tgi.errors import Refused
from gateway.tgi.fields import Body
from gateway.tgi.tools import Offered

# What a caller's `chat_template_kwargs` may not replace.
_OURS = frozenset({"messages", "tools", "documents", "add_generation_prompt"})

# Names that servers have for the same; templates read the first.
_REASONING = ("reasoning_content", "thinking", "reasoning")


@dataclass(frozen=True)
class Conversation:
    """`variables` are for the template; `continues` says that the last message is to be gone on
    with, so that the prompt ends where its text ends."""

    variables: dict[str, Any]
    continues: bool


def read_conversation(body: Body, offered: Offered | None) -> Conversation:
    """Read messages and what else a template is given; raises Refused."""
    messages = fields.items(body, "messages")
    if not messages:
        raise Refused("messages must be a list with at least one message.", param="messages")
    read = [_message(message, f"messages[{num}]") for num, message in enumerate(messages)]
    continues = fields.flag(body, "continue_final_message") or False
    prompted = fields.flag(body, "add_generation_prompt")
    if continues and prompted:
        raise Refused(
            "continue_final_message and add_generation_prompt exclude each other.",
            param="continue_final_message",
        )
    if continues and not isinstance(read[-1].get("content"), str):
        raise Refused(
            "continue_final_message needs a last message with text.", param="continue_final_message"
        )
    own = fields.mapping(body, "chat_template_kwargs")
    if taken := _OURS & own.keys():
        raise Refused(
            f"chat_template_kwargs cannot set {min(taken)}.", param="chat_template_kwargs"
        )
    variables = {
        **own,
        "messages": read,
        "tools": offered.definitions if offered else None,
        "documents": fields.items(body, "documents") or None,
        "add_generation_prompt": not continues if prompted is None else prompted,
    }
    return Conversation(variables, continues)


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise Refused(f"{where} must be an object with a role.", param=where)
    read = dict(message)
    if message["role"] == "developer":
        # The newer name of the same thing, which no template knows.
        read["role"] = "system"
    content = message.get("content")
    if isinstance(content, list):
        read["content"] = "".join(_part(part, f"{where}.content") for part in content)
    elif content is not None and not isinstance(content, str):
        raise Refused(f"{where}.content must be a string or a list of parts.", param=where)
    reasoning = next((message[name] for name in _REASONING if message.get(name) is not None), None)
    if reasoning is not None:
        read = {"thinking": reasoning, **read, "reasoning_content": reasoning}
    if message.get("tool_calls") is not None:
        read["tool_calls"] = [_tool_call(call, where) for call in fields.items(read, "tool_calls")]
    return read


def _part(part: Any, where: str) -> str:
    """Text as it is; an image as the link in Markdown by which TGI takes images."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    if kind == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        if isinstance(url, str) and url and not set(url) & set("() \n"):
            return f"![]({url})"
    raise Refused(f"{where} takes parts of text, and images by their URL.", param=where)


def _tool_call(call: Any, where: str) -> dict[str, Any]:
    """Templates want the arguments as an object; OpenAI's API has them as JSON in a string."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise Refused(f"{where}.tool_calls must be objects with a function.", param=where)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            raise Refused(
                f"{where}.tool_calls has arguments that are not JSON.", param=where
            ) from None
    return {**call, "function": {**function, "arguments": arguments}}
