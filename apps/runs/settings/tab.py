"""What the Settings tab shows: the sections with what a person may do in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apps.accounts import tokens
from apps.accounts.access import Access
from apps.runs import queries
from apps.runs.models import Run
from apps.runs.settings.forms import FORMS
from apps.runs.settings.saving import Proposal, identity
from apps.runs.settings.section import SectionForm

SHOWN_KEYS = 20


@dataclass(frozen=True)
class Section:
    """A form of the tab; `proposal` is what a person is to confirm."""

    form: SectionForm
    proposal: Proposal | None = None


def context(access: Access, run: Run, *, instead: Section | None = None) -> dict[str, Any]:
    """Return what the tab's template shows; `instead` is a section that was sent."""
    sections = [Section(form(run.spec)) for form in FORMS.values()]
    if instead is not None:
        sections = [instead if one.form.key == instead.form.key else one for one in sections]
    # One's own: nobody sees another person's.
    keys = list(tokens.calling(access, run.project, run.name)[: SHOWN_KEYS + 1])
    return {
        "sections": sections,
        "seen": identity(run),
        "may_change": run.state in queries.ACTIVE_RUNS and run.stop_requested_at is None,
        "keys": keys[:SHOWN_KEYS],
        "has_more_keys": len(keys) > SHOWN_KEYS,
    }
