"""The configuration of a backend as the command line is given it: a file, and keys with values."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps.cli.errors import CliError
from apps.cli.render.console import clean
from apps.specs import plain
from apps.specs.errors import SpecError

STDIN = "-"
MOST_BYTES = 2**20
SHAPES = ("[", "{")
WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


def read(file: str | None, pairs: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of a file (YAML or JSON, `-` is stdin) with `KEY=VALUE` set in it.

    Raise CliError, which repeats no value: it may be a secret.
    """
    config = _of_file(file) if file is not None else {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CliError(
                "--set takes KEY=VALUE, such as regions=us-east-1; one has no key or no =."
            )
        _put(config, key.split("."), _value(key, value))
    return config


def _of_file(file: str) -> dict[str, Any]:
    name, data = ("stdin", sys.stdin.buffer.read(MOST_BYTES + 1)) if file == STDIN else _read(file)
    if len(data) > MOST_BYTES:
        raise CliError(f"{name} is larger than 1 MB: it is no configuration of a backend.")
    try:
        return plain.mapping(data)
    except SpecError as error:
        raise CliError(f"{name} {error}.") from error


def _read(file: str) -> tuple[str, bytes]:
    name = clean(file)[:200]
    try:
        with Path(file).open("rb") as opened:
            return name, opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise CliError(f"{name} cannot be read: {clean(reason)}.") from error


def _value(key: str, text: str) -> Any:
    """Text is text, also where it looks like a number; lists and mappings are written as YAML."""
    if not text.startswith(SHAPES):
        return WORDS.get(text, text)
    try:
        return plain.value(text.encode(errors="surrogateescape"))
    except SpecError as error:
        raise CliError(f"The value of --set {clean(key)[:40]} {error}.") from error


def _put(config: dict[str, Any], steps: Sequence[str], value: Any) -> None:
    for step in steps[:-1]:
        below = config.setdefault(step, {})
        if not isinstance(below, dict):
            raise CliError(f"--set {clean('.'.join(steps))[:40]}: {clean(step)[:40]} has no keys.")
        config = below
    config[steps[-1]] = value
