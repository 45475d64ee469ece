"""A model's name belongs to one active run of a gateway, as a host name does.

A constraint of the database holds that. A run that gets an earlier version back, or had its model's
name beside another from before the constraint, may find it taken: it goes on without offering it.
"""

from __future__ import annotations

from django.db import IntegrityError

from apps.accounts.models import Project
from apps.core.errors import Conflict, Detail, Invalid
from apps.gateways.models import Gateway
from apps.runs import queries
from apps.runs.models import ONE_RUN_PER_MODEL, Run, RunVersion


def require_free(
    gateway: Gateway | None, model: str | None, *, project: Project, name: str
) -> None:
    """Raise Invalid where another run than this one has the model's name on the gateway."""
    if gateway is None or model is None:
        return
    owner = queries.model_owner(gateway, model, project=project, name=name)
    if owner is None:
        return
    whose = f"run {owner.name}" if owner.project_id == project.pk else "another project"
    raise Invalid(
        f"The model name {model} belongs to {whose} on this gateway: stop that run "
        "or give the model another name.",
        details=[Detail("model.name", "is taken on this gateway")],
    )


def of(made: Run | RunVersion) -> str | None:
    model = made.spec.get("model")
    return model["name"] if model else None


def was_taken(error: IntegrityError) -> bool:
    """Tell whether another run got the model's name a moment before."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return getattr(diagnosis, "constraint_name", None) == ONE_RUN_PER_MODEL


def conflict() -> Conflict:
    return Conflict(
        "Another run on this gateway took the model's name a moment ago: stop that run or give the "
        "model another name.",
        details=[Detail("model.name", "is taken on this gateway")],
    )


def notice(run: Run) -> str:
    return (
        f"Another run on this gateway has the model name {of(run)}: requests for it go there. Give "
        "the model another name, or deploy again once that run has stopped."
    )
