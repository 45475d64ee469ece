"""Finding the chat templates that specs leave open, in the repositories of their models.

A gateway never has a run's secrets, so the server reads the repository and the template travels in
the table. What was read once is kept: a hub that is away later changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db.models import F, Q, QuerySet

from apps.chat_templates import decide, hub, queries
from apps.chat_templates.models import ModelSource, Repository
from apps.core import crypto, notifications
from apps.core.sweep import one_by_one
from apps.runs import notices, states
from apps.runs.models import Run

logger = logging.getLogger(__name__)

# As many as one task may ask for: each may take half a minute.
BATCH = 20
# Whoever reads a repository has it for so long; then a worker must have been killed.
LEASE = timedelta(minutes=1)


def read(*, run_ids: Iterable[UUID], at: datetime) -> None:
    """Find what these runs' models leave open, and say so."""
    one_by_one(_waiting_runs().filter(pk__in=list(run_ids)), lambda run: _read_for(run, at=at))


def _read_for(run: Run, *, at: datetime) -> None:
    repository = _source(run).repository
    if repository is not None and not _is_fresh(repository, at):
        _read(repository, run, at=at)
    _tell([run.pk])
    # Last: a worker that was killed before leaves a run that `read_due` finds.
    ModelSource.objects.filter(run=run).update(version=run.version)


def read_due(*, at: datetime) -> None:
    """Try again what failed, and what a lost hint left."""
    unread = Q(model_source=None) | ~Q(model_source__version=F("version"))
    missed = _waiting_runs().filter(unread).exclude(model_source__repository__next_try_at__gt=at)
    # By chance, so that those that fail each time do not fill every batch.
    ids = list(missed.order_by("?").values_list("pk", flat=True)[:BATCH])
    again = list(Repository.objects.filter(next_try_at__lte=at).order_by("?")[:BATCH])
    steps: list[Callable[[], None]] = [partial(read, run_ids=ids, at=at)]
    steps += [partial(_read_again, repository, at=at) for repository in again]
    one_by_one(steps, lambda step: step())


def _read_again(repository: Repository, *, at: datetime) -> None:
    runs = list(_waiting_runs().filter(model_source__repository=repository).order_by("-pk"))
    if not runs:
        # The next run that needs it asks at once.
        Repository.objects.filter(pk=repository.pk).update(next_try_at=None)
        return
    _read(repository, next(filter(_has_secrets, runs), runs[0]), at=at)
    _tell([run.pk for run in runs])


def _waiting_runs() -> QuerySet[Run]:
    active = Run.objects.filter(spec__model__format="tgi", gateway__isnull=False)
    active = active.exclude(state__in=[*states.RUN.final, states.STOPPING])
    return active.select_related("model_source__repository")


def _source(run: Run) -> ModelSource:
    model = run.spec["model"]
    repository, problem = None, ""
    if decide.left_open(model):
        try:
            found = decide.source_of(model, _env(run))
        except decide.Unreadable as error:
            problem = str(error)
        else:
            repository, _ = Repository.objects.get_or_create(
                project_id=run.project_id,
                hub_url=settings.DSTACK_HUB_URL,
                name=found.name,
                revision=found.revision,
            )
    source, _ = ModelSource.objects.update_or_create(
        run=run, defaults={"repository": repository, "problem": problem}
    )
    return source


def _env(run: Run) -> dict[str, str]:
    """Raise Unreadable where no key of this server fits: that is so until the next version."""
    try:
        env: dict[str, str] = crypto.decrypt(run.secrets)["env"]
    except crypto.InvalidToken as error:
        raise decide.Unreadable(crypto.NO_KEY_FITS) from error
    return env


def _has_secrets(run: Run) -> bool:
    try:
        _env(run)
    except decide.Unreadable:
        return False
    return True


def _is_fresh(repository: Repository, at: datetime) -> bool:
    return repository.read_at is not None and repository.read_at > at - decide.FRESH


def _read(repository: Repository, run: Run, *, at: datetime) -> None:
    """Ask the hub with the run's token. A failure leaves what was read before."""
    source = decide.Source(repository.name, repository.revision)
    Repository.objects.filter(pk=repository.pk).update(next_try_at=at + LEASE)
    try:
        files = hub.read(repository.hub_url, source, token=decide.token_of(_env(run)))
        said = decide.read_files(files)
        if not said.chat_template and run.spec["model"]["chat_template"] is None:
            raise decide.Unreadable(f"{repository.name} has no chat template")
    except decide.Unreadable as error:
        tries = repository.tries + 1
        logger.info("no chat template of %s: %s", repository.name, error)
        changed = {
            "error": str(error),
            "tries": tries,
            "next_try_at": at + decide.BACKOFF.after(tries),
        }
    else:
        changed = {**vars(said), "error": "", "tries": 0, "next_try_at": None, "read_at": at}
    Repository.objects.filter(pk=repository.pk).update(**changed)


def _tell(run_ids: list[UUID]) -> None:
    """People by a notice on the run, gateways by their table."""
    for run in _waiting_runs().filter(pk__in=run_ids):
        model, source = run.spec["model"], run.model_source
        known = queries.found_elsewhere(run)
        missing = [name for name in decide.left_open(model) if known[name] is None]
        said = decide.notice(model, missing, queries.why_not(source)) if missing else ""
        notices.set_notice(run=run, text=said)
    notifications.transitioned("chat_template", "read", run_ids)
