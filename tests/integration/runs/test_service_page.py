from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from apps.accounts.models import Token
from apps.backends import services as backends
from apps.core.models import Event
from apps.runs.models import Run
from tests import factories
from tests.people import People, signed_in

HELLO = "/projects/main/services/hello/"


@pytest.fixture
def hello(people: People) -> Run:
    gateway = factories.gateway(people.project)
    return factories.run(people.project, user=people.alice, name="hello", gateway=gateway)


def text(answer: Any) -> str:
    page: str = answer.content.decode()
    return page


def test_shows_where_and_how_to_call_it(people: People, hello: Run) -> None:
    page = text(signed_in(people.bob).get(HELLO))

    assert "http://hello.localhost:8080" in page
    assert "Authorization: Bearer $TOKEN" in page
    # Python and Node do not resolve names below localhost.
    assert "httpx.get(&quot;http://localhost:8080/services/main/hello/&quot;, " in page
    assert "$TOKEN" not in page.partition('data-snippet="python"')[2]


@pytest.mark.parametrize(
    ("hours", "state", "said"),
    [(3, "running", True), (3, "stopped", False), (None, "running", False)],
)
def test_says_when_it_stops_by_itself(
    people: People, hello: Run, hours: int | None, state: str, said: bool
) -> None:
    seconds = hours and hours * 3600
    spec = {**hello.spec, "max_duration_seconds": seconds}
    Run.objects.filter(pk=hello.pk).update(spec=spec, state=state)

    page = text(signed_in(people.alice).get(HELLO))

    assert ("stops by itself in" in page) is said


def test_makes_a_key_for_this_service_only(people: People, hello: Run) -> None:
    page = text(signed_in(people.bob).post(f"{HELLO}key/"))

    token = Token.objects.get()
    shown = re.search(r'id="issued-key">(dsk_s_\w+)<', page)
    assert shown is not None
    assert f"Bearer {shown[1]}" in page
    assert (token.user, token.scope, token.run_names) == (people.bob, "call", ["hello"])


def test_says_why_it_failed_once_and_offers_nothing_dead(people: People) -> None:
    gateway = factories.gateway(people.project)
    run = factories.run(
        people.project, name="hello", state="failed", error="exited with code 3", gateway=gateway,
        finished_at=timezone.now(),
    )  # fmt: skip
    factories.replica(
        run, state="failed", message="exited with code 3", last_lines=["no model"],
        finished_at=timezone.now(),
    )  # fmt: skip

    page = text(signed_in(people.bob).get(HELLO))

    assert page.lower().count("exited with code 3") == 1
    assert page.count("no model") == 1
    assert "Create a key" not in page
    assert 'class="snippets"' not in page
    assert "/projects/main/deploy/?service=hello" in page


def test_says_in_one_sentence_what_a_starting_service_waits_for(people: People) -> None:
    run = factories.run(people.project, name="hello", state="provisioning")
    deadline = timezone.now() + timedelta(minutes=4, seconds=30)
    pending = factories.replica(run, num=0, state="pending")
    replica = factories.replica(
        run, num=1, state="starting", deadline_at=deadline, phase="waits for port 8000"
    )
    workload = factories.workload(factories.instance(people.project), replica=replica)

    page = text(signed_in(people.bob).get(HELLO))

    assert "Replica 1: " in page
    assert "at most 4 m" in page
    # Its own lines, not those of one that failed before it.
    assert f"/log-lines/?newest=5&amp;workload={workload.pk}" in page

    replica.delete()
    page = text(signed_in(people.bob).get(HELLO))

    assert f"Replica {pending.num}: " in page
    assert "/log-lines/?newest" not in page


@pytest.mark.parametrize("state", ["running", "unhealthy", "draining", "stopped"])
def test_what_was_ready_is_not_starting(people: People, state: str) -> None:
    run = factories.run(people.project, name="hello")
    factories.replica(run, state=state)

    assert 'id="starting"' not in text(signed_in(people.bob).get(HELLO))


@pytest.mark.parametrize(
    ("state", "fields", "shown"),
    [
        ("stopped", {}, False),
        ("stopping", {}, False),
        ("idle", {"desired_replicas": 0}, False),
        ("provisioning", {}, True),
        ("failed", {"error": "exited with code 3"}, True),
    ],
)
def test_last_words_are_for_who_wants_it_to_run(
    people: People, state: str, fields: dict[str, Any], shown: bool
) -> None:
    run = factories.run(people.project, name="hello", state=state, **fields)
    factories.replica(run, state="failed", message="exited with code 3", last_lines=["no model"])

    page = text(signed_in(people.bob).get(HELLO))

    assert ("no model" in page, "exited with code 3" in page.lower()) == (shown, shown)


