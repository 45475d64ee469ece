"""A key is made for runs that are there: one for a misspelt name would open nothing, silently."""

from __future__ import annotations

from collections.abc import Sequence

from apps.accounts.models import Project
from apps.core.errors import Detail, Invalid
from apps.runs import queries

NAMED = 5


def refuse_unknown(project: Project, names: Sequence[str]) -> None:
    """Raise Invalid with each of these names that no run of the project has.

    A run that is over counts: it may be run again under its name.
    """
    there = list(queries.runs_of(project).order_by("name").values_list("name", flat=True))
    known = sorted(set(there))
    details = [
        Detail(f"runs.{at}", f"there is no run {name!r} in project {project.name}")
        for at, name in enumerate(names)
        if name not in known
    ]
    if not details:
        return
    listed = ", ".join(known[:NAMED]) + (", ..." if len(known) > NAMED else "")
    unknown = ", ".join(sorted({name for name in names if name not in known}))
    has = f"it has {listed}" if known else "it has no run yet: deploy one first"
    raise Invalid(f"There is no run {unknown} in project {project.name}; {has}.", details=details)
