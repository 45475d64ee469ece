"""The command line in shells that have proxies."""

from __future__ import annotations

import pytest

from apps.cli.http import config
from apps.cli.http.config import Remote
from tests.fakes import proxy
from tests.fakes.api_state import TOKEN, FakeApi
from tests.integration.cli.conftest import Cli

NOBODY = "http://127.0.0.1:9"
ALL = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ALL, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def port(api: FakeApi) -> int:
    return int(api.url.rpartition(":")[2])


@pytest.mark.parametrize("value", [NOBODY, "socks5://127.0.0.1:9", "socks4://x", "http://"])
@pytest.mark.parametrize("variable", ALL)
def test_asks_this_machine_directly(cli: Cli, api: FakeApi, variable: str, value: str) -> None:
    api.add_run("hello")

    done = cli.process("ps", **{variable: value})

    assert (done.code, done.err) == (0, "")
    assert "hello" in done.out


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_asks_another_machine_through_the_proxy(cli: Cli, api: FakeApi, kind: str) -> None:
    api.add_run("hello")
    config.save([Remote("main", "http://dstack.example:3000", TOKEN)])

    with proxy.running(kind, leads_to=port(api)) as running:
        scheme = "socks5h" if kind == "socks5" else kind
        done = cli.process("ps", ALL_PROXY=f"{scheme}://127.0.0.1:{running.port}")

    assert (done.code, done.err) == (0, "")
    assert "hello" in done.out
    assert running.asked[0].startswith(
        "http://dstack.example:3000/api/" if kind == "http" else "dstack.example"
    )


def test_says_which_proxy_does_not_answer(cli: Cli) -> None:
    config.save([Remote("main", "http://dstack.example", TOKEN)])

    done = cli.process("ps", HTTP_PROXY="http://me:secret@127.0.0.1:9")

    assert done.code == 1
    assert "through the proxy http://127.0.0.1:9 of HTTP_PROXY" in done.err
    assert "secret" not in done.err


@pytest.mark.parametrize("value", ["http://proxy:99999", "socks4://proxy:1080", "http://"])
def test_says_that_a_proxy_cannot_be_used(cli: Cli, value: str) -> None:
    config.save([Remote("main", "http://dstack.example", TOKEN)])

    done = cli.process("ps", HTTP_PROXY=value)

    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert done.err.startswith("Error: HTTP_PROXY ")
    assert "NO_PROXY=dstack.example" in done.err


def test_says_that_a_certificate_file_cannot_be_read(cli: Cli) -> None:
    done = cli.process("ps", SSL_CERT_FILE="/nowhere.pem")

    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "No connection to http://127.0.0.1" in done.err
