"""`model`: the name under which the gateway's OpenAI API offers the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from apps.specs.errors import Misfit
from apps.specs.fields.field_types import OWN, Form, JsonSchema, Section
from apps.specs.fields.scalars import choice, found, line, text
from apps.specs.sections.network import PREFIX, read_prefix

_TEXT: JsonSchema = {"type": "string"}
_LINE: JsonSchema = {"type": "string", "minLength": 1, "maxLength": 256}
MODEL: JsonSchema = {"anyOf": [_LINE, OWN]}

# What only one of the two formats understands; anything else would be ignored in silence.
_ONLY_TGI = ("chat_template", "bos_token", "eos_token")
_ONLY_OPENAI = ("prefix",)


def _name(value: Any) -> str:
    return line(value, limit=256)


def _prefix(value: Any) -> str:
    return read_prefix(value).rstrip("/")


class Model(Section):
    """A model mapping; `prefix` is of format openai, the template and tokens are of tgi."""

    type: Annotated[Literal["chat"], Form(choice("chat"), {"const": "chat"})] = "chat"
    name: Annotated[str, Form(_name, _LINE)]
    format: Annotated[
        Literal["tgi", "openai"], Form(choice("tgi", "openai"), {"enum": ["tgi", "openai"]})
    ] = "openai"
    prefix: Annotated[str, Form(_prefix, PREFIX)] = "/v1"
    chat_template: Annotated[str | None, Form(text, _TEXT)] = None
    bos_token: Annotated[str | None, Form(line, _LINE)] = None
    eos_token: Annotated[str | None, Form(line, _LINE)] = None


def read_model(value: Any) -> Any:
    """Read a bare name as an OpenAI model; a mapping is left to the model."""
    if not isinstance(value, Mapping):
        if not isinstance(value, str):
            raise Misfit(
                f"expected a model's name or a mapping with name and format, {found(value)}"
            )
        return Model.of(name=_name(value))
    strangers = _ONLY_OPENAI if value.get("format") == "tgi" else _ONLY_TGI
    other = "openai" if value.get("format") == "tgi" else "tgi"
    problems = [
        ((key,), f"{key} works with `format: {other}` only: remove it or change the format")
        for key in strangers
        if value.get(key) is not None
    ]
    if problems:
        raise Misfit(below=problems)
    return value
