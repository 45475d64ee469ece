"""What every provider keeps to, and the fake cloud too, on which the tests of the server stand.

A new provider has one line in CASES: how to configure it against a fake of its API, and how to
make that fake answer nothing; a cloud has more faults there. One whose offers come from the catalog
has a line in CATALOG too.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from apps.backends import base
from apps.backends.providers.aws import errors as aws_errors
from apps.backends.providers.aws.provider import AwsProvider
from apps.backends.providers.azure import errors as azure_errors
from apps.backends.providers.gcp import errors as gcp_errors
from apps.backends.providers.tensordock import errors as tensordock_errors
from apps.backends.registry import PROVIDERS
from tests.fakes import tensordock_api
from tests.fakes.aws_cloud import Refusal
from tests.fakes.azure_world import CONFIG as AZURE_CONFIG
from tests.fakes.cloud import Cloud, World
from tests.fakes.gcp_keys import CONFIG as GCP_CONFIG

TOKEN = "dsk_a_what-a-new-machine-calls-home-with"
SERVER = "6fd1c8ee-8c5c-4c7d-9c0a-0c4d2c7f7a11"
LIVING = (base.InstanceState.CREATING, base.InstanceState.RUNNING)
KINDS: dict[str, Any] = {**PROVIDERS, Cloud.kind: Cloud, AwsProvider.kind: AwsProvider}
CATALOG = {
    "aws": base.Offer(
        "aws", "us-east-1", "m5.large", base.Hardware(2, 8192, 102400), price_usd_per_hour=0.096
    ),
    "azure": base.Offer(
        "azure",
        "westus2",
        "Standard_D2s_v5",
        base.Hardware(2, 8192, 102400),
        price_usd_per_hour=0.096,
    ),
    "gcp": base.Offer(
        "gcp",
        "us-central1",
        "e2-standard-2",
        base.Hardware(2, 8192, 102400),
        price_usd_per_hour=0.067,
    ),
    "tensordock": base.Offer(
        "tensordock",
        "unitedkingdom",
        "a100-pcie-80gb-1x-10cpu-80gb",
        base.Hardware(10, 81920, 102400, base.Gpu("A100", 81920, 1)),
        price_usd_per_hour=1.595,
    ),
}
# No provider makes hosts: people add them (tests/unit/hosts/test_provider.py).
del KINDS["ssh"]
CLOUDS = sorted(k for k, made in KINDS.items() if base.Feature.STANDING not in made.features)
# The call by which a method is refused: of Azure, of Google, and of AWS.
AZURE_CALLS = {
    "check": "GET permissions",
    "offers": "GET skus",
    "create": "PUT virtualMachines",
    "inspect": "GET virtualMachines",
    "list_owned": "GET virtualMachines",
    "terminate": "DELETE virtualMachines",
}
GCP_METHODS = {
    "check": "cloudresourcemanager.projects.testIamPermissions",
    "offers": "cloudbilling.services.skus.list",
    "create": "compute.instances.insert",
    "inspect": "compute.instances.get",
    "list_owned": "compute.instances.aggregatedList",
    "terminate": "compute.instances.delete",
}
ACTIONS = {
    "check": "GetCallerIdentity",
    "offers": "GetProducts",
    "create": "RunInstances",
    "inspect": "DescribeInstances",
    "list_owned": "DescribeInstances",
    "terminate": "TerminateInstances",
}
UNKNOWN = ["i-unknown", "00000000-0000-0000-0000-000000000000", "", "../../etc/passwd", "\0", "é"]


@dataclass(frozen=True)
class Faults:
    """What a cloud can do: `codes` are its errors with the kind of each, all of its table.

    `refuse` has a method answered with one of them, `heal` ends that; `lose` makes the next machine
    without an answer, `vanish` ends one without a word, `hang` holds all answers back.
    """

    codes: Mapping[str, base.ErrorKind]
    refuse: Callable[[str, str], object]
    heal: Callable[[], object]
    lose: Callable[[], object]
    vanish: Callable[[Any, str], object]
    hang: Callable[[], object]

    def code(self, kind: base.ErrorKind) -> str:
        """Return an error of this kind."""
        return next(code for code, meant in self.codes.items() if meant == kind)


@dataclass(frozen=True)
class Case:
    """`end` makes the provider's other side answer nothing any more."""

    config: dict[str, Any]
    end: Callable[[], object]
    faults: Faults | None = None


def _local(request: pytest.FixtureRequest) -> Case:
    folder: Path = request.getfixturevalue("tmp_path")
    home = folder / "agent"
    home.mkdir()
    config = {"boot_path": str(home / "config.json"), "url": "http://127.0.0.1:1"}
    return Case(config, end=lambda: home.rename(folder / "gone"))