def test_says_why_it_failed_with_the_last_lines(people: People) -> None:
    run = factories.run(people.project, name="hello", state="failed", error="exited with code 3")
    factories.replica(
        run,
        state="failed",
        message="exited with code 3",
        last_lines=["no such model: <b>llama</b>"],
        finished_at=timezone.now(),
    )

    page = text(signed_in(people.bob).get(HELLO))

    assert "Exited with code 3" in page
    assert "no such model: &lt;b&gt;llama&lt;/b&gt;" in page
    # A program may write more after its error than the last lines.
    assert f'href="{HELLO}logs/?replica=0&amp;level=error"' in page
    logs = text(signed_in(people.bob).get(f"{HELLO}logs/?replica=0&level=error"))
    assert 'hx-get="/projects/main/services/hello/log-lines/?replica=0&amp;level=error"' in logs


def test_says_what_happened_and_how_long_it_took(people: People, hello: Run) -> None:
    replica = factories.replica(hello)
    at = timezone.now()
    for version, (old, new, seconds) in enumerate(
        [("", "pending", 0), ("pending", "starting", 1), ("starting", "running", 4)]
    ):
        Event.objects.create(
            state_machine="replica",
            object_id=replica.pk,
            run_id=hello.pk,
            version=version,
            old=old,
            new=new,
            label="replica 0",
            at=at + timedelta(seconds=seconds),
        )

    page = text(signed_in(people.bob).get(HELLO))

    assert "Replica 0 is ready after 4.0 s" in page
    assert "ready after 4.0 s" in page


@pytest.mark.parametrize("tab", ["", "logs/", "replicas/", "events/", "configuration/"])
def test_needs_few_queries(
    people: People, hello: Run, tab: str, django_assert_max_num_queries: Any
) -> None:
    for num in range(20):
        factories.replica(hello, num=num)
    client = signed_in(people.bob)
    # The first page notes where one is.
    client.get(HELLO)

    with django_assert_max_num_queries(11):
        client.get(HELLO + tab)


@pytest.mark.parametrize(
    ("state", "was_ready", "is_shown"),
    [("running", True, True), ("idle", True, True), ("running", False, False),
     ("failed", True, False), ("stopped", True, False)],
)  # fmt: skip
def test_draws_the_last_hour_of_what_served_and_goes_on(
    people: People, state: str, was_ready: bool, is_shown: bool
) -> None:
    ready_at = timezone.now() if was_ready else None
    factories.run(people.project, name="drawn", state=state, ready_at=ready_at)

    page = text(signed_in(people.bob).get("/projects/main/services/drawn/"))

    assert ("/projects/main/services/drawn/chart-data/?range=15m" in page) == is_shown

    Run.objects.update(created_at=timezone.now() - timedelta(hours=1))

    page = text(signed_in(people.bob).get("/projects/main/services/drawn/"))
    assert ("/projects/main/services/drawn/chart-data/?range=1h" in page) == is_shown


def test_shows_the_configuration_as_text(people: People, hello: Run) -> None:
    assert "type: service" in text(signed_in(people.bob).get(f"{HELLO}configuration/"))


def test_renders_only_itself_for_a_live_update(people: People, hello: Run) -> None:
    part = text(signed_in(people.bob, htmx="service").get(HELLO))

    assert part.strip().startswith('<div id="service"')


@pytest.mark.parametrize("name", ["nope", "..", "%27", "x" * 300, "é"])
def test_a_service_that_is_not_there_is_not_found(people: People, name: str) -> None:
    assert signed_in(people.bob).get(f"/projects/main/services/{name}/").status_code == 404


def test_stops(people: People, hello: Run) -> None:
    answer = signed_in(people.bob).post(f"{HELLO}stop/")

    hello.refresh_from_db()
    assert (answer["Location"], hello.state) == (HELLO, "stopping")


def test_stops_without_waiting_where_asked(people: People, hello: Run) -> None:
    signed_in(people.bob).post(f"{HELLO}stop/", {"abort": "1"})

    hello.refresh_from_db()
    assert hello.abort


def test_scales(people: People, hello: Run) -> None:
    signed_in(people.bob).post(f"{HELLO}scale/", {"replicas": "3"})

    hello.refresh_from_db()
    assert hello.desired_replicas == 3


