"""Reading the configuration of a backend: what is wrong with it, in words that show no secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from apps.backends.base import Config
from apps.backends.registry import PROVIDERS
from apps.core.errors import Detail, Invalid
from apps.core.http.input_paths import Step, written

MOST_PROBLEMS = 20
LONGEST_PATH = 60
# What pydantic says of these repeats what was given, or speaks of Python.
WORDS = {
    "missing": "is missing",
    "extra_forbidden": "there is no such key",
    "union_tag_not_found": "is missing: say which `type` it is",
    "string_type": "must be text",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "model_type": "must have keys and values",
    "model_attributes_type": "must have keys and values",
    "string_too_short": "is too short",
    "string_too_long": "is too long",
    "too_long": "has too many entries",
}


def checked(kind: str, config: Mapping[str, Any]) -> Config:
    """Return the configuration of a kind that there is. Raise Invalid with every problem."""
    model = PROVIDERS[kind].Config
    try:
        return model.model_validate(dict(config))
    except ValidationError as error:
        details = list(_details(model, error))[:MOST_PROBLEMS]
    words = "; ".join(f"{each.path or 'config'} {each.message}" for each in details)
    raise Invalid(f"The configuration of {kind} is wrong: {words}.", details=details)


def shown(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a configuration is no secret."""
    secret = PROVIDERS[kind].Config.secret_fields()
    return {key: value for key, value in config.items() if key not in secret}


def _details(model: type[Config], error: ValidationError) -> Iterator[Detail]:
    seen = set()
    for each in error.errors(include_url=False, include_input=False):
        detail = Detail(_path(written(model, each["loc"])), _words(each))
        if detail not in seen:
            seen.add(detail)
            yield detail


def _words(each: Mapping[str, Any]) -> str:
    told, context = str(each["type"]), each.get("ctx", {})
    if told == "union_tag_invalid":
        # In an order of its own each time.
        known = sorted(context["expected_tags"].split(", "))
        return f"has no such `type`; there is: {', '.join(known)}"
    if told == "value_error":
        return str(context["error"])
    return WORDS.get(told) or str(each["msg"])[:1].lower() + str(each["msg"])[1:]


def _path(loc: tuple[Step, ...]) -> str:
    """Write where it is as a person does; a key that nobody could mean is cut short."""
    text = ".".join(str(step) for step in loc)
    printable = "".join(each if each.isprintable() else "?" for each in text)
    return printable[:LONGEST_PATH]
