from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.models import User
from tests import factories
from tests.people import scraper

AsUser = Callable[[User], Client]


def test_says_that_the_process_lives() -> None:
    assert Client().get("/healthz").json() == {"status": "ok"}


@pytest.mark.django_db
def test_is_ready_with_database_and_broker(redis_url: str, settings: Settings) -> None:
    settings.REDIS_URL = redis_url

    response = Client().get("/readyz")

    assert (response.status_code, response.json()) == (
        200,
        {"status": "ok", "database": "ok", "broker": "ok"},
    )


@pytest.mark.django_db
def test_names_the_broker_when_it_is_away(settings: Settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/valkey.sock"

    response = Client().get("/readyz")

    assert response.status_code == 503
    assert (response.json()["database"], response.json()["broker"]) == ("ok", "away")


@pytest.mark.django_db
def test_names_the_database_when_it_is_away(redis_url: str, settings: Settings) -> None:
    def refuse(*args: object) -> None:
        raise OperationalError("server closed the connection")

    settings.REDIS_URL = redis_url
    with connection.execute_wrapper(refuse):
        response = Client().get("/readyz")

    assert response.status_code == 503
    assert (response.json()["database"], response.json()["broker"]) == ("away", "ok")


def figures(client: Client) -> dict[str, float]:
    lines = client.get("/metrics").content.decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


@pytest.mark.django_db
def test_counts_what_there_is_by_state() -> None:
    project = factories.project()
    run = factories.run(project, state="running")
    factories.run(project, state="stopped")
    factories.replica(run, state="starting")
    factories.instance(project)

    found = figures(scraper())

    assert found['dstack_runs{state="running"}'] == 1
    assert found['dstack_runs{state="failed"}'] == 0
    assert found['dstack_replicas{state="starting"}'] == 1
    assert found['dstack_instances{state="ready"}'] == 1


@pytest.mark.django_db
def test_shows_how_far_the_sweep_is_behind() -> None:
    project = factories.project()
    factories.run(project, next_check_at=timezone.now() - timedelta(seconds=60))

    found = figures(scraper())

    assert 60 <= found['dstack_sweep_lag_seconds{machine="run"}'] < 70
    assert found['dstack_sweep_lag_seconds{machine="replica"}'] == 0


@pytest.mark.django_db
@pytest.mark.parametrize("wanted", ["", "right"])
@pytest.mark.parametrize("sent", [None, "Bearer ", "Bearer wrong", "Basic right", "right"])
def test_shows_figures_to_nobody_without_a_token(
    settings: Settings, wanted: str, sent: str | None
) -> None:
    settings.DSTACK_METRICS_TOKEN = wanted

    headers = {} if sent is None else {"Authorization": sent}

    assert Client(headers=headers).get("/metrics").status_code == 401


@pytest.mark.django_db
def test_shows_figures_to_who_has_their_token() -> None:
    assert scraper().get("/metrics").status_code == 200


@pytest.mark.django_db
def test_shows_figures_to_a_global_admin_from_anywhere() -> None:
    root, alice = factories.user(admin=True), factories.user()

    answers = [
        Client(headers=factories.token(user).headers, REMOTE_ADDR="192.0.2.1")
        .get("/metrics")
        .status_code
        for user in (root, alice)
    ]

    assert answers == [200, 403]
