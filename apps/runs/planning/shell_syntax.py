"""What a shell cannot read, found before anything runs: `bash -n` parses and executes nothing.

A machine that has no such shell refuses nothing. Nor does what only may be wrong: an item counts
as unreadable when every dialect refuses it that could be the one in which it will run.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache

from apps.specs.commands import Script, Unreadable

# All of it together: a page asks at each pause of typing.
MOST_SECONDS = 2.0
# Each one is a process, two where the first dialect refuses it; a service has a few.
MOST_ITEMS = 100
MOST_BYTES = 128 * 1024
# Who reads of so many looks at the rest by themselves.
MOST_REFUSED = 10
REMEMBERED_CHARACTERS = 2000
# A shell quotes the word over which it stumbled, however long that is.
LONGEST_REASON = 200

_BASH = (("bash", "-n"), ("bash", "-O", "extglob", "-n"))
_SH = (("sh", "-n"),)
# The `sh` of an image may be a bash.
_SH_OF_AN_IMAGE = (*_SH, *_BASH)
_DASH = (("dash", "-n"),)
# Aliases change what a text means, and which there are is known only when it runs.
_ALIASES = {"bash": re.compile(r"expand_aliases|posix"), "sh": re.compile(r"\balias\b")}

_LINE = re.compile(r"[\w./-]+: (?:line )?(?:(\d+): )?(.+)")
_OPEN_END = re.compile(r"end of file|unexpected EOF|Unterminated|Missing|^EOF in", re.IGNORECASE)
_WHOLE = (
    "each item is a command of its own, so a block, quote or bracket that it opens must close in it"
)

Dialect = tuple[str, ...]


def unreadable(script: Script) -> Iterator[Unreadable]:
    """Yield the items that the shell of this script would refuse."""
    name = posixpath.basename(script.shell or "bash")
    dialects = _dialects(name, has_image=script.has_image)
    if not dialects:
        return
    give_up_at, refused = time.monotonic() + MOST_SECONDS, 0
    aliases = _ALIASES["bash" if name == "bash" else "sh"]
    for at, item in enumerate(script.items[:MOST_ITEMS]):
        if refused == MOST_REFUSED or aliases.search(item):
            return
        try:
            found = _refused(dialects, item, give_up_at)
        except Undecided:
            continue
        if found:
            refused += 1
            yield Unreadable(at, *found)


class Undecided(Exception):
    """The shell did not come to an end in time, or broke down over the text."""


def _dialects(name: str, *, has_image: bool) -> Sequence[Dialect]:
    """The ways in which it may be read; none where one of them cannot be tried here."""
    known = {"bash": _BASH, "sh": _SH_OF_AN_IMAGE if has_image else _SH, "dash": _DASH}
    dialects = known.get(name, ())
    return dialects if all(shutil.which(program) for program, *_ in dialects) else ()


def _refused(dialects: Sequence[Dialect], text: str, give_up_at: float) -> tuple[int, str] | None:
    """The line and message of the first dialect when all refuse; raise Undecided."""
    first = None
    for dialect in dialects:
        seconds = give_up_at - time.monotonic()
        if seconds <= 0 or len(text.encode()) > MOST_BYTES:
            raise Undecided
        ask = _remembered if len(text) <= REMEMBERED_CHARACTERS else _ask
        said = ask(dialect, text)
        if said is None:
            return None
        first = first or _in_words(dialect[0], said, text)
    return first


def _ask(dialect: Dialect, text: str) -> str | None:
    """What the shell says against a text, None if nothing. Raise Undecided."""
    with os.fdopen(os.memfd_create("commands"), "w+b") as script:
        script.write(text.encode())
        script.seek(0)
        try:
            done = subprocess.run(
                [shutil.which(dialect[0]) or dialect[0], *dialect[1:]],
                stdin=script,
                capture_output=True,
                cwd="/",
                env={"LC_ALL": "C.UTF-8"},
                timeout=MOST_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Undecided from error
    if done.returncode < 0:
        raise Undecided
    return done.stderr.decode(errors="replace") if done.returncode else None


@lru_cache(maxsize=1024)
def _remembered(dialect: Dialect, text: str) -> str | None:
    return _ask(dialect, text)


def _in_words(shell: str, said: str, text: str) -> tuple[int, str]:
    lines = [line for line in said.splitlines() if ": warning: " not in line]
    found = _LINE.fullmatch(lines[0]) if lines else None
    number, reason = (found[1], found[2]) if found else (None, "it is not valid")
    # Text that is not closed is missed behind its last line.
    line = min(int(number or 1), text.rstrip("\n").count("\n") + 1)
    if len(reason) > LONGEST_REASON:
        reason = f"{reason[:LONGEST_REASON]}…"
    reason = reason[0].lower() + reason[1:] if reason.startswith("Syntax") else reason
    advice = f"; {_WHOLE}" if _OPEN_END.search(reason) else ""
    return line, f"{shell} cannot read it: {reason}{advice}"
