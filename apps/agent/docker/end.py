"""How a container ended: by itself, because it was asked to, or with its engine or its host."""

from __future__ import annotations

import calendar
import time
import typing
from dataclasses import dataclass

from apps.agent import wire
from apps.agent.host import procs
from apps.agent.workloads.executor import End, how_it_ended

ENGINE_STOPPED = "the container engine was stopped, and the container with it"
# An engine that is told to stop ends its containers before and while nobody can ask it.
BEFORE_SECONDS, AFTER_SECONDS = 20.0, 10.0
# What an engine that is back again takes until its containers are reached as before.
SETTLE_SECONDS = 30.0


@dataclass
class Outage:
    """The last time that the engine did not answer; times are seconds since 1970."""

    began_at: typing.Optional[float] = None
    ended_at: typing.Optional[float] = None

    def begins(self) -> None:
        if self.began_at is None or self.ended_at is not None:
            self.began_at, self.ended_at = time.time(), None

    def ends(self) -> None:
        if self.began_at is not None and self.ended_at is None:
            self.ended_at = time.time()

    @property
    def is_on(self) -> bool:
        return self.began_at is not None and self.ended_at is None

    @property
    def is_felt(self) -> bool:
        """Whether the engine is away, or so newly back that nothing can be expected yet."""
        newly = self.ended_at is not None and time.time() - self.ended_at < SETTLE_SECONDS
        return self.is_on or newly

    def covers(self, at: float) -> bool:
        if self.began_at is None:
            return False
        until = time.time() if self.ended_at is None else self.ended_at
        return self.began_at - BEFORE_SECONDS <= at <= until + AFTER_SECONDS


def ended(
    state: dict[str, typing.Any],
    facts: dict[str, typing.Any],
    outage: Outage,
    *,
    memory_limit_mib: typing.Optional[int],
) -> End:
    """Judge an end by what the engine says of it (`state`) and by what was noted (`facts`)."""
    code, at = int(state["ExitCode"]), time.time()
    if facts.get("boot_id") != procs.boot_id():
        return End(code, wire.REASON_HOST_STOPPED, "the host was restarted", at)
    began = facts.get("stop_began_at")
    if began is not None:
        killed = facts.get("killed") and code == 137
        took = f"killed: it did not stop within {at - began:.0f} s"
        return End(code, wire.REASON_STOPPED, took if killed else "stopped", at)
    finished_at = seconds_of(str(state.get("FinishedAt") or ""))
    if outage.covers(at if finished_at is None else finished_at):
        return End(code, wire.REASON_HOST_STOPPED, ENGINE_STOPPED, at)
    reason, text = how_it_ended(
        code=code,
        signal=code - 128 if code > 128 else None,
        seconds=at - facts["started_at"],
        out_of_memory=bool(state.get("OOMKilled")),
        memory_limit_mib=memory_limit_mib,
    )
    return End(code, reason, text, at)


def seconds_of(stamp: str) -> typing.Optional[float]:
    """Read the engine's 2026-11-23T22:28:28.596667123Z; None for what is no time."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    try:
        at = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None
    return at + float(f"0.{fraction}") if fraction.isdigit() else float(at)
