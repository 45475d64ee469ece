"""Each service of dstack's documentation is understood as it is printed, and its chats are written
as its template says."""

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
from tests.known_services import MAPPED, SCALED, TEMPLATED, TGI, WITH_TOKEN


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
