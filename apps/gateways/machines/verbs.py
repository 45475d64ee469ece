"""The verbs of gateways on machines: create one, change it, delete it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import queries as connected
from apps.backends import services as backends
from apps.backends.models import Backend
from apps.core import ids, notifications
from apps.core.after_commit import after_commit
from apps.core.errors import Conflict, Detail, Invalid
from apps.core.transition import created, transition
from apps.gateways import queries, states
from apps.gateways.machines import names, offers, workload
from apps.gateways.models import Gateway, Publication
from apps.gateways.records import keeping
from apps.instances import services as instances
from apps.instances.boot.machine_spec import HTTP, HTTPS
from apps.instances.costs import in_use

Hook = Callable[[Gateway], None]
_deleting_hooks: list[Hook] = []
TWO_PLACES = "Give a host, or a backend and a region: a gateway has one place."


def on_deleting(hook: Hook) -> None:
    """Call `hook(gateway)` in the transaction in which one begins to be deleted.

    The composition root subscribes the later stages, which know what is published there.
    """
    if hook not in _deleting_hooks:
        _deleting_hooks.append(hook)


@dataclass(frozen=True)
class Wanted:
    """As a person asks for it: a `host` of theirs, or a machine of `backend` in `region`. Without a
    name it gets that of its place. Its records are made in the DNS of the backend `dns`, if given.
    Where nobody says whether it is the `default` one, the first that a project makes is.
    """

    domain: str
    backend: str = ""
    region: str = ""
    name: str = ""
    default: bool | None = None
    host: str = ""
    dns: str = ""


def create(*, access: Access, project: Project, wanted: Wanted, at: datetime) -> Gateway:
    """Ask for a gateway on a machine of a cloud or on a host; making it takes minutes, elsewhere.

    Raise Forbidden, Invalid and Conflict.
    """
    access.require_admin(project)
    domain = names.checked_domain(wanted.domain)
    name = names.checked_name(wanted.name) if wanted.name else _fresh_name(wanted)
    choice = _choice(project, wanted, at)
    _require_money(project, choice, at)
    gateway = Gateway(
        dns_connection=records_by(project, wanted.dns),
        makes_records=bool(wanted.dns),
        name=name,
        domain=domain,
        scheme="https",
        port=HTTPS,
        plain_port=HTTP,
        backend=choice.backend.name,
        region=wanted.host or wanted.region,
        connection=choice.backend,
        made_for=project,
        state=states.GATEWAY.initial,
        state_at=at,
        next_check_at=at,
        # Nobody has it: each machine is given one of its own.
        token_hash=ids.token_hash(ids.new_token("g")),
    )
    with transaction.atomic():
        if wanted.host:
            _require_free(choice)
        try:
            with transaction.atomic():
                gateway.save()
        except IntegrityError:
            raise Conflict(f"There is a gateway {name} already: choose another name.") from None
        is_default = _is_default(project, wanted)
        publication = Publication.objects.create(project=project, gateway=gateway)
        created(gateway, at=at, actor=access.actor)
        if is_default:
            make_default(publication)
    return gateway


def _is_default(project: Project, wanted: Wanted) -> bool:
    """Tell whether a new gateway becomes the default one of its project, which has it not yet."""
    if wanted.default is None and is_first(project):
        return True
    others = Publication.objects.filter(project=project, is_default=True)
    return bool(wanted.default) or not others.exists()


def is_first(project: Project) -> bool:
    """Tell whether a new gateway is the first that the project makes: the server's own nobody asked
    for."""
    return not Publication.objects.filter(project=project, gateway__preset=False).exists()


def _choice(project: Project, wanted: Wanted, at: datetime) -> offers.Choice:
    if not wanted.host:
        return offers.cheapest(project=project, backend=wanted.backend, region=wanted.region, at=at)
    if wanted.region or wanted.backend not in ("", connected.SSH):
        raise Invalid(TWO_PLACES, details=[Detail("host", "and a backend are given")])
    return offers.on_host(project=project, host=wanted.host)


def _require_free(choice: offers.Choice) -> None:
    """Raise Conflict where the host has a gateway, which has its ports."""
    # One after the other: two that are asked for at once would both find it free.
    Backend.objects.select_for_update(no_key=True).get(pk=choice.backend.pk)
    host = choice.offer.instance
    there = Gateway.objects.filter(connection=choice.backend, region=host).first()
    if there is not None:
        raise Conflict(f"Host {host} has gateway {there.name} already: it has room for one.")


def update(
    *,
    access: Access,
    publication: Publication,
    domain: str | None = None,
    default: bool | None = None,
    dns: str | None = None,
) -> None:
    """Change a gateway where it stands. Raise Forbidden, Invalid and Conflict."""
    project, gateway = publication.project, publication.gateway
    if domain is not None:
        queries.require_manage(access, project, gateway)
        _move(gateway, names.checked_domain(domain))
    if dns is not None:
        queries.require_manage(access, project, gateway)
        _let_write(gateway, records_by(project, dns))
    if default is False and publication.is_default:
        raise Invalid(
            "A project has one default gateway: make another one the default instead.",
            details=[Detail("default", "cannot be taken away")],
        )
    if default:
        access.require_admin(project)
        make_default(publication)


def _move(gateway: Gateway, domain: str) -> None:
    """Give it another domain. Its table is told whole with each answer, and certificates follow."""
    require_on_machine(gateway, "its domain is a setting of the server (DSTACK_GATEWAY_DOMAIN)")
    with transaction.atomic():
        row = Gateway.objects.select_for_update().get(pk=gateway.pk)
        if row.domain == domain:
            return
        row.domain, row.dns_answer, row.dns_asked_at = domain, "", None
        row.revision += 1
        row.save(update_fields=["domain", "dns_answer", "dns_asked_at", "revision"])
        after_commit(notifications.publish, f"gateway:{gateway.pk}")
        keeping.wake(gateway)
    gateway.domain = domain


def records_by(project: Project, name: str) -> Backend | None:
    """Return the backend of that name, in whose DNS records are made. Raise Invalid."""
    if not name:
        return None
    found = connected.usable_by(project).filter(name=name).first()
    if found is None or not backends.manages_dns(found.kind):
        known = [each.name for each in dns_backends(project)]
        has = f"take one of {', '.join(known)}" if known else "connect AWS, with Route 53, first"
        raise Invalid(
            f"Project {project.name} has no backend {name[:50]!r} that manages DNS: {has}.",
            details=[Detail("dns", "is none to use")],
        )
    return found


def dns_backends(project: Project) -> list[Backend]:
    usable = connected.usable_by(project)
    return [each for each in usable if backends.manages_dns(each.kind)]


def _let_write(gateway: Gateway, by: Backend | None) -> None:
    """Have records made by a backend from now on, or what was made taken away."""
    require_on_machine(gateway, "its domain is a setting of the server (DSTACK_GATEWAY_DOMAIN)")
    with transaction.atomic():
        row = Gateway.objects.select_for_update().get(pk=gateway.pk)
        if by is not None and row.dns_connection_id not in (None, by.pk):
            raise Conflict(
                f"Records of gateway {row.name} are made by another backend: have them taken away "
                'first, with `--dns ""`.'
            )
        row.dns_connection, row.makes_records = by or row.dns_connection, by is not None
        row.dns_error = ""
        row.save(update_fields=["dns_connection", "makes_records", "dns_error"])
        keeping.wake(gateway)


def make_default(publication: Publication) -> None:
    """Have a project publish there where a service names no gateway."""
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=publication.project_id)
        mine = Publication.objects.filter(project=publication.project_id)
        mine.exclude(pk=publication.pk).update(is_default=False)
        mine.filter(pk=publication.pk).update(is_default=True)
    publication.is_default = True


def delete(*, access: Access, publication: Publication, at: datetime) -> Gateway:
    """Begin to delete a gateway: what is published there is not any more, and its machine and its
    address are given back. One that is being deleted is no error. Raise Forbidden and Conflict."""
    project, gateway = publication.project, publication.gateway
    queries.require_manage(access, project, gateway)
    require_on_machine(gateway, "it is this server's own, and stays")
    begin_delete(gateway, actor=access.actor, at=at)
    return gateway


def begin_delete(gateway: Gateway, *, actor: str, reason: str = "", at: datetime) -> None:
    if gateway.state == states.DELETING:
        return
    projects = list(gateway.projects.all())
    with transaction.atomic():
        fields = {"attempts": 0, "failure": "", "next_check_at": at}
        transition(gateway, states.DELETING, at=at, actor=actor, reason=reason, **fields)
        Publication.objects.filter(gateway=gateway).update(is_default=False)
        for hook in _deleting_hooks:
            hook(gateway)
        for project in projects:
            _next_default(project)


def retry(*, access: Access, publication: Publication, at: datetime) -> Gateway:
    """Try again to make a gateway that was given up. Raise Forbidden and Conflict."""
    gateway = publication.gateway
    queries.require_manage(access, publication.project, gateway)
    if gateway.state != states.GAVE_UP:
        raise Conflict(f"Gateway {gateway.name} is {gateway.state}: there is nothing to try again.")
    transition(gateway, states.CREATING, at=at, actor=access.actor, attempts=0, next_check_at=at)
    return gateway


def upgrade(*, access: Access, publication: Publication) -> Gateway:
    """Have a gateway brought to this server's version now, or tried again at once where that failed
    before; it goes on meanwhile. Raise Forbidden and Conflict."""
    gateway = publication.gateway
    queries.require_manage(access, publication.project, gateway)
    require_on_machine(gateway, "it is of this server's version always")
    live = workload.live_of(gateway)
    if gateway.state != states.RUNNING or live is None:
        raise Conflict(
            f"Gateway {gateway.name} is {gateway.state}: its next machine has this server's "
            "version."
        )
    instances.update_spec(workload=live, wheel_sha256=workload.wanted_version())
    return gateway


def require_on_machine(gateway: Gateway, why: str) -> None:
    if gateway.connection_id is None:
        raise Conflict(f"Gateway {gateway.name} cannot be changed so: {why}.")


def _next_default(project: Project) -> None:
    left = Publication.objects.filter(project=project).exclude(gateway__state=states.DELETING)
    if not left.filter(is_default=True).exists() and (first := left.order_by("pk").first()):
        make_default(first)


def _fresh_name(wanted: Wanted) -> str:
    taken = set(Gateway.objects.values_list("name", flat=True))
    return names.fresh(wanted.backend, wanted.host or wanted.region, taken)


def _require_money(project: Project, choice: offers.Choice, at: datetime) -> None:
    """Say at once what the machine would be refused for. Raise Conflict."""
    try:
        with transaction.atomic():
            in_use.require(project, choice.offer, at=at)
    except in_use.OverLimit as error:
        raise Conflict(f"The gateway's machine would be too much: {error}.") from None
