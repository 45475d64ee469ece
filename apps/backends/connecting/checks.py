"""Checks of configurations: a worker asks the cloud, and says what came of it.

What is asked about is kept in the row of the check, so that a new backend comes to be only once its
check has passed, and a worker that was killed is followed by another one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from pydantic import ValidationError

from apps.accounts.models import Project
from apps.backends import queries, states, way_home
from apps.backends.base import InstanceState, Problem, Provider, ProviderError
from apps.backends.connecting import asking, rows
from apps.backends.models import Backend, Check
from apps.backends.registry import PROVIDERS
from apps.core import crypto, notifications, sweep
from apps.core.after_commit import after_commit
from apps.core.errors import AppError
from apps.core.transition import Stale, created, transition

# Many regions are asked, eight at once, with three attempts each.
CALL_SECONDS = 120.0
LEASE = timedelta(seconds=CALL_SECONDS + 60)
# Whoever asks another account for a machine hears that it is gone, and would never end it.
ELSEWHERE = (
    "The account of these credentials has none of the machines of this backend that live: "
    "terminate them first, or connect this account as a backend of its own."
)
MOST_SENTENCES, LONGEST_SENTENCE = 50, 4000


@dataclass(frozen=True)
class Wanted:
    """What is to be once the check has passed: a new backend, or another configuration of one.

    `config` is encrypted; empty, the check only looks. `typed` is what of it may be shown in the
    form again, `also` what else changes of one that there is.
    """

    name: str
    kind: str
    project: Project | None = None
    backend: Backend | None = None
    config: str = field(default="", repr=False)
    for_all: bool = False
    shares: Sequence[int] = ()
    typed: Mapping[str, str] = field(default_factory=dict, repr=False)
    also: rows.Also = rows.Also()


@dataclass(frozen=True)
class Verdict:
    problems: Sequence[dict[str, str]] = ()
    facts: Sequence[str] = ()


def begin(wanted: Wanted, *, asked_by: str) -> Check:
    """Note a check, which a worker takes up after the commit."""
    at = timezone.now()
    check = Check(
        state=states.CHECK.initial,
        state_at=at,
        next_check_at=at,
        project=wanted.project,
        backend=wanted.backend,
        name=wanted.name,
        kind=wanted.kind,
        config=wanted.config,
        for_all=wanted.for_all,
        shares=list(wanted.shares),
        typed=crypto.encrypt(dict(wanted.typed)) if wanted.typed else "",
        also=wanted.also.as_json(),
        asked_by=asked_by,
    )
    with transaction.atomic():
        check.save(force_insert=True)
        created(check, at=at, actor=asked_by)
    return check


def typed(check: Check) -> dict[str, str]:
    """Return what the form was given but its secrets; nothing where that is not kept."""
    try:
        found: dict[str, str] = crypto.decrypt(check.typed) if check.typed else {}
    except crypto.InvalidToken:
        return {}
    return found


def run(*, ids: Sequence[UUID]) -> None:
    """Ask about each of these that nobody is asking about now. Calls the outside."""
    waiting = Check.objects.select_related("project", "backend__project")
    sweep.one_by_one(sweep.claim(waiting, ids, at=timezone.now(), lease=LEASE), _run)


def _run(check: Check) -> None:
    with contextlib.suppress(Stale):
        _end(check, _asked(check), at=timezone.now())


def channel(check_id: UUID) -> str:
    """Return where a hint is given when the check is over."""
    return f"check:{check_id}"


def _asked(check: Check) -> Verdict:
    config = check.config or (check.backend.config if check.backend else "")
    if not config:
        return Verdict([_problem("The backend was deleted before it was checked.")])
    changes = check.backend is not None and check.config
    refs = queries.living_refs(check.backend) if check.backend and changes else []
    try:
        model = PROVIDERS[check.kind]
        provider = model(model.Config.model_validate(crypto.decrypt(config)))
        return asking.ask(
            provider, partial(_verdict, refs=refs, missing=way_home.missing()), seconds=CALL_SECONDS
        )
    except crypto.InvalidToken:
        return Verdict([_problem(f"As it is configured, {crypto.NO_KEY_FITS}: set it anew.")])
    except (KeyError, ValidationError):
        return Verdict([_problem("This version does not know its configuration: set it anew.")])
    except ProviderError as error:
        return Verdict([_problem(f"{_sentence(str(error))} Nothing else could be asked.")])


def _verdict(provider: Provider, *, refs: Sequence[str], missing: str) -> Verdict:
    """Return what is wrong; `refs` are machines that live and have to be there, `missing` says what
    else keeps machines away."""
    found = provider.check()
    if not found and refs and all(_is_gone(provider, ref) for ref in refs):
        found = [Problem(ELSEWHERE)]
    problems = [_problem(each.message, each.policy) for each in found[:MOST_SENTENCES]]
    facts = [] if found else [*filter(None, [missing]), *provider.facts()]
    return Verdict(problems, [each[:LONGEST_SENTENCE] for each in facts[:MOST_SENTENCES]])


def _is_gone(provider: Provider, ref: str) -> bool:
    return provider.inspect(ref).state is InstanceState.GONE


def _end(check: Check, verdict: Verdict, *, at: datetime) -> None:
    """Say what came of it; what has passed is how it is connected, in the same transaction."""
    try:
        with transaction.atomic():
            _note(check, verdict, at=at)
            if not verdict.problems:
                _connect(check)
    except AppError as error:
        # Its name was taken meanwhile, or its backend is gone.
        check.refresh_from_db()
        _note(check, Verdict([_problem(error.message)]), at=at)


def _note(check: Check, verdict: Verdict, *, at: datetime) -> None:
    problems, facts = list(verdict.problems), list(verdict.facts)
    told = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}" if problems else ""
    config, check.config = check.config, ""
    transition(
        check,
        states.PROBLEMS if problems else states.PASSED,
        at=at,
        reason=told,
        config="",
        typed=check.typed if problems else "",
        problems=problems,
        facts=facts,
        next_check_at=None,
    )
    check.config = config
    after_commit(notifications.publish, channel(check.pk))


def _connect(check: Check) -> None:
    if not check.config:
        if check.backend is not None:
            rows.mended(check.backend)
        return
    if check.backend is None:
        rows.require_name(check.project, check.name, check.kind, check.shares)
        made = rows.create(
            project=check.project, kind=check.kind, name=check.name, config=check.config
        )
        if check.project is None:
            rows.share(made, for_all=check.for_all, shares=check.shares)
        Check.objects.filter(pk=check.pk).update(backend=made)
    else:
        rows.reconnect(check.backend, config=check.config)
        rows.change(check.backend, rows.Also.of_json(check.also))


def _problem(message: str, policy: str = "") -> dict[str, str]:
    return {"message": message[:LONGEST_SENTENCE], "policy": policy}


def _sentence(text: str) -> str:
    return f"{text.rstrip('.')}."
