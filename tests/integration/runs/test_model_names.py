"""A model's name has one active run on a gateway, whoever asks for it at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import services as backends
from apps.core.errors import AppError, Conflict, Invalid
from apps.gateways.models import Gateway, Publication
from apps.routing import services as routing
from apps.runs import public_urls, queries, services
from apps.runs.models import Run
from apps.runs.planning.request import PlanRequest
from apps.runs.rollout import versions
from tests import factories

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

PLAIN = "type: service\nname: {name}\ncommands: [serve]\nport: 8000\nprobes: []\n"
MODEL = PLAIN + "model: {{name: {model}, format: openai}}\n"


def text(name: str, model: str = "llama") -> str:
    return MODEL.format(name=name, model=model)


def submit(access: Access, project: Project, configuration: str) -> Run:
    request = PlanRequest(configuration)
    return services.submit(access=access, project=project, request=request)


@pytest.fixture
def other(project: Project, gateway: Gateway, tmp_path: Any) -> Project:
    """Another project on the same gateway."""
    made = factories.project("other", admin=project.members.get())
    config = {"boot_path": str(tmp_path / "config.json"), "url": "http://127.0.0.1:1"}
    backends.connect(project=made, kind="local", config=config)
    Publication.objects.create(project=made, gateway=gateway, is_default=True)
    return made


def at_once(*calls: Callable[[], Run]) -> list[Run | AppError]:
    """Make calls that all have looked whether the name is free before one of them takes it."""
    barrier = Barrier(len(calls))
    look = queries.model_owner

    def call(made: Callable[[], Run]) -> Run | AppError:
        try:
            return made()
        except AppError as error:
            return error
        finally:
            connection.close()

    def look_together(*args: Any, **more: Any) -> Run | None:
        found = look(*args, **more)
        barrier.wait(timeout=30)
        return found

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(calls)) as pool:
        patch.setattr(queries, "model_owner", look_together)
        return list(pool.map(call, calls))


def owners() -> list[str]:
    found = Run.objects.filter(state__in=queries.ACTIVE_RUNS, spec__model__name="llama")
    return list(found.filter(model_withheld=False).values_list("name", flat=True))


def refusals(answers: list[Run | AppError]) -> list[str]:
    assert all(isinstance(each, Run | Conflict) for each in answers), answers
    return [each.message for each in answers if isinstance(each, AppError)]


def test_two_projects_that_submit_at_once(alice: Access, project: Project, other: Project) -> None:
    answers = at_once(
        lambda: submit(alice, project, text("one")), lambda: submit(alice, other, text("two"))
    )

    (message,) = refusals(answers)
    assert "took the model's name" in message
    assert len(owners()) == Run.objects.count() == 1


def test_runs_of_one_project_that_submit_at_once(alice: Access, project: Project) -> None:
    answers = at_once(*(partial(submit, alice, project, text(f"run-{n}")) for n in range(3)))

    assert len(refusals(answers)) == 2
    assert len(owners()) == 1


def test_updates_that_take_it_at_once(alice: Access, project: Project, other: Project) -> None:
    submit(alice, project, text("one", "a"))
    submit(alice, other, text("two", "b"))

    answers = at_once(
        lambda: submit(alice, project, text("one")), lambda: submit(alice, other, text("two"))
    )

    assert len(refusals(answers)) == 1
    assert len(owners()) == 1
    assert sorted(Run.objects.values_list("version", flat=True)) == [1, 2]


def test_a_rollback_does_not_take_it_back(alice: Access, project: Project, other: Project) -> None:
    run = submit(alice, project, text("one"))
    submit(alice, project, text("one", "renamed"))
    submit(alice, other, text("two"))

    with pytest.raises(Invalid, match="llama belongs to another project"):
        versions.rollback(access=alice, run=run)

    assert owners() == ["two"]


def test_a_rollback_and_a_submit_at_once(alice: Access, project: Project, other: Project) -> None:
    run = submit(alice, project, text("one"))
    submit(alice, project, text("one", "renamed"))

    answers = at_once(
        lambda: versions.rollback(access=alice, run=run), lambda: submit(alice, other, text("two"))
    )

    assert len(refusals(answers)) == 1
    assert len(owners()) == 1


def test_a_version_that_is_given_up_goes_on_without_a_name_that_was_taken(
    alice: Access, project: Project, other: Project, gateway: Gateway
) -> None:
    submit(alice, project, text("one"))
    run = submit(alice, project, text("one", "renamed"))
    winner = submit(alice, other, text("two"))
    run.fallback = 1

    versions.give_up(run, reason="it fell", last_lines=[], at=timezone.now())

    run = Run.objects.get(pk=run.pk)
    assert owners() == ["two"]
    assert (run.version, run.model_withheld, public_urls.model_url(run)) == (1, True, None)
    assert "Version 1 goes on. Another run on this gateway has the model name llama" in run.notice
    routing.publish_all(gateway_ids=[gateway.pk])
    table = routing.table(gateway=gateway, since=0)
    assert {each.run: each.model and each.model.name for each in table.endpoints} == {
        "one": None,
        "two": "llama",
    }

    services.stop(access=alice, run=winner)
    submit(alice, project, text("one"))

    assert owners() == ["one"]
    assert Run.objects.get(pk=run.pk).notice == ""


def test_a_name_is_free_again(alice: Access, project: Project, other: Project) -> None:
    services.stop(access=alice, run=submit(alice, project, text("one")))
    submit(alice, other, text("two"))
    submit(alice, other, text("two", "renamed"))
    submit(alice, project, text("three"))

    assert owners() == ["three"]


def test_runs_without_a_model_or_on_other_gateways_do_not_meet(
    alice: Access, project: Project
) -> None:
    elsewhere = factories.project("elsewhere", admin=alice.user)
    gateway = factories.gateway(elsewhere)
    submit(alice, project, text("one"))
    spec = Run.objects.get().spec

    factories.run(elsewhere, gateway=gateway, spec=spec)
    factories.run(project, spec=spec)
    for name in ("two", "three"):
        submit(alice, project, PLAIN.format(name=name))
    with pytest.raises(IntegrityError, match="one_active_run_per_model_name"):
        factories.run(elsewhere, gateway=gateway, spec=spec)

    assert Run.objects.count() == 5
