"""Chat templates of TGI models, from the repositories of a hub into the table."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from apps.chat_templates import hub as reader
from apps.chat_templates import services as chat_templates
from apps.chat_templates.models import ModelSource, Repository
from apps.core import crypto, notifications
from apps.gateways.models import Gateway
from apps.routing import services
from apps.runs.models import Run
from apps.runs.queries import run_json
from apps.specs.parse import parse
from gateway import schema
from tests import factories
from tests.fakes.hub import Hub

pytestmark = pytest.mark.django_db

CONFIG = json.dumps({"chat_template": "{{ x }}", "bos_token": "<s>", "eos_token": "</s>"})


@pytest.fixture
def hub(settings: Any) -> Iterator[Hub]:
    started = Hub().start()
    settings.DSTACK_HUB_URL = started.url
    yield started
    started.stop()


@pytest.fixture
def project() -> Any:
    return factories.project("main", admin=factories.user("alice"))


@pytest.fixture
def gateway(project: Any) -> Gateway:
    return factories.gateway(project)


def submitted(project: Any, gateway: Gateway, *, model: str = "", **env: str) -> Run:
    text = f"type: service\ncommands: [x]\nport: 80\nmodel: {{name: org/m, format: tgi{model}}}\n"
    secrets = crypto.encrypt({"env": env, "registry_password": None})
    return factories.run(project, gateway=gateway, spec=parse(text).to_json(), secrets=secrets)


@pytest.fixture(autouse=True)
def read_ids(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The runs of which it is said that they were read; their endpoints are published at once."""
    told: list[UUID] = []

    def publish(machine: str, state: str, ids: Sequence[UUID]) -> None:
        if (machine, state) == ("chat_template", "read"):
            told.extend(ids)
            services.publish_runs(run_ids=ids)

    monkeypatch.setattr(notifications, "_subscribers", [publish])
    return told


def read(*runs: Run, later: timedelta = timedelta()) -> None:
    chat_templates.read(run_ids=[run.pk for run in runs], at=timezone.now() + later)


def read_and_stop(run: Run) -> None:
    """Read, then let the run be over: a model's name belongs to one run at a time."""
    read(run)
    Run.objects.filter(pk=run.pk).update(state="stopped")


def published(gateway: Gateway, run_id: UUID) -> schema.Model:
    gateway.refresh_from_db()
    found = services.table(gateway=gateway, since=0).endpoints
    model = next(endpoint.model for endpoint in found if endpoint.id == str(run_id))
    assert model is not None
    return model


def test_publishes_what_the_repository_says(hub: Hub, project: Any, gateway: Gateway) -> None:
    hub.put("org/m", config=CONFIG)
    run = submitted(project, gateway)

    read(run)

    model = published(gateway, run.pk)
    assert (model.chat_template, model.bos_token, model.eos_token) == ("{{ x }}", "<s>", "</s>")
    run.refresh_from_db()
    assert (run.notice, model.notice) == ("", "")


def test_publishes_at_once_that_it_is_not_known_yet(
    hub: Hub, project: Any, gateway: Gateway
) -> None:
    run = submitted(project, gateway)

    services.publish_runs(run_ids=[run.pk])

    assert published(gateway, run.pk).notice == "its repository is being read"


def test_asks_with_the_token_of_the_run(hub: Hub, project: Any, gateway: Gateway) -> None:
    hub.token = "hf_secret"
    hub.put("other/m", "v2", config=CONFIG)
    run = submitted(project, gateway, MODEL_ID="other/m", REVISION="v2", HF_TOKEN="hf_secret")

    read(run)

    assert published(gateway, run.pk).chat_template == "{{ x }}"
    assert {token for _, token in hub.asked} == {"hf_secret"}
    assert hub.asked[0][0] == "/other/m/resolve/v2/tokenizer_config.json"
    (row,) = Repository.objects.values()
    assert "hf_secret" not in str(row)


def test_prefers_the_spec(hub: Hub, project: Any, gateway: Gateway) -> None:
    hub.put("org/m", config=CONFIG)
    template = ", chat_template: '{{ bos_token }}{{ eos_token }}', eos_token: END"
    run = submitted(project, gateway, model=template)

    read(run)

    model = published(gateway, run.pk)
    assert model.chat_template == "{{ bos_token }}{{ eos_token }}"
    assert (model.bos_token, model.eos_token) == ("<s>", "END")


