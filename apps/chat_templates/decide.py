"""Where the chat template of a TGI model comes from, and what its repository says. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from apps.core.backoff import Backoff

NOT_YET = "its repository is being read"
FRESH = timedelta(hours=1)
BACKOFF = Backoff(timedelta(seconds=5), timedelta(minutes=10))
TOKEN_NAMES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")
LONGEST_TOKEN = 200

# The files of a repository that say how to write a chat, in the order of their asking.
TEMPLATE = "chat_template.jinja"
TOOL_TEMPLATE = "additional_chat_templates/tool_use.jinja"
CONFIG = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?"
_REPOSITORY = re.compile(rf"(?:{_PART}/)?{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Unreadable(Exception):
    """What is asked for is not there; the text is for the person, without a full stop."""


@dataclass(frozen=True)
class Source:
    """A repository of a hub."""

    name: str
    revision: str


@dataclass(frozen=True)
class Said:
    """What a repository says; empty is nothing."""

    chat_template: str = ""
    tool_template: str = ""
    bos_token: str = ""
    eos_token: str = ""


def left_open(model: Mapping[str, Any]) -> list[str]:
    """Return the keys of a TGI model that must come from its repository: the
    template, else the tokens that the given one uses."""
    template = model["chat_template"]
    if template is None:
        return ["chat_template"]
    tokens = ("bos_token", "eos_token")
    return [name for name in tokens if name in template and model.get(name) is None]


def source_of(model: Mapping[str, Any], env: Mapping[str, str]) -> Source:
    """Return the repository that a run's model comes from: TGI's own variables
    say so, else the model's name. Raise Unreadable."""
    named = env.get("MODEL_ID", "").strip()
    name, where = (named, "MODEL_ID") if named else (model["name"], "model.name")
    if name.startswith(("/", ".", "~")):
        raise Unreadable(f"{where} is {name}, a path on the replica, which nobody can read here")
    if not _REPOSITORY.fullmatch(name) or ".." in name:
        raise Unreadable(f"{where} is {name}, which is no name of a repository")
    revision = env.get("REVISION", "").strip() or "main"
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise Unreadable(f"REVISION is {revision}, which is no name of a revision")
    return Source(name, revision)


def token_of(env: Mapping[str, str]) -> str:
    """Return the hub's token among the variables of a run, or nothing."""
    return next((env[name].strip() for name in TOKEN_NAMES if env.get(name, "").strip()), "")


def notice(model: Mapping[str, Any], missing: list[str], why: str) -> str:
    """Tell a person what is missing, why, and what to do."""
    what = "chat template" if "chat_template" in missing else " and no ".join(missing)
    keys = " and ".join(f"model.{name}" for name in missing)
    return f"No {what} is known for {model['name']}: {why}. Set {keys}."


def read_files(files: Mapping[str, str]) -> Said:
    """Read a repository's files, those that are there, by name. Raises
    Unreadable."""
    config, special = _json(files, CONFIG), _json(files, SPECIAL)
    templates = _templates(config.get("chat_template"))
    if TEMPLATE in files:
        templates["default"] = files[TEMPLATE]
    if TOOL_TEMPLATE in files:
        templates["tool_use"] = files[TOOL_TEMPLATE]
    said = Said(
        chat_template=templates.get("default", ""),
        tool_template=templates.get("tool_use", ""),
        bos_token=_token(config.get("bos_token")) or _token(special.get("bos_token")),
        eos_token=_token(config.get("eos_token")) or _token(special.get("eos_token")),
    )
    if not all(_is_text(value) for value in vars(said).values()):
        raise Unreadable("its chat template holds what is no text")
    return said


def _is_text(value: str) -> bool:
    """The database keeps neither NUL nor half a character."""
    return "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)


def _json(files: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        read = json.loads(files.get(name, "{}"))
    except (ValueError, RecursionError):
        raise Unreadable(f"its {name} is not JSON") from None
    if not isinstance(read, dict):
        raise Unreadable(f"its {name} is not a JSON object")
    return read


def _templates(value: Any) -> dict[str, str]:
    """A string, or a list of {name, template}."""
    if isinstance(value, str):
        return {"default": value}
    named = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    return {
        each["name"]: each["template"]
        for each in named
        if isinstance(each.get("name"), str) and isinstance(each.get("template"), str)
    }


def _token(value: Any) -> str:
    """A string, or an object with the string as `content`."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) and len(text) <= LONGEST_TOKEN else ""
