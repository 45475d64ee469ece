"""Tools and answer formats: both are grammars that TGI holds the model to.

With tools the model writes `{"function": {"_name": NAME, ARGUMENT: ...}}`. Where it may choose to
call none, `no_tool` with the text as `content` is one of the functions.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from gateway.tgi import fields
from gateway.tgi.errors import Refused
from gateway.tgi.fields import Body

NO_TOOL = "no_tool"
_TEXT_ONLY: dict[str, Any] = {
    "type": "object",
    "properties": {"content": {"type": "string"}},
    "required": ["content"],
}
_FORM = (
    'Answer with one JSON object of the form {"function": {"_name": NAME, ARGUMENT: VALUE, ...}} '
    "that calls the function which fits best, with literal values."
)
_FORM_OF_TEXT = f' Where none fits, call {NO_TOOL} with your answer as "content".'


@dataclass(frozen=True)
class Offered:
    """`definitions` are the caller's tools; `usable` the functions that may be called now."""

    definitions: list[dict[str, Any]]
    usable: dict[str, dict[str, Any]]
    may_answer: bool

    def instruction(self, *, with_definitions: bool) -> str:
        """Return what the model is told; the definitions too where the
        template has no place for them."""
        said = _FORM + (_FORM_OF_TEXT if self.may_answer else "")
        if with_definitions:
            said = f"The functions: {json.dumps(self.definitions, ensure_ascii=False)}\n{said}"
        return f"\n---\n{said}"


def read(body: Body) -> Offered | None:
    """Return the tools that the model may use; None where there are none, or
    the caller chose none. Raise Refused."""
    definitions = fields.items(body, "tools")
    choice = body.get("tool_choice")
    functions = dict(map(_function, definitions))
    if choice in (None, "auto", "none", "required"):
        if choice == "required" and not functions:
            raise Refused("tool_choice: required needs tools.", param="tool_choice")
        if choice == "none" or not functions:
            return None
        return Offered(definitions, functions, may_answer=choice != "required")
    named = choice.get("function") if isinstance(choice, dict) else None
    name = named.get("name") if isinstance(named, dict) else None
    if not isinstance(name, str) or name not in functions:
        raise Refused(
            "tool_choice must be none, auto, required or a function of tools.", param="tool_choice"
        )
    return Offered(definitions, {name: functions[name]}, may_answer=False)


def _function(tool: Any) -> tuple[str, dict[str, Any]]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type", "function") != "function":
        raise Refused("tools takes functions only.", param="tools")
    name, parameters = function.get("name"), function.get("parameters")
    if not isinstance(name, str) or not name or name == NO_TOOL:
        raise Refused(f"Each tool needs a name, other than {NO_TOOL}.", param="tools")
    if parameters is not None and not isinstance(parameters, dict):
        raise Refused(f"The parameters of {name} must be a JSON Schema.", param="tools")
    return name, parameters or {}


def grammar(body: Body, offered: Offered | None) -> dict[str, Any] | None:
    """Return TGI's `grammar` for tools or response_format; raises Refused."""
    wanted = _of_format(fields.mapping(body, "response_format"))
    if offered is None:
        return wanted
    if wanted is not None:
        raise Refused("response_format and tools exclude each other.", param="response_format")
    functions = {**offered.usable, **({NO_TOOL: _TEXT_ONLY} if offered.may_answer else {})}
    schema = {
        "$functions": {name: _schema(name, each) for name, each in functions.items()},
        "properties": {"function": {"anyOf": [{"$ref": f"#/$functions/{n}"} for n in functions]}},
        "required": ["function"],
    }
    return {"type": "json", "value": schema}


def _schema(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    moved: dict[str, Any] = _moved(parameters, f"#/$functions/{name}/")
    return {
        **moved,
        "type": "object",
        "properties": {"_name": {"type": "string", "const": name}, **moved.get("properties", {})},
        "required": ["_name", *moved.get("required", [])],
    }


def _moved(value: Any, root: str) -> Any:
    """References of a schema that now lies below another root."""
    if isinstance(value, list):
        return [_moved(each, root) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: root + each[2:]
        if key == "$ref" and isinstance(each, str) and each.startswith("#/")
        else _moved(each, root)
        for key, each in value.items()
    }


def _of_format(wanted: dict[str, Any]) -> dict[str, Any] | None:
    kind = wanted.get("type", "text")
    if kind == "text":
        return None
    if kind == "regex" and isinstance(wanted.get("value"), str):
        return {"type": "regex", "value": wanted["value"]}
    schema = wanted.get("value")
    if kind == "json_schema":
        schema = fields.mapping(wanted, "json_schema").get("schema")
    if kind not in ("json", "json_object", "json_schema"):
        raise Refused("response_format is text, json_schema or regex.", param="response_format")
    if not isinstance(schema, dict) or "properties" not in schema:
        raise Refused(
            f"response_format {kind} needs a JSON Schema with properties: TGI holds the model to a "
            "schema, and knows no free JSON.",
            param="response_format",
        )
    return {"type": "json", "value": schema}


def called(text: str) -> tuple[dict[str, Any] | None, str | None]:
    """Read what the model wrote: (call, None), or (None, its text).

    What is no whole object (the answer was cut short) is given as text.
    """
    try:
        function = json.loads(text)["function"]
        name = function.pop("_name")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, text
    if name == NO_TOOL:
        return None, str(function.get("content", ""))
    arguments = json.dumps(function, ensure_ascii=False)
    call = {"name": name, "arguments": arguments}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": call}, None