def test_asks_nobody_where_the_spec_says_all(hub: Hub, project: Any, gateway: Gateway) -> None:
    run = submitted(project, gateway, model=", chat_template: x")

    read(run)

    assert hub.asked == []
    assert published(gateway, run.pk).chat_template == "x"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", "answered 401 for org/m: it does not exist, or it needs HF_TOKEN in env"),
        ("hf_wrong", "it does not exist, or HF_TOKEN of the service may not read it"),
    ],
)
def test_shows_why_there_is_no_template(
    hub: Hub, project: Any, gateway: Gateway, token: str, said: str
) -> None:
    hub.token = "hf_secret"
    run = submitted(project, gateway, HF_TOKEN=token)

    read(run)

    run.refresh_from_db()
    assert said in run.notice
    assert run.notice.endswith("Set model.chat_template.")
    assert run_json(run)["notice"] == run.notice
    assert said in published(gateway, run.pk).notice


def test_says_that_a_folder_of_the_replica_is_out_of_reach(
    hub: Hub, project: Any, gateway: Gateway
) -> None:
    run = submitted(project, gateway, MODEL_ID="/data/m")

    read(run)

    run.refresh_from_db()
    assert "MODEL_ID is /data/m, a path on the replica" in run.notice
    assert hub.asked == []


def test_says_that_the_repository_has_none(hub: Hub, project: Any, gateway: Gateway) -> None:
    hub.put("org/m", config="{}")
    run = submitted(project, gateway)

    read(run)

    run.refresh_from_db()
    assert "org/m has no chat template" in run.notice


def test_tries_again_until_it_succeeds(hub: Hub, project: Any, gateway: Gateway) -> None:
    run = submitted(project, gateway)
    hub.status = 503
    read(run)
    asked = len(hub.asked)

    chat_templates.read_due(at=timezone.now())
    assert len(hub.asked) == asked

    hub.status = 0
    hub.put("org/m", config=CONFIG)
    chat_templates.read_due(at=timezone.now() + timedelta(seconds=6))
    run.refresh_from_db()
    assert run.notice == ""
    assert published(gateway, run.pk).chat_template == "{{ x }}"


def test_finds_a_run_whose_hint_was_lost(
    hub: Hub, project: Any, gateway: Gateway, read_ids: list[UUID]
) -> None:
    hub.put("org/m", config=CONFIG)
    run = submitted(project, gateway)

    chat_templates.read_due(at=timezone.now())

    assert read_ids == [run.pk]
    assert published(gateway, run.pk).chat_template == "{{ x }}"


def test_finds_a_version_whose_hint_was_lost(hub: Hub, project: Any, gateway: Gateway) -> None:
    for name in ("first", "second"):
        hub.put(f"org/{name}", config=json.dumps({"chat_template": name}))
    run = submitted(project, gateway, MODEL_ID="org/first")
    read(run)
    secrets = crypto.encrypt({"env": {"MODEL_ID": "org/second"}, "registry_password": None})
    Run.objects.filter(pk=run.pk).update(secrets=secrets, version=run.version + 1)

    chat_templates.read_due(at=timezone.now())

    assert published(gateway, run.pk).chat_template == "second"
    asked = len(hub.asked)
    chat_templates.read_due(at=timezone.now())
    assert len(hub.asked) == asked


