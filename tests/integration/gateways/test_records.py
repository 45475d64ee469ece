"""Records of the DNS that this server makes for gateways on machines, by a backend or a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import base
from apps.backends.dns.port import ManagesDns
from apps.backends.registry import PROVIDERS
from apps.core.errors import Conflict, Invalid
from apps.core.models import Event
from apps.gateways.machines import showing, verbs
from apps.gateways.models import DnsAnswer, DnsTurn, Gateway
from apps.gateways.records import keeping, turns
from apps.instances.calls import Busy
from apps.routing import services as routing
from tests.fakes.cloud import Cloud, World
from tests.integration.gateways.on_machines import create, pass_time, publication, serve

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]

ADDRESS, CHALLENGE = "203.0.113.1", "_acme-challenge.example.com"
FIRST, SECOND = "a" * 43, "b" * 43
HOOK = """#!/bin/sh
env | grep -c ^DSTACK_ >>{log}
echo "$@" >>{log}
test ! -e {log}.broken || {{ echo "no such zone" >&2; exit 3; }}
"""


@dataclass
class Dns:
    """A zone in memory; changes are seen once `is_seen`."""

    rows: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    has_zone: bool = True
    is_seen: bool = True
    refuses: bool = False
    # What happens elsewhere between the reading of a record and its writing.
    meanwhile: Callable[[], None] = lambda: None

    def of(self, name: str, kind: str = "A") -> list[str]:
        return self.rows.get((name, kind), [])


class CloudWithDns(Cloud, ManagesDns):
    dns: ClassVar[Dns] = Dns()

    def dns_zone(self, domain: str) -> str:
        return "zone-1" * self.dns.has_zone

    def dns_values(self, zone: str, name: str, kind: str) -> list[str]:
        return self.dns.of(name, kind)

    def set_dns(self, zone: str, name: str, kind: str, values: Sequence[str]) -> str:
        self.dns.meanwhile()
        if self.dns.refuses:
            raise base.ProviderError("No.", kind=base.ErrorKind.CREDENTIALS)
        self.dns.rows[name, kind] = list(values)
        return "change-1"

    def is_dns_spread(self, change: str) -> bool:
        return self.dns.is_seen


@pytest.fixture
def dns(world: World, monkeypatch: pytest.MonkeyPatch) -> Dns:
    """Have the cloud manage the DNS, too."""
    made = Dns()
    monkeypatch.setattr(CloudWithDns, "dns", made)
    monkeypatch.setattr(CloudWithDns, "world", world)
    monkeypatch.setitem(PROVIDERS, "cloud", CloudWithDns)
    return made


def made(owner: Access, project: Project, **more: str) -> Gateway:
    gateway = create(owner, project, **more)
    pass_time(30)
    serve(gateway)
    pass_time(40)
    gateway.refresh_from_db()
    return gateway


def test_the_records_are_made_follow_the_domain_and_go_with_the_gateway(
    dns: Dns, owner: Access, cloudy: Project
) -> None:
    dns.rows["other.example.com", "A"] = ["198.51.100.1"]
    gateway = made(owner, cloudy, dns="cloud")
    assert dns.of("*.example.com") == dns.of("example.com") == [ADDRESS]
    said = showing.gateway_json(owner, publication(gateway))["dns"]
    assert (said["made_by"], said["error"]) == ("cloud", None)

    verbs.update(access=owner, publication=publication(gateway), domain="example.org")
    pass_time(40)
    assert dns.of("*.example.com") == dns.of("example.com") == []
    assert dns.of("*.example.org") == [ADDRESS]

    verbs.delete(access=owner, publication=publication(gateway), at=timezone.now())
    pass_time(300)
    assert not Gateway.objects.exists()
    assert {key for key, values in dns.rows.items() if values} == {("other.example.com", "A")}


def test_what_others_have_is_left_alone_and_said(dns: Dns, owner: Access, cloudy: Project) -> None:
    website = dns.rows["example.com", "A"] = ["198.51.100.1"]
    dns.rows["*.example.com", "A"] = ["198.51.100.2"]
    gateway = made(owner, cloudy, dns="cloud")
    assert "has a record A 198.51.100.2 already" in gateway.dns_error
    assert dns.of("*.example.com") == ["198.51.100.2"]

    dns.rows["*.example.com", "A"] = []
    pass_time(120)
    gateway.refresh_from_db()

    assert (gateway.dns_error, dns.of("*.example.com")) == ("", [ADDRESS])
    verbs.update(access=owner, publication=publication(gateway), dns="")
    pass_time(40)
    gateway.refresh_from_db()
    assert dns.of("*.example.com") == [] and dns.of("example.com") == website
    assert (gateway.dns_connection, gateway.dns_records) == (None, [])


def test_without_a_zone_or_a_backend_for_it_a_sentence_says_so(
    dns: Dns, owner: Access, cloudy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    dns.has_zone = False
    gateway = made(owner, cloudy, dns="cloud")
    assert gateway.dns_error.startswith("backend cloud has no public zone in which example.com is")
    with pytest.raises(Invalid, match="take one of cloud"):
        create(owner, cloudy, name="other", dns="nowhere")
    monkeypatch.setitem(PROVIDERS, "cloud", Cloud)
    with pytest.raises(Invalid, match="connect AWS, with Route 53, first"):
        create(owner, cloudy, name="other", dns="cloud")


def test_answers_are_written_beside_those_of_others_and_taken_away(
    dns: Dns, owner: Access, cloudy: Project
) -> None:
    dns.rows[CHALLENGE, "TXT"] = ["of somebody else"]
    dns.is_seen = False
    gateway = made(owner, cloudy, dns="cloud")
    assert routing.table(gateway=gateway, since=0).solves_dns

    for value in (FIRST, SECOND):
        keeping.ask(gateway=gateway, name=CHALLENGE, value=value, is_wanted=True)
    pass_time(10)
    assert dns.of(CHALLENGE, "TXT") == ["of somebody else", FIRST, SECOND]
    assert not DnsAnswer.objects.filter(is_there=True).exists()
    dns.is_seen = True
    pass_time(30)
    state = keeping.ask(gateway=gateway, name=CHALLENGE, value=FIRST, is_wanted=True)
    assert state is not None and state.is_there

    keeping.ask(gateway=gateway, name=CHALLENGE, value=FIRST, is_wanted=False)
    pass_time(10)
    assert dns.of(CHALLENGE, "TXT") == ["of somebody else", SECOND]
    dns.refuses = True
    keeping.ask(gateway=gateway, name=CHALLENGE, value="c" * 43, is_wanted=True)
    pass_time(10)
    refused = keeping.ask(gateway=gateway, name=CHALLENGE, value="c" * 43, is_wanted=True)
    assert refused is not None and refused.error == "No."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_acme-challenge.example.org", FIRST),
        ("_acme-challenge.sub.example.com", FIRST),
        ("example.com", FIRST),
        (CHALLENGE, "short"),
        (CHALLENGE, 'a"' * 30),
    ],
)
def test_a_gateway_writes_nothing_but_answers_for_its_own_domain(
    dns: Dns, owner: Access, cloudy: Project, name: str, value: str
) -> None:
    gateway = create(owner, cloudy, dns="cloud")
    with pytest.raises(Invalid, match="no answer to a challenge"):
        keeping.ask(gateway=gateway, name=name, value=value, is_wanted=True)


def test_a_program_of_the_server_writes_answers_and_learns_nothing_of_the_server(
    world: World, owner: Access, cloudy: Project, settings: Any, tmp_path: Path
) -> None:
    gateway = made(owner, cloudy)
    with pytest.raises(Conflict, match="writes no records"):
        keeping.ask(gateway=gateway, name=CHALLENGE, value=FIRST, is_wanted=True)
    hook, log = tmp_path / "hook", tmp_path / "log"
    hook.write_text(HOOK.format(log=log))
    hook.chmod(0o700)
    settings.DSTACK_GATEWAY_DNS_HOOK = str(hook)
    settings.DSTACK_GATEWAY_DNS_SECONDS = 0
    pass_time(120)
    assert routing.table(gateway=gateway, since=0).solves_dns

    keeping.ask(gateway=gateway, name=CHALLENGE, value=FIRST, is_wanted=True)
    pass_time(20)
    state = keeping.ask(gateway=gateway, name=CHALLENGE, value=FIRST, is_wanted=True)
    assert state is not None and state.is_there
    (tmp_path / "log.broken").touch()
    keeping.ask(gateway=gateway, name=CHALLENGE, value=SECOND, is_wanted=True)
    pass_time(10)
    failed = keeping.ask(gateway=gateway, name=CHALLENGE, value=SECOND, is_wanted=True)
    assert failed is not None and failed.error.endswith("present ended with 3: no such zone")

    assert log.read_text().splitlines()[:2] == ["0", f"present {CHALLENGE}. {FIRST}"]


def test_of_two_gateways_of_a_domain_one_at_a_time_writes_its_answer(
    dns: Dns, owner: Access, cloudy: Project
) -> None:
    first = made(owner, cloudy, dns="cloud")
    second = create(owner, cloudy, name="other", dns="cloud")
    refused: list[str] = []

    def meanwhile() -> None:
        dns.meanwhile = lambda: None
        with pytest.raises(Busy):
            keeping.keep(second, at=timezone.now())
        refused.append(second.name)

    for gateway, value in ((first, FIRST), (second, SECOND)):
        keeping.ask(gateway=gateway, name=CHALLENGE, value=value, is_wanted=True)
    dns.meanwhile = meanwhile
    keeping.keep(first, at=timezone.now())
    keeping.keep(second, at=timezone.now())

    assert refused == ["other"]
    assert dns.of(CHALLENGE, "TXT") == [FIRST, SECOND]
    assert not DnsTurn.objects.exists()


def test_a_turn_that_a_dead_worker_has_is_over_in_time() -> None:
    DnsTurn.objects.create(name=CHALLENGE, until=timezone.now())
    with turns.turn(CHALLENGE), pytest.raises(Busy), turns.turn(CHALLENGE):
        pass
    with turns.turn(CHALLENGE), turns.turn("example.com"):
        assert DnsTurn.objects.count() == 2
    assert not DnsTurn.objects.exists()


def test_an_answer_that_somebody_else_wrote_over_is_written_again(
    dns: Dns, owner: Access, cloudy: Project
) -> None:
    gateway = made(owner, cloudy, dns="cloud")
    dns.is_seen = False
    keeping.ask(gateway=gateway, name=CHALLENGE, value=FIRST, is_wanted=True)
    keeping.keep(gateway, at=timezone.now())
    dns.rows[CHALLENGE, "TXT"] = ["of somebody else"]
    dns.is_seen = True

    for _ in range(2):
        keeping.keep(gateway, at=timezone.now())

    assert dns.of(CHALLENGE, "TXT") == ["of somebody else", FIRST]
    assert gateway.dns_answers.get().is_there


@pytest.mark.parametrize("is_mended", [True, False])
def test_records_that_cannot_be_taken_away_are_tried_again_for_a_day_and_said(
    dns: Dns, owner: Access, cloudy: Project, is_mended: bool
) -> None:
    gateway = made(owner, cloudy, dns="cloud")
    keeping.ask(gateway=gateway, name=CHALLENGE, value=FIRST, is_wanted=True)
    keeping.keep(gateway, at=timezone.now())
    dns.refuses = True
    verbs.delete(access=owner, publication=publication(gateway), at=timezone.now())
    pass_time(60)
    there = f"*.example.com A {ADDRESS}, example.com A {ADDRESS}, {CHALLENGE} TXT {FIRST}"
    said = f"{there} cannot be taken out of the DNS: No."
    shown = showing.gateway_json(owner, publication(gateway))
    assert (shown["state"], shown["error"]) == ("deleting", said)

    dns.refuses = not is_mended
    if not is_mended:
        Gateway.objects.update(state_at=timezone.now() - timedelta(days=1))
    pass_time(120)

    assert not Gateway.objects.exists()
    assert any(dns.rows.values()) != is_mended
    why = Event.objects.get(object_id=gateway.uid, new="deleted").reason
    left = f"{said.rstrip('.')}: take it away where the domain is managed"
    assert why == ("" if is_mended else left)
