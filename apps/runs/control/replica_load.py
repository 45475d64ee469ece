"""How many requests each replica of a run works on, as its gateway said within the last seconds.

It is kept in Valkey, which may lose it: a replica of which nothing is known has no requests, and
then the newest is the one that goes. Nothing here raises.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from uuid import UUID

import redis

from apps.core.stores import valkey

logger = logging.getLogger(__name__)

# Gateways tell each second while there are any requests.
KEPT_SECONDS = 5


def _key(run_id: UUID) -> str:
    return f"dstack-loads:{run_id}"


def note(load: Mapping[UUID, Mapping[str, int]]) -> None:
    """Keep what gateways say: requests in flight by run and replica id."""
    if not load:
        return
    try:
        with valkey.client().pipeline(transaction=False) as pipeline:
            for run_id, by_replica in load.items():
                pipeline.set(_key(run_id), json.dumps(by_replica), ex=KEPT_SECONDS)
            pipeline.execute()
    except (redis.RedisError, OSError) as error:
        logger.warning("the load of replicas is not kept: %s", error)


def of(run_ids: Sequence[UUID]) -> dict[str, int]:
    """Return the requests in flight by replica id, for all of these runs."""
    if not run_ids:
        return {}
    try:
        kept = valkey.client().mget([_key(pk) for pk in run_ids])
    except (redis.RedisError, OSError) as error:
        logger.warning("the load of replicas is away: %s", error)
        return {}
    found: dict[str, int] = {}
    for text in kept:
        found |= json.loads(text) if text else {}
    return found
