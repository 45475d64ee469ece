"""What Microsoft's own models say of a request and of an answer.

They lie in the wheels of Microsoft's libraries: which fields there are, which have to be there,
which only Azure writes, and the words that a field may have. What they do not allow in a request is
refused as Azure does; an answer that they do not know is a fault of the fake.
"""

from __future__ import annotations

import datetime
import importlib
import types
import typing
from collections.abc import Mapping, MutableMapping
from enum import Enum
from functools import cache
from typing import Any

COMPUTE, NETWORK = "azure.mgmt.compute.models", "azure.mgmt.network.models"
RESOURCES = "azure.mgmt.resource.resources.models"
# Microsoft's list of sizes ends some years ago.
OLD_LISTS = ("VirtualMachineSizeTypes",)
PLAIN: dict[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (int, float),
    bool: (bool,),
    datetime.datetime: (str,),
    bytes: (str,),
}


class NotAllowed(Exception):
    """Azure would answer 400."""


def check_request(module: str, model: str, body: Any) -> None:
    """Raise NotAllowed for what the model does not allow."""
    _check(_model(module, model), body, "", is_request=True)


def check_answer(module: str, model: str, answer: Any) -> None:
    """Raise AssertionError for an answer that the model does not know."""
    try:
        _check(_model(module, model), answer, "", is_request=False)
    except NotAllowed as error:
        raise AssertionError(f"the fake answers {model} wrongly: {error}") from None


@cache
def _model(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


class Field(typing.NamedTuple):
    hint: Any
    is_required: bool
    is_read_only: bool


@cache
def _fields(model: Any) -> dict[str, Field]:
    """Return the fields of a model by their names in JSON."""
    models = importlib.import_module(model.__module__.rpartition(".")[0])
    names = {**vars(typing), "_models": models, "datetime": datetime}
    hints = typing.get_type_hints(model, localns=names)
    model()  # A model knows its fields once one was made.
    found = {}
    for name, rest in model._attr_to_rest_field.items():
        hint = hints.get(name, Any)
        is_required = hint is not Any and type(None) not in typing.get_args(hint)
        is_read_only = list(rest._visibility or ()) == ["read"]
        found[str(rest._rest_name)] = Field(hint, is_required, is_read_only)
    return found


def _check(model: Any, value: Any, path: str, *, is_request: bool) -> None:
    if not isinstance(value, Mapping):
        raise NotAllowed(f"'{path}' must be an object")
    fields = _fields(model)
    if strange := set(value) - set(fields):
        raise NotAllowed(f"Could not find member '{sorted(strange)[0]}' on '{path}'")
    for key, field in fields.items():
        if value.get(key) is None:
            if field.is_required and not (is_request and field.is_read_only):
                raise NotAllowed(f"Required parameter '{path}.{key}' is missing")
        elif is_request and field.is_read_only:
            raise NotAllowed(f"'{path}.{key}' is read-only")
        else:
            _check_value(field.hint, value[key], f"{path}.{key}", is_request=is_request)


def _check_value(hint: Any, value: Any, path: str, *, is_request: bool) -> None:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        _check_one_of(parts, value, path, is_request=is_request)
    elif origin in (list, dict):
        if not isinstance(value, origin):
            raise NotAllowed(f"'{path}' must be a {origin.__name__}")
        rows = value.items() if origin is dict else enumerate(value)
        for key, each in rows:
            _check_value(parts[-1], each, f"{path}.{key}", is_request=is_request)
    elif isinstance(hint, type) and issubclass(hint, MutableMapping):
        _check(hint, value, path, is_request=is_request)
    elif hint in PLAIN:
        is_wrong_bool = isinstance(value, bool) and hint is not bool
        if is_wrong_bool or not isinstance(value, PLAIN[hint]):
            raise NotAllowed(f"'{path}' must be {hint.__name__}, and is {value!r}")


def _check_one_of(parts: tuple[Any, ...], value: Any, path: str, *, is_request: bool) -> None:
    kinds = [part for part in parts if part is not type(None)]
    words = [part for part in kinds if isinstance(part, type) and issubclass(part, Enum)]
    if words:
        _check_word(words[0], value, path)
    else:
        _check_value(kinds[0], value, path, is_request=is_request)


def _check_word(words: type[Enum], value: Any, path: str) -> None:
    known = [each.value for each in words]
    if words.__name__ not in OLD_LISTS and value not in known:
        raise NotAllowed(f"'{path}' is {value!r}, which is none of {known}")
