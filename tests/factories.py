"""Rows for tests: plain functions, each with the least that makes sense.

Alice owns, bob is a member, charlie is a stranger. States are set as if they had come about; how
they come about is tested where `transition` is.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from apps.accounts.models import Member, Project, Role, Token, User
from apps.backends.models import Backend
from apps.core import crypto
from apps.core.ids import new_id, new_token, token_hash
from apps.gateways.models import Certificate, Gateway, Publication
from apps.instances.models import Instance, Workload
from apps.runs.models import Replica, Run
from apps.specs.parse import parse

CONFIGURATION = "type: service\ncommands: [sleep 1]\nport: 8000\n"

# Argon2 takes 50 ms on purpose; tests that sign in ask for a password.
NO_PASSWORD = "!"

_numbers = itertools.count(1)


def user(
    name: str = "", *, password: str | None = None, admin: bool = False, active: bool = True
) -> User:
    made = User(
        username=name or f"user-{next(_numbers)}",
        password=NO_PASSWORD,
        is_superuser=admin,
        is_active=active,
    )
    if password is not None:
        made.set_password(password)
    made.save()
    return made


def project(name: str = "", *, admin: User | None = None) -> Project:
    made = Project.objects.create(name=name or f"project-{next(_numbers)}")
    if admin is not None:
        member(made, admin, role=Role.ADMIN)
    return made


def member(of: Project, who: User, *, role: str = Role.USER) -> Member:
    return Member.objects.create(project=of, user=who, role=role)


@dataclass(frozen=True)
class IssuedToken:
    """A token as its owner has it: the row and the text that is shown once."""

    row: Token
    text: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.text}"}


def token(
    of: User,
    *,
    name: str = "test",
    scope: str = "full",
    project: Project | None = None,
    run_names: list[str] | None = None,
    expires_at: datetime | None = None,
    revoked_at: datetime | None = None,
) -> IssuedToken:
    text = new_token("s" if run_names else "u")
    row = Token.objects.create(
        user=of,
        project=project,
        name=name,
        scope="call" if run_names else scope,
        run_names=run_names or [],
        prefix=text[:10],
        hash=token_hash(text),
        expires_at=expires_at,
        revoked_at=revoked_at,
    )
    return IssuedToken(row, text)


# Where machines open tunnels, as a gateway says it with its first report.
TUNNELS = {"address": "gateway.example", "tunnel_port": 2222}


def gateway(*publishing: Project, name: str = "", **fields: Any) -> Gateway:
    """A gateway on which the projects publish by default."""
    number = next(_numbers)
    text = new_token("g")
    values = {"domain": "localhost", "port": 8080, "token_hash": token_hash(text), **TUNNELS}
    values |= fields
    made = Gateway.objects.create(name=name or f"gateway-{number}", **values)
    for each in publishing:
        Publication.objects.create(project=each, gateway=made, is_default=True)
    return made


def certificate(of: Gateway, **fields: Any) -> Certificate:
    """A certificate that was brought, as the database holds it: no real one."""
    at = timezone.now()
    values = {
        "hosts": [f"*.{of.domain}"],
        "issuer": "Test CA",
        "fingerprint": f"{next(_numbers):064x}",
        "not_before": at - timedelta(days=1),
        "not_after": at + timedelta(days=30),
        "chain": "a chain",
        "key": crypto.encrypt("a private key"),
        "brought_by": "alice",
        **fields,
    }
    return Certificate.objects.create(gateway=of, **values)


def backend(
    of: Project | None, *, kind: str = "local", name: str = "", config: dict[str, Any] | None = None
) -> Backend:
    kept = crypto.encrypt(config or {})
    return Backend.objects.create(project=of, name=name or kind, kind=kind, config=kept)


def run(
    of: Project, *, user: User | None = None, name: str = "", state: str = "running", **fields: Any
) -> Run:
    values = {
        "configuration": crypto.encrypt(CONFIGURATION),
        "spec": parse(CONFIGURATION).to_json(),
        "secrets": crypto.encrypt({"env": {}, "registry_password": None}),
        **fields,
    }
    owner = user or _anyone_of(of)
    made = Run(project=of, user=owner, name=name or f"run-{next(_numbers)}", state=state, **values)
    made.next_check_at = None if made.is_final else made.next_check_at
    made.save()
    return made


def replica(of: Run, *, num: int = 0, state: str = "running", **fields: Any) -> Replica:
    """A replica; one that has an address stands on this machine, where no other is named."""
    if fields.get("address") and "instance" not in fields:
        fields["instance"] = instance(of.project)
    made = Replica(run=of, num=num, state=state, **fields)
    made.next_check_at = None if made.is_final else made.next_check_at
    made.save()
    return made


def instance(
    of: Project, *, backend: Backend | None = None, state: str = "ready", **fields: Any
) -> Instance:
    """An instance; `token_text` gives the text of its agent's token, else a new one."""
    number = next(_numbers)
    text = fields.pop("token_text", None) or new_token("a")
    values = {
        "name": f"instance-{number}",
        "backend_kind": "local",
        "region": "local",
        "instance_type": "test",
        "offer": {},
        "token": crypto.encrypt(text),
        "token_hash": token_hash(text),
        **fields,
    }
    made = Instance(project=of, backend=backend or _backend_of(of), state=state, **values)
    made.next_check_at = None if made.is_final else made.next_check_at
    made.save()
    return made


def workload(
    on: Instance, *, replica: Replica | None = None, state: str = "running", **fields: Any
) -> Workload:
    """A workload; with a replica, that replica's, on its run."""
    values = {
        "name": f"workload-{next(_numbers)}",
        "spec": {},
        "secrets": crypto.encrypt({"env": {}, "registry_password": None}),
        **fields,
    }
    values.setdefault("run_id", new_id() if replica is None else replica.run_id)
    made = Workload(instance=on, state=state, **values)
    made.save()
    if replica is not None:
        replica.workload, replica.instance = made, on
        replica.save()
    return made


def agent_headers(of: Instance) -> dict[str, str]:
    """What the instance's agent sends to be let in."""
    return {"Authorization": f"Bearer {crypto.decrypt(of.token)}"}


def _backend_of(of: Project) -> Backend:
    return Backend.objects.filter(project=of).first() or backend(of)


def _anyone_of(of: Project) -> User:
    found = Member.objects.filter(project=of).select_related("user").first()
    if found is not None:
        return found.user
    made = user()
    member(of, made)
    return made
