"""What is wrong in a configuration: every problem with its key path, line and column.

`SpecError` is what callers see. `Misfit` is how the readers of single values complain while they
do not yet know where in the text they are; `fields.validation` turns the second
into the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Step = str | int
Path = tuple[Step, ...]

# A file that is wrong all over: nobody reads more, and answers must stay small.
MOST_PROBLEMS = 1000


@dataclass(frozen=True)
class SpecProblem:
    """One problem; line and column count from 1 and are None where there is no text."""

    path: str
    line: int | None
    column: int | None
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}: " if self.line is not None else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class SpecError(ValueError):
    """A configuration that cannot be used, with all its problems in file order."""

    def __init__(self, problems: Iterable[SpecProblem]) -> None:
        self.problems = _first_of(list(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def _first_of(problems: list[SpecProblem]) -> list[SpecProblem]:
    """At most MOST_PROBLEMS, with a last one that counts the rest."""
    rest = len(problems) - MOST_PROBLEMS
    if rest <= 0:
        return problems
    last = problems[MOST_PROBLEMS - 1]
    more = SpecProblem("", last.line, last.column, f"and {rest:,} more problems")
    return [*problems[:MOST_PROBLEMS], more]


class Misfit(ValueError):
    """A value that does not fit: problems with paths relative to that value."""

    def __init__(self, message: str = "", *, below: Iterable[tuple[Path, str]] = ()) -> None:
        self.problems: list[tuple[Path, str]] = [((), message)] if message else []
        self.problems.extend(below)
        super().__init__("; ".join(message for _, message in self.problems))


def path_text(path: Path) -> str:
    """Return a path as people write it: `resources.gpu`, `env[2]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text
