"""A certificate that is brought: by API and page, to the gateway and away again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.gateways.models import Certificate, Gateway
from apps.routing import services
from apps.routing.models import Entry
from apps.runs import public_urls
from gateway.schema import CertificateState, Status
from tests import factories
from tests.integration.gateway.authorities import Ca, Made
from tests.people import People, signed_in

CA = Ca()
HOST = "*.example.org"


@pytest.fixture
def gateway(people: People) -> Gateway:
    return factories.gateway(
        people.project, name="edge", domain="example.org", scheme="https", port=443, plain_port=80
    )


@pytest.fixture
def made() -> Made:
    return CA.sign(HOST)


def post(user: Any, made: Made) -> Any:
    headers = factories.token(user).headers
    body = json.dumps({"chain": made.chain, "key": made.key})
    path = "/api/projects/main/gateways/edge/certificates"
    return Client(headers=headers).post(path, body, "application/json")


def page() -> str:
    return reverse("gateways:certificates", args=["main", "edge"])


def test_the_key_is_told_to_the_gateway_only(people: People, gateway: Gateway, made: Made) -> None:
    answer = post(people.alice, made)
    services.publish_certificates(gateway_ids=[gateway.pk])

    assert answer.status_code == 201
    assert answer.json()["hosts"] == [HOST] and answer.json()["issuer"] == "Test CA"
    secret = made.key.splitlines()[1]
    (row,), (entry,) = Certificate.objects.values(), Entry.objects.values()
    listed = Client(headers=factories.token(people.bob).headers).get(
        "/api/projects/main/gateways/edge/certificates"
    )
    for text in (answer.content.decode(), listed.content.decode(), str(row), str(entry)):
        assert secret not in text
    (sent,) = services.table(gateway=gateway, since=0).certificates
    assert secret in sent.key and sent.hosts == [HOST] and secret not in repr(sent)


def test_one_that_was_removed_leaves_the_table(
    people: People, gateway: Gateway, made: Made
) -> None:
    pk = post(people.alice, made).json()["id"]
    services.publish_certificates(gateway_ids=[gateway.pk])
    version = services.table(gateway=gateway, since=0).version
    path = f"/api/projects/main/gateways/edge/certificates/{pk}"

    answer = Client(headers=factories.token(people.alice).headers).delete(path)

    # Before its tombstone, and with it.
    assert answer.status_code == 204
    assert [each.deleted for each in services.table(gateway=gateway, since=0).certificates] == [
        True
    ]
    services.publish_certificates(gateway_ids=[gateway.pk])
    (gone,) = services.table(gateway=gateway, since=version).certificates
    assert gone.deleted and not gone.key


def test_refuses_the_same_twice_and_a_foreign_key(
    people: People, gateway: Gateway, made: Made
) -> None:
    post(people.alice, made)

    again = post(people.alice, made)
    wrong = post(people.alice, Made(made.chain, CA.sign(HOST).key))

    assert again.status_code == 409
    assert wrong.status_code == 422
    assert "does not belong" in wrong.json()["error"]["message"]


def test_a_shared_gateway_is_the_servers_admins(
    people: People, gateway: Gateway, made: Made
) -> None:
    gateway.preset = True
    gateway.save()

    refused = post(people.alice, made)

    assert refused.status_code == 403 and "admin of this server" in refused.content.decode()
    assert post(people.root, made).status_code == 201


def test_the_page_takes_one_and_shows_how_it_stands(
    people: People, gateway: Gateway, made: Made
) -> None:
    alice = signed_in(people.alice)
    wrong = alice.post(page(), {"chain": made.chain, "key": "none"})
    right = alice.post(page(), {"chain": made.chain, "key": made.key})
    states = [
        CertificateState(host="a.example.org", state="pending"),
        CertificateState(host="b.example.org", state="failed", error="No such name."),
        CertificateState(host="c.example.org", state="valid", expires_at=4e9, source="upload"),
    ]
    status = Status(boot_id="b", applied=1, certificates=states)
    services.take_status(gateway=gateway, status=status, at=timezone.now())

    assert wrong.status_code == 422 and "no private key in PEM" in wrong.content.decode()
    assert right.status_code == 302
    shown = alice.get(page()).content.decode()
    for text in ("Test CA", HOST, "No such name.", "pending", "2096-10-02"):
        assert text in shown
    assert made.key.splitlines()[1] not in shown
    assert "1 failed" in alice.get(reverse("gateways:list", args=["main"])).content.decode()


def test_a_member_sees_but_does_not_change(people: People, gateway: Gateway, made: Made) -> None:
    bob = signed_in(people.bob)

    shown = bob.get(page())
    answer = bob.post(page(), {"chain": made.chain, "key": made.key})

    assert shown.status_code == 200 and "Upload a certificate" not in shown.content.decode()
    assert answer.status_code == 403 and not Certificate.objects.exists()


@pytest.mark.parametrize(
    ("https", "state", "url"),
    [
        (True, "pending", "https://hello.example.org"),
        ("auto", "pending", "http://hello.example.org"),
        ("auto", "valid", "https://hello.example.org"),
        (False, "valid", "http://hello.example.org"),
    ],
)
def test_the_spec_says_how_a_service_is_reached(
    people: People, gateway: Gateway, https: Any, state: str, url: str
) -> None:
    gateway.secured = [{"host": "hello.example.org", "state": state}]
    gateway.save()
    run = factories.run(people.project, name="hello", gateway=gateway)
    run.spec["https"] = https
    run.save()
    services.publish_all(gateway_ids=[gateway.pk])

    (endpoint,) = services.table(gateway=gateway, since=0).endpoints
    assert public_urls.service_url(run) == url
    assert endpoint.https is bool(https)