def _cloud(_: pytest.FixtureRequest) -> Case:
    world = Cloud.world
    faults = Faults(
        codes={str(kind): kind for kind in base.ErrorKind},
        refuse=lambda method, code: world.refused.update(
            {method: base.ProviderError("No.", kind=base.ErrorKind(code))}
        ),
        heal=world.refused.clear,
        lose=lambda: setattr(world, "loses_answers", 1),
        vanish=lambda provider, ref: world.take_back(ref),
        hang=lambda: setattr(world, "hangs", threading.Event()),
    )
    return Case({}, end=lambda: setattr(world, "is_away", True), faults=faults)


def _aws(request: pytest.FixtureRequest) -> Case:
    emulator = request.getfixturevalue("aws")
    config = {
        "creds": {
            "type": "access_key",
            "access_key": "AKIAIOSFODNN7EXAMPLE",
            "secret_key": "wJalrXUtnFEMI/K7MDENG",
        },
        "regions": ["us-east-1", "eu-west-1"],
    }
    faults = Faults(
        codes={code: meaning[0] for code, meaning in aws_errors.CODES.items()},
        refuse=lambda method, code: emulator.faults.refused.update(
            {ACTIONS[method]: Refusal(code)}
        ),
        heal=emulator.faults.refused.clear,
        lose=lambda: setattr(emulator.faults, "lost", 1),
        vanish=_end_at_aws,
        hang=lambda: setattr(emulator.faults, "hold_until", 1000),
    )
    return Case(config, end=lambda: setattr(emulator.faults, "is_away", True), faults=faults)


def _gcp(request: pytest.FixtureRequest) -> Case:
    world = request.getfixturevalue("gcp")
    faults = Faults(
        codes={code: meaning.kind for code, meaning in gcp_errors.CODES.items()},
        refuse=lambda method, code: world.faults.refused.update({GCP_METHODS[method]: code}),
        heal=world.faults.refused.clear,
        lose=lambda: setattr(world.faults, "lost", 1),
        vanish=lambda provider, ref: world.vanish(json.loads(ref)["name"]),
        hang=lambda: setattr(world.faults, "hangs", threading.Event()),
    )
    return Case(GCP_CONFIG, end=lambda: setattr(world.faults, "is_away", True), faults=faults)


def _azure(request: pytest.FixtureRequest) -> Case:
    world = request.getfixturevalue("azure")
    faults = Faults(
        codes={code: meaning.kind for code, meaning in azure_errors.CODES.items()},
        refuse=lambda method, code: world.faults.refused.update({AZURE_CALLS[method]: code}),
        heal=world.faults.refused.clear,
        lose=lambda: setattr(world.faults, "lost", 1),
        vanish=lambda provider, ref: world.vanish(json.loads(ref)["name"]),
        hang=lambda: setattr(world.faults, "hangs", threading.Event()),
    )
    return Case(AZURE_CONFIG, end=lambda: setattr(world.faults, "is_away", True), faults=faults)


def _end_at_aws(provider: Any, ref: str) -> None:
    known = json.loads(ref)
    provider._clients.ec2(known["region"]).terminate_instances(InstanceIds=[known["id"]])


TENSORDOCK_CALLS = {
    "check": "GET instances",
    "offers": "GET locations",
    "create": "POST instances",
    "inspect": "GET instances",
    "list_owned": "GET instances",
    "terminate": "DELETE instances",
}


def _tensordock(request: pytest.FixtureRequest) -> Case:
    """Each row of its table by itself: a status without a word, words under a status of no row."""
    api: tensordock_api.Api = request.getfixturevalue("tensordock")

    def refuse(method: str, code: str) -> None:
        said = ({"error": "No"}, int(code)) if code.isdecimal() else ({"error": code.title()}, 400)
        api.account.refused[TENSORDOCK_CALLS[method]] = (said[1], said[0])

    faults = Faults(
        codes={
            **{str(code): meant.kind for code, meant in tensordock_errors.STATUSES.items()},
            **{words: meant.kind for words, meant in tensordock_errors.WORDS.items()},
        },
        refuse=refuse,
        heal=api.account.refused.clear,
        lose=lambda: vars(api.account).update(lost=1, dead_after=1),
        vanish=lambda provider, ref: api.account.instances.pop(ref),
        hang=lambda: setattr(api.account, "hold", threading.Event()),
    )
    creds = {"type": "api_key", "api_key": tensordock_api.KEY}
    return Case({"creds": creds}, end=lambda: setattr(api.account, "is_away", True), faults=faults)


CASES: dict[str, Callable[[pytest.FixtureRequest], Case]] = {
    "local": _local,
    "cloud": _cloud,
    "aws": _aws,
    "azure": _azure,
    "gcp": _gcp,
    "tensordock": _tensordock,
}


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(Cloud, "world", World())
    found: str = request.param
    return found


@pytest.fixture
def case(kind: str, request: pytest.FixtureRequest) -> Case:
    return CASES[kind](request)


