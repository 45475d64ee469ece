"""Tokens: issued (shown once), listed, revoked. Only hashes are stored.

A token that makes another never makes a stronger one: not for other projects, not for longer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts.access import LAST_USED_STEP, Access
from apps.accounts.models import NAME, Project, Token, User
from apps.accounts.services import grants_changed
from apps.core.errors import Conflict, Detail, Forbidden, Invalid, NotFound
from apps.core.ids import new_token, token_hash

SHOWN_PREFIX = len("dsk_u_") + 4
MAX_RUNS = 100
MAX_LIFE = timedelta(days=3650)
LEAST_RPS, MOST_RPS = 1 / 60, 1_000_000
MOST_BURST = 1_000_000
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


RunsHook = Callable[[Project, Sequence[str]], None]
_run_hooks: list[RunsHook] = []


def on_naming_runs(hook: RunsHook) -> None:
    """Call `hook(project, names)` before a key for those runs is made; what it raises refuses it.

    The composition root subscribes the stage that knows of runs.
    """
    if hook not in _run_hooks:
        _run_hooks.append(hook)


@dataclass(frozen=True)
class Issued:
    """A new token: its row, and the text that nobody can see again."""

    row: Token
    text: str


@dataclass(frozen=True)
class TokenRequest:
    """What a new token shall open. `run_names` make it a service key of `project`.

    `rps` and `burst` bound its calls of services; without `burst` it is a second's worth.
    """

    name: str
    scope: str = "full"
    project: Project | None = None
    run_names: Sequence[str] = ()
    expires_at: datetime | None = None
    rps: float | None = None
    burst: int | None = None


def create_token(*, user: User, request: TokenRequest, text: str | None = None) -> Issued:
    """Issue a token. `text` is one chosen beforehand (the first start).

    Raise Invalid for a request that makes no sense.
    """
    _check(request)
    text = text or new_token("s" if request.run_names else "u")
    with transaction.atomic():
        row = Token.objects.create(
            user=user,
            project=request.project,
            name=request.name,
            scope="call" if request.run_names else request.scope,
            run_names=sorted(set(request.run_names)),
            prefix=text[:SHOWN_PREFIX],
            hash=token_hash(text),
            expires_at=request.expires_at,
            rps=request.rps,
            burst=_burst(request),
        )
        grants_changed()
    return Issued(row, text)


def create_own_token(*, access: Access, request: TokenRequest) -> Issued:
    """Issue a token to who asks, no stronger than the token that asks.

    Raise Invalid, also for runs that are not there, Forbidden, and Conflict when the user has all
    the tokens that one may have.
    """
    by = access.token
    if by is not None and by.project_id is not None and request.project is None:
        raise Forbidden(f"This token opens one project only: name it (project: {by.project}).")
    end = by.expires_at if by is not None else None
    if end is not None and (request.expires_at is None or request.expires_at > end):
        raise Forbidden(
            f"This token expires at {end:%Y-%m-%d %H:%M} UTC and cannot make one that lives longer."
        )
    bound = by.rps if by is not None else None
    if bound is not None and (request.rps is None or request.rps > bound):
        raise Forbidden(
            f"This token may call {bound:g} times a second and cannot make a faster one."
        )
    _check(request)
    if request.project is not None and request.run_names:
        for hook in _run_hooks:
            hook(request.project, request.run_names)
    with transaction.atomic():
        _require_room(access.user)
        return create_token(user=access.user, request=request)


def _require_room(user: User) -> None:
    # Counted one after another, or a burst would pass.
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    most = settings.DSTACK_TOKENS_PER_USER
    good = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    has = Token.objects.filter(good, user=user, revoked_at=None).count()
    if has >= most:
        raise Conflict(
            f"You have {has} tokens that work, and {most} is the most for one user "
            "(DSTACK_TOKENS_PER_USER of the server): revoke one first."
        )


def live_tokens(access: Access) -> QuerySet[Token]:
    """Return one's tokens that are not revoked; a token that is bound to a
    project sees those of the project only."""
    found = Token.objects.filter(user=access.user, revoked_at=None).select_related("project")
    if access.token is not None and access.token.project_id is not None:
        found = found.filter(project_id=access.token.project_id)
    return found


def calling(access: Access, project: Project, run_name: str) -> QuerySet[Token]:
    """Return one's working tokens that may call this run, the newest first."""
    at = timezone.now()
    found = live_tokens(access).filter(Q(project=None) | Q(project=project))
    found = found.filter(Q(run_names=[]) | Q(run_names__contains=[run_name]))
    return found.filter(Q(expires_at=None) | Q(expires_at__gt=at)).order_by("-id")


