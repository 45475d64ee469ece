"""Rendering chat templates as the field's reference does. Runs in a child process only.

The sandbox keeps a template from reaching Python; time, memory and output are bounded around it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

import jinja2
import jinja2.utils
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

# Eight million characters: several times what the longest context of any model takes.
MOST_CHARACTERS = 8 * 2**20


# Where the last message ends, with a space behind it that shows whether messages are stripped.
MARK = "\ue000end of what is to be continued\ue001 "


class TooLong(Exception):
    """The template writes without an end."""


class Generation(Extension):
    """`{% generation %}` marks what an assistant said, for training; here it says nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        block = nodes.CallBlock(self.call_method("_as_it_is"), [], [], body)
        return block.set_lineno(line)

    def _as_it_is(self, caller: Callable[[], str]) -> str:
        return caller()


class Namespace(jinja2.utils.Namespace):
    """Attributes with underscores are how sandboxes were left before."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        # As in Jinja itself: without names, so that `namespace(self=...)` is possible.
        self, given = args[0], dict(*args[1:], **kwargs)
        for name in given:
            _check_name(name)
        jinja2.utils.Namespace.__init__(self, given)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace takes no attribute {name!r}")


def _dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    """Jinja gives templates the class itself."""
    return dict(*args, **kwargs)


def environment() -> jinja2.Environment:
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = _raise_exception
    made.globals["strftime_now"] = _strftime_now
    made.globals["dict"] = _dict
    made.globals["namespace"] = Namespace
    return made


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own would write HTML entities."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005  # the date where the model runs, as said


def render(template: jinja2.Template, variables: dict[str, Any], *, continues: bool) -> str:
    """Return the prompt; with `continues` it ends where the last message does.

    Raise TooLong, jinja2.TemplateError, and whatever the template brings about.
    """
    if continues:
        variables["messages"][-1]["content"] += MARK
    parts, length = [], 0
    for part in template.generate(**variables):
        length += len(part)
        if length > MOST_CHARACTERS:
            raise TooLong
        parts.append(part)
    prompt = "".join(parts)
    return _until_mark(prompt) if continues else prompt


def _until_mark(prompt: str) -> str:
    end = prompt.rfind(MARK.rstrip())
    if end < 0:
        raise jinja2.TemplateError(
            "the template leaves out the last message, so that it cannot be continued"
        )
    # Where the template stripped the mark, it would have stripped the message too.
    return prompt[:end] if prompt.startswith(MARK, end) else prompt[:end].rstrip()
