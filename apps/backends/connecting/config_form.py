"""The form of a backend's configuration, drawn from the JSON Schema of its kind. Pure.

A field is named by its path, in which the type of credentials has a place of its own, since two
types may have fields of one name: `creds.access_key.secret_key`. What is wrong with it is told of
`creds.secret_key`, which is what a person writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from apps.backends.base import Config

TEXT, SECRET, LIST, SWITCH = "text", "secret", "list", "switch"
# What is chosen to leave the credentials of a backend as they are.
KEEP = "keep"
# What is said of a secret in a form that was sent before: no page keeps one.
ANEW = "Not kept from before: type it again."


@dataclass(frozen=True)
class Input:
    """One value to type; `value` is what is there already, and never a secret."""

    name: str
    label: str
    kind: str = TEXT
    hint: str = ""
    is_required: bool = False
    is_nullable: bool = False
    value: str = field(default="", repr=False)
    is_on: bool = False
    error: str = ""


@dataclass(frozen=True)
class Option:
    tag: str
    label: str
    hint: str
    inputs: Sequence[Input]
    is_chosen: bool


@dataclass(frozen=True)
class Choice:
    """One of several types, each with fields of its own."""

    name: str
    label: str
    options: Sequence[Option]
    error: str = ""
    kind: str = "choice"


@dataclass(frozen=True)
class Given:
    """What is in the form: values of a stored configuration or of a form that was sent, by name,
    and what is wrong with it. `is_again`: it was sent before, without what a page may not keep."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    problems: Mapping[str, str] = field(default_factory=dict)
    is_again: bool = False

    def error(self, name: str) -> str:
        """Return what is wrong with the field or with one of its items."""
        found = [text for at, text in self.problems.items() if f"{at}.".startswith(f"{name}.")]
        return "; ".join(found)


def draw(model: type[Config], given: Given, *, may_keep: bool = False) -> list[Input | Choice]:
    """Return the fields of a kind's form. A stored backend may keep its credentials."""
    schema = model.model_json_schema()
    required = schema.get("required", ())
    return [
        _choice(schema, name, found, given, may_keep=may_keep)
        if "discriminator" in found or "$ref" in found
        else _input(name, name, found, given, is_required=name in required)
        for name, found in schema["properties"].items()
    ]


def read(model: type[Config], sent: Mapping[str, str]) -> dict[str, Any]:
    """Return the configuration of a form that was sent; what must not be empty is left out."""
    config: dict[str, Any] = {}
    for each in draw(model, Given(sent)):
        if isinstance(each, Choice):
            tag = sent.get(f"{each.name}.type", "")
            if tag and tag != KEEP:
                inputs = [
                    one for option in each.options if option.tag == tag for one in option.inputs
                ]
                config[each.name] = {"type": tag, **dict(_typed(inputs, sent))}
        else:
            config |= dict(_typed([each], sent))
    return config


def stored(config: Mapping[str, Any]) -> dict[str, str]:
    """Return what a stored configuration has for the form; secrets were left out before."""
    return {name: _text(value) for name, value in config.items() if value not in (None, [])}


def typed(
    model: type[Config], config: Mapping[str, Any], *, may_keep: bool = False
) -> dict[str, str]:
    """Return what somebody would type into the form for this configuration, but its secrets."""
    values: dict[str, str] = {}
    for each in draw(model, Given()):
        value = config.get(each.name)
        if not isinstance(each, Choice):
            values |= _shown([each], config)
        elif isinstance(value, Mapping):
            tag = value.get("type")
            inputs = [one for option in each.options if option.tag == tag for one in option.inputs]
            values |= {f"{each.name}.type": str(tag), **_shown(inputs, value)}
        elif may_keep:
            values[f"{each.name}.type"] = KEEP
    return values


def _shown(inputs: Sequence[Input], config: Mapping[str, Any]) -> dict[str, str]:
    # A switch that nobody named stands as it does in an empty form.
    told = {
        each.name: config.get(_key(each), each.is_on if each.kind == SWITCH else None)
        for each in inputs
        if each.kind != SECRET
    }
    return {
        name: _text(value)
        for name, value in told.items()
        if isinstance(value, str | bool | list | tuple)
    }


def _key(each: Input) -> str:
    return each.name.rpartition(".")[2]


def _typed(inputs: Sequence[Input], sent: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for each in inputs:
        key, text = _key(each), sent.get(each.name, "").strip()
        if each.kind == SWITCH:
            yield key, bool(text)
        elif each.kind == LIST:
            yield key, [part for part in text.replace(",", " ").split() if part]
        elif text or each.is_nullable:
            # What was emptied is taken away from what is stored.
            yield key, text or None


def _choice(
    schema: Mapping[str, Any], name: str, found: Mapping[str, Any], given: Given, *, may_keep: bool
) -> Choice:
    kept = [Option(KEEP, "Keep those that it has", "", (), is_chosen=True)] if may_keep else []
    tags = _tags(schema, found)
    first = KEEP if may_keep else next(iter(tags))
    chosen = given.values.get(f"{name}.type", first)
    options = []
    for tag, ref in tags.items():
        model = schema["$defs"][ref.rpartition("/")[2]]
        required = model.get("required", ())
        at = f"{name}.{tag}" if "discriminator" in found else name
        inputs = [
            _input(f"{at}.{key}", key, each, given, is_required=key in required)
            for key, each in model["properties"].items()
            if key != "type"
        ]
        if chosen == tag:
            inputs = [replace(each, error=given.error(f"{name}.{_key(each)}")) for each in inputs]
        label, hint = model.get("title", tag), " ".join(model.get("description", "").split())
        options.append(Option(tag, label, hint, inputs, chosen == tag))
    label = found.get("title", _label(name))
    return Choice(name, label, [*kept, *options], given.problems.get(name, ""))


def _tags(schema: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, str]:
    """Return where each type of credentials is described, by its name; there may be one alone."""
    if "discriminator" in found:
        # In the order in which they were written down: the first is what most people have.
        order = [each["$ref"] for each in found["oneOf"]]
        mapped = found["discriminator"]["mapping"].items()
        return dict(sorted(mapped, key=lambda each: order.index(each[1])))
    model = schema["$defs"][found["$ref"].rpartition("/")[2]]
    return {model["properties"]["type"]["const"]: found["$ref"]}


def _input(
    name: str, key: str, found: Mapping[str, Any], given: Given, *, is_required: bool
) -> Input:
    shape = next((one for one in found.get("anyOf", [found]) if one.get("type") != "null"), found)
    kinds = {"array": LIST, "boolean": SWITCH}
    kind = SECRET if found.get("secret") else kinds.get(shape.get("type", ""), TEXT)
    value = given.values.get(name, "")
    is_on = bool(value) if given.values else bool(found.get("default"))
    hint = found.get("description", "")
    if kind == SECRET and given.is_again:
        hint = f"{hint} {ANEW}".strip()
    return Input(
        name=name,
        label=found.get("title", _label(key)),
        kind=kind,
        hint=hint,
        is_required=is_required,
        is_nullable=any(one.get("type") == "null" for one in found.get("anyOf", ())),
        value="" if kind == SECRET else value,
        is_on=kind == SWITCH and is_on,
        error=given.error(name),
    )


def _label(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
