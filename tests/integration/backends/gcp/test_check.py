"""What is told of a project that does not work, and of one that does."""

from __future__ import annotations

import json

import pytest

from apps.backends.base import ErrorKind, ProviderError
from apps.backends.providers.gcp import permissions
from tests.fakes.gcp_keys import key
from tests.fakes.gcp_world import PROJECT, World
from tests.integration.backends.gcp.machines import provider

ASKED = "cloudresourcemanager.projects.testIamPermissions"


def test_a_project_that_works_has_no_problem_and_keeps_as_it_is(gcp: World) -> None:
    assert provider().check() == []

    assert not (gcp.networks or gcp.operations)


@pytest.mark.parametrize("name", permissions.ALL)
def test_a_missing_permission_is_named_with_the_role_that_gives_it(gcp: World, name: str) -> None:
    gcp.faults.denied = {name}

    [problem] = provider().check()

    assert str(problem).startswith(f"The credentials lack {name} in the project {PROJECT}. ")
    assert name in json.loads(problem.policy)["includedPermissions"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("SERVICE_DISABLED", "gcloud services enable compute.googleapis.com"),
        ("accessNotConfigured", "gcloud services enable compute.googleapis.com"),
        ("BILLING_DISABLED", "has no billing account"),
        ("CONSUMER_INVALID", "knows no project dstack-test-1"),
        ("forbidden", "Check the credentials of this backend and its project."),
        ("authError", "Check the credentials of this backend and its project."),
    ],
)
@pytest.mark.parametrize("method", [ASKED, "compute.projects.get"])
def test_what_a_person_has_to_mend_is_said(gcp: World, code: str, said: str, method: str) -> None:
    gcp.faults.refused[method] = code

    [problem] = provider().check()

    assert said in str(problem)


def test_who_is_not_answered_knows_nothing_of_the_project(gcp: World) -> None:
    gcp.faults.refused[ASKED] = "backendError"

    with pytest.raises(ProviderError) as refused:
        provider().check()

    assert refused.value.kind == ErrorKind.UNREACHABLE


def test_a_private_key_that_is_none_is_a_problem(gcp: World) -> None:
    creds = {"type": "service_account", "data": key(private_key="-----BEGIN nothing")}

    [problem] = provider(creds=creds).check()

    assert "The private key in the JSON file of the service account cannot be read" in str(problem)
    assert "BEGIN" not in str(problem)
    assert not gcp.faults.asked


def test_a_region_that_there_is_not_is_named(gcp: World) -> None:
    [problem] = provider(regions=["us-central1", "mars-north1"]).check()

    assert str(problem) == "Google Cloud has no region mars-north1: correct its name in regions."


def test_somebody_who_is_let_in_is_named(gcp: World) -> None:
    link = gcp.link("global", "networks", "dstack-web")
    rule = {"kind": "compute#firewall", "name": "all-of-us", "network": link}
    gcp.firewalls["all-of-us"] = {
        **rule,
        "direction": "INGRESS",
        "allowed": [{"IPProtocol": "all"}],
    }
    gcp.firewalls["out"] = {**rule, "name": "out", "direction": "EGRESS"}

    [problem] = provider().check()

    assert str(problem).startswith("The firewall rule all-of-us lets somebody in")


def test_what_the_project_may_run_is_told(gcp: World) -> None:
    assert provider(regions=["us-east1"]).facts() == [
        f"Project {PROJECT}, in all regions at once: GPUs 1.",
        "us-east1: at once: CPUs 72, L4 1.",
    ]
