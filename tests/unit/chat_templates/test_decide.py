"""Where a chat template comes from, and what a repository says."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from apps.chat_templates import decide
from apps.chat_templates.decide import Said, Source, Unreadable

DEFAULT, TOOLS = "{{ messages }}", "{{ tools }}"


def model(**fields: Any) -> dict[str, Any]:
    return {"name": "org/m", "chat_template": None, "eos_token": None, **fields}


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ({}, ["chat_template"]),
        ({"eos_token": "</s>"}, ["chat_template"]),
        ({"chat_template": "x"}, []),
        ({"chat_template": "{{ bos_token }}{{ eos_token }}"}, ["bos_token", "eos_token"]),
        ({"chat_template": "{{ bos_token }}", "bos_token": "<s>"}, []),
        ({"chat_template": "{{ eos_token }}", "eos_token": "</s>"}, []),
    ],
)
def test_tells_what_the_spec_leaves_open(fields: dict[str, Any], keys: list[str]) -> None:
    assert decide.left_open(model(**fields)) == keys


@pytest.mark.parametrize(
    ("env", "source"),
    [
        ({}, Source("org/m", "main")),
        ({"MODEL_ID": "other/model-7B.v0_1"}, Source("other/model-7B.v0_1", "main")),
        ({"MODEL_ID": " gpt2 ", "REVISION": "v1.0"}, Source("gpt2", "v1.0")),
        ({"MODEL_ID": ""}, Source("org/m", "main")),
    ],
)
def test_finds_the_repository(env: dict[str, str], source: Source) -> None:
    assert decide.source_of(model(), env) == source


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"MODEL_ID": "/data/m"}, "MODEL_ID is /data/m, a path on the replica"),
        ({"MODEL_ID": "./m"}, "a path on the replica"),
        ({"MODEL_ID": "a/b/c"}, "no name of a repository"),
        ({"MODEL_ID": "a/../b"}, "no name of a repository"),
        ({"MODEL_ID": "a..b"}, "no name of a repository"),
        ({"MODEL_ID": "a/b?x"}, "no name of a repository"),
        ({"MODEL_ID": "a b"}, "no name of a repository"),
        ({"REVISION": "../x"}, "no name of a revision"),
    ],
)
def test_refuses_what_is_no_repository(env: dict[str, str], said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        decide.source_of(model(), env)


@pytest.mark.parametrize(
    ("env", "token"),
    [
        ({}, ""),
        ({"HF_TOKEN": " hf_a "}, "hf_a"),
        ({"HUGGING_FACE_HUB_TOKEN": "hf_b"}, "hf_b"),
        ({"HUGGINGFACE_HUB_TOKEN": "hf_c", "HF_TOKEN": ""}, "hf_c"),
    ],
)
def test_finds_the_token(env: dict[str, str], token: str) -> None:
    assert decide.token_of(env) == token


@pytest.mark.parametrize(
    ("config", "more", "said"),
    [
        ({"chat_template": DEFAULT}, {}, Said(DEFAULT)),
        (
            {
                "chat_template": [
                    {"name": "default", "template": DEFAULT},
                    {"name": "tool_use", "template": TOOLS},
                    {"name": "rag", "template": "x"},
                ]
            },
            {},
            Said(DEFAULT, TOOLS),
        ),
        ({"chat_template": DEFAULT}, {decide.TEMPLATE: "newer"}, Said("newer")),
        (
            {},
            {decide.TEMPLATE: DEFAULT, decide.TOOL_TEMPLATE: TOOLS},
            Said(DEFAULT, TOOLS),
        ),
        (
            {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}},
            {},
            Said(bos_token="<s>", eos_token="</s>"),
        ),
        (
            {"bos_token": None},
            {decide.SPECIAL: '{"bos_token": {"content": "<s>"}, "eos_token": "</s>"}'},
            Said(bos_token="<s>", eos_token="</s>"),
        ),
        ({"chat_template": 5, "bos_token": 5, "eos_token": {"content": 5}}, {}, Said()),
        ({"chat_template": [1, {"name": "default"}]}, {}, Said()),
        ({"eos_token": "x" * 201}, {}, Said()),
    ],
)
def test_reads_what_a_repository_says(config: Any, more: dict[str, str], said: Said) -> None:
    assert decide.read_files({decide.CONFIG: json.dumps(config), **more}) == said


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({decide.CONFIG: "{"}, "not JSON"),
        ({decide.CONFIG: "[" * 100_000}, "not JSON"),
        ({decide.SPECIAL: "[]"}, "not a JSON object"),
        ({decide.TEMPLATE: "a\0b"}, "no text"),
        ({decide.CONFIG: r'{"chat_template": "\ud800"}'}, "no text"),
    ],
)
def test_says_what_it_cannot_read(files: dict[str, str], said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        decide.read_files(files)


def test_waits_longer_with_each_failure() -> None:
    pauses = [decide.BACKOFF.after(tries) for tries in (1, 2, 3, 50)]

    assert pauses == [timedelta(seconds=5 * each) for each in (1, 2, 4)] + [timedelta(minutes=10)]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (
            ["chat_template"],
            "No chat template is known for org/m: the hub is away. Set model.chat_template.",
        ),
        (
            ["bos_token", "eos_token"],
            "No bos_token and no eos_token is known for org/m: the hub is away. "
            "Set model.bos_token and model.eos_token.",
        ),
    ],
)
def test_says_what_is_missing_and_what_to_do(missing: list[str], said: str) -> None:
    assert decide.notice(model(), missing, "the hub is away") == said
