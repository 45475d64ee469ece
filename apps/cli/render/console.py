"""The terminal: what is printed, asked and coloured. Colours only where a person looks at them."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from apps.cli.errors import CliError

_CODES = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36, "bold": 1, "dim": 2}


def say(text: str = "") -> None:
    """Print a line at once, so that a pipe sees it when it happens."""
    print(text, flush=True)


def warn(text: str) -> None:
    """Print a warning beside the output."""
    label = paint("Warning:", "yellow", stream=sys.stderr)
    print(f"{label} {text}", file=sys.stderr, flush=True)


def complain(error: CliError) -> None:
    """Print what ended the command, with the lines that belong to it."""
    label = paint("Error:", "red", stream=sys.stderr)
    print(f"{label} {error.message}", file=sys.stderr)
    for note in error.notes:
        print(f"  {note}", file=sys.stderr)
    sys.stderr.flush()


def ask(question: str, *, instead: str = "add -y to go ahead") -> bool:
    """Ask until the answer is yes or no.

    Raise CliError where nobody can answer; `instead` says what to do then.
    """
    if not sys.stdin.isatty():
        raise CliError(f"Nobody can answer '{question}' because stdin is no terminal: {instead}.")
    while True:
        print(f"{question} [y/n]: ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            print()
            raise CliError("No answer was given; nothing was changed.")
        answer = line.strip().lower()
        if answer in ("y", "yes"):
            return True
        if answer in ("n", "no"):
            return False


def is_live(stream: TextIO | None = None) -> bool:
    """Tell whether a stream (stdout) is a terminal that can move its cursor."""
    return (stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, *, stream: TextIO | None = None) -> str:
    """Colour a text if it goes to a terminal; NO_COLOR is honoured."""
    if not colour or not text or os.environ.get("NO_COLOR") or not is_live(stream):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def clean(text: object) -> str:
    """Make control characters visible: a stored text must not drive a terminal.

    Output of the user's own program (logs) is the one thing that is printed raw.
    """
    return "".join(c if c.isprintable() else _visible(c) for c in str(text))


def _visible(character: str) -> str:
    return {"\n": "\\n", "\t": " "}.get(character, character.encode("unicode_escape").decode())
