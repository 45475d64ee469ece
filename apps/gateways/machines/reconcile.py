"""A gateway from its request to its end. Calls providers, so it runs in `outside`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Project
from apps.backends import services as backends
from apps.backends.base import Address, Feature, Provider, ProviderError
from apps.backends.faults import leaving
from apps.backends.registry import PROVIDERS
from apps.core import ids, sweep
from apps.core.errors import Invalid
from apps.core.sweep import one_by_one
from apps.core.transition import Stale, transition
from apps.gateways import states
from apps.gateways.machines import decide, offers, workload
from apps.gateways.models import Gateway
from apps.gateways.records import keeping, resolving
from apps.instances import calls, ending, services
from apps.instances import states as instance_states
from apps.instances.costs import in_use
from apps.instances.models import Instance, Workload
from apps.instances.tunnels import claims as tunnels

Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)

CALL_LEASE = timedelta(minutes=5)
OVER = (*instance_states.INSTANCE.final, instance_states.TERMINATING)
ADDRESS = "dstack-gateway-"
KEPT_TRIES, MOST_CHARACTERS = 10, 500
# Then a gateway is deleted all the same, and what is left of it in the DNS is said.
RECORDS_TRIED_FOR = timedelta(days=1)


def advance(*, keys: Sequence[int], at: datetime) -> None:
    """Take each gateway one step on."""
    claimed = sweep.claim(Gateway.objects.all(), keys, at=at, lease=CALL_LEASE)
    one_by_one(claimed, lambda gateway: _advance(gateway, at=at))


def on_instances(instance_ids: Sequence[Any]) -> list[int]:
    """Return the gateways that stand on these machines."""
    found = Gateway.objects.filter(instance__in=instance_ids)
    return list(found.values_list("pk", flat=True))


def _advance(gateway: Gateway, *, at: datetime) -> None:
    due = gateway.next_check_at
    if gateway.state == states.CREATING and due is not None and due > at:
        # What woke us is no reason to ask for a machine before its time.
        sweep.set_next_check(gateway, at=due)
        return
    try:
        step = decide.next_step(_facts(gateway), at=at)
        _DO[step.do](gateway, step, at)
        if gateway.state == states.RUNNING:
            _look_after(gateway, at=at)
    except calls.Busy:
        sweep.set_next_check(gateway, at=at + decide.SOON)
    except ProviderError as error:
        _refused(gateway, error, at=timezone.now())
    except Stale:
        return  # whoever was faster has woken what comes next


def _facts(gateway: Gateway) -> decide.Facts:
    instance, live = gateway.instance, workload.live_of(gateway)
    reported = gateway.reported_at
    is_new = bool(instance and reported and reported >= instance.created_at)
    return decide.Facts(
        state=gateway.state,
        has_address=bool(gateway.reserved) or not _has_static_addresses(gateway),
        machine=_machine(gateway, live),
        is_attached=bool(instance and instance.ref and _attached_to(gateway) == instance.ref),
        is_heard=is_new and live is not None and bool(live.ready),
        has_served=reported is not None,
        attempts=gateway.attempts,
    )


def _machine(gateway: Gateway, live: Workload | None) -> str:
    instance = gateway.instance
    if instance is None:
        return "none"
    if gateway.state == states.DELETING:
        is_gone = instance.is_final or (_is_standing(gateway) and live is None)
        return "over" if is_gone else "there"
    if instance.state in OVER or live is None:
        return "over"
    return "there" if instance.boot_id or instance.running_at else "coming"


def _reserve(gateway: Gateway, step: decide.Step, at: datetime) -> None:
    server_id, name = backends.server_id(), address_name(gateway)
    made = _ask(
        gateway,
        lambda provider: provider.reserve_address(gateway.region, name, server_id=server_id),
    )
    gateway.reserved = {"ref": made.ref, "ip": made.ip, "name": made.name, "on": ""}
    gateway.address = made.ip
    _keep(gateway, "reserved", "address")
    tunnels.gateway_moved(gateway.pk)
    sweep.set_next_check(gateway, at=timezone.now())


def _place(gateway: Gateway, step: decide.Step, at: datetime) -> None:
    """Ask for a machine. The one before it, if there was one, has another token from now on."""
    project, token = gateway.made_for, ids.new_token("g")
    assert project is not None and gateway.connection is not None
    try:
        choice = _choice(gateway, project, at)
        new = workload.of(gateway, token=token)
        with transaction.atomic():
            made = services.place(
                project=project, backend=choice.backend, offer=choice.offer, new=new, at=at
            )
            transition(
                gateway,
                states.PROVISIONING,
                at=at,
                reason=f"on {offers.named(choice.offer)}",
                instance=made.instance,
                token_hash=ids.token_hash(token),
                failure="",
                next_check_at=at,
            )
    except (Invalid, services.NoRoom, in_use.OverLimit, OSError) as error:
        _retry(gateway, str(error), at=at)


def _choice(gateway: Gateway, project: Project, at: datetime) -> offers.Choice:
    """Return its host, which stays the same, or the cheapest machine. Raise Invalid."""
    assert gateway.connection is not None
    if _is_standing(gateway):
        return offers.on_host(project=project, host=gateway.region)
    name = gateway.connection.name
    return offers.cheapest(project=project, backend=name, region=gateway.region, at=at)


def _attach(gateway: Gateway, step: decide.Step, at: datetime) -> None:
    """Bring those who go to its address to its machine."""
    instance = gateway.instance
    assert instance is not None
    address = _reserved(gateway)
    if address is not None:
        _ask(gateway, lambda provider: provider.attach_address(instance.ref, address))
        ip = address.ip
    else:
        ip = _ask(gateway, lambda provider: provider.inspect(instance.ref)).address or ""
        if not ip:
            sweep.set_next_check(gateway, at=at + decide.SOON)
            return
    has_moved = gateway.address != ip
    gateway.reserved, gateway.address = {**gateway.reserved, "on": instance.ref}, ip
    _keep(gateway, "reserved", "address")
    if has_moved:
        tunnels.gateway_moved(gateway.pk)
    sweep.set_next_check(gateway, at=timezone.now())


def _serve(gateway: Gateway, step: decide.Step, at: datetime) -> None:
    transition(
        gateway,
        states.RUNNING,
        at=at,
        reason="it reported",
        attempts=0,
        tried=[],
        failure="",
        next_check_at=at,
    )


def _anew(gateway: Gateway, step: decide.Step, at: datetime) -> None:
    """Its machine is over, or what runs there: it gets another one, with the same address."""
    fields = _over(gateway)
    transition(
        gateway,
        states.CREATING,
        at=at,
        reason=f"its machine is over: {fields['failure']}" if fields["failure"] else "",
        attempts=min(gateway.attempts + 1, 30_000),
        next_check_at=step.next_check_at,
        **fields,
    )


def _give_up(gateway: Gateway, step: decide.Step, at: datetime) -> None:
    fields = _over(gateway)
    transition(
        gateway,
        states.GAVE_UP,
        at=at,
        reason=fields["failure"],
        next_check_at=None,
        **fields,
    )


def _over(gateway: Gateway) -> dict[str, Any]:
    """End what is left of its machine; return what is to be noted of it."""
    instance = gateway.instance
    if instance is None:
        return {"failure": gateway.failure or "it had no machine any more"}
    last = instance.workloads.filter(owner_id=gateway.uid).order_by("-pk").first()
    said = (last.message if last else "") or instance.error or f"{instance.name} is gone"
    _end_machine_of(gateway, instance)
    tried = {"instance": instance.instance_type, "region": instance.region, "error": said[:500]}
    return {
        "failure": said[:MOST_CHARACTERS],
        "tried": [*gateway.tried, tried][-KEPT_TRIES:],
        "reserved": {**gateway.reserved, "on": ""},
    }


def _end_machine(gateway: Gateway, step: decide.Step, at: datetime) -> None:
    if gateway.instance is not None:
        _end_machine_of(gateway, gateway.instance)
    sweep.set_next_check(gateway, at=step.next_check_at)


def _end_machine_of(gateway: Gateway, instance: Instance) -> None:
    at = timezone.now()
    if _is_standing(gateway):
        mine = instance.workloads.filter(owner_id=gateway.uid)
        services.stop_workloads(workloads=list(mine.exclude(state=instance_states.EXITED)), at=at)
    elif instance.state not in OVER:
        ending.begin(instance, f"gateway {gateway.name} needs it no more", at=at)


def _release(gateway: Gateway, step: decide.Step, at: datetime) -> None:
    """Its machine is gone, says its cloud: so go its address and, with the last, its group."""
    left = _forget_records(gateway, at)
    address = _reserved(gateway)
    # Later than the records that lead to it: whoever is given it next would be called by them.
    if address is not None:
        _ask(gateway, lambda provider: provider.release_address(address))
    if gateway.connection is not None and not _is_standing(gateway):
        _ask(gateway, lambda provider: provider.tidy(gateway.region))
    with transaction.atomic():
        if _is_standing(gateway) and gateway.instance is not None:
            # What it left on its host goes when the agent hears that it is wanted no more.
            services.tell(gateway.instance)
        transition(gateway, states.DELETED, at=timezone.now(), reason=left, next_check_at=None)
        Gateway.objects.filter(pk=gateway.pk).delete()


def _forget_records(gateway: Gateway, at: datetime) -> str:
    """Take its records out of the DNS; return what a person has to, "" where nothing is left. Raise
    ProviderError while it is tried again."""
    if not keeping.is_kept_for(gateway):
        return ""
    try:
        keeping.forget(gateway)
    except ProviderError as error:
        if at < gateway.state_at + RECORDS_TRIED_FOR:
            raise
        said = f"{str(error).rstrip('.')}: take it away where the domain is managed"
        logger.warning("gateway %s is deleted, but %s", gateway.name, said)
        return said[:MOST_CHARACTERS]
    return ""


def _refused(gateway: Gateway, error: ProviderError, *, at: datetime) -> None:
    """One that is deleted with its backend by force does not wait for a cloud that does not listen:
    its address is let go."""
    backend, attempts = gateway.connection, gateway.attempts + 1
    hopeless = backend is not None and leaving.is_hopeless(backend, error, attempts=attempts, at=at)
    if backend is None or gateway.state != states.DELETING or not hopeless:
        _retry(gateway, str(error), at=at)
        return
    address, said = _reserved(gateway), str(error).rstrip(".")
    if (records := keeping.left(gateway)) and records not in said:
        said += f": {records} may still be in the DNS"
    with transaction.atomic():
        if address is not None:
            left = leaving.Left(leaving.ADDRESS, address.name, address.ref, gateway.region)
            leaving.note(backend, left)
            said += f": its address {address.ip} may still be reserved there, and cost money"
        transition(gateway, states.DELETED, at=at, reason=said, next_check_at=None)
        Gateway.objects.filter(pk=gateway.pk).delete()


def _wait(gateway: Gateway, step: decide.Step, at: datetime) -> None:
    sweep.set_next_check(gateway, at=step.next_check_at)


_DO: dict[str, Callable[[Gateway, decide.Step, datetime], None]] = {
    decide.RESERVE: _reserve,
    decide.PLACE: _place,
    decide.ATTACH: _attach,
    decide.SERVE: _serve,
    decide.ANEW: _anew,
    decide.GIVE_UP: _give_up,
    decide.END_MACHINE: _end_machine,
    decide.RELEASE: _release,
    decide.WAIT: _wait,
}


def _look_after(gateway: Gateway, *, at: datetime) -> None:
    """Of one that serves: is its program this server's, and do callers find it?"""
    live = workload.live_of(gateway)
    wanted = workload.wanted_version()
    if live is not None and live.spec.get("wheel_sha256") != wanted:
        logger.info("gateway %s gets version %s", gateway.name, wanted[:12])
        services.update_spec(workload=live, wheel_sha256=wanted)
    runs = live.image_pin.rpartition("@")[2] if live is not None else ""
    if runs and runs != gateway.version:
        gateway.version = runs[:64]
        _keep(gateway, "version")
    if keeping.is_kept_for(gateway) and (again := keeping.keep(gateway, at=at)):
        sweep.set_next_check(gateway, at=again)
    if resolving.is_due(gateway, at=at):
        resolving.look(gateway, at=at)


