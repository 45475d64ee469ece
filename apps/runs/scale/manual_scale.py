"""A run whose number of replicas a person changed beside its file, by `scale`.

What its file says is older than that: whoever starts from the file would undo it without a word.
"""

from __future__ import annotations

import re
from typing import Any

from apps.core import crypto
from apps.runs.models import Run
from apps.specs.errors import SpecError
from apps.specs.parse import parse
from apps.specs.yaml.tree import read

KEY = ("replicas",)
SCALAR = re.compile(r"[^\s#,}]+")


def since(run: Run) -> dict[str, Any] | None:
    """Return the replicas that a person asked for since the file, None where the file has them."""
    now: dict[str, Any] = run.spec["replicas"]
    return now if _in(crypto.decrypt(run.configuration)) not in (None, _span(now)) else None


def text_of(run: Run) -> str:
    """Return the run's configuration with the replicas that it was scaled to."""
    text: str = crypto.decrypt(run.configuration)
    if since(run) is None:
        return text
    changed = _with(text, run.scale_words)
    return changed if _differ_only_there(text, changed, run) else text


def warning(run: Run, wanted: tuple[int, int | None]) -> str:
    """Say that a new version would undo what the run was scaled to, "" where it would not."""
    if _span(run.spec["replicas"]) == wanted or since(run) is None:
        return ""
    return (
        f"{run.name} was scaled to {run.scale_words} replicas since its file was last deployed; "
        f"this changes it back to {_words(wanted)}. Write `replicas: {run.scale_words}` to keep it."
    )


def kept(run: Run, spec: dict[str, Any]) -> dict[str, Any]:
    """Return another version's spec with the replicas that the run was scaled to, where it scales
    by the same means."""
    scaled = since(run)
    if scaled is None or bool(spec.get("scaling")) != bool(run.spec.get("scaling")):
        return spec
    return {**spec, "replicas": scaled}


def _span(replicas: dict[str, Any]) -> tuple[int, int | None]:
    return replicas["min"] or 0, replicas["max"]


def _words(span: tuple[int, int | None]) -> str:
    least, most = span
    return str(least) if least == most else f"{least}..{most}"


def _in(text: str) -> tuple[int, int | None] | None:
    """The replicas that a file asks for, None where it can no longer be read."""
    try:
        found = parse(text).replicas
    except SpecError:
        return None
    return found.min or 0, found.max


def _with(text: str, replicas: str) -> str:
    """The text with another value of its key, else with the key behind all others."""
    document = read(text)
    mark = document.values.get(KEY)
    if mark is None or KEY not in document.keys:
        return f"{text.rstrip()}\n\nreplicas: {replicas}\n"
    lines = text.splitlines(keepends=True)
    before, after = lines[mark.line - 1][: mark.column - 1], lines[mark.line - 1][mark.column - 1 :]
    lines[mark.line - 1] = before + SCALAR.sub(replicas, after, count=1)
    return "".join(lines)


def _differ_only_there(old: str, new: str, run: Run) -> bool:
    """Whether the edit did what it should and nothing else: an alias or a flow style may not."""
    if _in(new) != _span(run.spec["replicas"]):
        return False
    return _without_replicas(old) == _without_replicas(new)


def _without_replicas(text: str) -> dict[str, Any]:
    return {**parse(text).to_json(), "replicas": None, "written": None}
