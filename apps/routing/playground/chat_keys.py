"""The keys by which this server calls a model for a member who chats with it in the dashboard.

The member's right is asked at the gateway like everybody's: the key opens that one service, and
ends with the dashboard's session, the password and the membership (see `apps.routing.browsers`).
It never leaves the server, which keeps it encrypted.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction

from apps.accounts.models import User
from apps.core import crypto
from apps.core.errors import Conflict
from apps.core.ids import new_token, token_hash
from apps.routing import services
from apps.routing.models import ChatKey
from apps.runs.models import Run

# One that ends sooner is made anew.
SPARE = timedelta(minutes=1)


def key_for(*, user: User, run: Run, session_key: str, at: datetime) -> str:
    """Return the key with which the session chats with the service's model, made and published now
    where there is none. Raise Conflict where nobody is signed in by that session any more.

    Killed before it is published, the key is so by `publish`, which whoever it opens nothing for
    calls.
    """
    session = Session.objects.filter(session_key=session_key, expire_date__gt=at).first()
    if session is None:
        raise Conflict("Your session is over. Sign in again.")
    row, is_new = ChatKey.objects.get_or_create(
        run=run, session_key=session_key, defaults=_fresh(user, session, at)
    )
    if not is_new and (text := _text_of(row, user, at)):
        return text
    if not is_new:
        row = _renewed(row, user, session, at)
    publish(run)
    return str(crypto.decrypt(row.sealed))


def publish(run: Run) -> None:
    """Have the run's gateway know all keys."""
    services.publish_keys(gateway_ids=[run.gateway_id] if run.gateway_id else [])


def _fresh(user: User, session: Session, at: datetime) -> dict[str, Any]:
    text = new_token("b")
    life = timedelta(seconds=settings.DSTACK_BROWSER_SESSION_SECONDS)
    return {
        "user": user,
        "password_stamp": user.get_session_auth_hash(),
        "hash": token_hash(text),
        "sealed": crypto.encrypt(text),
        "expires_at": min(at + life, session.expire_date),
    }


def _text_of(row: ChatKey, user: User, at: datetime) -> str:
    """The key where it is good for a while, else nothing."""
    is_same = row.user_id == user.pk and row.password_stamp == user.get_session_auth_hash()
    if not is_same or row.expires_at <= at + SPARE:
        return ""
    try:
        return str(crypto.decrypt(row.sealed))
    except crypto.InvalidToken:
        return ""


def _renewed(row: ChatKey, user: User, session: Session, at: datetime) -> ChatKey:
    """Two that come at once get the same: the second finds what the first has made."""
    with transaction.atomic():
        row = ChatKey.objects.select_for_update().get(pk=row.pk)
        if not _text_of(row, user, at):
            for name, value in _fresh(user, session, at).items():
                setattr(row, name, value)
            row.save()
    return row
