"""Fixtures that every kind of test may use; the servers behind them are in `tests.servers`."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.backends.providers.gcp.pricing import catalog as gcp_prices
from apps.core.stores.valkey import pause
from tests import documented, failed_logs, programs, quick_flush, quiet_network
from tests.fakes import aws_cloud, azure_cloud, azure_prices, gcp_cloud, tensordock_api
from tests.servers import servers


def pytest_configure() -> None:
    # Started in a shell's background, this process has Ctrl-C ignored, and so would all that it
    # starts: a test of Ctrl-C would wait in vain.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the servers in the test's folders wrote."""
    report = yield
    if report.failed and (logs := failed_logs.found(getattr(item, "funcargs", {}))):
        report.sections.append(("Logs in the test's folders", logs))
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail in CI when a test was skipped for something that could have been installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return
    skipped = [report.longrepr[2] for report in reporter.stats.get("skipped", [])]
    if found := programs.avoidable(skipped):
        reporter.write_line(f"Skipped in CI, which is a failure: {'; '.join(sorted(found))}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Start PostgreSQL just before pytest-django makes the first test database."""
    servers.need_postgres()
    if servers.is_private("DATABASE_URL"):  # where we are its superuser
        quick_flush.install()


@pytest.fixture(scope="session")
def django_db_keepdb(request: pytest.FixtureRequest) -> bool:
    """Leave the test database to the private server, which is thrown away as a whole."""
    return servers.is_private("DATABASE_URL") or bool(request.config.getvalue("reuse_db"))


@pytest.fixture(autouse=True)
def has_an_address_for_machines(settings: Any) -> None:
    """No machine of a cloud is made by a server on loopback, which it could not call."""
    settings.DSTACK_AGENT_URL = "https://dstack.example"
    settings.DSTACK_GATEWAY_SSH_PORT = 2222


@pytest.fixture(autouse=True)
def only_documented_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a route of the API gives an answer that its OpenAPI document does not name."""
    ask = Client.request

    def request(self: Client, **environ: Any) -> Any:
        response = ask(self, **environ)
        method, path = environ["REQUEST_METHOD"], response.wsgi_request.path
        if path.startswith("/api/") and documented.is_missing(method, path, response):
            raise AssertionError(f"{method} {path}: {response.status_code} is not documented")
        return response

    monkeypatch.setattr(Client, "request", request)


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The time, which stays as it is until the test is over: a day cannot end within it."""
    at = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: at)
    return at


@pytest.fixture(autouse=True)
def no_pause() -> None:
    """A hint that failed in another test keeps none back in this one."""
    pause.end()


@pytest.fixture(scope="session")
def redis_server() -> str:
    """The URL of this test process's Valkey, started with the first test that asks for it."""
    servers.need_valkey()
    return os.environ["REDIS_URL"]


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """The URL of an empty Valkey."""
    client = redis.Redis.from_url(redis_server)
    client.flushall()
    yield redis_server
    client.close()


@pytest.fixture
def database_url(django_db_setup: None) -> str:
    """The URL of the test database, for a process of its own (use with transaction=True)."""
    server = os.environ["DATABASE_URL"]
    before, _, after = server.partition("?")
    return f"{before.rpartition('/')[0]}/{connection.settings_dict['NAME']}?{after}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty DSTACK_HOME of the test's own."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("DSTACK_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a real Chromium; without one the test is skipped, or fails in CI.

    Networks that other tests make do not disturb it.
    """
    found = programs.require_program(*programs.CHROMIUM, package="chromium fonts-dejavu-core")
    return quiet_network.launcher(found, folder=tmp_path_factory.mktemp("chromium"))


@pytest.fixture(scope="session")
def aws_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aws_cloud.Emulator]:
    """This test process's emulator of AWS, started with the first test that asks for it."""
    with aws_cloud.serving(tmp_path_factory.mktemp("aws")) as emulator:
        yield emulator


@pytest.fixture
def aws(
    aws_server: aws_cloud.Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> aws_cloud.Emulator:
    """An empty AWS at the only address that boto3 may ask, with keys that open nothing else."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in aws_cloud.KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_server.url)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    aws_server.clear()
    return aws_server


@pytest.fixture(scope="session")
def gcp_server() -> Iterator[gcp_cloud.World]:
    """This test process's emulator of Google Cloud."""
    with gcp_cloud.serving() as world:
        yield world


@pytest.fixture
def gcp(gcp_server: gcp_cloud.World, monkeypatch: pytest.MonkeyPatch) -> gcp_cloud.World:
    """An empty project at the only address that Google's clients may ask."""
    monkeypatch.setenv("DSTACK_GCP_ENDPOINT", gcp_server.url)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    gcp_server.clear()
    gcp_prices.forget()
    return gcp_server


@pytest.fixture(scope="session")
def azure_server() -> Iterator[azure_cloud.World]:
    """This test process's emulator of Azure."""
    with azure_cloud.serving() as world:
        yield world


@pytest.fixture
def azure(azure_server: azure_cloud.World, monkeypatch: pytest.MonkeyPatch) -> azure_cloud.World:
    """An empty subscription at the only address that Microsoft's libraries may ask."""
    monkeypatch.setenv("DSTACK_AZURE_ENDPOINT", azure_server.url)
    azure_server.clear()
    return azure_server


@pytest.fixture
def azure_list(monkeypatch: pytest.MonkeyPatch) -> Iterator[azure_prices.PriceList]:
    """An empty price list at the only address of Azure's that may be asked."""
    with azure_prices.serving() as found:
        monkeypatch.setenv("DSTACK_AZURE_ENDPOINT", found.url)
        yield found


@pytest.fixture
def tensordock(monkeypatch: pytest.MonkeyPatch) -> Iterator[tensordock_api.Api]:
    """An empty account of TensorDock at the only address that its provider may ask."""
    with tensordock_api.serving() as api:
        monkeypatch.setenv("DSTACK_TENSORDOCK_ENDPOINT", api.url)
        yield api