def test_finds_a_run_whose_reading_was_killed(
    hub: Hub, project: Any, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put("org/m", config=CONFIG)
    run = submitted(project, gateway)
    with monkeypatch.context() as killed:
        killed.setattr(reader, "read", lambda *_, **__: sys.exit("killed"))
        with pytest.raises(SystemExit):
            read(run)

    chat_templates.read_due(at=timezone.now() + timedelta(minutes=2))

    assert published(gateway, run.pk).chat_template == "{{ x }}"


def test_leaves_to_another_worker_what_that_one_reads(
    hub: Hub, project: Any, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put("org/m", config=CONFIG)
    run, answer, asked = submitted(project, gateway), reader.read, []

    def slow(url: str, *args: Any, **named: Any) -> Any:
        asked.append(url)
        chat_templates.read_due(at=timezone.now())
        return answer(url, *args, **named)

    monkeypatch.setattr(reader, "read", slow)

    read(run)

    assert asked == [hub.url]


def test_keeps_what_it_read_while_the_hub_is_away(hub: Hub, project: Any, gateway: Gateway) -> None:
    hub.put("org/m", config=CONFIG)
    read_and_stop(submitted(project, gateway))
    hub.stop()
    run = submitted(project, gateway)

    read(run)
    read(run, later=timedelta(hours=2))

    assert published(gateway, run.pk).chat_template == "{{ x }}"
    run.refresh_from_db()
    assert run.notice == ""


def test_reads_a_repository_once_an_hour(hub: Hub, project: Any, gateway: Gateway) -> None:
    hub.put("org/m", config=CONFIG)
    read_and_stop(submitted(project, gateway))
    asked = len(hub.asked)

    read(submitted(project, gateway))

    assert len(hub.asked) == asked


def test_shares_nothing_between_projects(hub: Hub, project: Any, gateway: Gateway) -> None:
    """What one project's token opened is not for another."""
    hub.token = "hf_secret"
    hub.put("org/m", config=CONFIG)
    read(submitted(project, gateway, HF_TOKEN="hf_secret"))
    other = factories.project("other", admin=factories.user("charlie"))
    stranger = submitted(other, factories.gateway(other))

    read(stranger)

    stranger.refresh_from_db()
    assert "401" in stranger.notice


def test_follows_the_hub_within_itself_alone(hub: Hub, project: Any, gateway: Gateway) -> None:
    elsewhere = Hub().start()
    first = "/org/m/resolve/main/tokenizer_config.json"
    hub.redirects = {first: "/moved", "/moved": f"{elsewhere.url}/there"}
    elsewhere.files["/there"] = CONFIG
    run = submitted(project, gateway, HF_TOKEN="hf_secret")

    read(run)
    elsewhere.stop()

    assert published(gateway, run.pk).chat_template == "{{ x }}"
    assert ("/moved", "hf_secret") in hub.asked
    assert elsewhere.asked == [("/there", "")]


@pytest.mark.parametrize("location", ["/loop", "ftp://x/y", "", "http://[bad"])
def test_goes_not_everywhere(hub: Hub, project: Any, gateway: Gateway, location: str) -> None:
    hub.redirects = {"/org/m/resolve/main/tokenizer_config.json": location, "/loop": "/loop"}
    run = submitted(project, gateway)

    read(run)

    run.refresh_from_db()
    assert run.notice.startswith("No chat template is known for org/m: ")


def test_reads_no_more_than_it_should(hub: Hub, project: Any, gateway: Gateway) -> None:
    hub.put("org/m", config=" " * (17 * 2**20))
    run = submitted(project, gateway)

    read(run)

    run.refresh_from_db()
    assert "longer than 16 MB" in run.notice


def test_leaves_runs_alone_that_are_over(hub: Hub, project: Any, gateway: Gateway) -> None:
    run = submitted(project, gateway)
    Run.objects.filter(pk=run.pk).update(state="stopped")

    read(run)

    assert hub.asked == []


def test_a_run_whose_secrets_cannot_be_read_stops_no_other(
    hub: Hub, project: Any, gateway: Gateway
) -> None:
    hub.put("org/m", config=CONFIG)
    bad = submitted(project, gateway, HF_TOKEN="x")
    Run.objects.filter(pk=bad.pk).update(secrets="of another server", model_withheld=True)
    good = submitted(project, gateway)

    for _ in range(2):
        chat_templates.read_due(at=timezone.now())

    bad.refresh_from_db()
    assert published(gateway, good.pk).chat_template == "{{ x }}"
    assert "cannot be decrypted" in bad.model_source.problem
    # It is not asked again until it has another version.
    assert bad.model_source.version == bad.version


def test_a_repository_is_read_with_the_secrets_of_a_run_that_has_some(
    hub: Hub, project: Any, gateway: Gateway
) -> None:
    older = submitted(project, gateway)
    read(older)
    Run.objects.filter(pk=older.pk).update(model_withheld=True)
    newer = submitted(project, gateway)
    Run.objects.filter(pk=newer.pk).update(secrets="of another server")
    hub.put("org/m", config=CONFIG)
    repository = Repository.objects.get()
    ModelSource.objects.create(run=newer, repository=repository, version=newer.version)

    chat_templates.read_due(at=timezone.now() + timedelta(hours=1))

    repository.refresh_from_db()
    assert (repository.chat_template, repository.error) == ("{{ x }}", "")
