"""Migrations run while the code before them still serves, and take old rows along."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, migrations, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.models import Q
from django.utils import timezone

from apps.backends.faults import said
from apps.core.ids import new_id
from apps.core.models import Event
from apps.offers.models import BlockedOffer
from apps.runs.models import Run
from tests import factories

OURS = {config.label for config in apps.get_app_configs() if config.name.startswith("apps.")}
# From before anybody had a server to upgrade; the list does not grow.
BEFORE_THE_FIRST_RELEASE = {
    ("accounts", "0001_first"),
    ("gateways", "0002_certificates"),
    ("routing", "0003_certificates"),
    ("runs", "0002_chat_templates"),
    ("telemetry", "0002_keep_lines_as_text"),
}
# Alter a column so that it may be empty, which rows that the code before writes never are.
ONLY_LOOSEN = {("backends", "0006_server_wide_and_checks")}
# What the code before still reads or writes goes in a migration of the release after.
TAKES_AWAY = (
    migrations.RemoveField,
    migrations.RenameField,
    migrations.DeleteModel,
    migrations.RenameModel,
    migrations.AlterModelTable,
    migrations.AlterField,
)


def breaks(operation: Any) -> bool:
    """Whether the code before this operation could no longer read or write its rows."""
    if isinstance(operation, migrations.AddField):
        field = operation.field
        return not (field.null or field.has_db_default() or field.many_to_many)
    if isinstance(operation, migrations.SeparateDatabaseAndState):
        return any(map(breaks, operation.database_operations))
    return isinstance(operation, TAKES_AWAY)


def all_migrations() -> dict[tuple[str, str], migrations.Migration]:
    found = MigrationLoader(None).disk_migrations
    return {key: migration for key, migration in found.items() if key[0] in OURS}


def test_the_code_before_a_migration_can_go_on_serving() -> None:
    breaking = {key for key, each in all_migrations().items() if any(map(breaks, each.operations))}

    assert breaking == BEFORE_THE_FIRST_RELEASE | ONLY_LOOSEN


@pytest.mark.parametrize(
    ("operation", "is_broken"),
    [
        (migrations.AddField("run", "x", models.TextField()), True),
        (migrations.AddField("run", "x", models.TextField(default="x")), True),
        (migrations.AddField("run", "x", models.TextField(db_default="x")), False),
        (migrations.AddField("run", "x", models.TextField(null=True)), False),
        (migrations.RemoveField("run", "x"), True),
        (migrations.RenameField("run", "x", "y"), True),
        (migrations.AddIndex("run", models.Index(fields=["x"], name="x")), False),
        (migrations.SeparateDatabaseAndState([migrations.RemoveField("run", "x")]), True),
        (migrations.SeparateDatabaseAndState([], [migrations.RemoveField("run", "x")]), False),
    ],
)
def test_knows_what_breaks(operation: Any, is_broken: bool) -> None:
    assert breaks(operation) is is_broken


@pytest.mark.django_db
def test_every_field_of_a_model_has_its_column() -> None:
    """Where only the state was changed, the name of the column must have been kept."""
    with connection.cursor() as cursor:
        for model in (model for label in OURS for model in apps.get_app_config(label).get_models()):
            there = connection.introspection.get_table_description(cursor, model._meta.db_table)
            columns = {field.column for field in model._meta.local_concrete_fields}

            assert columns == {column.name for column in there}, model


@pytest.fixture
def executor(transactional_db: None) -> Iterator[MigrationExecutor]:
    """Migrates the test's database, which is whole again afterwards."""
    yield MigrationExecutor(connection)
    latest = MigrationExecutor(connection)
    latest.migrate(latest.loader.graph.leaf_nodes())


def go_to(*targets: tuple[str, str]) -> Any:
    """Migrate there and return the models of that time."""
    executor = MigrationExecutor(connection)
    executor.migrate(list(targets))
    return MigrationExecutor(connection).loader.project_state(list(targets)).apps


def row_of_a_run(old: Any, name: str) -> Any:
    """A run as the code of that time writes it."""
    project = factories.project(f"of-{name}", admin=factories.user())
    person = project.members.get()
    return old.get_model("runs", "Run").objects.create(
        id=new_id(),
        project_id=project.pk,
        user_id=person.pk,
        name=name,
        configuration="encrypted",
        spec={"type": "service"},
        secrets="encrypted too",
        deployment=3,
        state="running",
        state_at=timezone.now(),
        asked_at=timezone.now(),
    )


