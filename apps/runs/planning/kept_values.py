"""The values that a service keeps of the variables that its file leaves open.

Who deploys it again need not know them: they are filled in here and shown nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from apps.accounts.models import Project
from apps.core import crypto
from apps.runs import queries
from apps.specs import parse
from apps.specs.sections.service import ServiceSpec


def of(project: Project, name: str) -> dict[str, str]:
    """Return what the newest run of that name was given, nothing where there is none."""
    known = queries.runs_of(project).filter(name=name) if name.isprintable() else None
    run = known.first() if known is not None else None
    if run is None:
        return {}
    kept: dict[str, str | None] = crypto.decrypt(run.secrets)["env"]
    return {name: value for name, value in kept.items() if value is not None}


def filled(spec: ServiceSpec, typed: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the variables that the file leaves open: typed ones before kept ones."""
    known = {**kept, **typed}
    return {name: known[name] for name in parse.missing_env(spec) if name in known}
