"""What a person should know of a run although it goes on."""

from __future__ import annotations

from apps.core import notifications
from apps.runs.models import Run


def set_notice(*, run: Run, text: str) -> None:
    """Show `text` on the run, an empty one nothing; the same changes nothing."""
    if Run.objects.filter(pk=run.pk).exclude(notice=text).update(notice=text):
        notifications.transitioned("run", "noticed", [run.pk])
