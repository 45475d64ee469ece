"""Which server this is in clouds, and whether this database is at its own place.

A copy of a database carries the id of the server that it was copied from, and would end that
server's machines. So the place, which is the server's home, has a mark that no copy of the database
has; where the two do not belong together nothing is asked of clouds until an administrator has said
which server this is.
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from apps.backends.base import Feature
from apps.backends.models import Backend, ServerIdentity
from apps.backends.registry import PROVIDERS

FILE = "place"
# The name of `manage.py`'s command, which sentences tell.
COMMAND = "manage.py identity"


def server_id() -> str:
    """Return what this server is called in clouds, the same until it is renewed."""
    return str(_row().server_id)


def why_held() -> str:
    """Return why nothing is asked of clouds, empty where all is well.

    A database that was at no place yet, or knows no cloud, belongs to this one from now on.
    """
    row, here = _row(), place()
    if row.place == here:
        return ""
    if not row.place or not _knows_clouds():
        ServerIdentity.objects.filter(pk=row.pk, place=row.place).update(place=here)
        return ""
    return (
        "This database was restored or copied from another server's place, so no machine of a "
        "cloud is made or ended: an administrator of the server says which it is, with "
        f"`{COMMAND} keep` (the other server is gone) or `{COMMAND} renew` (this is a copy)."
    )


def _knows_clouds() -> bool:
    standing = [kind for kind, each in PROVIDERS.items() if Feature.STANDING in each.features]
    return Backend.objects.exclude(kind__in=standing).exists()


def keep() -> None:
    """This server goes on with the id, and so with the machines, of the database."""
    ServerIdentity.objects.filter(pk=_row().pk).update(place=place())


def renew() -> None:
    """This server gets an id of its own; its caller lets go of what the old one made."""
    ServerIdentity.objects.filter(pk=_row().pk).update(place=place(), server_id=uuid.uuid4())


def place() -> str:
    """Return the mark of this server's home, made at the first call.

    A home that was copied with the embedded database is another place, by its path.
    """
    home = Path(settings.SERVER_DIR)
    file = home / FILE
    with suppress(FileNotFoundError):
        if mark := file.read_text().strip():
            return _of(home, mark)
    home.mkdir(parents=True, exist_ok=True)
    draft = home / f".{FILE}.{uuid.uuid4()}"
    draft.write_text(f"{uuid.uuid4()}\n")
    try:
        # Several processes start at once: the first one's holds, and never half a file.
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
    return _of(home, file.read_text().strip())


def _of(home: Path, mark: str) -> str:
    host = str(settings.DATABASES["default"].get("HOST") or "")
    is_embedded = bool(host) and Path(host).is_relative_to(home)
    return f"{mark} {home.resolve()}" if is_embedded else mark


def _row() -> ServerIdentity:
    return ServerIdentity.objects.get_or_create(is_only=True)[0]
