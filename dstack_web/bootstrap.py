"""The rows of the first start: project, user, backend, gateway. Runs at each start, changes little.

Whatever exists is kept; addresses that may change between two starts (ports, domain) are brought up
to date.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from apps.accounts.models import Member, Project, Role, Token, User
from apps.backends import services as backends
from apps.backends import way_home
from apps.backends.queries import keeps_an_agent
from apps.core import ids
from apps.core.errors import Invalid
from apps.gateways import services as gateways
from apps.offers.catalog import snapshot
from apps.routing import services as routing

ADMIN, MAIN = "admin", "main"
LEAST_TOKEN = 20


@dataclass(frozen=True)
class Answer:
    """`password` and `token` are those of a first start only."""

    first: bool
    password: str | None = None
    token: str | None = None


def bootstrap(*, admin_password: str | None, admin_token: str | None, gateway_token: str) -> Answer:
    """Make what a fresh server needs. Raise Invalid for an unusable token."""
    answer = Answer(first=False)
    with transaction.atomic():
        project, _ = Project.objects.get_or_create(name=MAIN)
        if not User.objects.filter(is_superuser=True).exists():
            answer = _first_user(project, admin_password, admin_token)
        if keeps_an_agent():
            backends.connect_local(project=project)
            backends.refresh_local()
        gateway = gateways.ensure_preset(preset=_preset(), token=gateway_token)
    snapshot.load()
    routing.publish_all(gateway_ids=[gateway.pk])
    return answer


def _first_user(project: Project, password: str | None, token: str | None) -> Answer:
    password = password or secrets.token_urlsafe(12)
    token = token or ids.new_token("u")
    if len(token) < LEAST_TOKEN or not token.replace("_", "").replace("-", "").isalnum():
        raise Invalid(
            f"DSTACK_ADMIN_TOKEN: use at least {LEAST_TOKEN} letters, digits, hyphens and "
            "underscores."
        )
    user = User(username=ADMIN, is_superuser=True, is_staff=True)
    user.set_password(password)
    user.save()
    Member.objects.create(project=project, user=user, role=Role.ADMIN)
    Token.objects.create(
        user=user, name="first start", prefix=token[:10], hash=ids.token_hash(token)
    )
    return Answer(first=True, password=password, token=token)


def _preset() -> gateways.Preset:
    domain = settings.DSTACK_GATEWAY_DOMAIN
    # No authority gives certificates for `localhost`, so there all stays as it is.
    secure = bool(settings.DSTACK_GATEWAY_TLS_PORT) and domain.rpartition(".")[2] != "localhost"
    scheme = "https" if secure else settings.DSTACK_GATEWAY_SCHEME
    return gateways.Preset(
        name="local",
        domain=settings.DSTACK_GATEWAY_DOMAIN,
        scheme=scheme,
        port=settings.DSTACK_GATEWAY_TLS_PORT if secure else settings.DSTACK_GATEWAY_PORT,
        plain_port=settings.DSTACK_GATEWAY_PORT,
        address=_address(),
        takes_tunnels=bool(settings.DSTACK_GATEWAY_SSH_PORT),
        own_hosts=("127.0.0.1", "localhost", "::1", settings.DSTACK_GATEWAY_DOMAIN),
    )


def _address() -> str:
    """Where machines come to this server they come to its gateway, too."""
    url = way_home.for_machines(settings.DSTACK_AGENT_URL, settings.DSTACK_PUBLIC_URL)
    return way_home.host_of(url) or "127.0.0.1"
