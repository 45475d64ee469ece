"""Whose sentences of clouds who reads: projects that share an account learn nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.backends import base
from apps.backends.connecting import rows
from apps.backends.faults import said
from apps.backends.models import Backend
from apps.backends.providers.aws import errors as aws
from apps.backends.providers.aws.provider import AwsProvider, Ref
from apps.backends.providers.azure import instances as azure_instances
from apps.backends.providers.azure.provider import AzureProvider
from apps.backends.providers.gcp import errors as gcp
from apps.backends.providers.gcp import instances as gcp_instances
from apps.backends.providers.gcp.provider import GcpProvider
from apps.backends.providers.tensordock import errors as tensordock
from apps.backends.registry import PROVIDERS
from apps.core.models import Event
from apps.instances import reconcile
from apps.instances.models import Instance
from tests import factories
from tests.fakes.azure_world import CONFIG as AZURE
from tests.fakes.cloud import Cloud, World
from tests.fakes.gcp_keys import CONFIG
from tests.people import People, signed_in

pytestmark = pytest.mark.django_db(transaction=True)
ACCOUNT = "123456789012"
ARN = f"arn:aws:iam::{ACCOUNT}:user/payer"


def of_aws(code: str) -> base.ProviderError:
    told = {"Error": {"Code": code, "Message": f"{ARN} may not, in account {ACCOUNT}"}}
    return aws.translated(ClientError(told, "RunInstances"), "us-east-1")


def of_gcp(code: str) -> base.ProviderError:
    fault = gcp.Fault(code, f"projects/{ACCOUNT} of {ARN}", gcp.CODES[code])
    return fault.told("us-central1-a")


ERRORS = {
    "aws capacity": of_aws("InsufficientInstanceCapacity"),
    "aws quota": of_aws("VcpuLimitExceeded"),
    "aws set-up": of_aws("UnauthorizedOperation"),
    "aws credentials": of_aws("AuthFailure"),
    "aws throttled": of_aws("RequestLimitExceeded"),
    "aws refused": of_aws("Unheard.Of"),
    "aws unreachable": of_aws("InternalError"),
    "gcp capacity": of_gcp("ZONE_RESOURCE_POOL_EXHAUSTED"),
    "gcp set-up": of_gcp("BILLING_DISABLED"),
    "tensordock": tensordock.refusal(402, f"Organization {ACCOUNT} of {ARN}", asked="POST /x"),
}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    fresh = World()
    monkeypatch.setattr(Cloud, "world", fresh)
    monkeypatch.setitem(PROVIDERS, "cloud", Cloud)
    yield fresh


@pytest.fixture
def shared(world: World, people: People) -> Backend:
    made = factories.backend(None, kind="cloud", name="shared")
    rows.share(made, for_all=True, shares=[])
    return made


def machine(people: People, backend: Backend, state: str, **fields: Any) -> Instance:
    offer = {"backend": "shared", "region": "north", "instance": "big", "price_usd_per_hour": 1.0}
    offer |= {"hardware": {"cpus": 8, "memory_mib": 32768, "disk_mib": 102400, "gpu": None}}
    told = {"backend_kind": "cloud", "region": "north", "instance_type": "big", "offer": offer}
    made = factories.instance(
        people.project, backend=backend, state=state, next_check_at=timezone.now(), **told, **fields
    )
    factories.workload(made, state="assigned")
    return made


def happen(made: Instance, world: World, error: base.ProviderError, where: str) -> None:
    if where == "status":
        failed = base.InstanceStatus(base.InstanceState.FAILED, message=f"by {ARN}", error=error)
        world.machines["i-1"], world.states["i-1"] = made.boot_name, failed
    else:
        world.refused[where] = error
    reconcile.advance(ids=[made.pk], at=timezone.now())


def read(people: People, who: User, made: Instance) -> str:
    """All that says something of it."""
    api, page = "/api/projects/main", "/projects/main"
    client, browser = Client(headers=factories.token(who).headers), signed_in(who)
    answers = [
        *(client.get(f"{api}/{each}") for each in
          ("instances?ended=true", f"instances/{made.name}", "events", "offers", "backends",
           "backends/shared")),
        *(browser.get(f"{page}/{each}") for each in
          ("instances/?all=1", f"instances/{made.name}/", "offers/", "backends/",
           "backends/shared/")),
    ]  # fmt: skip
    assert {answer.status_code for answer in answers} == {200}
    made.refresh_from_db()
    events = [each.reason for each in Event.objects.all()]
    kept = [made.error, made.boot_error, made.workloads.get().message, *events]
    return " ".join([*(answer.content.decode() for answer in answers), *kept])


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_projects_learn_of_what_kind_a_failure_was_and_admins_of_the_server_all(
    people: People, world: World, shared: Backend, error: base.ProviderError
) -> None:
    made = machine(people, shared, "creating")

    happen(made, world, error, "create")

    for who in (people.bob, people.alice):
        text = read(people, who, made)
        assert (ACCOUNT in text, "payer" in text) == (False, False)
        assert said.WORDS[error.kind] in text
    assert ARN in read(people, people.root, made)


@pytest.mark.parametrize("where", ["inspect", "terminate", "status"])
def test_so_it_is_wherever_the_cloud_was_asked(
    people: People, world: World, shared: Backend, where: str
) -> None:
    made = machine(people, shared, "terminating" if where == "terminate" else "booting", ref="i-1")

    happen(made, world, ERRORS["aws set-up"], where)

    assert ACCOUNT not in read(people, people.alice, made)
    assert ARN in read(people, people.root, made)


def test_the_cloud_of_a_project_tells_its_members(people: People, world: World) -> None:
    own = factories.backend(people.project, kind="cloud", name="shared")
    made = machine(people, own, "creating")

    happen(made, world, ERRORS["aws quota"], "create")

    assert ARN in read(people, people.bob, made)


def test_keeps_the_newest_and_each_once(shared: Backend) -> None:
    for number in range(2 * said.KEPT):
        error = base.ProviderError(f"{number % 60}\0" * 1500, kind=base.ErrorKind.REFUSED)
        said.in_public(shared, error, about=None)

    shared.refresh_from_db()
    texts = [each.text for each in said.of(shared)]
    assert (len(texts), len(set(texts))) == (said.KEPT, said.KEPT)
    assert max(map(len, texts)) == said.LONGEST


@pytest.mark.parametrize(
    ("provider", "ref", "known_as", "page"),
    [
        (
            AwsProvider(AwsProvider.Config()),
            str(Ref("eu-west-1", "i-0abc")),
            "i-0abc",
            "https://eu-west-1.console.aws.amazon.com/ec2/home?region=eu-west-1"
            "#InstanceDetails:instanceId=i-0abc",
        ),
        (AwsProvider(AwsProvider.Config()), str(Ref("eu-west-1", '"><b>')), '"><b>', ""),
        (AwsProvider(AwsProvider.Config()), "nonsense", "nonsense", ""),
        (
            GcpProvider(GcpProvider.Config.model_validate(CONFIG)),
            str(gcp_instances.Ref("us-central1-a", "dstack-1")),
            "dstack-1",
            "https://console.cloud.google.com/compute/instancesDetail/zones/us-central1-a/"
            f"instances/dstack-1?project={CONFIG['project_id']}",
        ),
        (GcpProvider(GcpProvider.Config.model_validate(CONFIG)), "nonsense", "nonsense", ""),
        (
            AzureProvider(AzureProvider.Config.model_validate(AZURE)),
            str(azure_instances.Ref("westus2", "dstack-1")),
            "dstack-1",
            f"https://portal.azure.com/#@/resource/subscriptions/{AZURE['subscription_id']}"
            "/resourceGroups/dstack-web-westus2/providers/Microsoft.Compute/virtualMachines"
            "/dstack-1",
        ),
        (
            AzureProvider(AzureProvider.Config.model_validate(AZURE)),
            str(azure_instances.Ref('"><b>', "x")),
            '{"region": "\\"><b>", "name": "x"}',
            "",
        ),
        (Cloud(Cloud.Config()), "i-1", "i-1", ""),
    ],
)
def test_a_machine_has_the_clouds_own_name_and_page(
    provider: base.Provider, ref: str, known_as: str, page: str
) -> None:
    assert (provider.id_of(ref), provider.page_of(ref)) == (known_as, page)


@pytest.mark.parametrize("is_shared", [True, False])
def test_what_the_cloud_calls_it_is_for_who_may_change_the_backend(
    people: People, world: World, shared: Backend, is_shared: bool
) -> None:
    own = factories.backend(people.project, kind="cloud", name="own")
    made = machine(people, shared if is_shared else own, "ready", ref="i-0abc", zone="north-1")

    def told(who: User) -> tuple[Any, Any, bool]:
        headers = factories.token(who).headers
        answer = Client(headers=headers).get(f"/api/projects/main/instances/{made.name}").json()
        page = signed_in(who).get(f"/projects/main/instances/{made.name}/").content.decode()
        return answer["cloud_id"], answer["zone"], "i-0abc" in page

    assert told(people.bob) == (None, "north-1", False)
    assert told(people.root) == ("i-0abc", "north-1", True)
    assert told(people.alice)[0] == (None if is_shared else "i-0abc")
