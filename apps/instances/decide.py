"""What to do next with an instance. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.backends.base import InstanceState
from apps.core.backoff import Backoff
from apps.instances import states

# An agent reports every 10 s; six missed reports are not chance.
SILENT = timedelta(seconds=60)
# A machine that is away this long is given up, and what ran on it is replaced.
GIVEN_UP = timedelta(minutes=10)
# Where all of several machines went silent, it is rather this server that none of them reaches:
# they serve on meanwhile, and what would take their place could not call either.
GIVEN_UP_TOGETHER = timedelta(hours=1)
# How often a backend is asked of a machine that does not speak for itself.
INSPECTED = timedelta(seconds=30)
# A cloud may not know at once what it has just been asked to make.
UNKNOWN_YET = timedelta(seconds=60)
# Some clouds make a machine for most of an hour; its time to call begins when it runs.
MADE_WITHIN = timedelta(hours=1)
MAX_ATTEMPTS = 5
BACKOFF = Backoff(timedelta(seconds=10), timedelta(seconds=320))

CREATE, MARK_LOST, MARK_IDLE, MARK_READY = "create", "mark_lost", "mark_idle", "mark_ready"
BEGIN_END, TERMINATE, WAIT = "begin_end", "terminate", "wait"
FAIL_BOOT, NOTE_GONE, DROP_STOPPED = "fail_boot", "note_gone", "drop_stopped"

UNWANTED = "nothing wants it any more"


@dataclass(frozen=True)
class Facts:
    """`heard_at` is the last report, or the start of this control plane if that is later: while we
    were away nobody could have been heard. `live` counts workloads that have not exited, `wanted`
    those of them that should run. `seen` is what the backend says now, None where it was not asked
    or did not answer; `running_at` is when it first said that the machine runs.

    A standing machine was there before us: it comes back, however long it is away. `all_silent`:
    there are several that we made, and none of them is heard. `notice`: the
    backend wants a spot machine back; `interrupted`: that is known already.
    """

    state: str
    shared: bool
    state_at: datetime
    heard_at: datetime | None
    idle_since: datetime | None
    idle_after: timedelta | None
    live: int
    wanted: int
    standing: bool = False
    all_silent: bool = False
    seen: InstanceState | None = None
    running_at: datetime | None = None
    boot_within: timedelta = timedelta(minutes=10)
    spot: bool = False
    notice: bool = False
    interrupted: bool = False

    @property
    def is_unwanted(self) -> bool:
        return self.wanted == 0 and not (self.shared or self.standing)


@dataclass(frozen=True)
class Step:
    """`is_silence`: the machine ran, for all that is known, and did not call."""

    do: str
    reason: str = ""
    next_check_at: datetime | None = None
    is_silence: bool = False


def asks(state: str, *, has_ref: bool) -> bool:
    """Tell whether the backend is asked how the machine is before anything is decided."""
    return has_ref and state in (states.BOOTING, states.LOST)


def is_taken_back(facts: Facts, *, at: datetime) -> bool:
    """Tell whether the cloud takes a spot machine back: by its word, or by what became of it."""
    if not facts.spot:
        return False
    if facts.state == states.LOST and facts.seen in (InstanceState.GONE, InstanceState.FAILED):
        return True
    is_known = at - facts.state_at > UNKNOWN_YET
    gone = facts.state == states.BOOTING and facts.seen == InstanceState.GONE and is_known
    return facts.notice or gone


def next_step(facts: Facts, *, at: datetime) -> Step:
    """Return what to do with the instance and when to look at it again."""
    if facts.state in states.INSTANCE.final:
        return Step(WAIT)
    if facts.state in (states.REQUESTED, states.CREATING):
        return Step(BEGIN_END, UNWANTED) if facts.is_unwanted else Step(CREATE)
    if facts.state == states.TERMINATING:
        return Step(TERMINATE)
    if facts.state == states.BOOTING:
        return _booting(facts, at)
    if facts.state == states.LOST:
        return _lost(facts, at)
    return _alive(facts, at)


def _booting(facts: Facts, at: datetime) -> Step:
    if facts.is_unwanted:
        return Step(BEGIN_END, UNWANTED)
    if facts.interrupted:
        return Step(FAIL_BOOT, "was taken back by the cloud before it called")
    if facts.seen == InstanceState.FAILED:
        return Step(FAIL_BOOT, "failed before it called")
    if facts.seen == InstanceState.GONE and at - facts.state_at > UNKNOWN_YET:
        return Step(FAIL_BOOT, "was gone before it called")
    if facts.seen == InstanceState.CREATING:
        over, reason = facts.state_at + MADE_WITHIN, "was not made within an hour"
    else:
        over = (facts.running_at or facts.state_at) + facts.boot_within
        reason = f"did not call within {in_words(facts.boot_within)}"
    if at > over:
        return Step(FAIL_BOOT, reason, is_silence=facts.seen != InstanceState.CREATING)
    return Step(WAIT, next_check_at=min(over + timedelta(seconds=1), at + INSPECTED))


def may_enrol(
    state: str,
    *,
    state_at: datetime,
    running_at: datetime | None,
    boot_within: timedelta,
    at: datetime,
) -> bool:
    """Tell whether the machine is one whose agent is waited for, by the bounds of `_booting`."""
    if state == states.CREATING:
        # The agent may be faster than the provider's answer.
        return True
    over = running_at or state_at + MADE_WITHIN
    return state == states.BOOTING and at <= over + boot_within


def _lost(facts: Facts, at: datetime) -> Step:
    if facts.seen == InstanceState.GONE:
        return Step(NOTE_GONE, "its machine is gone")
    if facts.is_unwanted:
        return Step(BEGIN_END, UNWANTED)
    if facts.seen == InstanceState.FAILED and not facts.standing:
        return Step(BEGIN_END, "its machine failed")
    if at - facts.state_at > (GIVEN_UP_TOGETHER if facts.all_silent else GIVEN_UP):
        if not facts.standing:
            return Step(BEGIN_END, "its agent has been silent for too long")
        if facts.live > facts.wanted:
            return Step(DROP_STOPPED, next_check_at=at + INSPECTED)
    return Step(WAIT, next_check_at=at + INSPECTED)


def _alive(facts: Facts, at: datetime) -> Step:
    if facts.heard_at is None or at - facts.heard_at > SILENT:
        return Step(MARK_LOST, f"no report for {int(SILENT.total_seconds())} s")
    idle = facts.live == 0 and not facts.shared
    if facts.interrupted and idle:
        return Step(BEGIN_END, "the cloud takes it back")
    if facts.state == states.READY and idle:
        if facts.idle_after == timedelta(0):
            return Step(BEGIN_END, "nothing left to run")
        return Step(MARK_IDLE, "nothing left to run")
    if facts.state == states.IDLE and not idle:
        return Step(MARK_READY, "has work")
    # A whole SILENT after this look would be up to two after the last report.
    silent_at = facts.heard_at + SILENT + timedelta(seconds=1)
    if facts.state == states.IDLE and facts.idle_after is not None and facts.idle_since:
        if at - facts.idle_since >= facts.idle_after:
            return Step(BEGIN_END, f"idle for {facts.idle_after}")
        return Step(WAIT, next_check_at=min(facts.idle_since + facts.idle_after, silent_at))
    return Step(WAIT, next_check_at=silent_at)


def in_words(span: timedelta) -> str:
    """Say 600 s as "10 minutes" and 90 s as "90 s"."""
    seconds = int(span.total_seconds())
    minutes, rest = divmod(seconds, 60)
    if rest or not minutes:
        return f"{seconds} s"
    return f"{minutes} minute{'' if minutes == 1 else 's'}"
