"""What was asked of services lately, as a later stage tells it: runs know no traffic themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from apps.accounts.models import Project


@dataclass(frozen=True)
class Load:
    """What was asked of a run in the last `minutes`: answers, those of 5xx among them, and how many
    requests waited at once at most since its newest replica is ready."""

    minutes: int = 0
    calls: int = 0
    errors: int = 0
    held_most: int = 0


@dataclass(frozen=True)
class Figures:
    """What a run does now; None is "nothing to tell"."""

    rps: float = 0.0
    p95_ms: float | None = None
    errors_percent: float | None = None


NO_LOAD = Load()
NO_FIGURES = Figures()

LoadOf = Callable[[Project], Mapping[UUID, Load]]
FiguresOf = Callable[[Project], Mapping[UUID, Figures]]

_loads: list[LoadOf] = []
_figures: list[FiguresOf] = []


def told_by(*, loads: LoadOf, figures: FiguresOf) -> None:
    """Ask these from now on."""
    _loads[:], _figures[:] = [loads], [figures]


def loads(project: Project) -> Mapping[UUID, Load]:
    """Return what was asked of the project's runs, but of those of which it tells nothing bad."""
    return _loads[0](project) if _loads else {}


def figures(project: Project) -> Mapping[UUID, Figures]:
    """Return what the project's runs do now, but of those of which nothing is asked."""
    return _figures[0](project) if _figures else {}
