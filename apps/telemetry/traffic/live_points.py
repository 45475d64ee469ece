"""The last two minutes of every service in Valkey, second by second.

Valkey may be lost at any time: then there are no figures, which means "hold" to who scales, and
the next looks of the gateways fill it again. Nothing here raises.

A gateway's looks are kept beside the points of its services, since a look that does not name a
service says that nothing was asked of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import redis

from apps.core.live_hints import PREFIX
from apps.core.stores import valkey
from apps.telemetry.traffic.points import Point

logger = logging.getLogger(__name__)

KEPT_POINTS = 130
KEPT_SECONDS = 150

# Requests in flight and held.
Load = tuple[int, int]
NOTHING: Load = (0, 0)


def _of_run(run_id: UUID) -> str:
    return f"dstack-points:run:{run_id}"


def _of_gateway(gateway_id: int) -> str:
    return f"dstack-points:gateway:{gateway_id}"


def _of_look(gateway_id: int, at: float) -> str:
    return f"dstack-points:look:{gateway_id}:{at!r}"


def add(*, gateway_id: int, look: Point, points: Mapping[UUID, Point]) -> None:
    """Keep a gateway's look and the points of the services it names, and tell the pages that show
    them."""
    busy: dict[Any, Any] = {
        str(pk): _written(point) for pk, point in points.items() if point.outstanding
    }
    kept = {_of_run(pk): point for pk, point in points.items()}
    try:
        with valkey.client().pipeline(transaction=False) as pipeline:
            for key, point in {_of_gateway(gateway_id): look, **kept}.items():
                pipeline.lpush(key, _written(point))
                pipeline.ltrim(key, 0, KEPT_POINTS - 1)
                pipeline.expire(key, KEPT_SECONDS)
            if busy:
                pipeline.hset(_of_look(gateway_id, look.at), mapping=busy)
                pipeline.expire(_of_look(gateway_id, look.at), KEPT_SECONDS)
            for pk in points:
                pipeline.publish(f"{PREFIX}metrics:{pk}", "{}")
            pipeline.execute()
    except (redis.RedisError, OSError) as error:
        logger.warning("live figures are not kept: %s", error)


def of(gateways: Mapping[UUID, int | None], *, at: float) -> dict[UUID, list[Point]]:
    """Return each run's points of the last two minutes, oldest first.

    `gateways` maps runs to their gateways. Without figures a run has no points.
    """
    runs = [pk for pk, gateway in gateways.items() if gateway is not None]
    looked = sorted({gateway for gateway in gateways.values() if gateway is not None})
    keys = [*map(_of_gateway, looked), *map(_of_run, runs)]
    try:
        with valkey.client().pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.lrange(key, 0, KEPT_POINTS - 1)
            answers = [_read(lines, at) for lines in pipeline.execute()] if keys else []
    except (redis.RedisError, OSError) as error:
        logger.warning("live figures are away: %s", error)
        return {pk: [] for pk in gateways}
    looks = dict(zip(looked, answers, strict=False))
    own = dict(zip(runs, answers[len(looked) :], strict=True))
    return {pk: _merged(looks.get(g or 0, {}), own.get(pk, {})) for pk, g in gateways.items()}


def now(*, gateway_ids: Collection[int], at: float) -> dict[int, dict[UUID, Load]]:
    """Return what each gateway's last look named as under way; a gateway that did not look in the
    last minutes is left out, and so are all while Valkey is away."""
    try:
        with valkey.client().pipeline(transaction=False) as pipeline:
            for pk in gateway_ids:
                pipeline.lindex(_of_gateway(pk), 0)
            written = zip(gateway_ids, pipeline.execute(), strict=True) if gateway_ids else ()
            looked = {pk: _point(line) for pk, line in written if line}
            looks = {pk: look for pk, look in looked.items() if at - KEPT_SECONDS < look.at <= at}
            for pk, look in looks.items():
                pipeline.hgetall(_of_look(pk, look.at))
            found = pipeline.execute() if looks else []
    except (redis.RedisError, OSError) as error:
        logger.warning("live figures are away: %s", error)
        return {}
    return {pk: _load(busy) for pk, busy in zip(looks, found, strict=True)}


def _load(busy: Mapping[str, str]) -> dict[UUID, Load]:
    points = {UUID(run_id): _point(line) for run_id, line in busy.items()}
    return {pk: (point.in_flight, point.held) for pk, point in points.items()}


def _point(line: str) -> Point:
    return Point(*json.loads(line))


def _merged(looks: Mapping[float, Point], own: Mapping[float, Point]) -> list[Point]:
    return sorted({**looks, **own}.values(), key=lambda point: point.at)


def _written(point: Point) -> str:
    return json.dumps([point.at, point.seconds, point.answered, point.in_flight, point.held])


def _read(lines: Sequence[str], at: float) -> dict[float, Point]:
    """Parts of one look have the same time: what one names, another may leave out."""
    points: dict[float, Point] = {}
    for line in lines:
        point = _point(line)
        if other := points.get(point.at):
            point = replace(
                point,
                answered=point.answered + other.answered,
                in_flight=max(point.in_flight, other.in_flight),
                held=max(point.held, other.held),
            )
        points[point.at] = point
    return {when: point for when, point in points.items() if at - KEPT_SECONDS < when <= at}
