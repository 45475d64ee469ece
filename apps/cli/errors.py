"""What ends a command: one sentence for the person, exit 1, never a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CliError(Exception):
    """A command that cannot go on; its text says what is wrong and what to do.

    `notes` are lines that belong below it, such as a run's last output or the problems of a file.
    """

    def __init__(self, message: str, *, notes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.notes = list(notes)


class Unreachable(CliError):
    """The server does not answer, or what answers is no dstack server."""


@dataclass(frozen=True)
class Problem:
    """One problem of what was sent: a path into it, and a line and column where it has text."""

    path: str
    line: int | None
    column: int | None
    message: str


class Refused(CliError):
    """The server understood the request and says no."""

    def __init__(
        self, message: str, *, status: int, code: str = "", problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.problems = list(problems)
