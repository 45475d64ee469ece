"""Tools as a grammar, and back."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from gateway.tgi import tools
from gateway.tgi.errors import Refused

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/city"}},
            "required": ["city"],
            "$defs": {"city": {"type": "string"}},
        },
    },
}
TIME = {"type": "function", "function": {"name": "time"}}


def names(**fields: Any) -> list[str]:
    body = {"tools": [WEATHER, TIME], **fields}
    grammar = tools.grammar(body, tools.read(body))
    return list(grammar["value"]["$functions"]) if grammar else []


@pytest.mark.parametrize(
    ("fields", "functions"),
    [
        ({}, ["weather", "time", "no_tool"]),
        ({"tool_choice": "auto"}, ["weather", "time", "no_tool"]),
        ({"tool_choice": "required"}, ["weather", "time"]),
        ({"tool_choice": "none"}, []),
        ({"tool_choice": {"type": "function", "function": {"name": "time"}}}, ["time"]),
    ],
)
def test_holds_the_model_to_the_functions_it_may_call(
    fields: dict[str, Any], functions: list[str]
) -> None:
    assert names(**fields) == functions


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        ({"function": {"_name": "weather", "city": "Paris"}}, True),
        ({"function": {"_name": "time"}}, True),
        ({"function": {"_name": "no_tool", "content": "hello"}}, True),
        ({"function": {"_name": "weather"}}, False),
        ({"function": {"_name": "weather", "city": 5}}, False),
        ({"function": {"_name": "other"}}, False),
        ({}, False),
    ],
)
def test_writes_a_schema_that_means_it(said: Any, fits: bool) -> None:
    body = {"tools": [WEATHER, TIME]}
    grammar = tools.grammar(body, tools.read(body))
    assert grammar is not None

    assert jsonschema.Draft202012Validator(grammar["value"]).is_valid(said) is fits


def test_refuses_tools_beside_a_format() -> None:
    body = {
        "tools": [TIME],
        "response_format": {"type": "regex", "value": "a"},
    }

    with pytest.raises(Refused, match="exclude"):
        tools.grammar(body, tools.read(body))


def test_reads_a_call() -> None:
    call, text = tools.called('{"function": {"_name": "weather", "city": "Zürich"}}')

    assert text is None
    assert call is not None
    assert call["function"]["name"] == "weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Zürich"}


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"function": {"_name": "no_tool", "content": "hello"}}', "hello"),
        ('{"function": {"_name": "wea', '{"function": {"_name": "wea'),
        ("[]", "[]"),
        ('{"function": 5}', '{"function": 5}'),
    ],
)
def test_reads_an_answer_without_a_call(written: str, text: str) -> None:
    assert tools.called(written) == (None, text)
