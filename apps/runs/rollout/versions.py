"""Versions of a run: what each was made of, and how a run goes from one to another.

Everything here runs under the lock of the run's row. What needs no new replica acts at once; the
rest is brought by `control.reconcile`, by replica. `Run.fallback` is the version that served
before: should the new one not come up, the run returns to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from apps.accounts.access import Access
from apps.core import crypto, notifications
from apps.core.after_commit import after_commit
from apps.core.errors import Conflict, Invalid
from apps.runs import queries, states
from apps.runs.files import uploads
from apps.runs.models import Run, RunVersion, Upload
from apps.runs.planning import diff, model_names
from apps.runs.rollout import image_pins, version_events
from apps.runs.scale import manual_scale
from apps.runs.scale.desired_replicas import note_asked


@dataclass(frozen=True)
class Content:
    """What a version is made of; `configuration` and `secrets` are encrypted, `upload_times` are
    of files that do not have the upload's (`filetimes`)."""

    configuration: str
    spec: dict[str, Any]
    secrets: str
    upload: Upload | None
    upload_times: dict[str, int] = field(default_factory=dict)


def content_of(made: Run | RunVersion) -> Content:
    return Content(made.configuration, made.spec, made.secrets, made.upload, made.upload_times)


def differences(old: Content, new: Content) -> list[diff.Difference]:
    """List what changed between two contents, without a secret value."""
    return diff.differences(
        old.spec,
        new.spec,
        secrets=(crypto.decrypt(old.secrets), crypto.decrypt(new.secrets)),
        uploads=(_hash(old.upload), _hash(new.upload)),
    )


def _hash(upload: Upload | None) -> str | None:
    return upload.hash if upload else None


def keep(run: Run) -> RunVersion:
    """Write down what the run is made of now, as its current version."""
    values = vars(content_of(run))
    row, _ = RunVersion.objects.update_or_create(
        run=run,
        version=run.version,
        defaults=values,
        create_defaults={**values, "user": run.user, "created_at": run.created_at},
    )
    return row


def update(run: Run, new: Content, *, access: Access, note: str = "", force: bool = False) -> Run:
    """Make `new` the run's next version; the caller holds the row's lock.

    Raise Conflict when the run is ending. Nothing happens where nothing differs, but that the run
    gets its model's name where it had not. `force` brings new replicas all the same: only they ask
    where a tag of the image points now.
    """
    if run.state not in queries.ACTIVE_RUNS or run.stop_requested_at is not None:
        raise Conflict(f"{run.name} is {run.state}: run it again instead.")
    found = differences(content_of(run), new)
    if not found and not force:
        if run.model_withheld:
            _take(run, content_of(run))
        return run
    keep(run)
    new = _timed(run, new)
    version = 1 + (run.versions.aggregate(most=Max("version"))["most"] or 0)
    if force or diff.needs_rollout(found):
        if run.fallback is None and _has_served(run):
            run.fallback = run.version
    else:
        # Its replicas are as the new version wants them already.
        same = run.replicas.exclude(state__in=states.REPLICA.final)
        same.filter(version=run.version).update(version=version)
    previous, before = run.version, run.desired_replicas
    run.version = version
    _take(run, new)
    note = note or ("" if found else "deployed again")
    what = _deed(note, version)
    changed = version_events.named(found)
    version_events.note(run, before=previous, what=what, why=changed, actor=access.actor)
    note_asked(run, before=before, why=f"version {version}", actor=access.actor)
    run.versions.create(version=version, user=access.user, note=note, **vars(new))
    return run


def _deed(note: str, version: int) -> str:
    """What was done, as a verb: the version's note is a noun where it went back."""
    said = note.replace("rollback to", "rolled back to", 1)
    return f"{said}, as version {version}" if said else f"updated to version {version}"


def _timed(run: Run, new: Content) -> Content:
    """The content with the times that its files need after those that were served before."""
    if _hash(new.upload) == _hash(run.upload):
        return replace(new, upload_times=run.upload_times)
    times = uploads.times_for(new.upload, project=run.project, name=run.name, at=timezone.now())
    return replace(new, upload_times=times)