def _retry(gateway: Gateway, error: str, *, at: datetime) -> None:
    """Say why it does not go on, and try again later; one that never served is given up."""
    attempts = min(gateway.attempts + 1, 30_000)
    gateway.attempts, gateway.failure = attempts, error[:MOST_CHARACTERS]
    is_hopeless = gateway.reported_at is None and attempts >= decide.MAX_ATTEMPTS
    if is_hopeless and gateway.state == states.CREATING:
        fields: dict[str, Any] = {"attempts": attempts, "failure": gateway.failure}
        transition(
            gateway, states.GAVE_UP, at=at, reason=gateway.failure, next_check_at=None, **fields
        )
        return
    _keep(gateway, "attempts", "failure")
    sweep.set_next_check(gateway, at=decide.after(attempts, at=at))


def address_name(gateway: Gateway) -> str:
    """Return what its provider calls its address, the same in every call."""
    return f"{ADDRESS}{gateway.uid}"


def _reserved(gateway: Gateway) -> Address | None:
    known = gateway.reserved
    return Address(known["ref"], known["ip"], known["name"]) if known.get("ref") else None


def _attached_to(gateway: Gateway) -> str:
    return str(gateway.reserved.get("on") or "")


def _has_static_addresses(gateway: Gateway) -> bool:
    kind = gateway.connection.kind if gateway.connection else ""
    provider = PROVIDERS.get(kind)
    return provider is not None and Feature.STATIC_ADDRESS in provider.features


def _is_standing(gateway: Gateway) -> bool:
    return gateway.connection is not None and backends.is_standing(gateway.connection.kind)


def _ask(gateway: Gateway, question: Callable[[Provider], Answer]) -> Answer:
    assert gateway.connection is not None
    return calls.ask(gateway.connection, question, about=gateway.uid)


def _keep(gateway: Gateway, *names: str) -> None:
    Gateway.objects.filter(pk=gateway.pk).update(**{name: getattr(gateway, name) for name in names})
