"""Services as the documentation of dstack shows them, which is where people copy theirs from: each
is understood as it is printed, and its chats are written as its template says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest

from apps.cli.errors import CliError
from apps.cli.publish.configuration import passed_values, read_configuration
from apps.specs.parse import parse
from apps.specs.sections.service import ServiceSpec
from gateway.tgi import sandbox

TGI = """\
type: service

image: ghcr.io/huggingface/text-generation-inference:latest
env:
  - MODEL_ID=mistralai/Mistral-7B-Instruct-v0.1
commands:
  - text-generation-launcher --port 8000 --trust-remote-code
port: 8000

resources:
  gpu: 80GB
"""
WITH_TOKEN = TGI.replace("env:\n", "env:\n  - HUGGING_FACE_HUB_TOKEN\n")
MAPPED = f"""\
{TGI}
# Enable the OpenAI-compatible endpoint
model:
  type: chat
  name: mistralai/Mistral-7B-Instruct-v0.1
  format: tgi
""".replace("\n\n", "\n  \n")  # its empty lines have blanks in them
TEMPLATED = """\
type: service

image: ghcr.io/huggingface/text-generation-inference:latest
env:
  - MODEL_ID=TheBloke/Llama-2-13B-chat-GPTQ
commands:
  - text-generation-launcher --port 8000 --trust-remote-code --quantize gptq
port: 8000

resources:
  gpu: 80GB

# Enable the OpenAI-compatible endpoint
model:
  type: chat
  name: TheBloke/Llama-2-13B-chat-GPTQ
  format: tgi
  chat_template: "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\\\n' + system_message + '\\\\n<</SYS>>\\\\n\\\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ '<s>[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' </s>' }}{% endif %}{% endfor %}"
  eos_token: "</s>"
"""  # noqa: E501 - as it is printed there
SCALED = """\
type: service

python: "3.11"
env:
  - MODEL=NousResearch/Llama-2-7b-chat-hf
commands:
  - pip install vllm
  - python -m vllm.entrypoints.openai.api_server --model $MODEL --port 8000
port: 8000

replicas: 1..4
scaling:
  metric: rps
  target: 10

# Enable the OpenAI-compatible endpoint
model:
  format: openai
  type: chat
  name: NousResearch/Llama-2-7b-chat-hf
"""


def flat(spec: ServiceSpec) -> dict[str, Any]:
    """Return what its lines say, by their paths."""
    gpu, model, scaling = spec.resources.gpu, spec.model, spec.scaling
    memory = gpu.memory_mib if gpu else None
    return {
        "image": spec.image,
        "python": spec.python,
        "env": spec.env,
        "port": spec.port.container_port,
        "gpu": (memory.min, memory.max) if memory else None,
        "model": (model.type, model.name, model.format) if model else None,
        "replicas": (spec.replicas.min, spec.replicas.max),
        "scaling": (scaling.metric, scaling.target) if scaling else None,
    }


IMAGE = "ghcr.io/huggingface/text-generation-inference:latest"
MISTRAL, LLAMA = "mistralai/Mistral-7B-Instruct-v0.1", "NousResearch/Llama-2-7b-chat-hf"
PLAIN = {
    "image": IMAGE,
    "python": None,
    "env": {"MODEL_ID": MISTRAL},
    "port": 8000,
    "gpu": (81920, 81920),
    "model": None,
    "replicas": (1, 1),
    "scaling": None,
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TGI, {}),
        (WITH_TOKEN, {"env": {"HUGGING_FACE_HUB_TOKEN": None, "MODEL_ID": MISTRAL}}),
        (MAPPED, {"model": ("chat", MISTRAL, "tgi")}),
        (
            TEMPLATED,
            {
                "env": {"MODEL_ID": "TheBloke/Llama-2-13B-chat-GPTQ"},
                "model": ("chat", "TheBloke/Llama-2-13B-chat-GPTQ", "tgi"),
            },
        ),
        (
            SCALED,
            {
                "image": None,
                "python": "3.11",
                "env": {"MODEL": LLAMA},
                "gpu": None,
                "model": ("chat", LLAMA, "openai"),
                "replicas": (1, 4),
                "scaling": ("rps", 10.0),
            },
        ),
    ],
    ids=["tgi", "token", "mapped", "templated", "scaled"],
)
def test_each_line_is_understood(text: str, said: dict[str, Any]) -> None:
    assert flat(parse(text)) == {**PLAIN, **said}


def test_a_chat_is_written_as_its_template_says() -> None:
    model = parse(TEMPLATED).model
    assert model is not None and model.chat_template and model.eos_token == "</s>"
    template = sandbox.environment().from_string(model.chat_template)
    system, hello, hi = (
        {"role": role, "content": text}
        for role, text in (("system", "Be kind."), ("user", "Hello"), ("assistant", "Hi"))
    )

    assert template.render(messages=[system, hello, hi, hello]) == (
        "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHello [/INST] Hi </s><s>[INST] Hello [/INST]"
    )
    with pytest.raises(jinja2.TemplateError, match="roles must alternate"):
        template.render(messages=[hello, hello])


@pytest.mark.parametrize("name", [".dstack.yml", "train.dstack.yml", "serve.dstack.yml"])
def test_a_file_of_such_a_name_is_read_without_a_word(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(TGI)

    given = None if name == ".dstack.yml" else str(tmp_path / name)
    assert read_configuration(tmp_path, given).text == TGI
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("flags", "environ"),
    [
        (["HUGGING_FACE_HUB_TOKEN=hf_1"], {}),
        ([], {"HUGGING_FACE_HUB_TOKEN": "hf_1"}),
        (["HUGGING_FACE_HUB_TOKEN"], {"HUGGING_FACE_HUB_TOKEN": "hf_1"}),
        (["HUGGING_FACE_HUB_TOKEN=hf_1"], {"HUGGING_FACE_HUB_TOKEN": "another"}),
    ],
)
def test_a_variable_without_a_value_takes_it_from_a_flag_or_the_shell(
    flags: list[str], environ: dict[str, str]
) -> None:
    assert passed_values(WITH_TOKEN, flags, environ=environ) == {"HUGGING_FACE_HUB_TOKEN": "hf_1"}


def test_a_variable_that_nobody_gives_is_asked_for() -> None:
    with pytest.raises(CliError, match="pass -e HUGGING_FACE_HUB_TOKEN=VALUE, or set it in this"):
        passed_values(WITH_TOKEN, [], environ={})
