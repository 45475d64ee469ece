"""What is shown of a gateway: the same for the API, the command line and pages."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from apps.accounts.access import Access
from apps.backends import services as backends
from apps.core.models import Event
from apps.gateways import queries, seen, states
from apps.gateways.machines import workload
from apps.gateways.models import Gateway, Publication
from apps.gateways.records import resolving
from apps.instances import states as instance_states
from apps.instances.models import Instance, Tunnel

MOST_RUNS = 50
SHOWN_EVENTS = 50


@dataclass(frozen=True)
class Record:
    """The DNS record to make, and what a resolver said of a name below it."""

    name: str
    kind: str
    address: str
    answer: str
    asked_name: str
    asked_at: datetime | None
    is_right: bool
    made_by: str = ""
    error: str = ""

    @property
    def text(self) -> str:
        return f"{self.name} {self.kind} {self.address}"


def record_of(gateway: Gateway) -> Record | None:
    """Return the record of a gateway on a machine, None where no address is known."""
    if gateway.connection_id is None or not gateway.address:
        return None
    return Record(
        name=f"*.{gateway.domain}",
        kind=resolving.record_type(gateway.address),
        address=gateway.address,
        answer=gateway.dns_answer,
        asked_name=resolving.asked_name(gateway),
        asked_at=gateway.dns_asked_at,
        is_right=resolving.is_right(gateway),
        made_by=gateway.dns_connection.name
        if gateway.makes_records and gateway.dns_connection
        else "",
        error=gateway.dns_error,
    )


def is_on_host(gateway: Gateway) -> bool:
    """Tell whether it stands on a host of a person's, `region` by name."""
    return gateway.connection is not None and backends.is_standing(gateway.connection.kind)


def runs_on(publication: Publication) -> list[str]:
    """Return the project's services there, by name."""
    runs = publication.gateway.runs.filter(project=publication.project)
    live = runs.filter(stop_requested_at=None, finished_at=None).order_by("name")
    return list(live.values_list("name", flat=True)[:MOST_RUNS])


def events_of(gateway: Gateway) -> list[Event]:
    """Return what happened to a gateway, newest first."""
    found = Event.objects.filter(state_machine=states.GATEWAY.name, object_id=gateway.uid)
    return list(found.order_by("-version")[:SHOWN_EVENTS])


def machine_of(access: Access, publication: Publication) -> Instance | None:
    """Return its machine, for those who see the machines of the project that it was made for."""
    gateway = publication.gateway
    is_theirs = gateway.made_for_id == publication.project_id or access.is_global_admin
    return gateway.instance if is_theirs else None


def step_of(access: Access, publication: Publication) -> str:
    """Say what goes on until it serves, "" where nothing does."""
    gateway, machine = publication.gateway, machine_of(access, publication)
    if gateway.state == states.CREATING:
        return "choosing its machine" if gateway.address else "asking for its address"
    if gateway.state == states.DELETING:
        return f"ending its machine ({machine.state})" if machine else "giving back its address"
    if gateway.state != states.PROVISIONING or machine is None:
        return ""
    if machine.state != instance_states.READY:
        return f"machine {machine.state}" + (f": {machine.boot_step}" if machine.boot_step else "")
    live = workload.live_of(gateway)
    return (live.phase if live else "") or "waiting for its first report"


@dataclass(frozen=True)
class Certificates:
    """How many hosts have which, and when the first of them expires."""

    valid: int
    pending: int
    failed: int
    first_expires_at: datetime | None

    @classmethod
    def of(cls, found: seen.Seen) -> Certificates:
        count = Counter(each["state"] for each in found.hosts)
        ends = [each["expires_at"] for each in found.hosts if each["expires_at"]]
        first = datetime.fromtimestamp(min(ends), UTC) if ends else None
        return cls(count[states.VALID], count[states.PENDING], count[states.FAILED], first)


def tunnels_to(gateway: Gateway) -> int:
    return Tunnel.objects.filter(gateway=gateway, freed_at=None).count()


def _waits_for_host(gateway: Gateway) -> str:
    """Say why one that is deleted stays, and what to do, where its own host is away."""
    host = gateway.instance
    if gateway.state != states.DELETING or host is None or not is_on_host(gateway):
        return ""
    if host.state != instance_states.LOST:
        return ""
    since = f" since {host.reported_at:%Y-%m-%d %H:%M} UTC" if host.reported_at else ""
    return (
        f"it is taken off its host {host.name} once that is back, which has said nothing{since}. "
        f"If it never comes back, remove the host with `dstack host remove {host.name}` or on the "
        "page Hosts, and the gateway is gone with it"
    )


def error_of(access: Access, publication: Publication) -> str:
    """Return what is wrong with it, as far as those of the project see it."""
    gateway = publication.gateway
    is_theirs = gateway.made_for_id in (None, publication.project_id) or access.is_global_admin
    made = (_waits_for_host(gateway) or gateway.failure) if is_theirs else ""
    return made or seen.of(access, publication.project, gateway).error


def gateway_json(access: Access, publication: Publication) -> dict[str, Any]:
    gateway, machine = publication.gateway, machine_of(access, publication)
    record = record_of(gateway)
    return {
        "name": gateway.name,
        "state": gateway.state,
        "state_since": gateway.state_at,
        "backend": gateway.backend,
        "region": gateway.region,
        "host": gateway.region if is_on_host(gateway) else None,
        "address": gateway.address,
        "domain": gateway.domain,
        "default": publication.is_default,
        "error": error_of(access, publication) or None,
        "machine": machine.name if machine else None,
        "machine_state": machine.state if machine else None,
        "price_usd_per_hour": float(machine.price_usd_per_hour) if machine else None,
        "version": gateway.version or None,
        "is_current": workload.is_current(gateway),
        "step": step_of(access, publication) or None,
        "tunnels": tunnels_to(gateway),
        "certificates": asdict(Certificates.of(seen.of(access, publication.project, gateway))),
        "dns": record
        and {
            "name": record.name,
            "type": record.kind,
            "value": record.address,
            "asked": record.asked_name,
            "answer": record.answer or None,
            "asked_at": record.asked_at,
            "is_right": record.is_right,
            "made_by": record.made_by or None,
            "error": record.error or None,
        },
        "runs": runs_on(publication),
        "reported_at": gateway.reported_at,
        "created_at": gateway.created_at,
    }


def publication_of(access: Access, project: str, name: str) -> Publication:
    """Return a gateway as a project uses it. Raise NotFound."""
    where = access.project(project)
    gateway = queries.named(where, name)
    return queries.gateways_of(where).select_related("project").get(gateway=gateway)