def test_a_run_from_before_versions_has_the_version_that_it_is(
    executor: MigrationExecutor,
) -> None:
    old = go_to(("runs", "0003_versions"))
    run = row_of_a_run(old, "old")

    new = go_to(("runs", "0004_first_versions"))

    version = new.get_model("runs", "RunVersion").objects.get(run_id=run.pk)
    assert (version.number, version.configuration, version.spec) == (3, "encrypted", run.spec)
    go_to(("runs", "0003_versions"))
    go_to(("runs", "0004_first_versions"))
    assert new.get_model("runs", "RunVersion").objects.filter(run_id=run.pk).count() == 1


def test_the_code_of_before_writes_replicas_into_the_rows_of_now(
    executor: MigrationExecutor,
) -> None:
    old = go_to(("runs", "0004_first_versions"))
    run = row_of_a_run(old, "both")
    go_to(("runs", "0005_keep_tried_offers"))

    Replica = old.get_model("runs", "Replica")
    at = timezone.now()
    made = Replica.objects.create(
        id=new_id(), run=run, num=0, deployment=3, state="pending", state_at=at, deadline_at=at
    )

    assert Replica.objects.get(pk=made.pk).state == "pending"
    with connection.cursor() as cursor:
        cursor.execute("SELECT tried FROM runs_replica WHERE id = %s", [made.pk])
        assert cursor.fetchone() == ("[]",)


def test_two_runs_that_have_one_model_name_already_go_on(executor: MigrationExecutor) -> None:
    old = go_to(("runs", "0007_image_pins"))
    gateways = [factories.gateway() for _ in range(2)]
    Old = old.get_model("runs", "Run")
    at = timezone.now()
    rows = {}
    for minute, (name, gateway, model, state) in enumerate(
        [
            ("ended", gateways[0], "llama", "stopped"),
            ("first", gateways[0], "llama", "running"),
            ("second", gateways[0], "llama", "starting"),
            ("third", gateways[0], "llama", "running"),
            ("leaving", gateways[0], "llama", "stopping"),
            ("other-model", gateways[0], "Llama", "running"),
            ("elsewhere", gateways[1], "llama", "running"),
            ("plain", gateways[0], None, "running"),
            ("plain-too", gateways[0], None, "running"),
            ("nowhere", None, "llama", "running"),
            ("nowhere-too", None, "llama", "running"),
        ]
    ):
        row = rows[name] = row_of_a_run(old, name)
        spec = {"type": "service", "model": model and {"name": model}}
        Old.objects.filter(pk=row.pk).update(
            gateway_id=gateway and gateway.pk,
            spec=spec,
            state=state,
            created_at=at + timedelta(minutes=minute),
        )

    go_to(("runs", "0008_model_names"))

    withheld = Run.objects.filter(model_withheld=True)
    assert {(each.name, "model name llama" in each.notice) for each in withheld} == {
        ("second", True),
        ("third", True),
    }
    # The code before still writes, and is told where a name is taken.
    row = row_of_a_run(old, "new")
    assert Run.objects.get(pk=row.pk).model_withheld is False
    with pytest.raises(IntegrityError, match="one_active_run_per_model_name"):
        Old.objects.filter(pk=row.pk).update(
            gateway_id=gateways[0].pk, spec={"model": {"name": "llama"}}
        )


def test_totals_of_requests_begin_with_what_the_hours_hold(executor: MigrationExecutor) -> None:
    old = go_to(("telemetry", "0008_count_who_said_tokens"))
    run_id, other = new_id(), new_id()
    for hours, pk in ((0, run_id), (1, run_id), (1, other)):
        at = timezone.now() - timedelta(hours=hours)
        uses = old.get_model("telemetry", "KeyUse").objects
        uses.create(run_id=pk, token_id=0, hour=at, requests=10 + hours)

    new = go_to(("telemetry", "0009_count_requests_of_runs"))

    totals = new.get_model("telemetry", "RequestTotal").objects
    assert dict(totals.values_list("run_id", "requests")) == {run_id: 21, other: 11}


def test_what_was_read_of_repositories_stays_when_it_becomes_another_app_s(
    executor: MigrationExecutor,
) -> None:
    project = factories.project("reads", admin=factories.user())
    # What depends on it is undone with it.
    old = go_to(("routing", "0003_certificates"))
    made = old.get_model("routing", "Repository").objects.create(
        project_id=project.pk, hub_url="https://hub.example", name="org/m", revision="main"
    )

    new = go_to(("chat_templates", "0001_from_routing"))

    found = new.get_model("chat_templates", "Repository").objects.get(pk=made.pk)
    assert (found.name, found.project_id) == ("org/m", project.pk)


