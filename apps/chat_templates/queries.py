"""What the table says of a run's model beyond its spec."""

from __future__ import annotations

from typing import Any

from apps.chat_templates import decide
from apps.chat_templates.models import ModelSource
from apps.runs.models import Run


def found_elsewhere(run: Run) -> dict[str, Any]:
    """Return template and tokens, the spec's own before the repository's, and
    where there is no template, why."""
    model = run.spec["model"]
    source: ModelSource | None = getattr(run, "model_source", None)
    repository = source.repository if source else None
    template = model["chat_template"]
    said = {
        "chat_template": template,
        "bos_token": model.get("bos_token"),
        "eos_token": model["eos_token"],
    }
    if repository is not None:
        said["chat_template"] = template or repository.chat_template or None
        said["bos_token"] = said["bos_token"] or repository.bos_token or None
        said["eos_token"] = said["eos_token"] or repository.eos_token or None
        if template is None:
            said["tool_template"] = repository.tool_template or None
    if said["chat_template"] is None:
        said["notice"] = why_not(source)
    return said


def why_not(source: ModelSource | None) -> str:
    """Say why what the source should give is not known."""
    if source is None:
        return decide.NOT_YET
    if source.repository is None:
        return source.problem
    return source.repository.error or decide.NOT_YET
