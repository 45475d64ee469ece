"""What the API answers, as plain values; what an older server does not send has a default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from apps.cli.errors import CliError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

FINAL = ("stopped", "failed")


@dataclass(frozen=True)
class Attempt:
    """An offer that could not be had, and why."""

    backend: str = ""
    region: str = ""
    instance: str = ""
    spot: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Replica:
    """`phase` says in words where a replica and its machine stand, `phase_since` since when;
    `placed_why` why it is not on the cheapest offer, `tried` are the offers that it could not get.
    """

    num: int = 0
    state: str = ""
    backend: str = ""
    region: str = ""
    instance: str = ""
    resources: str = ""
    spot: bool = False
    price_usd_per_hour: float | None = None
    cost_usd: float | None = None
    placed_why: str = ""
    phase: str = ""
    phase_since: str | None = None
    tried: tuple[Attempt, ...] = ()
    started_at: str | None = None


@dataclass(frozen=True)
class Run:
    """`last_lines` is the end of what a failed replica wrote."""

    name: str
    project: str = ""
    state: str = ""
    url: str = ""
    model_url: str | None = None
    replicas_wanted: int = 0
    replicas: tuple[Replica, ...] = ()
    price_usd_per_hour: float | None = None
    cost_usd: float | None = None
    error: str = ""
    notice: str = ""
    schedule: str = ""
    ends_at: str | None = None
    version: int = 1
    fallback_version: int | None = None
    last_lines: tuple[str, ...] = ()
    created_at: str | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in FINAL

    @property
    def is_published(self) -> bool:
        """Ready to answer: with a replica, or asleep by intent, when the gateway wakes it."""
        ready = any(replica.state == "running" for replica in self.replicas)
        return self.state in ("running", "idle") or (ready and not self.has_ended)


@dataclass(frozen=True)
class Offer:
    """`availability` is `available`, or what else there is to know about it; `priced_at` is the day
    of a price that nobody asked for just now. `blocked_until` is when it may be asked for again,
    `blocked_why` what its backend said."""

    backend: str = ""
    region: str = ""
    instance: str = ""
    resources: str = ""
    spot: bool = False
    price_usd_per_hour: float | None = None
    availability: str = ""
    connected: bool = True
    priced_at: str = ""
    is_stale: bool = False
    blocked_until: str = ""
    blocked_why: str = ""


@dataclass(frozen=True)
class Difference:
    """A key that changes, with both values in words."""

    path: str = ""
    old: str = ""
    new: str = ""
    in_place: bool = False


@dataclass(frozen=True)
class Plan:
    """What a run would be; `current` is the unfinished run that it would update or replace."""

    plan_id: str
    name: str
    project: str = ""
    user: str = ""
    action: str = "create"
    rollout: bool = False
    differences: tuple[Difference, ...] = ()
    current: Run | None = None
    spec: Mapping[str, Any] | None = None
    offers: tuple[Offer, ...] = ()
    total_offers: int = 0
    max_price_usd_per_hour: float | None = None
    url: str = ""
    shell: str | None = None
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def run(data: Any) -> Run:
    """Read a run."""
    replicas = tuple(_replica(one) for one in _list(data, "replicas"))
    return _read(Run, data, replicas=replicas, last_lines=tuple(_list(data, "last_lines")))


def _replica(data: Any) -> Replica:
    tried = tuple(_read(Attempt, one) for one in _list(data, "tried"))
    return _read(Replica, data, tried=tried)


def offer(data: Any) -> Offer:
    """Read an offer."""
    blocked = data.get("blocked") if isinstance(data, dict) else None
    said = blocked if isinstance(blocked, dict) else {}
    until, why = str(said.get("until") or ""), str(said.get("reason") or "")
    return _read(Offer, data, blocked_until=until, blocked_why=why)


def plan(data: Any) -> Plan:
    """Read a plan."""
    current = data.get("current") if isinstance(data, dict) else None
    return _read(
        Plan,
        data,
        current=run(current) if current else None,
        offers=tuple(offer(one) for one in _list(data, "offers")),
        differences=tuple(_read(Difference, one) for one in _list(data, "differences")),
        warnings=tuple(_list(data, "warnings")),
        left_out=tuple(_list(data, "left_out")),
    )


def _read(kind: type[T], data: Any, **read: Any) -> T:
    """Raise CliError for what has another shape: client and server are of different versions."""
    known = {one.name for one in fields(kind)}
    try:
        given = {key: value for key, value in data.items() if key in known and value is not None}
        return kind(**{**given, **read})
    except (AttributeError, TypeError) as error:
        raise CliError(
            "The server answered in a way that this dstack does not understand: "
            "update dstack to the server's version."
        ) from error


def _list(data: Any, key: str) -> list[Any]:
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, list) else []
