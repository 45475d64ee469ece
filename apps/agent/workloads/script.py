"""What a shell is given for a service's `commands`: one program, for processes and containers.

Each item is a command of its own in one shell: what it exports, defines or sets is there for the
next, which runs only if it succeeded. Text that does not end where its item ends (a comment, a
here-document, a block, a quote) must not reach into the next item, so it goes through `eval`.
Simple commands need no fence and stand as they are, so that `$_`, `trap ... ERR`, `set -x` and
messages of the shell are those of a command that was typed. The last item is followed by nothing:
it stands bare, and shells that can do so become it instead of waiting for it.
"""

from __future__ import annotations

import posixpath
import re
import shlex
import typing

from apps.agent import wire
from apps.agent.workloads.executor import PrepareFailed

# Shells that understand the program. What others do (fish, a Python) is theirs.
BOURNE = ("sh", "bash", "dash", "ash", "zsh", "ksh", "ksh93", "mksh")
# No test and no `||`: they would switch off the person's own `set -e` and `trap ... ERR`, and a
# variable or function would be one too many.
UNLESS_FAILED = "case $? in 0) ;; *) exit $? ;; esac"

_WORD = r"""(?:[\w./:=,+@%~*?-]|\$\w|'[^']*'|"(?:[^"\\`$]|\$\w)*")+"""
_RESERVED = "if|then|else|elif|fi|do|done|case|esac|while|until|for|in|select|function|time|coproc"
_REDIRECTION = rf" *(?:>>?|<)&? *{_WORD}"
_COMMAND = rf"(?!(?:{_RESERVED})(?![\w./:=,+@%~*?$'\"-])){_WORD}(?: +{_WORD}|{_REDIRECTION})*"
_SIMPLE = re.compile(rf"{_COMMAND}(?: *(?:&&|\|\||[|;&]) *{_COMMAND})* *[;&]?")


def program(commands: typing.Sequence[str], *, shell: str) -> str:
    """Return the text for `shell -c`."""
    if not is_bourne(shell):
        return " && ".join(commands)
    *before, last = [_ended(item) for item in commands]
    lines = [line for item in before for line in (_fenced(item), UNLESS_FAILED)]
    return "\n".join([*lines, last])


def is_bourne(shell: str) -> bool:
    """Tell whether a shell, by its name or path, speaks the language of `sh`."""
    return posixpath.basename(shell) in BOURNE


def entrypoint(spec: wire.WorkloadSpec) -> list[str]:
    """Return the words of `entrypoint` with the commands as arguments. Raise PrepareFailed."""
    try:
        return shlex.split(spec.entrypoint or "") + spec.commands
    except ValueError as error:
        raise PrepareFailed(f"entrypoint: {error}: {spec.entrypoint!r}") from error


def checked(argv: list[str]) -> list[str]:
    """Return the arguments if a process can be given them. Raise PrepareFailed."""
    if not argv or not argv[0]:
        raise PrepareFailed("there is nothing to run: give `commands`")
    if any("\0" in part for part in argv):
        raise PrepareFailed("a command holds a NUL character")
    return argv


def _ended(item: str) -> str:
    """Drop a last backslash: nothing follows, and bash 5.2 stumbles over what comes after it."""
    text = item.rstrip("\n")
    backslashes = len(text) - len(text.rstrip("\\"))
    return _ended(text[:-1]) if backslashes % 2 else item


def _fenced(item: str) -> str:
    return item if _SIMPLE.fullmatch(item) else f"eval {shlex.quote(item)}"
