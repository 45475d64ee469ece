"""OpenAI requests as TGI takes them, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.tgi.errors import Refused
from gateway.tgi.request import read_chat, read_completion

HI = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def parameters(**fields: Any) -> dict[str, Any]:
    return read_chat({"messages": HI, **fields}, eos_token=None).parameters_of(0)


def test_asks_for_details_and_sampling_without_any_field() -> None:
    assert parameters() == {"details": True, "do_sample": True}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, {"max_new_tokens": 5}),
        ({"max_completion_tokens": 7}, {"max_new_tokens": 7}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, {"max_new_tokens": 7}),
        ({"temperature": 0.5}, {"temperature": 0.5, "do_sample": True}),
        ({"temperature": 0}, {"do_sample": False}),
        ({"temperature": 0, "top_p": 0.5}, {"do_sample": False}),
        ({"top_p": 0.5}, {"top_p": 0.5, "do_sample": True}),
        ({"top_p": 0}, {"do_sample": False}),
        ({"stop": "END"}, {"stop": ["END"]}),
        ({"stop": ["a", "b", "a"]}, {"stop": ["a", "b"]}),
        ({"seed": 42}, {"seed": 42}),
        ({"seed": 0}, {"seed": 2**63 - 1}),
        ({"seed": -1}, {"seed": 2**63 - 1}),
        ({"frequency_penalty": 0.5}, {"frequency_penalty": 0.5}),
        ({"presence_penalty": 2}, {"repetition_penalty": 2.0}),
        ({"presence_penalty": -2}, {"repetition_penalty": 0.5}),
        ({"logprobs": True, "top_logprobs": 3}, {"top_n_tokens": 3}),
        ({"top_k": 40, "typical_p": 0.9}, {"top_k": 40, "typical_p": 0.9}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
            {"grammar": {"type": "json", "value": SCHEMA}},
        ),
        (
            {"response_format": {"type": "json_object", "value": SCHEMA}},
            {"grammar": {"type": "json", "value": SCHEMA}},
        ),
        (
            {"response_format": {"type": "regex", "value": "a+"}},
            {"grammar": {"type": "regex", "value": "a+"}},
        ),
    ],
)
def test_translates(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert parameters(**fields) == {"details": True, "do_sample": True, **expected}


@pytest.mark.parametrize(
    "fields",
    [
        {"top_p": 1},
        {"frequency_penalty": 0},
        {"presence_penalty": 0},
        {"temperature": None},
        {"stop": None},
        {"stop": []},
        {"logprobs": True},
        {"logit_bias": {}},
        {"response_format": {"type": "text"}},
        {"tools": []},
        {"user": "someone", "metadata": {"a": "b"}, "store": True, "parallel_tool_calls": False},
    ],
)
def test_leaves_out_what_changes_nothing(fields: dict[str, Any]) -> None:
    assert parameters(**fields) == {"details": True, "do_sample": True}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content",
        ),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"functions": [{}]}, "functions"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs"),
        (
            {"continue_final_message": True, "add_generation_prompt": True},
            "continue_final_message",
        ),
    ],
)
def test_refuses_and_names_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as refused:
        parameters(**fields)

    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("stop", "sent"),
    [
        (None, ["</s>"]),
        (["a"], ["a", "</s>"]),
        (["</s>"], ["</s>"]),
        # TGI takes four.
        (["a", "b", "c", "d"], ["a", "b", "c", "d"]),
    ],
)
def test_stops_at_the_end_token_where_there_is_room(stop: Any, sent: list[str]) -> None:
    asked = read_chat({"messages": HI, "stop": stop}, eos_token="</s>")

    assert asked.parameters["stop"] == sent
    assert "</s>" in asked.stops


def test_gives_each_choice_a_seed_of_its_own() -> None:
    asked = read_chat({"messages": HI, "seed": 5, "n": 2}, eos_token=None)

    assert [asked.parameters_of(num)["seed"] for num in range(2)] == [5, 6]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "developer", "content": "x"}, {"role": "system", "content": "x"}),
        (
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            {"role": "user", "content": "ab"},
        ),
        (
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "http://h/i.png"}},
                    {"type": "text", "text": "What?"},
                ],
            },
            {"role": "user", "content": "![](http://h/i.png)What?"},
        ),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": '{"a": 1}'}}],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {"a": 1}}}],
            },
        ),
        (
            {"role": "assistant", "content": "x", "reasoning": "why"},
            {
                "role": "assistant",
                "content": "x",
                "reasoning": "why",
                "thinking": "why",
                "reasoning_content": "why",
            },
        ),
    ],
)
def test_gives_templates_what_they_expect(
    message: dict[str, Any], expected: dict[str, Any]
) -> None:
    asked = read_chat({"messages": [message]}, eos_token=None)

    assert asked.conversation is not None
    assert asked.conversation.variables["messages"] == [expected]


@pytest.mark.parametrize(
    ("fields", "prompted"),
    [
        ({}, True),
        ({"add_generation_prompt": False}, False),
        ({"continue_final_message": True}, False),
    ],
)
def test_asks_for_the_beginning_of_an_answer(fields: dict[str, Any], prompted: bool) -> None:
    asked = read_chat({"messages": HI, **fields}, eos_token=None)

    assert asked.conversation is not None
    assert asked.conversation.variables["add_generation_prompt"] is prompted


def test_reads_a_completion() -> None:
    asked = read_completion(
        {"prompt": ["a", "b"], "max_tokens": 3, "logprobs": 2, "echo": True, "n": 2}, eos_token=None
    )

    assert asked.prompts == ("a", "b")
    assert (asked.n, asked.echo, asked.logprobs) == (2, True, True)
    assert asked.parameters["top_n_tokens"] == 2


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "best_of": 3}, "best_of"),
    ],
)
def test_refuses_a_completion(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as refused:
        read_completion(fields, eos_token=None)

    assert refused.value.param == param
