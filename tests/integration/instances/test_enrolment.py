"""An agent that boots trades its enrolment for a token of its own: once, in time, and for one
instance. The whole route, with the real database and broker."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.core import crypto, ids
from apps.core.models import Event
from apps.instances import decide
from apps.instances.agents import tries
from apps.instances.models import Instance
from tests import factories

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_url")]

ENROL, STEP = "/api/agent/enrol", "/api/agent/step"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
UNKNOWN = "This enrolment is unknown, or its time is over."
USED = "Somebody else used this enrolment. End this machine and make another."


@pytest.fixture
def instance(transactional_db: None) -> Instance:
    return booting()


def booting(**fields: Any) -> Instance:
    enrolment = ids.new_token("e")
    values = {
        "state": "booting",
        "backend_kind": "cloud",
        "token": crypto.encrypt(enrolment),
        "enrolment_hash": ids.token_hash(enrolment),
        **fields,
    }
    return factories.instance(factories.project(), **values)


def body(of: Instance, token: str = "mine", **changes: Any) -> dict[str, Any]:
    said = {"enrolment": crypto.decrypt(of.token), "token_sha256": ids.token_hash(token)}
    return {**said, "ssh_public_key": KEY, **changes}


def enrol(said: Any, *, address: str = "") -> Any:
    content = said if isinstance(said, bytes) else json.dumps(said)
    address = address or f"fd00::{uuid4().hex[:4]}:{uuid4().hex[:4]}"
    return Client(REMOTE_ADDR=address).post(ENROL, content, "application/json")


def sentence(answer: Any) -> str:
    return str(answer.json()["error"]["message"])


def test_gives_the_agent_the_token_that_it_made(instance: Instance) -> None:
    token = ids.new_token("a")

    answer = enrol(body(instance, token))

    assert (answer.status_code, answer.json()) == (200, {"instance_id": str(instance.pk)})
    headers = {"Authorization": f"Bearer {token}"}
    assert Client(headers=headers).get("/api/agent/assignment").status_code == 200
    instance.refresh_from_db()
    assert instance.public_key == KEY
    assert instance.enrolled_at is not None


def test_the_enrolment_itself_opens_nothing(instance: Instance) -> None:
    headers = {"Authorization": f"Bearer {crypto.decrypt(instance.token)}"}

    assert Client(headers=headers).get("/api/agent/assignment").status_code == 401


def test_is_asked_again_by_an_agent_whose_answer_was_lost(instance: Instance) -> None:
    first = enrol(body(instance))
    Instance.objects.filter(pk=instance.pk).update(state="ready")

    again = enrol(body(instance))

    assert (again.status_code, again.json()) == (200, first.json())
    assert not Event.objects.filter(state_machine="enrolment").exists()


def test_refuses_another_token_and_tells_it_on_the_instance_once(instance: Instance) -> None:
    enrol(body(instance))

    answers = [enrol(body(instance, token)) for token in ("theirs", "others")]

    assert [(a.status_code, sentence(a)) for a in answers] == [(401, USED)] * 2
    instance.refresh_from_db()
    assert instance.token_hash == ids.token_hash("mine")
    assert "somebody else used its enrolment" in instance.error
    told = Event.objects.get(state_machine="enrolment")
    assert (told.object_id, told.project_id) == (instance.pk, instance.project_id)
    assert "somebody else used its enrolment" in told.reason


def test_of_two_at_once_one_gets_in(instance: Instance) -> None:
    def one(token: str) -> int:
        try:
            return int(enrol(body(instance, token)).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(one, [f"token {number}" for number in range(8)]))

    assert answers == [200] + [401] * 7


@pytest.mark.parametrize(
    ("fields", "is_let_in"),
    [
        ({"state": "requested"}, False),
        ({"state": "creating"}, True),
        ({"state": "booting"}, True),
        ({"state": "booting", "running_at": timedelta(seconds=-599)}, True),
        ({"state": "booting", "running_at": timedelta(seconds=-601)}, False),
        ({"state": "booting", "state_at": decide.MADE_WITHIN * -1}, True),
        ({"state": "booting", "state_at": decide.MADE_WITHIN * -2}, False),
        ({"state": "terminating"}, False),
        ({"state": "terminated"}, False),
        ({"state": "failed"}, False),
    ],
)
@pytest.mark.usefixtures("transactional_db")
def test_is_open_while_its_machine_boots(fields: dict[str, Any], is_let_in: bool) -> None:
    now = timezone.now()
    times = {
        name: now + value if isinstance(value, timedelta) else value
        for name, value in fields.items()
    }

    answer = enrol(body(booting(**times)))

    assert answer.status_code == (200 if is_let_in else 401)
    if not is_let_in:
        assert sentence(answer) == UNKNOWN


def test_takes_no_token_that_another_instance_has(instance: Instance) -> None:
    other = booting()
    enrol(body(other, "theirs"))

    answer = enrol(body(instance, "theirs"))

    assert (answer.status_code, sentence(answer)) == (401, UNKNOWN)
    instance.refresh_from_db()
    assert instance.enrolled_at is None


@pytest.mark.parametrize(
    "enrolment",
    ["", "dsk_e_", "dsk_e_" + "0" * 39, "dsk_a_" + "0" * 39, "\x00" * 45, "é" * 45, "\ud800" * 45],
)
def test_says_the_same_of_whatever_it_does_not_know(instance: Instance, enrolment: str) -> None:
    answer = enrol(body(instance, enrolment=enrolment))

    assert (answer.status_code, sentence(answer)) == (401, UNKNOWN)


@pytest.mark.parametrize(
    "changes",
    [
        {"enrolment": None},
        {"enrolment": ["x"]},
        {"token_sha256": ""},
        {"token_sha256": "A" * 64},
        {"token_sha256": "0" * 65},
        {"token_sha256": "0" * 64 + "\n"},
        {"token_sha256": 7},
        {"ssh_public_key": "ssh-rsa AAAA"},
        {"ssh_public_key": KEY + "\nssh-ed25519 AAAA"},
        {"ssh_public_key": 'command="sh" ' + KEY},
        {"ssh_public_key": "ssh-ed25519 " + "A" * 68},
        {"ssh_public_key": KEY + " \x00"},
    ],
)
def test_refuses_what_is_no_enrolment(instance: Instance, changes: dict[str, Any]) -> None:
    assert enrol(body(instance, **changes)).status_code == 422


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 4000, b"null"])
def test_refuses_a_body_that_is_none(content: bytes) -> None:
    assert enrol(content).status_code == 422


def test_takes_an_agent_without_a_key_and_drops_the_name_of_one(instance: Instance) -> None:
    assert enrol(body(instance, ssh_public_key="")).status_code == 200
    other = booting()
    named = body(other, "another", ssh_public_key=f"{KEY} root@host")
    assert enrol(named).status_code == 200

    other.refresh_from_db()
    assert other.public_key == KEY


def test_refuses_a_long_body(instance: Instance) -> None:
    assert enrol(body(instance, ssh_public_key="x" * 5000)).status_code == 413


def test_an_address_that_guesses_has_to_wait(instance: Instance) -> None:
    address, other = "192.0.2.77", "192.0.2.78"
    guess = body(instance, enrolment="dsk_e_" + "0" * 39)
    answers = {enrol(guess, address=address).status_code for _ in range(tries.FREE)}

    assert answers == {401}
    assert enrol(guess, address=address).status_code == 429
    assert enrol(body(instance), address=address).status_code == 429
    assert enrol(body(instance), address=other).status_code == 200


def tell(of: Instance, step: Any = "installing docker.io", **changes: Any) -> Any:
    said = {"enrolment": crypto.decrypt(of.token), "step": step, **changes}
    address = f"fd00::{uuid4().hex[:4]}:{uuid4().hex[:4]}"
    return Client(REMOTE_ADDR=address).post(STEP, json.dumps(said), "application/json")


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        ("installing docker.io", "installing docker.io"),
        ("a\nb\x1b[31m\tc  d", "a b [31m c d"),
        ("x" * 3000, "x" * 100),
        ("<script>", "<script>"),
        ("", ""),
    ],
)
def test_a_machine_that_boots_says_what_it_does(instance: Instance, step: str, kept: str) -> None:
    assert tell(instance, step).status_code == 204
    instance.refresh_from_db()
    assert instance.boot_step == kept


@pytest.mark.parametrize("step", [None, 7, ["x"], {"a": 1}, "x" * 5000])
def test_no_step_of_another_kind_is_kept(instance: Instance, step: Any) -> None:
    assert tell(instance, step).status_code in (413, 422)
    instance.refresh_from_db()
    assert instance.boot_step == ""


def test_steps_end_with_the_enrolment(instance: Instance) -> None:
    assert enrol(body(instance)).status_code == 200
    assert tell(instance).status_code == 401
    assert tell(booting(state="terminated")).status_code == 401
    instance.refresh_from_db()
    assert instance.boot_step == ""