def _has_served(run: Run) -> bool:
    """Only a version that served is one to go back to."""
    ready = run.replicas.filter(version=run.version, ready_at__isnull=False)
    return ready.exists()


def _take(run: Run, new: Content, *, without_model: bool = False) -> None:
    at = timezone.now()
    limits = new.spec["replicas"]
    least, most = limits["min"] or 0, limits["max"] or 0
    for name, value in vars(new).items():
        setattr(run, name, value)
    run.desired_replicas = min(max(run.desired_replicas, least), most)
    run.failures_counted_since = run.next_check_at = at
    run.notice, run.model_withheld = "", without_model
    fields = [
        "version",
        "fallback",
        "desired_replicas",
        "failures_counted_since",
        "next_check_at",
        "notice",
    ]
    run.save(update_fields=[*fields, "model_withheld", *vars(new)])
    after_commit(notifications.transitioned, states.RUN.name, "updated", [run.pk])


def give_up(run: Run, *, reason: str, last_lines: list[str], at: datetime) -> None:
    """Return the run to the version that served before this one."""
    bad = run.versions.get(version=run.version)
    good = run.versions.get(version=run.fallback or 0)
    RunVersion.objects.filter(pk=bad.pk).update(
        failed_at=at, reason=reason or "no replica became ready", last_lines=last_lines
    )
    spec = manual_scale.kept(run, good.spec)
    run.version, run.fallback, before = good.version, None, run.desired_replicas
    _take_back(run, replace(content_of(good), spec=spec))
    what = f"version {bad.version} was given up, version {good.version} goes on"
    version_events.note(run, before=bad.version, what=what, why=reason)
    note_asked(run, before=before, why=f"back to version {good.version}", actor="")
    run.notice = f"Version {bad.version} was given up: {reason or 'no replica became ready'}. "
    run.notice += f"Version {good.version} goes on."
    if run.model_withheld:
        run.notice += f" {model_names.notice(run)}"
    run.save(update_fields=["notice"])


def _take_back(run: Run, new: Content) -> None:
    """Another run may have the model's name meanwhile; this one goes on without it then."""
    try:
        with transaction.atomic():
            _take(run, new)
    except IntegrityError as error:
        if not model_names.was_taken(error):
            raise
        _take(run, new, without_model=True)


def rollback(*, access: Access, run: Run, to: int | None = None) -> Run:
    """Make an earlier version's content the newest one.

    Without a number: the version before the present one that did not fail. Raise Invalid when
    there is no such version, or another run has its model's name now.
    """
    try:
        return _rollback(access=access, run=run, to=to)
    except IntegrityError as error:
        if not model_names.was_taken(error):
            raise
        raise model_names.conflict() from error


def _rollback(*, access: Access, run: Run, to: int | None) -> Run:
    with transaction.atomic():
        run = Run.objects.select_for_update(of=["self"]).get(pk=run.pk)
        earlier = run.versions.exclude(version=run.version).select_related("upload")
        if to is None:
            earlier = earlier.filter(version__lt=run.version, failed_at__isnull=True)
        else:
            earlier = earlier.filter(version=to)
        wanted = earlier.order_by("-version").first()
        if wanted is None:
            which = "earlier version" if to is None else f"other version {to}"
            raise Invalid(f"{run.name} has no {which} to go back to.")
        note = f"rollback to version {wanted.version}"
        content = content_of(wanted)
        content = replace(content, spec=manual_scale.kept(run, content.spec))
        model = model_names.of(wanted)
        model_names.require_free(run.gateway, model, project=run.project, name=run.name)
        before = run.version
        # The same text may have run another image.
        again = image_pins.moved(run, since=wanted.version)
        run = update(run, content, access=access, note=note, force=again)
        if run.version != before:
            image_pins.keep(run, of=wanted.version)
        return run
