"""The configuration of a backend as the command line is given it: a file, and keys with values."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps.cli.errors import CliError
from apps.cli.render.console import clean
from apps.specs import parse
from apps.specs.errors import SpecError
from apps.specs.yaml import tree

STDIN = "-"
MOST_BYTES = 2**20
SHAPES = ("[", "{")
WORDS = {"true": True, "false": False, "null": None}


def read(file: str | None, pairs: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of a file (YAML or JSON, `-` is stdin) with `KEY=VALUE` set in it.

    Raise CliError, which repeats no value: it may be a secret.
    """
    config = _of_file(file) if file is not None else {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CliError(f"--set takes KEY=VALUE, and {clean(key)[:40]!r} has no value.")
        _put(config, key.split("."), _value(key, value))
    return config


def _of_file(file: str) -> dict[str, Any]:
    name, data = ("stdin", sys.stdin.buffer.read(MOST_BYTES + 1)) if file == STDIN else _read(file)
    if len(data) > MOST_BYTES:
        raise CliError(f"{name} is larger than 1 MB: it is no configuration of a backend.")
    found = _yaml(name, data)
    if not isinstance(found, dict):
        raise CliError(f"{name} must have keys and values, such as `regions: [us-east-1]`.")
    return found


def _read(file: str) -> tuple[str, bytes]:
    name = clean(file)[:200]
    try:
        with Path(file).open("rb") as opened:
            return name, opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise CliError(f"{name} cannot be read: {clean(reason)}.") from error


def _yaml(name: str, data: bytes) -> Any:
    """Read YAML, of which JSON is a part. What a parser says of a line may repeat it."""
    try:
        document = tree.read(parse.decode(data))
        problems = document.problems
    except SpecError as error:
        problems = error.problems
    if problems:
        where = f", line {problems[0].line}" if problems[0].line else ""
        raise CliError(f"{name} is no YAML or JSON that can be read{where}.")
    return _plain(document.data)


def _plain(value: Any) -> Any:
    """Numbers as they were written: an account of 012345678901 is text, and only text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return getattr(value, "source", value)


def _value(key: str, text: str) -> Any:
    """Text is text, also where it looks like a number; lists and mappings are written as YAML."""
    if text in WORDS:
        return WORDS[text]
    return (
        _yaml(f"The value of --set {clean(key)[:40]}", text.encode(errors="surrogateescape"))
        if (text.startswith(SHAPES))
        else text
    )


def _put(config: dict[str, Any], steps: Sequence[str], value: Any) -> None:
    for step in steps[:-1]:
        below = config.setdefault(step, {})
        if not isinstance(below, dict):
            raise CliError(f"--set {clean('.'.join(steps))[:40]}: {clean(step)[:40]} has no keys.")
        config = below
    config[steps[-1]] = value
