"""Who gets what answer from each route of the API. A route without a line here fails the test.

What one may not see is 404, what one sees but may not do is 403, and who cannot be made out is 401.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Project, User
from apps.backends import services as backends
from apps.backends.api import waiting
from apps.backends.models import Check
from apps.gateways.models import Publication
from apps.hosts.models import Host
from apps.runs.models import Upload
from dstack_web.api import api
from tests import factories
from tests.integration.api.roles import (
    NEVER,
    PEOPLE,
    Case,
    admins,
    everybody,
    global_admins,
    members,
    server_admins,
)

DIGEST = "a" * 64


RUN: dict[str, Any] = {"configuration": factories.CONFIGURATION, "name": "fresh"}
BOUND = {"bound here": 403, "bound elsewhere": 403}

CASES = {
    "GET /api/users/me": everybody(),
    "GET /api/users": global_admins(),
    "POST /api/users": global_admins(201, username="new"),
    "PATCH /api/users/{username}": global_admins(active=False),
    "GET /api/projects": everybody(),
    "POST /api/projects": everybody(201, but=BOUND, name="fresh"),
    "PATCH /api/projects/{project}": server_admins(replicas_limit=5),
    # Refused since `hello` is not over, but only to those who may delete it.
    "DELETE /api/projects/{project}": admins(409),
    "GET /api/projects/{project}/spend": members(),
    "GET /api/projects/{project}/budget": members(),
    "PUT /api/projects/{project}/budget": admins(usd_per_month=5),
    "GET /api/projects/{project}/members": members(),
    "POST /api/projects/{project}/members": admins(201, username="stranger"),
    "DELETE /api/projects/{project}/members/{username}": admins(204),
    "GET /api/tokens": everybody(),
    "POST /api/tokens": everybody(201, but=BOUND, name="new"),
    # The token in the address is the member's own.
    "DELETE /api/tokens/{token_id}": Case(
        ("member",), dict.fromkeys(set(PEOPLE) - {"member"}, 404), 204
    ),
    "POST /api/specs/validate": everybody(configuration="type: service"),
    "GET /api/projects/{project}/backends": members(),
    # Not connected, since its keys would be no keys, but only to those who may connect one.
    "POST /api/projects/{project}/backends": admins(
        422, kind="aws", config={"creds": {"type": "access_key"}}
    ),
    "GET /api/projects/{project}/backends/{backend}": members(),
    "PATCH /api/projects/{project}/backends/{backend}": server_admins(disabled=False),
    # Refused since `hello` needs it, but only to those who may close it.
    "DELETE /api/projects/{project}/backends/{backend}": server_admins(409),
    "POST /api/projects/{project}/backends/{backend}/check": server_admins(202),
    "GET /api/projects/{project}/backend-checks/{check}": admins(202),
    "GET /api/backend-kinds": everybody(),
    "GET /api/backends": global_admins(),
    "POST /api/backends": global_admins(422, kind="aws", config={"creds": "none"}),
    "GET /api/backends/{server_backend}": global_admins(),
    "PATCH /api/backends/{server_backend}": global_admins(disabled=True),
    "DELETE /api/backends/{server_backend}": global_admins(204),
    "POST /api/backends/{server_backend}/check": global_admins(202),
    "GET /api/backend-checks/{server_check}": global_admins(202),
    "GET /api/projects/{project}/instances": members(),
    "GET /api/projects/{project}/instances/{instance}": members(),
    "DELETE /api/projects/{project}/instances/{instance}": members(),
    "DELETE /api/projects/{project}/instances/{instance}/cache": admins(),
    "GET /api/projects/{project}/offers": members(),
    "GET /api/projects/{project}/offers/groups": members(),
    "POST /api/projects/{project}/runs/plan": members(**RUN),
    "POST /api/projects/{project}/runs": members(201, **RUN),
    "GET /api/projects/{project}/runs": members(),
    "GET /api/projects/{project}/runs/{name}": members(),
    "PATCH /api/projects/{project}/runs/{name}": members(configuration=factories.CONFIGURATION),
    "GET /api/projects/{project}/runs/{name}/versions": members(),
    # There is no earlier version.
    "POST /api/projects/{project}/runs/{name}/rollback": members(422),
    "DELETE /api/projects/{project}/runs/{name}": members(409),
    "POST /api/projects/{project}/runs/{name}/stop": members(),
    "POST /api/projects/{project}/runs/{name}/scale": members(replicas="2"),
    "POST /api/projects/{project}/runs/{name}/scale/plan": members(replicas="2"),
    "GET /api/projects/{project}/runs/{name}/events": members(),
    "GET /api/projects/{project}/runs/{name}/logs": members(),
    "GET /api/projects/{project}/runs/{name}/metrics": members(),
    "GET /api/projects/{project}/runs/{name}/requests": members(),
    "GET /api/projects/{project}/runs/{name}/decisions": members(),
    "GET /api/projects/{project}/events": members(),
    # Refused as no archive, but only to those who may send one.
    "POST /api/projects/{project}/uploads": members(422),
    "GET /api/projects/{project}/uploads/{digest}": members(),
    "HEAD /api/projects/{project}/uploads/{digest}": members(),
    "GET /api/projects/{project}/uploads": members(),
    "DELETE /api/projects/{project}/uploads/{digest}": members(204),
    "GET /api/projects/{project}/hosts": members(),
    # Refused as no address, but only to those who may add one.
    "POST /api/projects/{project}/hosts": admins(422, address="nowhere"),
    "GET /api/projects/{project}/hosts/{host}": members(),
    "DELETE /api/projects/{project}/hosts/{host}": admins(202),
    # It shows the key that is known.
    "POST /api/projects/{project}/hosts/{host}/accept-key": admins(409, fingerprint="SHA256:x"),
    "GET /api/projects/{project}/gateways": members(),
    "POST /api/projects/{project}/gateways": admins(
        422, domain="example.com", backend="nowhere", region="north"
    ),
    "GET /api/projects/{project}/gateways/{gateway}": members(),
    "PATCH /api/projects/{project}/gateways/{gateway}": admins(default=True),
    # It stands on no machine.
    "DELETE /api/projects/{project}/gateways/{gateway}": admins(409),
    "POST /api/projects/{project}/gateways/{gateway}/retry": admins(409),
    "POST /api/projects/{project}/gateways/{gateway}/upgrade": admins(409),
    "GET /api/projects/{project}/gateways/{gateway}/traffic": members(),
    "GET /api/projects/{project}/gateways/{gateway}/logs": admins(),
    "GET /api/projects/{project}/gateways/{gateway}/certificates": members(),
    # Refused as no certificate, but only to those who may bring one.
    "POST /api/projects/{project}/gateways/{gateway}/certificates": admins(
        422, chain="none", key="none"
    ),
    "DELETE /api/projects/{project}/gateways/{gateway}/certificates/{certificate_id}": admins(204),
}
PUBLIC = {"GET /api/specs/schema.json"}


@dataclass
class World:
    """Project `main` with run `hello`; headers and answers by role."""

    headers: dict[str, dict[str, str]]
    path: dict[str, str | int]

    def answers(self, route: str, body: dict[str, Any]) -> dict[str, int]:
        return {role: self._answer(route, body, role) for role in self.headers}

    def _answer(self, route: str, body: dict[str, Any], role: str) -> int:
        method, _, path = route.partition(" ")
        client = Client(headers=self.headers[role])
        address = path.format(**self.path)
        if method in ("GET", "HEAD"):
            return client.generic(method, address).status_code
        # Each role finds the world as it was.
        with transaction.atomic():
            response = client.generic(method, address, json.dumps(body), "application/json")
            transaction.set_rollback(True)
        return response.status_code


@pytest.fixture
def world(tmp_path: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    settings.MEDIA_ROOT = tmp_path
    settings.SERVER_DIR = tmp_path
    (tmp_path / "agent").mkdir()
    member, admin, stranger = (factories.user(name) for name in ("member", "admin", "stranger"))
    root, disabled = factories.user("root", admin=True), factories.user(active=False)
    main, other = factories.project("main", admin=admin), factories.project("other", admin=admin)
    factories.member(main, member)
    factories.member(main, disabled)
    config = {"boot_path": str(tmp_path / "agent.json"), "url": "http://127.0.0.1:1"}
    backends.connect(project=main, kind="local", config=config)
    gateway = factories.gateway(main, name="edge")
    certificate = factories.certificate(gateway)
    shared = factories.backend(None, kind="aws", name="shared")
    asked = {"state": "checking", "kind": "aws", "name": "aws"}
    mine = Check.objects.create(project=main, **asked)
    ours = Check.objects.create(project=None, backend=shared, **asked)
    monkeypatch.setattr(waiting, "MOST_SECONDS", 0.0)
    factories.run(main, name="hello", user=member)
    Upload.objects.create(project=main, hash=DIGEST, size_bytes=1, blob="x")
    past = timezone.now() - timedelta(seconds=1)
    tokens = {
        "stranger": factories.token(stranger),
        "member": factories.token(member),
        "admin": factories.token(admin),
        "root": factories.token(root),
        "bound here": factories.token(admin, project=main),
        "bound elsewhere": factories.token(admin, project=other),
        "revoked": factories.token(admin, revoked_at=past),
        "expired": factories.token(admin, expires_at=past),
        "disabled": factories.token(disabled),
        "call scope": factories.token(admin, scope="call"),
        "service key": factories.token(admin, project=main, run_names=["hello"]),
    }
    headers = {role: issued.headers for role, issued in tokens.items()}
    headers |= {"anonymous": {}, "unknown": {"Authorization": "Bearer dsk_u_" + "0" * 39}}
    victim = factories.token(member)
    path = {"project": "main", "name": "hello", "username": "member", "digest": DIGEST}
    path |= {"backend": "local", "check": str(mine.pk)}
    path |= {"server_backend": shared.name, "server_check": str(ours.pk)}
    kept = [{"id": "i", "key": str(main.pk), "bytes": 1, "used_at": ""}]
    factories.instance(main, name="machine", backend_kind="cloud", caches=kept)
    path["instance"] = "machine"
    Host.objects.create(project=main, name="desk", user="ann", address="192.0.2.7", state="active")
    path["host"] = "desk"
    path |= {"gateway": gateway.name, "certificate_id": str(certificate.pk)}
    return World(headers, {**path, "token_id": victim.row.pk})


# What waits for something reads the database on other connections.
WAITS = re.compile(r"/logs$|/check$|-checks/|^(POST|PATCH) \S+backends")


def on_database(routes: Iterable[str]) -> list[Any]:
    """The routes with the database each needs: streams read it on other connections."""
    return [
        pytest.param(route, marks=pytest.mark.django_db(transaction=bool(WAITS.search(route))))
        for route in routes
    ]


def routes() -> set[str]:
    paths = api.get_openapi_schema()["paths"]
    return {f"{method.upper()} {path}" for path, found in paths.items() for method in found}


def test_has_a_line_for_each_route() -> None:
    assert routes() == set(CASES) | PUBLIC


@pytest.mark.parametrize("route", on_database(CASES))
def test_answers_each_role_as_it_should(world: World, route: str) -> None:
    case = CASES[route]
    may = dict.fromkeys(case.may, case.ok)

    answers = world.answers(route, case.body)

    # A member may leave by oneself, which the address of this one route asks for.
    leaves = {"member": 204} if route.startswith("DELETE") and "{username}" in route else {}
    assert answers == {**NEVER, **case.others, **may, **leaves}


@pytest.mark.django_db
@pytest.mark.parametrize("route", sorted(PUBLIC))
def test_answers_everybody_where_nothing_is_secret(route: str) -> None:
    assert Client().get(route.partition(" ")[2]).status_code == 200


AGENTS = ["GET /api/agent/assignment", "GET /api/agent/gateway.whl"]
AGENTS += [f"POST /api/agent/{word}" for word in ("report", "logs", "usage")]
GATEWAYS = ["GET /api/gateway/table", "POST /api/gateway/status"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("route", AGENTS + GATEWAYS)
def test_lets_no_person_act_as_an_agent_or_a_gateway(world: World, route: str) -> None:
    answers = world.answers(route, {})

    assert set(answers.values()) == {401}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("token", ["dsk_a_" + "0" * 39, "dsk_e_" + "0" * 39])
def test_lets_nobody_enrol_a_machine_that_nobody_asked_for(world: World, token: str) -> None:
    body = {"enrolment": token, "token_sha256": "0" * 64}
    answers = world.answers("POST /api/agent/enrol", body)
    steps = world.answers("POST /api/agent/step", {"enrolment": token, "step": "installing x"})

    assert {*answers.values(), *steps.values()} == {401}


@pytest.mark.parametrize("route", on_database(CASES))
def test_lets_no_agent_act_as_a_person(world: World, route: str) -> None:
    instance = factories.instance(Project.objects.get(name="main"))
    world.headers = {"agent": factories.agent_headers(instance)}

    assert world.answers(route, CASES[route].body) == {"agent": 401}


FOREIGN = ("secret-merger-bot", "wildcard-issuer", "mallory", "1 failed")
ENDED = timezone.now()


@pytest.fixture(params=["preset", "published"])
def shared(world: World, request: pytest.FixtureRequest) -> None:
    main, other = (Project.objects.get(name=name) for name in ("main", "other"))
    gateway = main.gateways.get()
    hosts = ("hello.localhost", "gateway.localhost", "secret-merger-bot.localhost")
    gateway.secured = [
        {"host": host, "state": state, "source": "acme", "expires_at": None, "error": ""}
        for host, state in zip(hosts, ("valid", "pending", "failed"), strict=True)
    ]
    gateway.error = "two services claim secret-merger-bot.localhost; the newer one has it"
    gateway.preset = request.param == "preset"
    gateway.save()
    if request.param == "published":
        Publication.objects.create(project=other, gateway=gateway)
    main.runs.update(gateway=gateway)
    factories.run(other, name="secret-merger-bot", gateway=gateway)
    # The name of a run that ended may be another project's now.
    factories.run(
        main, name="secret-merger-bot", gateway=gateway, state="stopped", finished_at=ENDED
    )
    gateway.certificates.all().delete()
    mine, theirs = ["hello.localhost"], ["secret-merger-bot.localhost"]
    factories.certificate(gateway, issuer="its-issuer", hosts=mine, brought_by="admin")
    factories.certificate(gateway, issuer="wildcard-issuer", brought_by="root")
    factories.certificate(gateway, issuer="wildcard-issuer", brought_by="admin")
    factories.certificate(gateway, issuer="wildcard-issuer", hosts=mine, brought_by="mallory")
    factories.certificate(
        gateway, issuer="wildcard-issuer", hosts=[*mine, *theirs], brought_by="admin"
    )


def shown(world: World, role: str) -> dict[str, str]:
    """What API and pages tell this role of the gateway."""
    api = "/api/projects/main/gateways"
    client = Client(headers=world.headers[role])
    found = {path: client.get(path) for path in (api, f"{api}/edge/certificates")}
    user = {"bound here": "admin"}.get(role, role)
    browser = Client()
    browser.force_login(User.objects.get(username=user))
    pages = ("/projects/main/gateways/", "/projects/main/gateways/edge/certificates/")
    found |= {path: browser.get(path) for path in pages}
    assert {answer.status_code for answer in found.values()} == {200}
    return {path: answer.content.decode() for path, answer in found.items()}


@pytest.mark.django_db
@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("role", ["member", "admin", "bound here"])
def test_shows_of_a_shared_gateway_what_is_the_projects_own(world: World, role: str) -> None:
    found = shown(world, role)

    assert {path: [w for w in FOREIGN if w in text] for path, text in found.items()} == {
        path: [] for path in found
    }
    for text in list(found.values())[1::2]:
        assert all(word in text for word in ("hello.localhost", "gateway.localhost", "its-issuer"))


@pytest.mark.django_db
@pytest.mark.usefixtures("shared")
def test_shows_all_of_a_shared_gateway_to_admins_of_the_server(world: World) -> None:
    found = list(shown(world, "root").values())

    for text in found[1::2]:
        assert all(word in text for word in FOREIGN[:3])
    for text in found[::2]:
        assert "two services claim secret-merger-bot" in text


@pytest.mark.django_db
@pytest.mark.usefixtures("shared")
def test_shows_a_token_that_is_bound_to_a_project_what_is_the_projects(world: World) -> None:
    root, main = User.objects.get(username="root"), Project.objects.get(name="main")
    headers = factories.token(root, project=main).headers

    text = Client(headers=headers).get("/api/projects/main/gateways/edge/certificates").content

    assert b"hello.localhost" in text and b"secret-merger-bot" not in text


@pytest.mark.django_db
def test_shows_all_of_a_gateway_of_its_own_to_a_project(world: World) -> None:
    gateway = Project.objects.get(name="main").gateways.get()
    gateway.secured = [{"host": "old.localhost", "state": "valid", "source": "acme"}]
    gateway.secured[0] |= {"expires_at": None, "error": ""}
    gateway.error = "all 3 slots are taken"
    gateway.save()

    texts = list(shown(world, "member").values())

    assert all("old.localhost" in text and "Test CA" in text for text in texts[1::2])
    assert all("all 3 slots" in text for text in texts[::2])