@pytest.fixture
def on_this_machine(hello: Run, tmp_path: Path, settings: Any) -> Run:
    """A service whose project may have more replicas than any machine carries."""
    settings.DSTACK_REPLICAS_LIMIT = 20_000
    (tmp_path / "isolation.json").write_text('{"level": "network"}')
    config = {"boot_path": str(tmp_path / "config.json"), "url": "http://127.0.0.1:1"}
    backends.connect(project=hello.project, kind="local", config=config)
    return hello


def test_says_what_many_replicas_share_and_asks_again(people: People, on_this_machine: Run) -> None:
    client, run = signed_in(people.bob), on_this_machine

    page = text(client.post(f"{HELLO}scale/", {"replicas": "10000"}))

    run.refresh_from_db()
    assert run.desired_replicas == 1
    assert "10,000 replicas share" in page
    assert 'name="confirmed" value="10000"' in page
    # What was read of another number does not count.
    client.post(f"{HELLO}scale/", {"replicas": "9999", "confirmed": "10000"})
    run.refresh_from_db()
    assert run.desired_replicas == 1

    client.post(f"{HELLO}scale/", {"replicas": "10000", "confirmed": "10000"})
    run.refresh_from_db()
    assert run.desired_replicas == 10_000


@pytest.mark.parametrize(("replicas", "warnings"), [("10000", 1), ("2", 0), ("0", 0)])
def test_the_api_says_it_beforehand(
    people: People, on_this_machine: Run, replicas: str, warnings: int
) -> None:
    client = Client(headers=factories.token(people.bob).headers)
    url = "/api/projects/main/runs/hello/scale/plan"

    answer = client.post(url, {"replicas": replicas}, content_type="application/json")

    found = answer.json()
    assert (found["before"], found["replicas"], len(found["warnings"])) == (1, replicas, warnings)
    on_this_machine.refresh_from_db()
    assert on_this_machine.desired_replicas == 1


def test_the_api_refuses_beforehand_what_scale_would(people: People, hello: Run) -> None:
    client = Client(headers=factories.token(people.bob).headers)
    url = "/api/projects/main/runs/hello/scale/plan"

    answers = [
        client.post(url, {"replicas": wanted}, content_type="application/json").status_code
        for wanted in ("x", "0..4", "9" * 30)
    ]

    assert answers == [422, 422, 422]


@pytest.mark.parametrize("wanted", ["", "-1", "x", "4..1", "1..", "99999999999", "$(id)", "1;2"])
def test_refuses_a_number_of_replicas_that_is_none(people: People, hello: Run, wanted: str) -> None:
    answer = signed_in(people.bob).post(f"{HELLO}scale/", {"replicas": wanted})

    hello.refresh_from_db()
    assert (answer.status_code, hello.desired_replicas) == (422, 1)


def test_deletes_what_is_over(people: People) -> None:
    factories.run(people.project, name="hello", state="stopped")
    client = signed_in(people.bob)

    client.post(f"{HELLO}delete/")

    assert client.get(HELLO).status_code == 404


def test_does_not_delete_what_runs(people: People, hello: Run) -> None:
    answer = signed_in(people.bob).post(f"{HELLO}delete/")

    assert answer.status_code == 409
    assert "stop it first" in text(answer)


@pytest.mark.parametrize("typed", ["abc", "", "-1", "4..1", "1..", "٣", "<b>x</b>", "9" * 20])
def test_keeps_what_was_typed_for_scaling(people: People, typed: str) -> None:
    run = factories.run(people.project, name="hello")

    answer = signed_in(people.bob).post("/projects/main/services/hello/scale/", {"replicas": typed})

    page = answer.content.decode()
    assert answer.status_code == 422
    assert f'value="{escape(typed)}" aria-invalid="true"' in page
    assert "field-error" in page
    # What follows the page live asks for the page itself, not for the form's address.
    assert 'hx-get="/projects/main/services/hello/"' in page
    run.refresh_from_db()
    assert run.desired_replicas == 1


def test_says_on_the_form_why_an_ended_service_does_not_scale(people: People) -> None:
    factories.run(people.project, name="hello", state="stopped")

    answer = signed_in(people.bob).post("/projects/main/services/hello/scale/", {"replicas": "7"})

    assert answer.status_code == 409
    assert 'value="7" aria-invalid="true"' in answer.content.decode()
