"""What a replica wrote is told, also where it was given up before its process ended."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.agent import wire
from apps.instances.models import Instance
from apps.runs import queries, services, states
from apps.runs.control import replica_lifecycle
from apps.runs.models import Replica, Run
from apps.runs.planning.request import PlanRequest
from apps.runs.rollout import history
from apps.runs.whereabouts import looking
from tests.fakes.agent import FakeAgent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

YAML = "type: service\nname: hello\ncommands: [serve]\nport: 8000\n"
LONG_AGO = timedelta(hours=1)


@pytest.fixture
def agent(alice: Access, project: Project) -> FakeAgent:
    services.submit(access=alice, project=project, request=PlanRequest(YAML))
    agent = FakeAgent(Instance.objects.get(), stops=False)
    agent.sync()
    for pk in agent.workloads:
        agent._set(pk, state=wire.RUNNING, ready=False, probe_message="nothing listens")
    agent.report()
    return agent


def late() -> None:
    """Let the deadline of its start be over."""
    Replica.objects.update(deadline_at=timezone.now() - LONG_AGO)


def sick(agent: FakeAgent) -> None:
    """Let it serve, then fail its probe for long."""
    agent.serve()
    for pk in agent.workloads:
        agent._set(pk, ready=False)
    agent.report()
    Replica.objects.update(state_at=timezone.now() - LONG_AGO)


def given_up() -> Replica:
    replica_lifecycle.advance(ids=[Replica.objects.get().pk], at=timezone.now())
    return Replica.objects.get(state=states.FAILED)


def page(alice: Access, tab: str = "") -> str:
    browser = Client()
    browser.force_login(alice.user)
    return browser.get(f"/projects/main/services/hello/{tab}").content.decode()


@pytest.mark.parametrize("how", ["late", "sick"])
def test_tells_the_lines_that_come_after_it_was_given_up(
    alice: Access, agent: FakeAgent, how: str
) -> None:
    late() if how == "late" else sick(agent)
    failed = given_up()
    assert failed.last_words == []
    assert "wrote nothing" not in page(alice)

    agent.exit_all(code=143, reason=wire.REASON_STOPPED, line="loading weights")

    failed = Replica.objects.get(pk=failed.pk)
    assert failed.last_words == ["loading weights"]
    where = looking.look([failed])[failed.pk]
    shown = queries.replica_json(failed, Decimal(0), where)
    assert shown["last_lines"] == ["loading weights"]
    assert "loading weights" in page(alice, "replicas/")


def test_tells_them_on_the_page_and_in_the_api_of_a_run_that_failed(
    alice: Access, agent: FakeAgent
) -> None:
    late()
    given_up()
    agent.exit_all(code=143, reason=wire.REASON_STOPPED, line="loading weights")

    run = Run.objects.get()
    assert (run.state, queries.run_json(run)["last_lines"]) == ("failed", ["loading weights"])
    assert "loading weights" in page(alice)


def test_says_that_it_wrote_nothing_only_where_that_is_known(
    alice: Access, agent: FakeAgent
) -> None:
    late()
    given_up()
    assert "Its last lines are not known here" in page(alice)

    agent.exit_all(code=143, reason=wire.REASON_STOPPED)

    assert "It wrote nothing." in page(alice)


def test_does_not_know_what_a_host_took_with_it(alice: Access, agent: FakeAgent) -> None:
    agent.exit_all(code=1, reason=wire.REASON_HOST_STOPPED)

    assert Replica.objects.order_by("pk")[0].silence.startswith("Its last lines are not known")


def test_a_version_that_was_given_up_has_them_too(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    agent.serve()
    text = YAML.replace("serve", "serve2")
    services.submit(access=alice, project=project, request=PlanRequest(text))
    agent.sync()
    newest = Replica.objects.order_by("-pk")[0]
    agent._set(str(newest.workload_id), state=wire.RUNNING, ready=False)
    agent.report()
    Replica.objects.filter(pk=newest.pk).update(deadline_at=timezone.now() - LONG_AGO)
    replica_lifecycle.advance(ids=[newest.pk], at=timezone.now())
    agent._set(str(newest.workload_id), state=wire.EXITED, last_lines=["no such model"])
    agent.report()

    run = Run.objects.get()
    assert list(history.of(run)[0].last_lines) == ["no such model"]
    assert history.given_up(run) is not None
