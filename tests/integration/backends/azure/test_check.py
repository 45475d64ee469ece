"""What is told of a subscription that does not work, and of one that does."""

from __future__ import annotations

import json

import pytest

from apps.backends.base import ErrorKind, ProviderError
from apps.backends.providers.azure import permissions
from tests.fakes.azure_world import SUBSCRIPTION, World
from tests.integration.backends.azure.machines import provider, spec


def test_a_subscription_that_works_has_no_problem_and_keeps_as_it_is(azure: World) -> None:
    assert provider().check() == []

    assert not (azure.resources or azure.operations)


def test_missing_actions_are_named_with_the_role_that_gives_them(azure: World) -> None:
    """Every one that the role has, be it given by its name or by a `*`, is missed."""
    for action in permissions.ALL:
        azure.faults.denied = {action}
        assert permissions.missing(provider()._clients) == [action]
    azure.faults.denied = {permissions.ALL[3], permissions.ALL[-1]}

    [problem] = provider().check()

    lacking = f"{permissions.ALL[3]}, {permissions.ALL[-1]}"
    assert str(problem).startswith(f"The credentials lack {lacking} in the subscription ")
    role = json.loads(problem.policy)
    assert role["Actions"] == list(permissions.ALL)
    assert role["AssignableScopes"] == [f"/subscriptions/{SUBSCRIPTION}"]


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        ("GET subscription", "SubscriptionNotFound", "knows no subscription"),
        ("GET subscription", "AuthorizationFailed", "Check the credentials of this backend"),
        ("GET permissions", "InvalidAuthenticationToken", "Check the credentials of this backend"),
        ("GET provider", "AuthorizationFailed", "Check the credentials of this backend"),
    ],
)
def test_what_a_person_has_to_mend_is_said(azure: World, call: str, code: str, said: str) -> None:
    azure.faults.refused[call] = code

    [problem] = provider().check()

    assert said in str(problem)


@pytest.mark.parametrize("call", ["GET subscription", "GET permissions", "GET provider"])
def test_who_is_not_answered_knows_nothing_of_the_subscription(azure: World, call: str) -> None:
    azure.faults.refused[call] = "ServiceUnavailable"

    with pytest.raises(ProviderError) as refused:
        provider().check()

    assert refused.value.kind == ErrorKind.UNREACHABLE


def test_a_subscription_that_is_off_is_said_to_be(azure: World) -> None:
    azure.faults.state = "Disabled"

    [problem] = provider().check()

    assert f"{SUBSCRIPTION} is Disabled" in str(problem)


def test_a_part_of_azure_that_is_not_used_yet_is_named_with_its_command(azure: World) -> None:
    azure.faults.unregistered = {"Microsoft.Network"}

    [problem] = provider().check()

    assert "az provider register --namespace Microsoft.Network" in str(problem)


def test_a_region_that_there_is_not_is_named(azure: World) -> None:
    [problem] = provider(regions=["westus2", "marsnorth"]).check()

    assert str(problem).startswith("Azure has no machines in a region marsnorth: correct its name")


def test_without_regions_all_are_used(azure: World) -> None:
    assert provider(regions=[]).regions() == ["westeurope", "westus2", "westus3"]


def test_somebody_who_is_let_in_is_named(azure: World) -> None:
    one = provider()
    one.create(spec())
    one.create(spec("dstack-2", inbound_ports=(443,)))
    closed = next(row for key, row in azure.resources.items() if key.endswith("/dstack-web-closed"))
    rule = {"access": "Allow", "direction": "Inbound", "priority": 200, "protocol": "*"}
    closed["properties"]["securityRules"].append({"name": "in-443", "properties": rule})
    out = {**rule, "direction": "Outbound"}
    closed["properties"]["securityRules"].append({"name": "out", "properties": out})

    [problem] = one.check()

    assert str(problem).startswith("The rule in-443 of dstack-web-closed in westus2 lets somebody")


def test_what_the_subscription_may_run_is_told(azure: World) -> None:
    assert provider(regions=["westus3"]).facts() == [
        f"Subscription {SUBSCRIPTION}.",
        "westus3: at once: vCPUs 350, spot vCPUs 100, Standard NCADS_A100_v4 Family 24.",
    ]
