"""What people write when they ask for a gateway on a machine: read, or refused with a sentence."""

from __future__ import annotations

import pytest

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core.errors import Invalid
from apps.gateways.models import Gateway
from tests.fakes.cloud import World
from tests.integration.gateways.on_machines import create

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"domain": "localhost"}, "no domain"),
        ({"domain": "10.0.0.1"}, "no domain"),
        ({"domain": "-x.example.com"}, "no domain"),
        ({"domain": "a b.com"}, "no domain"),
        ({"domain": "example.com; rm -rf /"}, "no domain"),
        ({"domain": "../../etc.passwd"}, "no domain"),
        ({"domain": "x" * 5000 + ".com"}, "no domain"),
        ({"domain": "éxample.com"}, "no domain"),
        ({"domain": ""}, "no domain"),
        ({"name": "$(reboot)"}, "no name"),
        ({"name": "x" * 51}, "no name"),
        ({"name": "Ä"}, "no name"),
        ({"backend": "nowhere"}, "no backend"),
        ({"backend": "local"}, "no backend"),
        ({"region": "atlantis"}, "no machine for a gateway"),
        ({"region": "x" * 9000}, "no machine for a gateway"),
        ({"host": "mine"}, "a gateway has one place"),
    ],
)
def test_what_cannot_be_made_is_refused_with_a_sentence(
    world: World, owner: Access, cloudy: Project, changed: dict[str, str], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        create(owner, cloudy, **changed)

    assert not Gateway.objects.exists() and not world.addresses


def test_the_domain_is_taken_as_people_write_it(
    world: World, owner: Access, cloudy: Project
) -> None:
    assert create(owner, cloudy, domain=" *.Example.COM. ").domain == "example.com"
