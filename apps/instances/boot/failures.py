"""What to say of a machine that never called: which it was, why, how its console ends. Pure."""

from __future__ import annotations

import re

# What a boot was given must not be read in its console by whoever sees the page.
TOKEN = re.compile(r"dsk_([a-z])_\w+")
KEPT_CHARACTERS = 4000
# The end of a console is where the reason stands, and nobody reads more of it in a sentence.
CONSOLE_LINES, CONSOLE_CHARACTERS, MESSAGE_CHARACTERS, REF_CHARACTERS = 4, 240, 200, 64


def sentence(*, ref: str, name: str, reason: str, message: str = "", console: str = "") -> str:
    """Return one sentence about the machine, in characters that a page can show."""
    said = f"machine {_named(ref, name)} {reason}"
    if message := printable(message)[:MESSAGE_CHARACTERS].rstrip(". "):
        said += f": {message}"
    if tail := console_tail(console):
        said += f"; its console ends with: {tail}"
    return said


def console_tail(console: str) -> str:
    """Return the last lines in one, without control characters, at most so many characters."""
    lines = [line for each in _lines(console) if (line := printable(each))]
    return " / ".join(lines[-CONSOLE_LINES:])[-CONSOLE_CHARACTERS:].strip()


def kept_console(console: str) -> str:
    """Return the end of a console in lines that a page can show, without tokens."""
    return "\n".join(printable(line) for line in _lines(console))[-KEPT_CHARACTERS:].strip()


def _lines(console: str) -> list[str]:
    return TOKEN.sub(r"dsk_\1_...", console).splitlines()


def printable(text: str) -> str:
    """Return the text in one line, with a space for whatever does not print."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _named(ref: str, name: str) -> str:
    """A reference is whatever the provider makes of it: JSON or a long one tells nobody anything,
    the name under which the machine was made does."""
    is_plain = ref.isprintable() and not ref.startswith("{") and len(ref) <= REF_CHARACTERS
    return ref if ref and is_plain else name
