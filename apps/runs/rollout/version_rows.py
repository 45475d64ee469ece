"""The versions of a service as its page shows them: each with what its file says otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from apps.runs.planning import diff, text_diff
from apps.runs.rollout.history import Version

ENV = "env."
# What stands beside the file, so that no diff of it tells. A variable may stand in either.
BESIDE = (ENV, "files", "registry_auth.password")


@dataclass(frozen=True)
class VersionRow:
    """`lines` is the diff of the file against the version that served before, `differences` what no
    line of it tells; `needs_replicas` says whether the change was for new replicas."""

    version: Version
    lines: Sequence[text_diff.Line]
    differences: Sequence[diff.Difference]
    needs_replicas: bool


def of(versions: Sequence[Version]) -> list[VersionRow]:
    """Return a row for each version; one whose forerunner is not among them has no diff."""
    texts = {each.version: each.configuration for each in versions}
    patience = text_diff.Patience()
    return [_row(each, texts.get(each.against or 0), patience) for each in versions]


def _row(version: Version, before: str | None, patience: text_diff.Patience) -> VersionRow:
    lines = [] if before is None else text_diff.unified(before, version.configuration, patience)
    told = " ".join(
        part.text for line in lines if line.kind != text_diff.SAME for part in line.parts
    )
    beside = [
        each
        for each in version.differences
        if each.path.startswith(BESIDE) and not _is_told(each.path, told)
    ]
    return VersionRow(
        version=version,
        lines=lines,
        differences=beside if lines else version.differences,
        needs_replicas=diff.needs_rollout(version.differences),
    )


def _is_told(path: str, text: str) -> bool:
    name = path.removeprefix(ENV)
    return path.startswith(ENV) and bool(re.search(rf"\b{re.escape(name)}\b", text))
