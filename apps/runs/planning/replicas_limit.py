"""How many replicas a service may have: its project's bound, refused before anything is made."""

from __future__ import annotations

from apps.accounts import projects
from apps.accounts.models import Project
from apps.core.errors import Detail, Invalid
from apps.runs.models import Run


def require(project: Project, most: int, *, current: Run | None) -> None:
    """Raise Invalid for more replicas than the project may have.

    A run that has more from before the bound may keep as many.
    """
    limit = projects.replicas_limit(project)
    before = (current.spec["replicas"]["max"] or 0) if current else 0
    if most <= max(limit, before):
        return
    problem = (
        f"at most {limit:,} in project {project.name}, found {most:,}: ask for fewer, or have an "
        "admin of this server raise the project's limit"
    )
    raise Invalid(f"replicas: {problem}", details=[Detail("replicas", problem)])