def revoke(*, access: Access, pk: int, at: datetime) -> None:
    """End one's token at once. Raise NotFound."""
    with transaction.atomic():
        known = 0 < pk < 2**63
        if not known or not live_tokens(access).filter(pk=pk).update(revoked_at=at):
            raise NotFound(f"You have no token {pk}.")
        grants_changed()


def expiry(text: str | None, *, at: datetime) -> datetime | None:
    """Read when a token expires: "30d" (m, h, d, w), RFC 3339, or None: never.

    Raise Invalid for other text, the past, and more than ten years.
    """
    if text is None:
        return None
    when = _moment(text.strip(), at=at)
    if when is None:
        raise _bad("expires", f"must be like 30d or 2030-01-31T00:00:00Z, found {text[:40]!r}")
    if not at < when <= at + MAX_LIFE:
        raise _bad("expires", "must be in the future, ten years ahead at most")
    return when


def _moment(text: str, *, at: datetime) -> datetime | None:
    try:
        if match := re.fullmatch(r"([0-9]{1,6}) ?([mhdw])", text, re.ASCII):
            return at + timedelta(**{UNITS[match[2]]: int(match[1])})
        when = datetime.fromisoformat(text)
        # An offset can push the first and last hours of the calendar out of it.
        return timezone.make_aware(when) if when.tzinfo is None else when.astimezone(at.tzinfo)
    except (ValueError, OverflowError):
        return None


def _check(request: TokenRequest) -> None:
    if not 1 <= len(request.name.strip()) <= 100 or not request.name.isprintable():
        raise _bad("name", "must have 1 to 100 printable characters")
    if request.scope not in {"full", "call"}:
        raise _bad("scope", f"must be full or call, found {request.scope[:40]!r}")
    _check_rate(request)
    if request.run_names and request.project is None:
        raise _bad("project", "is needed with runs: a service key calls runs of one project")
    if len(request.run_names) > MAX_RUNS:
        raise _bad("runs", f"must be {MAX_RUNS} names at most, found {len(request.run_names)}")
    for index, name in enumerate(request.run_names):
        if not re.match(NAME.regex, name):
            raise _bad(f"runs.{index}", f"is not the name of a run: {name[:60]!r}")


def _check_rate(request: TokenRequest) -> None:
    if request.rps is None:
        if request.burst is not None:
            raise _bad("burst", "is needed with rps only: how many calls a second")
        return
    if not LEAST_RPS <= request.rps <= MOST_RPS:
        raise _bad("rps", f"must be from 1/60 (0.0167) to {MOST_RPS:,} calls a second")
    if request.burst is not None and not 0 <= request.burst <= MOST_BURST:
        raise _bad("burst", f"must be from 0 to {MOST_BURST:,}")


def _burst(request: TokenRequest) -> int:
    if request.rps is None:
        return 0
    return math.ceil(request.rps) if request.burst is None else request.burst


def _bad(path: str, problem: str) -> Invalid:
    return Invalid(f"{path} {problem}.", details=[Detail(path, problem)])


def note_uses(*, ids: Collection[int], at: datetime) -> None:
    """Note that these tokens called services, at most once a minute each."""
    if ids:
        stale = Q(last_used_at=None) | Q(last_used_at__lte=at - LAST_USED_STEP)
        Token.objects.filter(stale, pk__in=ids).update(last_used_at=at)
