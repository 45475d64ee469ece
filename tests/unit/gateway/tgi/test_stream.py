"""TGI's stream as OpenAI's."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.tgi.errors import Refused
from gateway.tgi.request import read_chat, read_completion
from gateway.tgi.stream import ChoiceStream, Events, StopBuffer

HI = [{"role": "user", "content": "hi"}]


def token(text: str, *, special: bool = False, **more: Any) -> dict[str, Any]:
    said = {"id": 1, "text": text, "logprob": -0.5, "special": special}
    return {"index": 1, "token": said, "generated_text": None, "details": None, **more}


def last(text: str, reason: str, *, special: bool = False) -> dict[str, Any]:
    details = {"finish_reason": reason, "generated_tokens": 3, "input_length": 7}
    return token(text, special=special, generated_text="whole", details=details)


def deltas(*events: dict[str, Any], **fields: Any) -> list[Any]:
    asked = read_chat({"messages": HI, "stream": True, **fields}, eos_token="</s>")
    stream = ChoiceStream(asked, 0, prompt="")
    choices = [choice for event in events for choice in stream.feed(event)]
    return [choice["delta"] or choice["finish_reason"] for choice in choices]


ROLE = {"role": "assistant", "content": ""}


@pytest.mark.parametrize(
    ("events", "fields", "expected"),
    [
        (
            [token("a"), token("b"), last("</s>", "eos_token", special=True)],
            {},
            [ROLE, {"content": "a"}, {"content": "b"}, "stop"],
        ),
        (
            [token("a"), last("b", "length")],
            {},
            [ROLE, {"content": "a"}, {"content": "b"}, "length"],
        ),
        # An end token that the server takes for text.
        ([token("a"), last("</s>", "stop_sequence")], {}, [ROLE, {"content": "a"}, "stop"]),
        # A stop in pieces, and what only began like one.
        (
            [token("aE"), token("N"), last("D", "stop_sequence")],
            {"stop": "END"},
            [ROLE, {"content": "a"}, "stop"],
        ),
        (
            [token("aE"), token("Nx"), last("y", "length")],
            {"stop": "END"},
            [ROLE, {"content": "a"}, {"content": "ENx"}, {"content": "y"}, "length"],
        ),
        ([last("x", "length")], {}, [ROLE, {"content": "x"}, "length"]),
        ([last("</s>", "eos_token", special=True)], {}, [ROLE, "stop"]),
    ],
)
def test_tells_the_text_as_it_comes(
    events: list[dict[str, Any]], fields: dict[str, Any], expected: list[Any]
) -> None:
    assert deltas(*events, **fields) == expected


def test_counts_tokens_by_the_details() -> None:
    stream = ChoiceStream(read_chat({"messages": HI}, eos_token=None), 0, prompt="")
    stream.feed(last("x", "length"))

    assert (stream.finished, stream.prompt_tokens, stream.completion_tokens) == (True, 7, 3)


def test_tells_a_tool_call_once_it_is_whole() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    text = '{"function": {"_name": "f", "a": 1}}'

    found = deltas(token(text[:9]), last(text[9:], "eos_token"), tools=tools)

    (call,) = found[1]["tool_calls"]
    assert (call["index"], call["function"]) == (0, {"name": "f", "arguments": '{"a": 1}'})
    assert found[2] == "tool_calls"


def test_tells_log_probabilities() -> None:
    asked = read_chat({"messages": HI, "logprobs": True, "top_logprobs": 1}, eos_token=None)
    best = {"id": 2, "text": "é", "logprob": -0.1, "special": False}
    stream = ChoiceStream(asked, 0, prompt="")

    (_, choice) = stream.feed(token("a", top_tokens=[best]))

    assert choice["logprobs"]["content"] == [
        {
            "token": "a",
            "logprob": -0.5,
            "bytes": [97],
            "top_logprobs": [{"token": "é", "logprob": -0.1, "bytes": [195, 169]}],
        }
    ]


def test_repeats_the_prompt_of_a_completion_that_asks_for_it() -> None:
    asked = read_completion({"prompt": "Once", "echo": True}, eos_token=None)
    stream = ChoiceStream(asked, 0, prompt="Once")

    choices = stream.feed(token(" upon")) + stream.feed(last(" a", "length"))

    assert [choice["text"] for choice in choices] == ["Once upon", " a", ""]


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"error": "Model is overloaded", "error_type": "overloaded"}, 429),
        ({"error": "no", "error_type": "validation"}, 400),
        ({"error": "Request failed", "error_type": "generation"}, 502),
        ({"index": 1}, 502),
    ],
)
def test_raises_what_the_server_said(event: dict[str, Any], status: int) -> None:
    stream = ChoiceStream(read_chat({"messages": HI}, eos_token=None), 0, prompt="")

    with pytest.raises(Refused) as refused:
        stream.feed(event)

    assert refused.value.status == status


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_reads_events_however_they_are_cut(size: int) -> None:
    said = b': hello\n\ndata:{"a": 1}\n\ndata: {"a": 2}\r\n\r\nevent: x\ndata:{"a": 3}\n\n'
    events = Events()

    found = [each for num in range(0, len(said), size) for each in events.feed(said[num:][:size])]

    assert found == [{"a": 1}, {"a": 2}, {"a": 3}]


@pytest.mark.parametrize("line", [b"data: [DONE]\n", b"data: x\n", b"data: 5\n"])
def test_refuses_events_that_are_no_objects(line: bytes) -> None:
    with pytest.raises(Refused):
        list(Events().feed(line))


def test_holds_back_no_more_than_a_stop() -> None:
    buffer = StopBuffer(("<|end|>",))

    said = [buffer.push(each) for each in ("a<", "|", "b", "<|end|", ">")]

    assert said == ["a", "", "<|b", "", ""]
    assert buffer.end("stop_sequence") == ""
