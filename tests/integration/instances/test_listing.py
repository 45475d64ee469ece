"""What projects see of machines, and ending one by hand."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Project
from apps.core.transition import transition
from apps.instances import states
from apps.instances.models import Instance
from tests import factories
from tests.people import People, signed_in

API = "/api/projects/main/instances"
PAGE = "/projects/main/instances/"
HARDWARE = {"cpus": 2, "memory_mib": 8192, "disk_mib": 102400, "gpu": None}
OFFER: dict[str, Any] = {
    "backend": "aws",
    "region": "us-east-1",
    "instance": "m5.large",
    "hardware": HARDWARE,
}
OFFER |= {"price_usd_per_hour": 0.096, "spot": True}


def machine(of: Project, name: str = "dstack-1", **fields: Any) -> Instance:
    told = {"backend_kind": "cloud", "region": "us-east-1", "instance_type": "m5.large"}
    return factories.instance(of, name=name, **{"offer": OFFER, **told, **fields})


def told(people: People, name: str = "", *, query: str = "", who: Any = None) -> Any:
    headers = factories.token(who or people.bob).headers
    return Client(headers=headers).get(f"{API}{name and '/' + name}{query}").json()


def shown(people: People, path: str = "", *, who: Any = None) -> str:
    answer = signed_in(who or people.bob).get(f"{PAGE}{path}")
    text = re.sub(r"<[^>]*>", " ", answer.content.decode())
    return " ".join(text.split())


def busy(on: Instance, *, project: str = "main", run: str = "hello", num: int = 0) -> None:
    spec = {"project": project, "run_name": run}
    factories.workload(on, name=f"{run}-{num}", spec=spec)


def test_tells_of_a_machine_all_that_there_is(people: People) -> None:
    since = timezone.now().replace(microsecond=0)
    made = machine(
        people.project, state="idle", idle_since=since, idle_seconds=300, reported_at=since,
        price_usd_per_hour="0.0960",
    )  # fmt: skip
    busy(made)

    (found,) = told(people)["items"]

    assert {key: found[key] for key in ("name", "state", "region", "instance", "spot")} == {
        "name": "dstack-1",
        "state": "idle",
        "region": "us-east-1",
        "instance": "m5.large",
        "spot": True,
    }
    assert found["resources"] == "2xCPU, 8GB, 100GB (disk)"
    assert found["price_usd_per_hour"] == 0.096
    assert found["running"] == [{"run": "hello", "replica": 0, "state": "running", "gateway": ""}]
    until = since + timedelta(seconds=300)
    assert found["idle_until"] == until.isoformat().replace("+00:00", "Z")
    for page in (shown(people), shown(people, "dstack-1/")):
        assert f"{until:%H:%M:%S} UTC" in page
        assert "hello" in page and "$0.096/h" in page and "2xCPU, 8GB" in page


def test_tells_what_happened_and_how_its_console_ends(people: People) -> None:
    made = machine(people.project, console_tail="cloud-init: <no> network", attempts=2,
                   error="aws did not answer")  # fmt: skip
    transition(made, states.LOST, at=timezone.now(), reason="no report for 60 s")
    Instance.objects.update(next_check_at=timezone.now() + timedelta(seconds=40))

    found, page = told(people, "dstack-1"), shown(people, "dstack-1/")

    assert [(e["new"], e["reason"]) for e in found["events"]] == [("lost", "no report for 60 s")]
    assert found["console_tail"] == "cloud-init: <no> network"
    assert (found["attempts"], found["next_try_at"] is not None) == (2, True)
    assert "cloud-init: &lt;no&gt; network" in page
    assert "lost : no report for 60 s" in page
    assert "Its backend was asked 2 times in vain; the next try is at" in page


@pytest.mark.parametrize("offer", [{}, {"hardware": None}, {"hardware": {"cpus": 2}}])
def test_shows_machines_of_which_little_is_known(people: People, offer: dict[str, Any]) -> None:
    machine(people.project, offer=offer)

    assert told(people)["items"][0]["resources"] == ""
    assert "dstack-1" in shown(people)


def test_shows_those_that_have_ended_where_that_is_asked(people: People) -> None:
    machine(people.project, state="terminated")

    assert told(people)["items"] == []
    assert [one["name"] for one in told(people, query="?ended=1")["items"]] == ["dstack-1"]
    assert "dstack-1" not in shown(people)
    assert "dstack-1" in shown(people, "?all=1")


def test_a_name_is_that_of_the_machine_that_lives(people: People) -> None:
    machine(people.project, "host", state="terminated")
    machine(people.project, "host", state="ready")
    machine(people.project, "host", state="failed")

    assert told(people, "host")["state"] == "ready"


def test_shows_the_servers_own_machine_to_each_project_that_may_use_it(people: People) -> None:
    other = factories.project("other", admin=people.charlie)
    factories.backend(other)
    host = factories.instance(other, name="my-host", shared=True)
    busy(host, project="other", run="secret-merger-bot")
    hidden = [told(people)["items"], "my-host" in shown(people)]
    factories.backend(people.project)
    busy(host)

    (found,) = told(people)["items"]

    assert hidden == [[], False]
    assert [one["run"] for one in found["running"]] == ["hello"]
    assert found["running_of_others"] == 1
    for text in (json.dumps(told(people, "my-host")), shown(people), shown(people, "my-host/")):
        assert "secret-merger-bot" not in text


def test_terminates_a_machine_and_what_runs_there_is_over(people: People) -> None:
    made = machine(people.project)
    busy(made)
    page = shown(people, "dstack-1/")

    answer = signed_in(people.bob).post(f"{PAGE}dstack-1/terminate/", follow=True)

    made.refresh_from_db()
    assert "1 replica runs there: cut off with the requests" in page
    assert "dstack-1 is being terminated." in answer.content.decode()
    assert (made.state, made.workloads.get().exit_reason) == ("terminating", "host_stopped")
    assert ("terminated by a person", "bob") in [
        (event["reason"], event["actor"]) for event in told(people, "dstack-1")["events"]
    ]
    # Asked again it is no error, and there is no button any more.
    assert (
        Client(headers=factories.token(people.bob).headers)
        .delete(f"{API}/dstack-1")
        .json()["state"]
        == "terminating"
    )
    assert "Terminate this instance?" not in shown(people, "dstack-1/")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"backend_kind": "local", "shared": True},
            "dstack-1 is no machine that this server made, so it cannot be terminated: "
            "stop the services that run there instead.",
        ),
        ({"state": "terminated"}, "dstack-1 has ended already."),
        ({"state": "failed"}, "dstack-1 has ended already."),
    ],
)
def test_says_why_a_machine_is_not_terminated(
    people: People, fields: dict[str, Any], said: str
) -> None:
    made = machine(people.project, **fields)
    headers = factories.token(people.bob).headers

    answer = Client(headers=headers).delete(f"{API}/dstack-1")
    page = signed_in(people.bob).post(f"{PAGE}dstack-1/terminate/")

    assert (answer.status_code, answer.json()["error"]["message"]) == (409, said)
    assert page.status_code == 409 and said in page.content.decode()
    assert "Terminate this instance?" not in shown(people, "dstack-1/")
    assert Instance.objects.get(pk=made.pk).state == made.state


HOSTILE = ["nope", "..", "x" * 300, "a;rm -rf", "%00", "%ED%A0%80", "é", "$(id)", "-1"]


@pytest.mark.parametrize("name", HOSTILE)
def test_finds_nothing_by_a_hostile_name(people: People, name: str) -> None:
    machine(people.project)
    headers = factories.token(people.bob).headers

    answers = [Client(headers=headers).generic(method, f"{API}/{name}").status_code
               for method in ("GET", "DELETE")]  # fmt: skip
    pages = [signed_in(people.bob).get(f"{PAGE}{name}/").status_code]
    pages += [signed_in(people.bob).post(f"{PAGE}{name}/terminate/").status_code]

    # What holds a NUL is refused before anybody looks for it.
    assert {*answers, *pages} <= {400, 404}
    assert Instance.objects.get().state == "ready"


def test_no_other_project_reaches_a_machine(people: People) -> None:
    made = machine(factories.project("other", admin=people.charlie))

    assert told(people, "dstack-1")["error"]["code"] == "not_found"
    assert signed_in(people.bob).post(f"{PAGE}dstack-1/terminate/").status_code == 404
    assert Instance.objects.get(pk=made.pk).state == "ready"


def test_many_machines_are_shown_with_few_queries(
    people: People, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        busy(machine(people.project, f"dstack-{number}"))
    client = signed_in(people.bob)

    with django_assert_max_num_queries(16):
        client.get(PAGE)
