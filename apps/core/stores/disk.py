"""A disk that is full, told from everything else that goes wrong.

A full disk shows as ENOSPC where we write, as PostgreSQL's `disk_full` where it does, and where not
even its log of changes has room, PostgreSQL ends: it is away then, and only the disk says why.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import InterfaceError, OperationalError

from apps.core.errors import DiskFull

FULL = {errno.ENOSPC, errno.EDQUOT}
# https://www.postgresql.org/docs/current/errcodes-appendix.html
DATABASE_FULL = "53100"
# PostgreSQL takes the next piece of its log, 16 MB, whole or not at all, and ends without it.
LEAST_FREE_BYTES = 20 * 2**20
AFTER = "Free some space there; then try again, nothing was changed."


def refusal(error: BaseException | None) -> DiskFull | None:
    """Return what to answer where a full disk is behind an error, None where it is not."""
    causes = list(_causes(error))
    if any(getattr(each, "sqlstate", None) == DATABASE_FULL for each in causes):
        return DiskFull(f"The disk of the server's database is full. {AFTER}")
    if any(isinstance(each, OSError) and each.errno in FULL for each in causes):
        return DiskFull(f"The disk of the server's {_which()} is full. {AFTER}")
    away = isinstance(error, OperationalError | InterfaceError)
    if away and _database_is_ours() and _free_bytes(settings.SERVER_DIR) < LEAST_FREE_BYTES:
        return DiskFull(f"The database is away, since the server's disk is full. {AFTER}")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _which() -> str:
    temporary = Path(tempfile.gettempdir())
    if _free_bytes(temporary) < min(_free_bytes(settings.SERVER_DIR), LEAST_FREE_BYTES):
        return "temporary files"
    return "files"


def _database_is_ours() -> bool:
    """Whether it writes to the home: the embedded one is reached by a socket of the file system."""
    return str(settings.DATABASES["default"]["HOST"]).startswith("/")


def _free_bytes(path: Path) -> int:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return LEAST_FREE_BYTES
