"""How a section of the Settings tab is saved: a change of the file, planned and submitted as any.

The file keeps what a person wrote beside what changes. What one should know first (it costs more,
replicas are replaced, a comment goes) is said once, and saving again does it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from apps.accounts.access import Access
from apps.core import crypto
from apps.core.errors import Conflict, Invalid
from apps.runs import queries, services
from apps.runs.models import Run
from apps.runs.planning import text_diff
from apps.runs.planning.diff import NONE, REPLACE
from apps.runs.planning.request import PlanRequest, invalid
from apps.runs.scale import manual_scale
from apps.runs.services import Plan
from apps.specs.errors import SpecError
from apps.specs.parse import parse
from apps.specs.sections.service import ServiceSpec
from apps.specs.yaml import edit
from apps.specs.yaml.edit import CannotEdit, Keys
from apps.specs.yaml.tree import Plain

COMMENT = re.compile(r"(?:^|\s)#.*$", re.MULTILINE)
REWRITTEN = "This file cannot be changed line by line: it is written anew, without its comments."


@dataclass(frozen=True)
class Proposal:
    """What saving would do: `plan` is None where nothing changes. `doubts` are to be read first,
    `lines` is what the file says otherwise."""

    text: str = field(repr=False)
    request: PlanRequest
    plan: Plan | None
    doubts: Sequence[str] = ()
    lines: Sequence[text_diff.Line] = field(default=(), repr=False)

    @property
    def digest(self) -> str:
        """Stands for what was confirmed: other text, or other doubts, are asked again."""
        return hashlib.sha256("\0".join([self.text, *self.doubts]).encode()).hexdigest()

    @property
    def price_usd_per_hour(self) -> float | None:
        """What its least replicas cost an hour on the best offer."""
        if self.plan is None or not self.plan.offers:
            return None
        return self.plan.offers[0].price_usd_per_hour * (self.plan.spec.replicas.min or 0)


def identity(run: Run) -> str:
    """Return what must be the same still when a form is saved that was made of this run."""
    replicas = run.spec["replicas"]
    return f"{run.pk}-{run.version}-{replicas['min']}-{replicas['max']}"


def require_same(run: Run, seen: str) -> None:
    """Raise Conflict when the run changed since the form was made, or is over."""
    if run.state not in queries.ACTIVE_RUNS:
        raise Conflict(f"{run.name} is {run.state}: deploy it again instead.")
    if seen != identity(run):
        raise Conflict(
            f"{run.name} changed since this page was opened (it is at version {run.version}): "
            "look at your values again, then save."
        )


def propose(*, access: Access, run: Run, changes: Mapping[Keys, Plain]) -> Proposal:
    """Plan the change without making it. Raise Invalid with what is wrong, by the file's keys."""
    old = manual_scale.text_of(run)
    text, is_rewritten = changed_text(old, changes) if changes else (old, False)
    request = PlanRequest(
        configuration=text,
        name=run.name,
        env=crypto.decrypt(run.secrets)["env"],
        upload=run.upload.hash if run.upload else None,
    )
    if not changes:
        return Proposal(text, request, None)
    plan = services.plan(access=access, project=run.project, request=request)
    if plan.current is None or plan.current.pk != run.pk or identity(plan.current) != identity(run):
        raise Conflict(f"{run.name} changed just now: look at it again.")
    if plan.action == NONE and text == old:
        return Proposal(text, request, None)
    doubts = list(_doubts(run, plan, {keys[0] for keys in changes}))
    if is_rewritten:
        doubts.append(REWRITTEN)
    elif went := _comments(old) - _comments(text):
        doubts.append(f"{'A comment' if len(went) == 1 else 'Comments'} of what changes will go.")
    return Proposal(text, request, plan, doubts, text_diff.unified(old, text))


def save(*, access: Access, run: Run, proposal: Proposal) -> Run:
    """Make the next version of it. Raise Conflict when the run changed meanwhile."""
    if proposal.plan is None:
        return run
    return services.submit(
        access=access,
        project=run.project,
        request=proposal.request,
        plan_id=proposal.plan.plan_id,
    )


def changed_text(text: str, changes: Mapping[Keys, Plain]) -> tuple[str, bool]:
    """Return the changed text, and whether it had to be written anew. Raise Invalid."""
    top_keys = {keys[0] for keys in changes}
    try:
        whole = edit.rewritten(text, changes)
        wanted = parse(whole)
        if _but(wanted, top_keys) != _but(parse(text), top_keys):
            raise CannotEdit("it means something else when it is written anew")
    except SpecError as error:
        # The lines are of a text that nobody has seen.
        problems = [replace(each, line=None, column=None) for each in error.problems]
        raise invalid(problems) from error
    except CannotEdit as error:
        raise Invalid(f"The file cannot be changed here ({error}): use Update instead.") from error
    try:
        edited = edit.with_values(text, changes)
        if parse(edited).to_json() == wanted.to_json():
            return edited, False
    except (CannotEdit, SpecError):
        pass
    return whole, True


def _but(spec: ServiceSpec, top_keys: set[str]) -> dict[str, Any]:
    """The spec without what may differ."""
    found = spec.to_json()
    return {key: value for key, value in found.items() if not _is_of(key, top_keys)}


def _is_of(key: str, top_keys: set[str]) -> bool:
    return key == "written" or (ServiceSpec.model_fields[key].alias or key) in top_keys


def _comments(text: str) -> set[str]:
    return {found[0].strip() for found in COMMENT.finditer(text)}


def _doubts(run: Run, plan: Plan, top_keys: set[str]) -> Iterator[str]:
    """What a person should know before."""
    least, most = plan.spec.replicas.min or 0, plan.spec.replicas.max or 0
    more = least - run.desired_replicas
    # What is to be said of places and machines is no news where nothing new starts.
    if plan.rollout or more > 0 or most > run.spec["replicas"]["max"]:
        yield from plan.warnings
    if plan.action == REPLACE:
        yield f"Its gateway changed: a new {run.name} takes the place of this one."
    beside = [one.path for one in plan.differences if one.path.split(".")[0] not in top_keys]
    if beside:
        yield (
            f"This also changes {', '.join(dict.fromkeys(beside))}: the file says otherwise than "
            "what the service was deployed or scaled with."
        )
    if plan.rollout:
        yield "New replicas get ready before old ones end."
    if more > 0:
        yield f"It starts {more} more replica{'s' * (more != 1)}, which costs what they run on."
    if run.spec.get("auth", True) and not plan.spec.auth:
        yield "Anyone who knows its address can call it then, without a token."
