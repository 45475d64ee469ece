"""Machines of TensorDock: one of a name, each answer that is none, and what they boot with."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.backends import base
from apps.backends.base import ErrorKind, InstanceState, ProviderError
from apps.backends.providers.tensordock import instances
from apps.backends.providers.tensordock.provider import TensorDockProvider
from apps.instances.boot import document
from tests import programs
from tests.fakes.tensordock_api import KEY, Api, gpu, location

SERVER = "6fd1c8ee-8c5c-4c7d-9c0a-0c4d2c7f7a11"
NAME = "dstack-00000000-0000-0000-0000-000000000001"
USER_DATA = document.document(
    document.Boot(
        url="https://dstack.example/'$(id)`",
        enrolment="dsk_e_" + "0" * 39,
        program_sha256="0" * 64,
        cloud="tensordock",
        silent_seconds=43200,
        needs_docker=True,
        needs_nvidia=True,
    )
)


def provider() -> TensorDockProvider:
    creds = {"creds": {"type": "api_key", "api_key": KEY}}
    return TensorDockProvider(TensorDockProvider.Config.model_validate(creds))


def spec(**changes: Any) -> base.InstanceSpec:
    [offer, *_] = provider().catalog("unitedkingdom", spot=False)
    boot = base.Boot(name=NAME, instance_id="1", url="http://127.0.0.1:1")
    made = base.InstanceSpec(
        offer=offer, boot=boot, user_data=USER_DATA, server_id=SERVER, disk_mib=101 * 1024
    )
    return replace(made, **changes)


def test_asks_for_what_was_offered_and_nothing_that_could_be_called(tensordock: Api) -> None:
    provider().create(spec())

    [made] = tensordock.account.made
    assert made["name"] == f"{NAME}-6fd1c8ee8c5c"
    assert len(made["name"]) <= 63
    assert made["resources"] == {
        "vcpu_count": 10,
        "ram_gb": 80,
        "storage_gb": 150,
        "gpus": {"a100-pcie-80gb": {"count": 1}},
    }
    assert made["useDedicatedIp"] is False
    assert "port_forwards" not in made
    assert made["ssh_key"].startswith("ssh-ed25519 ")


def test_a_gateway_has_an_address_of_its_own(tensordock: Api) -> None:
    provider().create(spec(inbound_ports=(22, 443)))

    assert tensordock.account.made[0]["useDedicatedIp"] is True


def test_boots_with_all_of_the_boot_document(tensordock: Api, tmp_path: Path) -> None:
    """As the object that TensorDock takes, which cloud-init itself finds valid."""
    provider().create(spec())
    [made] = tensordock.account.made
    wanted, found = yaml.safe_load(USER_DATA), made["cloud_init"]
    assert found["write_files"] == [*wanted["write_files"], instances.NO_PASSWORDS]
    assert [shlex.split(each) for each in found["runcmd"]] == wanted["runcmd"]
    assert set(found) == {"write_files", "runcmd"}

    program = programs.require_program("cloud-init", package="cloud-init")
    file = tmp_path / "user-data"
    file.write_text("#cloud-config\n" + json.dumps(found))
    argv = [program, "schema", "--config-file", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_would_be_lost_on_the_way_is_refused(tensordock: Api) -> None:
    with pytest.raises(ProviderError, match="cannot boot with bootcmd") as refused:
        provider().create(spec(user_data="#cloud-config\nbootcmd: [reboot]\n"))

    assert refused.value.kind == ErrorKind.REFUSED
    assert tensordock.account.made == []


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"data": {}}),
        (200, b"<html>"),
        (201, {}),
        (500, {"message": "oops"}),
        (504, b""),
        None,
    ],
    ids=str,
)
def test_after_an_answer_that_says_nothing_the_name_is_looked_for(
    tensordock: Api, answer: Any
) -> None:
    """The machine may have been made or not: both come out right, and never two of them."""
    account = tensordock.account
    wanted = spec()
    if answer is None:
        account.lost = 1
        ref = provider().create(wanted)
    else:
        account.refused["POST instances"] = answer
        with pytest.raises(ProviderError) as unclear:
            provider().create(wanted)
        assert unclear.value.kind == ErrorKind.UNREACHABLE
        account.refused.clear()
        ref = provider().create(wanted)

    assert list(account.instances) == [ref]
    assert account.asked["GET instances"] >= 2


def test_a_machine_of_almost_the_same_name_is_another(tensordock: Api) -> None:
    first = provider().create(spec())
    longer = base.Boot(name=f"{NAME}2", instance_id="2", url="http://127.0.0.1:1")
    second = provider().create(spec(boot=longer))
    other = provider().create(spec(server_id="00000000-0000-0000-0000-000000000000"))

    assert len({first, second, other}) == 3
    assert {each.ref for each in provider().list_owned(SERVER)} == {first, second}


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("running", InstanceState.RUNNING),
        ("Running", InstanceState.RUNNING),
        ("creating", InstanceState.CREATING),
        ("a-word-of-tomorrow", InstanceState.CREATING),
        ("stopped", InstanceState.FAILED),
        ("StoppedDisassociated", InstanceState.FAILED),
        ("error", InstanceState.FAILED),
        ("deleting", InstanceState.RUNNING),
        ("deleted", InstanceState.GONE),
    ],
)
def test_its_words_for_states_are_ours(tensordock: Api, said: str, state: InstanceState) -> None:
    ref = provider().create(spec())
    tensordock.account.instances[ref]["status"] = said

    assert provider().inspect(ref).state == state


def test_the_next_city_is_asked_where_one_is_full(tensordock: Api) -> None:
    tensordock.account.locations = [
        location(city, "United Kingdom", gpu(), number=number)
        for number, city in enumerate(("Bath", "Leeds", "York"))
    ]
    tensordock.account.full = {"loc-0"}
    provider().create(spec(zones=("unitedkingdom-bath", "unitedkingdom-york")))
    tensordock.account.full = {"loc-0", "loc-1", "loc-2"}
    tensordock.account.instances.clear()
    with pytest.raises(ProviderError) as full:
        provider().create(spec())

    assert tensordock.account.made[0]["location_id"] == "loc-2"
    assert full.value.kind == ErrorKind.CAPACITY
    assert "No available hostnodes" in str(full.value)


def test_no_machine_is_made_that_costs_more_than_was_offered(tensordock: Api) -> None:
    wanted = spec()
    dearer = location("Manchester", "United Kingdom", gpu(usd=9.0))
    tensordock.account.locations = [dearer]

    with pytest.raises(ProviderError, match="lists one for \\$1.595 an hour or less") as refused:
        provider().create(wanted)

    assert refused.value.kind == ErrorKind.CAPACITY
    assert tensordock.account.made == []


def test_a_check_tells_a_wrong_key_and_what_can_be_rented(tensordock: Api) -> None:
    assert provider().facts() == ["GPUs can be rented in unitedkingdom."]
    tensordock.account.locations = []
    assert provider().facts() == ["TensorDock lists no GPU that can be rented now."]

    creds = {"creds": {"type": "api_key", "api_key": "another-key"}}
    wrong = TensorDockProvider(TensorDockProvider.Config.model_validate(creds))
    [problem] = wrong.check()
    assert "Connect the backend with another API key" in str(problem)
    assert "another-key" not in str(problem)
