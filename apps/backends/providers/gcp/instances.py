"""The machines themselves: made in one zone, looked at, listed by their labels, ended."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from apps.backends.base import ErrorKind, InstanceState, InstanceStatus, ProviderError, Scope
from apps.backends.providers.gcp import errors, library, operations
from apps.backends.providers.gcp.clients import Clients
from apps.backends.providers.gcp.errors import Fault

CREATING = ("PROVISIONING", "STAGING")
RUNNING = ("RUNNING", "REPAIRING", "PENDING_STOP")
CONSOLE_TAIL = 4096
MOST_TRIES = 4
PORT_OF_CONSOLE = 1


class Ref(NamedTuple):
    """What a reference holds. Its text is the same for the same machine."""

    zone: str
    name: str

    def __str__(self) -> str:
        return json.dumps({"zone": self.zone, "name": self.name})

    @classmethod
    def read(cls, text: str) -> Ref | None:
        try:
            content = json.loads(text)
            return cls(str(content["zone"]), str(content["name"]))
        except (ValueError, TypeError, KeyError):
            return None


def insert(clients: Clients, wanted: dict[str, Any], *, zone: str, until: float) -> Fault | None:
    """Make the machine, and return what went wrong with that, None where nothing did by `until`.

    A name is unique in a zone, so that asked again it is the same machine. Google answers to the
    id of a request with what came of it before: what is over already asks for another id, in the
    end for one that nobody had.
    """
    fault = None
    for request_id in _request_ids(clients.project, zone, wanted["name"]):
        try:
            operation = clients.call(
                "Instances",
                "insert_unary",
                zone=zone,
                instance_resource=wanted,
                request_id=str(request_id),
            )
        except library.exceptions().GoogleAPICallError as error:
            fault = errors.of_call(error)
            return None if fault.code in errors.EXISTS else fault
        was_over = operations.is_done(operation)
        operation = operations.waited(clients, operation, until=until, zone=zone)
        fault = errors.of_operation(operation)
        if fault is not None and fault.code in errors.EXISTS:
            return None
        is_there = was_over and fault is None and find(clients, Ref(zone, wanted["name"]))
        if not was_over or is_there:
            return fault
    return fault


def _request_ids(*words: str) -> Iterator[UUID]:
    for number in range(MOST_TRIES):
        yield uuid5(NAMESPACE_URL, json.dumps([*words, number]))
    yield uuid4()


def find(clients: Clients, ref: Ref) -> Any:
    """Return what Google says of a machine, None if it knows none."""
    try:
        return clients.call("Instances", "get", zone=ref.zone, instance=ref.name)
    except library.exceptions().NotFound:
        return None


def the_one_named(clients: Clients, name: str) -> str | None:
    """Return the zone of the machine of this name, None where there is none to be seen.

    A name is unique in its zone alone: of two calls at once, one may find a zone full that has room
    for the other. The machine that was there first stays.
    """
    rows = [(row.creation_timestamp, zone) for zone, row in everywhere(clients, f'name = "{name}"')]
    for _, zone in sorted(rows)[1:]:
        terminate(clients, Ref(zone, name))
    return min(rows)[1] if rows else None


def everywhere(clients: Clients, wanted: str) -> Iterator[tuple[str, Any]]:
    """Return the machines of all zones that a filter finds, each with its zone.

    Raise ProviderError where a zone did not answer: a part misleads.
    """
    pages = clients.call("Instances", "aggregated_list", filter=wanted)
    silent: list[str] = []
    for page in pages.pages:
        silent += page.unreachables
        for scope, found in page.items.items():
            zone = scope.rpartition("/")[2]
            if found.warning.code == "UNREACHABLE":
                silent.append(zone)
            for row in found.instances:
                yield zone, row
    if silent:
        raise ProviderError(
            f"Google Cloud says nothing of its machines in {', '.join(sorted(set(silent)))}.",
            kind=ErrorKind.UNREACHABLE,
            scope=Scope.OFFER_REGION,
        )


def status(clients: Clients, row: Any, ref: Ref) -> InstanceStatus:
    """Return its state; of one that ended by itself, what it said last."""
    name = str(row.status)
    if name in CREATING or name in RUNNING:
        state = InstanceState.CREATING if name in CREATING else InstanceState.RUNNING
        return InstanceStatus(state, address=_address(row), zone=ref.zone)
    is_spot = row.scheduling.provisioning_model == "SPOT"
    return InstanceStatus(
        InstanceState.FAILED,
        message=str(row.status_message) or f"Google Cloud says that the machine is {name}.",
        console_tail=console_tail(clients, ref),
        spot_notice=is_spot and name == "STOPPING",
        zone=ref.zone,
    )


def not_there(clients: Clients, ref: Ref) -> InstanceStatus:
    """Return the state of a machine that is not there: it may be yet to come, or have failed to."""
    operation = operations.latest_insert(clients, zone=ref.zone, name=ref.name)
    if operation is None:
        return InstanceStatus(InstanceState.GONE, zone=ref.zone)
    if not operations.is_done(operation):
        return InstanceStatus(InstanceState.CREATING, zone=ref.zone)
    fault = errors.of_operation(operation)
    error = fault.told(ref.zone) if fault else None
    message = str(error) if error else ""
    return InstanceStatus(InstanceState.GONE, message=message, zone=ref.zone, error=error)


def console_tail(clients: Clients, ref: Ref) -> str:
    """Return the end of what it wrote to its console, "" where there is none to be had."""
    with contextlib.suppress(*library.errors()):
        said = clients.call(
            "Instances",
            "get_serial_port_output",
            zone=ref.zone,
            instance=ref.name,
            port=PORT_OF_CONSOLE,
        )
        return str(said.contents)[-CONSOLE_TAIL:]
    return ""


def terminate(clients: Clients, ref: Ref) -> None:
    """Ask for the end of a machine; one that Google does not know has ended."""
    with contextlib.suppress(library.exceptions().NotFound):
        clients.call("Instances", "delete_unary", zone=ref.zone, instance=ref.name)


def _address(row: Any) -> str | None:
    for interface in row.network_interfaces:
        outside = [config.nat_i_p for config in interface.access_configs if config.nat_i_p]
        return str((outside or [interface.network_i_p])[0]) or None
    return None