@pytest.fixture
def provider(kind: str, case: Case) -> Any:
    made = KINDS[kind]
    return made(made.Config.model_validate(case.config))


def boot(number: int = 1) -> base.Boot:
    name = str(UUID(int=number))
    return base.Boot(name=f"dstack-{name}", instance_id=name, url="http://127.0.0.1:1", token=TOKEN)


def spec(provider: Any, *, token: str = TOKEN) -> base.InstanceSpec:
    """One machine of the first offer."""
    booted = replace(boot(), token=token)
    offer = CATALOG.get(provider.kind) or provider.offers()[0]
    return base.InstanceSpec(offer=offer, boot=booted, server_id=SERVER)


def test_is_in_the_registry_under_its_own_kind(kind: str) -> None:
    assert KINDS[kind].kind == kind
    assert issubclass(KINDS[kind].Config, base.Config)


def test_works_with_what_it_is_configured_for(provider: Any) -> None:
    assert provider.check() == []


def test_refuses_a_configuration_that_it_does_not_know(kind: str, case: Case) -> None:
    with pytest.raises(ValidationError, match="unheard_of") as refused:
        KINDS[kind].Config.model_validate({**case.config, "unheard_of": TOKEN})

    assert TOKEN not in str(refused.value)


def test_offers_what_can_be_had(kind: str, provider: Any) -> None:
    offers = provider.offers() or [CATALOG[kind]]

    for offer in offers:
        assert offer.backend == kind
        assert offer.region and offer.instance
        assert offer.price_usd_per_hour >= 0
        assert offer.executors and {"docker", "process"}.issuperset(offer.executors)
        assert min(offer.hardware.cpus, offer.hardware.memory_mib, offer.hardware.disk_mib) > 0
        gpu = offer.hardware.gpu
        assert gpu is None or min(gpu.count, gpu.memory_mib, len(gpu.numbers)) > 0


def test_offers_without_making_anything(provider: Any) -> None:
    assert provider.offers() == provider.offers()
    assert provider.list_owned(SERVER) == []


def test_finds_what_it_made(provider: Any) -> None:
    ref = provider.create(spec(provider))

    assert provider.inspect(ref).state in LIVING
    assert provider.list_owned(SERVER) == [base.OwnedInstance(ref, boot().name)]


def test_lists_no_machine_of_another_server(provider: Any) -> None:
    provider.create(spec(provider))

    if base.Feature.STANDING not in provider.features:
        assert provider.list_owned("00000000-0000-0000-0000-000000000000") == []


def test_makes_one_machine_of_a_name(provider: Any) -> None:
    first = provider.create(spec(provider))
    again = provider.create(spec(provider, token="another"))

    assert first == again
    assert [owned.ref for owned in provider.list_owned(SERVER)] == [first]


def test_ends_a_machine_and_bears_to_be_asked_again(provider: Any) -> None:
    ref = provider.create(spec(provider))

    for _ in range(2):
        provider.terminate(ref)

    assert provider.inspect(ref).state == base.InstanceState.GONE
    assert provider.list_owned(SERVER) == []


def test_makes_a_machine_again_that_was_ended(provider: Any) -> None:
    provider.terminate(provider.create(spec(provider)))

    ref = provider.create(spec(provider))

    assert provider.inspect(ref).state in LIVING


@pytest.mark.parametrize("ref", UNKNOWN)
def test_leaves_all_be_for_a_machine_that_it_does_not_know(provider: Any, ref: str) -> None:
    made = provider.create(spec(provider))

    provider.terminate(ref)

    assert provider.inspect(ref).state == base.InstanceState.GONE
    assert [owned.ref for owned in provider.list_owned(SERVER)] == [made]


def test_says_in_its_own_errors_that_nobody_answers(provider: Any, case: Case) -> None:
    wanted = spec(provider)
    case.end()

    with pytest.raises(base.ProviderError) as refused:
        provider.create(wanted)

    assert refused.value.kind == base.ErrorKind.UNREACHABLE
    assert str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_check_says_that_nobody_answers(provider: Any, case: Case) -> None:
    """As a problem that a person can mend, or as an error where nobody could be asked."""
    case.end()

    try:
        problems = [problem.message for problem in provider.check()]
    except base.ProviderError as error:
        assert error.kind == base.ErrorKind.UNREACHABLE
        problems = [str(error)]

    assert all(problems) and len(problems) > 0
    assert TOKEN not in " ".join(problems)


def test_shows_no_secret(provider: Any) -> None:
    ref = provider.create(spec(provider))
    secrets = [
        TOKEN,
        *(str(getattr(provider.config, name)) for name in provider.config.secret_fields()),
    ]

    shown = [boot(), provider, provider.config, provider.inspect(ref), *provider.list_owned(SERVER)]
    text = " ".join(f"{one!r} {one}" for one in [*shown, *provider.offers()])

    assert [secret for secret in secrets if secret in text] == []
