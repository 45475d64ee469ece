"""Acknowledging a task to Valkey, so that a worker outlives its broker."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis, virtual
from redis.exceptions import RedisError


class QoS(redis.QoS):  # type: ignore[misc]  # kombu has no types
    """Forgets a delivery also where its acknowledgement fails.

    kombu 5.7 goes on counting such a delivery as one in work, and reads the queue only while fewer
    are in work than the worker has threads. Where the broker dies while every thread has a task,
    all acknowledgements fail, and that is never again the case: the worker neither reads nor sees
    that its connection is gone, for ever.
    """

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)
        except (RedisError, OSError):
            virtual.QoS.ack(self, delivery_tag)
            raise

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        try:
            super().reject(delivery_tag, requeue=requeue)
        except (RedisError, OSError):
            virtual.QoS.ack(self, delivery_tag)
            raise


def install() -> None:
    """Make the channels of this process use it."""
    channel: Any = redis.Channel
    channel.QoS = QoS
