"""From one version of a run to another, with the real database and a fake agent."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core.errors import Conflict, Invalid
from apps.core.models import Event
from apps.gateways.models import Gateway
from apps.instances.models import Instance
from apps.routing import services as routing
from apps.runs import queries, services, states
from apps.runs.models import Replica, Run, RunVersion
from apps.runs.planning.request import PlanRequest
from apps.runs.rollout import history, version_rows
from apps.runs.rollout import versions as updates
from tests import factories
from tests.fakes.agent import FakeAgent
from tests.integration.runs.test_life import applied
from tests.people import signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

YAML = "type: service\nname: hello\ncommands: [serve]\nport: 8000\n"
SECOND = YAML.replace("serve", "serve2")


@pytest.fixture
def agent(alice: Access, project: Project) -> FakeAgent:
    """An agent on which version 1 serves."""
    submit(alice, project, YAML)
    found = FakeAgent(Instance.objects.get())
    found.sync()
    found.serve()
    return found


def submit(alice: Access, project: Project, text: str) -> Run:
    return services.submit(access=alice, project=project, request=PlanRequest(text))


def run() -> Run:
    return Run.objects.get()


def live() -> list[tuple[int, str]]:
    """Version and state of each replica that is not over."""
    found = Replica.objects.exclude(state__in=states.REPLICA.final).order_by("pk")
    return list(found.values_list("version", "state"))


def commands(agent: FakeAgent) -> list[list[str]]:
    return sorted(spec.commands for spec in agent.specs.values() if spec.desired == "run")


def fail_newest(agent: FakeAgent) -> None:
    newest = Replica.objects.order_by("-pk")[0]
    pk = str(newest.workload_id)
    agent._set(pk, state="exited", ready=False, exit_code=1, reason="exited", last_lines=["boom"])
    agent._set(pk, message="exited with code 1")
    agent.report()


def told() -> list[tuple[str, str, str, str]]:
    found = Event.objects.filter(state_machine=states.VERSION).order_by("pk")
    return list(found.values_list("old", "new", "reason", "actor"))


def test_events_say_who_brought_which_version_and_what_it_changed(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    submit(alice, project, f"{YAML}max_concurrency: 7\nauth: false\n")
    updates.rollback(access=alice, run=run())
    submit(alice, project, SECOND)
    agent.sync()
    fail_newest(agent)

    assert told() == [
        ("1", "2", "updated to version 2: auth, max_concurrency", "alice"),
        ("2", "3", "rolled back to version 1, as version 3: auth, max_concurrency", "alice"),
        ("3", "4", "updated to version 4: commands", "alice"),
        ("4", "3", "version 4 was given up, version 3 goes on: exited with code 1", ""),
    ]
    client = Client(headers=factories.token(alice.user).headers)
    items = client.get("/api/projects/main/runs/hello/events").json()["items"]
    newest = next(each for each in items if each["kind"] == "version")
    assert (newest["old"], newest["new"], newest["run"]) == ("4", "3", "hello")


def test_changes_in_place_what_needs_no_new_replica(
    alice: Access, project: Project, agent: FakeAgent, gateway: Gateway
) -> None:
    before = Replica.objects.get()
    text = YAML + "auth: false\nreplicas: 2\nmax_concurrency: 7\n"
    found = services.plan(access=alice, project=project, request=PlanRequest(text))
    assert (found.action, found.rollout) == ("update", False)
    assert [one.path for one in found.differences] == [
        "auth",
        "max_concurrency",
        "replicas",
    ]
    submit(alice, project, text)

    before.refresh_from_db()
    assert (before.state, before.version, run().version) == (states.RUNNING, 2, 2)
    assert live() == [(2, states.RUNNING), (2, states.PROVISIONING)]
    (endpoint,) = routing.table(gateway=gateway, since=0).endpoints
    assert (endpoint.auth, endpoint.max_concurrency) == (False, 7)
    assert run().fallback is None


def test_a_model_gets_another_name_in_place_and_the_probe_it_has_by_default(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    submit(alice, project, YAML + "model: org/old\n")
    agent.sync()
    agent.serve()
    renamed = YAML + "model: org/new\n"

    found = services.plan(access=alice, project=project, request=PlanRequest(renamed))
    own = renamed + "probes: [{type: http, url: /health}]\n"
    other = services.plan(access=alice, project=project, request=PlanRequest(own))

    assert [(one.path, one.old, one.new) for one in found.differences] == [
        ("model.name", "org/old", "org/new")
    ]
    assert (found.rollout, other.rollout) == (False, True)


def test_rolls_out_one_above_and_drains_the_old_when_the_new_is_ready(
    alice: Access, project: Project, agent: FakeAgent, gateway: Gateway
) -> None:
    first = run()
    submit(alice, project, SECOND)
    assert live() == [(1, states.RUNNING), (2, states.PROVISIONING)]
    assert (run().pk, run().state) == (first.pk, states.UPDATING)

    agent.sync()
    assert commands(agent) == [["serve"], ["serve2"]]
    agent.serve()
    assert live() == [(1, states.DRAINING), (2, states.RUNNING)]
    assert (run().state, run().fallback) == (states.RUNNING, None)

    applied(gateway)
    agent.sync()
    assert live() == [(2, states.RUNNING)]


def test_gives_up_a_version_that_fails_and_keeps_the_old_one_serving(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    submit(alice, project, SECOND)
    agent.sync()
    fail_newest(agent)

    found = run()
    assert live() == [(1, states.RUNNING)]
    assert (found.state, found.version, found.fallback) == (states.RUNNING, 1, None)
    assert found.notice.startswith("Version 2 was given up: exited with code 1.")
    bad, good = history.of(found)
    assert (bad.version, bad.reason, bad.last_lines) == (2, "exited with code 1", ["boom"])
    assert bad.failed_at is not None
    assert good.is_current

    # Nothing tries the bad one again by itself; a person may.
    assert Replica.objects.filter(version=2).count() == 1
    submit(alice, project, SECOND)
    assert (run().version, run().notice) == (3, "")


def test_gives_up_a_version_of_a_sleeping_service_when_it_is_woken(
    alice: Access, project: Project, agent: FakeAgent, gateway: Gateway
) -> None:
    services.scale(access=alice, run=run(), replicas="0")
    applied(gateway)
    agent.sync()
    assert (live(), run().state) == ([], states.IDLE)
    submit(alice, project, SECOND.replace("port", "replicas: 0\nport"))
    assert (live(), run().state) == ([], states.IDLE)

    services.scale(access=alice, run=run(), replicas="1")
    agent.sync()
    fail_newest(agent)
    assert live() == [(1, states.PROVISIONING)]


def test_replaces_at_once_a_version_that_never_served(alice: Access, project: Project) -> None:
    submit(alice, project, YAML)
    submit(alice, project, SECOND)

    found = run()
    assert (found.version, found.fallback, found.state) == (2, None, states.PROVISIONING)
    assert (2, states.PROVISIONING) in live()
    assert all(state == states.DRAINING for version, state in live() if version == 1)


def test_rolls_back_as_a_new_version(alice: Access, project: Project, agent: FakeAgent) -> None:
    submit(alice, project, SECOND)
    agent.sync()
    agent.serve()
    updates.rollback(access=alice, run=run())
    agent.sync()
    agent.serve()

    found = run()
    assert (found.version, found.spec["commands"], found.state) == (3, ["serve"], "running")
    assert [one.note for one in history.of(found)] == ["rollback to version 1", "", ""]


def test_refuses_to_roll_back_to_what_never_was(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    with pytest.raises(Invalid, match="no earlier version"):
        updates.rollback(access=alice, run=run())
    with pytest.raises(Invalid, match="no other version 9"):
        updates.rollback(access=alice, run=run(), to=9)


def test_scales_while_it_rolls_out(alice: Access, project: Project, agent: FakeAgent) -> None:
    submit(alice, project, SECOND)
    services.scale(access=alice, run=run(), replicas="3")

    assert live() == [(1, states.RUNNING), *[(2, states.PROVISIONING)] * 3]


def test_a_stale_plan_is_refused(alice: Access, project: Project, agent: FakeAgent) -> None:
    asked = PlanRequest(SECOND)
    found = services.plan(access=alice, project=project, request=asked)
    submit(alice, project, YAML + "auth: false\n")

    with pytest.raises(Conflict, match="changed since"):
        services.submit(access=alice, project=project, request=asked, plan_id=found.plan_id)


def test_shows_no_value_of_a_variable(alice: Access, project: Project, agent: FakeAgent) -> None:
    submit(alice, project, YAML + "env: [KEY=sesame-1]\n")
    submit(alice, project, YAML + "env: [KEY=sesame-2]\n")

    shown = str([one.differences for one in history.of(run())])
    assert "env.KEY" in shown
    assert "sesame" not in shown
    assert "sesame" not in str(list(RunVersion.objects.values()))


def test_updates_a_run_from_before_there_were_versions(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    RunVersion.objects.all().delete()
    submit(alice, project, SECOND)

    assert [one.version for one in history.of(run())] == [2, 1]
    assert queries.run_json(run())["version"] == 2


def test_the_page_shows_what_the_file_says_otherwise(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    submit(alice, project, YAML + "env: [KEY=<b>]\nauth: false\n")

    second, first = version_rows.of(history.of(run()))
    page = signed_in(alice.user).get("/projects/main/services/hello/versions/").content.decode()

    assert [(line.kind, line.parts[0].text) for line in second.lines if line.kind == "new"] == [
        ("new", "env: [KEY=<b>]"),
        ("new", "auth: false"),
    ]
    assert (second.needs_replicas, second.differences) == (True, [])
    assert (first.lines, first.differences) == ([], [])
    assert '<span class="diff-sign">+</span>env: [KEY=&lt;b&gt;]' in page


def test_the_page_of_a_service_leads_to_the_last_lines_of_what_was_given_up(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    submit(alice, project, SECOND)
    agent.sync()
    agent.exit_all(line="no such model")
    browser = Client()
    browser.force_login(alice.user)

    page = browser.get("/projects/main/services/hello/").content.decode()
    versions = browser.get("/projects/main/services/hello/versions/").content.decode()

    assert 'href="/projects/main/services/hello/versions/#version-2"' in page
    assert "no such model" in versions
    assert "Try version 2 again" in versions


def test_the_deploy_page_of_a_service_updates_it(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    browser = Client()
    browser.force_login(alice.user)
    where = "/projects/main/deploy/"

    same = browser.get(f"{where}?service=hello").content.decode()
    changed = browser.post(where, {"configuration": SECOND, "draft": "hello"}).content.decode()

    assert "Version 1 is this already" in same
    assert "data-deploy data-blocked" in same
    assert "Update hello</button>" in changed


def test_tells_of_another_number_of_replicas(alice: Access, project: Project) -> None:
    submit(alice, project, YAML)
    submit(alice, project, YAML + "replicas: 3\n")

    found = Event.objects.filter(state_machine="scaling").values_list("reason", "actor")
    assert list(found) == [("1 -> 3: version 2", "alice")]


def test_a_rollback_keeps_what_the_service_was_scaled_to(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    submit(alice, project, YAML + "auth: false\n")
    services.scale(access=alice, run=run(), replicas="3")

    updates.rollback(access=alice, run=run(), to=1)

    assert run().spec["replicas"] == {"min": 3, "max": 3}
    assert run().spec["auth"] is True


def test_a_plan_says_that_it_would_undo_a_scale(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    services.scale(access=alice, run=run(), replicas="3")

    plans = [
        services.plan(access=alice, project=project, request=PlanRequest(text))
        for text in (YAML, YAML + "replicas: 3\n", YAML + "replicas: 2\nauth: false\n")
    ]

    undoing = ["was scaled to 3 replicas" in " ".join(plan.warnings) for plan in plans]
    assert undoing == [True, False, True]


def test_compares_a_version_with_the_one_that_served_before_it(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    submit(alice, project, SECOND)
    agent.sync()
    fail_newest(agent)
    submit(alice, project, YAML.replace("serve", "serve3"))

    found = {one.version: one for one in history.of(run())}

    assert found[2].failed_at is not None
    assert (found[3].against, found[2].against, found[1].against) == (1, 1, None)
    assert [one.path for one in found[3].differences] == ["commands"]
    assert "serve2" not in str(found[3].differences)


def test_compares_with_no_version_that_was_overtaken_before_it_was_ready(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    submit(alice, project, SECOND)
    submit(alice, project, YAML.replace("serve", "serve3"))

    assert history.of(run())[0].against == 1


def test_compares_with_a_version_that_was_changed_in_place(
    alice: Access, project: Project, agent: FakeAgent
) -> None:
    submit(alice, project, YAML + "auth: false\n")
    submit(alice, project, YAML + "auth: false\nmax_concurrency: 7\n")

    assert [one.against for one in history.of(run())] == [2, 1, None]
