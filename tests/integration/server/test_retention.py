"""What is over is forgotten after a while, and nothing that an active run needs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.sessions.models import Session
from django.db import connection, models, transaction
from django.utils import timezone

from apps.accounts import retention as accounts
from apps.accounts.models import Project, Token
from apps.autoscaling.models import Decision
from apps.core import retention
from apps.core.models import Event
from apps.instances.models import Instance, Workload
from apps.runs import queries
from apps.runs.models import Replica, Run, RunVersion
from apps.runs.rollout import image_pins
from apps.runs.rollout import versions as updates
from dstack_web import tasks
from tests import factories
from tests.integration.runs.test_stored import in_threads
from tests.people import People

pytestmark = pytest.mark.django_db

NOW = timezone.now()
LONG_AGO = NOW - timedelta(days=91)
LATELY = NOW - timedelta(days=89)


def prune() -> None:
    tasks.prune_history()


def event(run: Run | None, *, state_machine: str = "replica", at: Any = LONG_AGO) -> Event:
    scope = {"run_id": run.pk, "project_id": run.project_id} if run else {}
    return Event.objects.create(
        state_machine=state_machine, object_id=uuid4(), version=0, old="", new="x", at=at, **scope
    )


def versions(run: Run, count: int) -> None:
    for version in range(1, count + 1):
        run.version = version
        run.save()
        updates.keep(run)


def numbers(run: Run) -> list[int]:
    return sorted(run.versions.values_list("version", flat=True))


def ended_replica(run: Run, *, at: Any = LONG_AGO, **fields: Any) -> Replica:
    return factories.replica(run, state="stopped", finished_at=at, **fields)


def forgotten(row: models.Model) -> bool:
    return not type(row)._default_manager.filter(pk=row.pk).exists()


@pytest.mark.parametrize(
    ("state", "fields", "gone"),
    [
        ("stopped", {"finished_at": LONG_AGO}, True),
        ("failed", {"finished_at": LONG_AGO}, True),
        ("failed", {"finished_at": None, "state_at": LONG_AGO}, True),
        ("stopped", {"finished_at": LATELY}, False),
        ("stopped", {"finished_at": NOW, "deleted_at": NOW - timedelta(days=2)}, True),
        ("stopped", {"finished_at": NOW, "deleted_at": NOW}, False),
        ("running", {"created_at": LONG_AGO, "state_at": LONG_AGO}, False),
        ("idle", {"created_at": LONG_AGO, "state_at": LONG_AGO}, False),
        ("stopping", {"created_at": LONG_AGO, "state_at": LONG_AGO}, False),
    ],
)
def test_forgets_runs_that_are_over(
    people: People, state: str, fields: dict[str, Any], gone: bool
) -> None:
    run = factories.run(people.project, name="hello", state=state, **fields)
    versions(run, 1)
    ended_replica(run, ready_at=LONG_AGO)

    prune()

    assert forgotten(run) == gone
    assert RunVersion.objects.exists() == (not gone)
    assert Replica.objects.exists() == (not gone)


def test_leaves_the_name_of_a_forgotten_run_free(people: People) -> None:
    factories.run(people.project, name="hello", state="stopped", finished_at=LONG_AGO)
    prune()

    again = factories.run(people.project, name="hello")

    assert queries.find_run(people.project, "hello") == again


def test_waits_for_the_last_workload_of_a_run(people: People) -> None:
    run = factories.run(people.project, state="stopped", finished_at=LONG_AGO)
    workload = factories.workload(factories.instance(people.project), run_id=run.pk)
    prune()
    assert not forgotten(run)

    Workload.objects.filter(pk=workload.pk).update(state="exited")
    prune()

    assert forgotten(run)


def test_keeps_the_newest_versions(people: People, settings: Any) -> None:
    settings.DSTACK_RUN_VERSIONS = 3
    run, few = (factories.run(people.project, name=name) for name in ("many", "few"))
    versions(run, 6)
    versions(few, 3)

    prune()

    assert (numbers(run), numbers(few)) == ([4, 5, 6], [1, 2, 3])


def test_keeps_versions_that_run_or_may_run_again(people: People, settings: Any) -> None:
    settings.DSTACK_RUN_VERSIONS = 1
    run = factories.run(people.project)
    versions(run, 6)
    Run.objects.update(version=5, fallback=2)
    factories.replica(run, num=0, version=3, state="draining")
    factories.replica(run, num=1, version=1, state="stopped")

    prune()

    assert numbers(run) == [2, 3, 5, 6]


@pytest.mark.parametrize(
    ("fields", "gone"),
    [
        ({}, True),
        ({"at": LATELY}, False),
        ({"price_usd_per_hour": 1}, True),
        ({"ready_at": LONG_AGO}, False),
        ({"ready_at": LONG_AGO, "later": True}, True),
        ({"pin": "sha256:1"}, False),
        ({"pin": "sha256:1", "earlier": True}, True),
    ],
)
def test_forgets_replicas_that_say_nothing_more(
    people: People, fields: dict[str, Any], gone: bool
) -> None:
    run = factories.run(people.project)
    host = factories.instance(people.project)
    later, earlier = fields.pop("later", False), fields.pop("earlier", False)
    pin = fields.pop("pin", "")
    if earlier:
        first = ended_replica(run)
        factories.workload(host, replica=first, state="exited", image_pin=pin)
    replica = ended_replica(run, num=1, **fields)
    if pin:
        factories.workload(
            host, replica=replica, state="exited", image_pin=pin, spec={"image": "web"}
        )
    if later:
        ended_replica(run, num=2, ready_at=LATELY, at=LATELY)

    prune()

    assert forgotten(replica) == gone


def test_still_knows_the_image_of_a_version_and_that_it_served(people: People) -> None:
    run = factories.run(people.project)
    host = factories.instance(people.project)
    for number in range(3):
        replica = ended_replica(run, num=number, ready_at=LONG_AGO)
        more: dict[str, Any] = {"image_pin": f"sha256:{number}", "spec": {"image": "web"}}
        factories.workload(host, replica=replica, state="exited", state_at=LONG_AGO, **more)

    prune()

    assert image_pins.used(run, version=1, image="web") == "sha256:0"
    assert updates._has_served(run)
    assert Replica.objects.count() == 2


def test_forgets_events_and_decisions_but_how_an_active_run_came_about(people: People) -> None:
    run = factories.run(people.project)
    over = factories.run(people.project, state="stopped", finished_at=LATELY)
    kept = [event(run, state_machine="run"), event(run, at=LATELY), event(over, at=LATELY)]
    gone = [event(run), event(over, state_machine="run"), event(None, state_machine="instance")]
    about = {
        "run": run,
        "before": 0,
        "desired_replicas": 1,
        "ready": 0,
        "kind": "up",
        "reason": "x",
    }
    old, new = (Decision.objects.create(at=at, **about) for at in (LONG_AGO, LATELY))

    prune()

    assert not any(map(forgotten, [*kept, new]))
    assert all(map(forgotten, [*gone, old]))


def test_forgets_machines_once_nothing_is_left_on_them(people: People) -> None:
    over: dict[str, Any] = {"state": "terminated", "state_at": LONG_AGO}
    empty, used, young = (
        factories.instance(people.project, **fields)
        for fields in (over, over, {**over, "state_at": LATELY})
    )
    live = factories.instance(people.project, state_at=LONG_AGO)
    run = factories.run(people.project)
    replica = ended_replica(run, ready_at=LONG_AGO)
    ended: dict[str, Any] = {"state": "exited", "state_at": LONG_AGO}
    kept = factories.workload(used, replica=replica, **ended)
    alone = [factories.workload(host, **ended) for host in (empty, live)]

    prune()

    assert all(map(forgotten, [empty, *alone]))
    assert not any(map(forgotten, [used, young, live, kept]))


def test_wipes_the_secrets_of_what_ended(people: People) -> None:
    host = factories.instance(people.project)
    ended, live = (factories.workload(host, state=state) for state in ("exited", "running"))

    prune()

    assert Workload.objects.get(pk=ended.pk).secrets == ""
    assert Workload.objects.get(pk=live.pk).secrets == live.secrets


def test_forgets_sessions_and_tokens_that_open_nothing(people: People) -> None:
    for key, at in (("old", NOW - timedelta(seconds=1)), ("new", NOW + timedelta(days=1))):
        Session.objects.create(session_key=key, session_data="x", expire_date=at)
    gone = [
        factories.token(people.bob, revoked_at=LONG_AGO).row,
        factories.token(people.bob, expires_at=LONG_AGO).row,
    ]
    kept = [
        factories.token(people.bob).row,
        factories.token(people.bob, revoked_at=LATELY).row,
        factories.token(people.bob, expires_at=LATELY).row,
    ]

    prune()

    assert [each.session_key for each in Session.objects.all()] == ["new"]
    assert all(map(forgotten, gone))
    assert not any(map(forgotten, kept))


def test_deletes_in_small_batches(people: People, django_assert_max_num_queries: Any) -> None:
    for _ in range(25):
        event(None)
    with connection.execute_wrapper(at_most(10)):
        assert retention.delete(Event.objects.all(), batch=10) == 25
    assert not Event.objects.exists()


def at_most(rows: int) -> Callable[..., Any]:
    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if sql.startswith("DELETE"):
            assert context["cursor"].rowcount <= rows
        return answer

    return watch


@pytest.mark.django_db(transaction=True)
def test_leaves_what_somebody_holds_for_the_next_time(people: People) -> None:
    token = factories.token(people.bob, revoked_at=LONG_AGO).row
    with transaction.atomic():
        Token.objects.select_for_update().get(pk=token.pk)
        in_threads(lambda _: accounts.prune(at=NOW), 1)

        assert not forgotten(token)
    in_threads(lambda _: accounts.prune(at=NOW), 3)
    assert forgotten(token)


def test_changes_nothing_the_second_time(people: People) -> None:
    factories.run(people.project, state="stopped", finished_at=LONG_AGO)
    factories.run(people.project, name="live")
    prune()
    before = [model.objects.count() for model in (Project, Run, Instance, Token, Event)]

    prune()

    assert before == [model.objects.count() for model in (Project, Run, Instance, Token, Event)]