ARN = "arn:aws:iam::123456789012:user/payer"
CRASHED = "Exited with code 3"
CLEAN = f"Its account is not set up for this; {said.WHO_SEES}"


def rows_of_before(of: str, backend: Any, *, why: str) -> dict[str, Any]:
    """A machine that a cloud did not make, and all that told why."""
    project = factories.project(of, admin=factories.user())
    machine = factories.instance(
        project, backend=backend, backend_kind="aws", state="failed", error=why, boot_error=why
    )
    told = f"No offer could be had. {why}."
    notice = f"Version 2 was given up: {told}. Version 1 goes on."
    run = factories.run(project, state="failed", error=told, notice=notice)
    Event.objects.create(
        state_machine="version",
        object_id=new_id(),
        version=1,
        new="1",
        run_id=run.pk,
        reason=f"version 2 was given up: {told}",
        at=timezone.now(),
    )
    tried = {"backend": backend.name, "region": "r", "instance": "i", "spot": False, "why": why}
    own = {**tried, "backend": "own", "why": f"own {ARN}"}
    replica = factories.replica(run, state="failed", message=told, tried=[tried, own])
    served = factories.replica(run, num=1, state="failed", message=CRASHED, tried=[tried])
    stopped = factories.replica(run, num=2, state="stopped", message=why, tried=[tried])
    workload = factories.workload(
        machine, replica=replica, state="exited", exit_reason="no-capacity", message=why
    )
    gateway = factories.gateway(
        connection=backend, dns_connection=backend, failure=why, dns_error=why, state="failed"
    )
    at = timezone.now()
    rows: list[Any] = [machine, workload, replica, served, stopped, run, gateway]
    reasons = {replica.pk: told, run.pk: told, served.pk: CRASHED}
    states = {workload.pk: "exited", stopped.pk: "stopped"}
    Event.objects.bulk_create(
        Event(
            state_machine=row.state_machine.name,
            object_id=row.event_object,
            run_id=row.event_scope[1],
            version=1,
            old="any",
            new=states.get(row.pk, "failed"),
            reason=reasons.get(row.pk, why),
            at=at,
        )
        for row in rows
    )
    block = BlockedOffer.objects.create(
        backend=backend, scope="offer+region", region=of, kind="setup", reason=why, until=at
    )
    return {"rows": [*rows, block], "events": [row.event_object for row in rows]}


def told_by(made: dict[str, Any]) -> list[str]:
    texts = []
    for row in made["rows"]:
        row.refresh_from_db()
        names = ("error", "notice", "boot_error", "message", "failure", "dns_error", "reason")
        texts += [text for name in names if (text := getattr(row, name, ""))]
        texts += [each["why"] for each in getattr(row, "tried", ())]
    (run_id,) = (row.pk for row in made["rows"] if isinstance(row, Run))
    events = Event.objects.filter(Q(object_id__in=made["events"]) | Q(run_id=run_id))
    return [*texts, *events.values_list("reason", flat=True)]


@pytest.mark.django_db(transaction=True)
def test_members_read_no_words_of_a_shared_cloud_from_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    migration = import_module("apps.runs.migrations.0016_what_clouds_said_before")
    monkeypatch.setattr(migration, "BATCH", 1)
    shared = factories.backend(None, kind="aws", name="shared")
    own = factories.backend(factories.project("payer"), kind="aws", name="own")
    raw = [rows_of_before(f"raw-{n}", shared, why=f"{ARN} may not") for n in range(2)]
    clean = rows_of_before("clean", shared, why=CLEAN)
    of_project = rows_of_before("of-project", own, why=f"{ARN} may not")
    kept = [told_by(clean), told_by(of_project)]

    # Again, as after one that was broken off.
    for _ in range(2):
        migration.clean(apps, None)

    for made in raw:
        texts = told_by(made)
        assert [each for each in texts if ARN in each] == [f"own {ARN}"]
        assert len(texts) == len(kept[0])
        assert [each for each in texts if each.endswith("Version 1 goes on.")] != []
        # What became of one that had a place in the end is no cloud's word.
        assert texts.count(CRASHED) == 2
    assert [told_by(clean), told_by(of_project)] == kept
    assert said.WHO_SEES == migration.IN_PUBLIC
