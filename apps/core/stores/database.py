"""What to do when the database was away.

After a restart of PostgreSQL every idle connection of a pool is dead, and each would cost one more
request or task its answer. The first failure is told by the server; the others need not be found
out one by one.
"""

from __future__ import annotations

import logging

from django.db import InterfaceError, OperationalError, connections
from django.db.backends.postgresql.base import DatabaseWrapper

logger = logging.getLogger(__name__)

AWAY = (OperationalError, InterfaceError)


def drop_dead_connections(*, of: DatabaseWrapper | None = None) -> None:
    """Let the process's pool throw away its idle connections that are dead.

    Call it after an error of `AWAY`, outside a transaction. Without a pool there is nothing to do.
    """
    wrapper = of or connections["default"]
    wrapper.close()
    pool = getattr(wrapper, "pool", None)
    if pool is not None:
        pool.check()
        logger.info("looked through the idle connections of the pool")
