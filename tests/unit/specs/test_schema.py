"""The JSON Schema that editors get, and the configurations of dstack's own documentation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from apps.specs.fields.unsupported import NOT_YET
from apps.specs.parse import parse
from apps.specs.schema import service_schema
from tests.known_services import SCALED
from tests.unit.specs.tables import part

_FULL: dict[str, Any] = {"type": "service", "commands": ["a"], "port": 8000}

_TGI = """\
type: service
image: ghcr.io/huggingface/text-generation-inference:latest
env:
  - HUGGING_FACE_HUB_TOKEN
  - MODEL_ID=mistralai/Mistral-7B-Instruct-v0.1
commands:
  - text-generation-launcher --port 8000 --trust-remote-code
port: 8000

resources:
  gpu: 80GB

model:
  type: chat
  name: mistralai/Mistral-7B-Instruct-v0.1
  format: tgi
  chat_template: "{% for m in messages %}{{ ' '  + m['content'] + ' </s>' }}\\n{% endfor %}"
  eos_token: "</s>"
"""


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return service_schema()


def test_is_a_valid_schema_without_references(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)

    assert "$ref" not in json.dumps(schema)
    assert "$own" not in json.dumps(schema)


def test_offers_only_keys_that_act(schema: dict[str, Any]) -> None:
    assert not set(schema["properties"]) & set(NOT_YET)
    assert list(schema["properties"])[:3] == ["type", "name", "image"]


@pytest.mark.parametrize(("key", "fits"), [("x-a", True), ("x-", True), ("xa", False)])
def test_lets_notes_at_the_top_pass(schema: dict[str, Any], key: str, fits: bool) -> None:
    found = list(Draft202012Validator(schema).iter_errors({**_FULL, key: [{"any": "thing"}]}))

    assert (not found) == fits


def test_describes_the_keys_at_the_top(schema: dict[str, Any]) -> None:
    assert "description" in schema["properties"]["replicas"]
    assert "description" in schema["properties"]["port"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 65536},
        {"port": "http"},
        {"type": "task"},
        {"imag": "a"},
        {"name": "Cat"},
        {"env": {"A": True}},
        {"env": ["1A=x"]},
        {"commands": "echo"},
        {"commands": [1]},
        {"resources": {"gpus": 1}},
        {"resources": {"memory": "16XB"}},
        {"scaling": {"metric": "cpu", "target": 1}},
        {"retry": {"on_events": ["crash"]}},
        {"max_duration": "2 years"},
        {"spot_policy": "Spot"},
        {"volumes": ["a:/b"]},
        {"python": "2.7"},
        {"replicas": "1..x"},
        {"https": "maybe"},
        {"auth": "public"},
    ],
)
def test_lets_editors_mark_what_is_wrong(wrong: dict[str, Any], schema: dict[str, Any]) -> None:
    assert not Draft202012Validator(schema).is_valid({**_FULL, **wrong})


@pytest.mark.parametrize("missing", ["type", "port"])
def test_requires_what_a_service_needs(missing: str, schema: dict[str, Any]) -> None:
    partial = {key: value for key, value in _FULL.items() if key != missing}

    assert Draft202012Validator(schema).is_valid(_FULL)
    assert not Draft202012Validator(schema).is_valid(partial)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        (_TGI, {"env.HUGGING_FACE_HUB_TOKEN": None, "model.format": "tgi", "probes": []}),
        (_TGI, {"resources.gpu.memory_mib": {"min": 81920, "max": 81920}, "auth": True}),
        (SCALED, {"replicas": {"min": 1, "max": 4}, "scaling.target": 10.0, "python": "3.11"}),
        (SCALED, {"model.prefix": "/v1", "probes.0.timeout_seconds": 30}),
    ],
)
def test_reads_the_services_that_people_know(text: str, means: dict[str, Any]) -> None:
    stored = parse(text).to_json()

    assert {path: part(stored, path) for path in means} == means
