"""Services opened in browsers: a ticket from the dashboard, a cookie at the service's own host.

The gateway exchanges the one for the other, since only it can set a cookie there; see
`gateway.browsers`. What a cookie opens ends with its time, the run, the dashboard's session, the
user's password and the membership, whichever is first.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction

from apps.accounts.models import Member, User
from apps.core.errors import Conflict
from apps.core.ids import new_token, token_hash
from apps.gateways.models import Gateway
from apps.routing.models import BrowserSession, ChatKey, SessionKey
from apps.runs import public_urls, states
from apps.runs.models import Run

PATH = "/-/dstack/open"
TICKET_LIFE = timedelta(minutes=1)
Row = TypeVar("Row", bound=SessionKey)


def issue(*, user: User, run: Run, session_key: str, at: datetime) -> str:
    """Return the address at which the service opens, once and within a minute, in the browser that
    has the dashboard's session. Raise Conflict where it cannot be opened so."""
    session = Session.objects.filter(session_key=session_key, expire_date__gt=at).first()
    if not public_urls.opens_by_cookie(run) or session is None:
        raise Conflict(f"{run.name} has no address that can be opened in a browser right now.")
    ticket = secrets.token_urlsafe(32)
    life = timedelta(seconds=settings.DSTACK_BROWSER_SESSION_SECONDS)
    BrowserSession.objects.create(
        run=run,
        user=user,
        session_key=session_key,
        password_stamp=user.get_session_auth_hash(),
        ticket_hash=token_hash(ticket),
        ticket_until=at + TICKET_LIFE,
        expires_at=min(at + life, session.expire_date),
    )
    return f"{public_urls.service_url(run).rstrip('/')}{PATH}?ticket={ticket}"


def exchange(
    *, gateway: Gateway, endpoint: str, ticket: str, at: datetime
) -> tuple[BrowserSession, str] | None:
    """Return the session and its cookie; None for a ticket that opens nothing here.

    What the same browser opened the service with before ends.
    """
    with transaction.atomic():
        asked = BrowserSession.objects.select_for_update(of=("self",))
        asked = asked.filter(run__gateway=gateway, hash="", ticket_until__gt=at)
        row = asked.filter(ticket_hash=token_hash(ticket)).select_related("run__gateway").first()
        if row is None or str(row.run_id) != endpoint or not _good([row], at=at):
            return None
        same = BrowserSession.objects.filter(run=row.run_id, session_key=row.session_key)
        same.exclude(pk=row.pk).exclude(hash="").delete()
        cookie = new_token("b")
        row.hash = token_hash(cookie)
        row.save(update_fields=["hash"])
        return row, cookie


def wanted(gateway_id: int, *, at: datetime) -> dict[str, dict[str, Any]]:
    """Return the keys of sessions of the dashboard as the table should have them."""
    opened: list[SessionKey] = []
    for model in (BrowserSession, ChatKey):
        rows = model.objects.filter(run__gateway=gateway_id, expires_at__gt=at)
        opened += rows.exclude(hash="").exclude(run__state__in=states.RUN.final)
    return {key_id(row): _payload(row) for row in _good(opened, at=at)}


def key_id(row: SessionKey) -> str:
    return f"{'browser' if isinstance(row, BrowserSession) else 'chat'}-{row.pk}"


def _payload(row: SessionKey) -> dict[str, Any]:
    return {
        # One for a chat comes from this server, as everybody else's does.
        "browser": isinstance(row, BrowserSession),
        "hash": row.hash,
        "expires_at": row.expires_at.timestamp(),
        "endpoints": [str(row.run_id)],
    }


def _good(rows: Iterable[Row], *, at: datetime) -> list[Row]:
    """Leave those whose session lives and whose user may call the service."""
    rows = list(rows)
    keys = {row.session_key for row in rows}
    live = Session.objects.filter(session_key__in=keys, expire_date__gt=at)
    sessions = set(live.values_list("session_key", flat=True))
    users = User.objects.filter(is_active=True).in_bulk({row.user_id for row in rows})
    runs = Run.objects.filter(pk__in={row.run_id for row in rows}, project__deleted_at=None)
    projects = dict(runs.values_list("pk", "project_id"))
    members = Member.objects.filter(user__in=users, project__in=set(projects.values()))
    opened = set(members.values_list("user_id", "project_id"))
    return [
        row
        for row in rows
        if row.session_key in sessions
        and (user := users.get(row.user_id)) is not None
        and secrets.compare_digest(user.get_session_auth_hash(), row.password_stamp)
        and (project := projects.get(row.run_id)) is not None
        and (user.is_superuser or (user.pk, project) in opened)
    ]
