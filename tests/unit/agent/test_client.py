from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent import config, wire
from apps.agent.server import client
from tests.fakes.control_plane import TOKEN, ControlPlane


@pytest.fixture
def control() -> Iterator[ControlPlane]:
    control = ControlPlane()
    control.start()
    yield control
    control.stop()


@pytest.fixture
def calls(control: ControlPlane) -> client.Client:
    return client.Client(config.made(control.url, TOKEN))


def nothing() -> None:
    pass


def test_fetches_an_upload(control: ControlPlane, calls: client.Client, tmp_path: Path) -> None:
    name = hashlib.sha256(b"content").hexdigest()
    control.blobs[name] = b"content"

    calls.fetch(blob=name, target=tmp_path / "file", check=nothing)

    assert (tmp_path / "file").read_bytes() == b"content"


def test_notices_a_damaged_upload(
    control: ControlPlane, calls: client.Client, tmp_path: Path
) -> None:
    control.blobs["0" * 64] = b"content"

    with pytest.raises(client.ServerAway, match="arrived damaged"):
        calls.fetch(blob="0" * 64, target=tmp_path / "file", check=nothing)


def test_asks_for_nothing_else_by_a_strange_name(
    control: ControlPlane, calls: client.Client, tmp_path: Path
) -> None:
    with pytest.raises(client.Refused):
        calls.fetch(blob="../report?a=b", target=tmp_path / "file", check=nothing)

    assert control.calls == ["GET /api/agent/blobs/..%2Freport%3Fa%3Db"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_tells_a_refusal_from_trouble(
    control: ControlPlane, calls: client.Client, status: int
) -> None:
    control.refuse_with = status

    with pytest.raises(client.Refused, match=f"answered {status}: refused by the test") as caught:
        calls.assignment(since=-1, wait_seconds=0)

    assert caught.value.status == status


@pytest.mark.parametrize("status", [301, 429, 500, 503])
def test_takes_anything_else_for_trouble_that_passes(
    control: ControlPlane, calls: client.Client, status: int
) -> None:
    control.refuse_with = status

    with pytest.raises(client.ServerAway):
        calls.assignment(since=-1, wait_seconds=0)


def test_calls_again_when_a_kept_connection_was_closed(
    control: ControlPlane, calls: client.Client
) -> None:
    calls.report(wire.Report(boot_id="a"))
    control.hang_up()

    assert calls.report(wire.Report(boot_id="b")).revision == 0


def test_says_that_nobody_answers() -> None:
    calls = client.Client(config.made("http://127.0.0.1:9", TOKEN))

    with pytest.raises(client.ServerAway, match="Connection refused"):
        calls.assignment(since=-1, wait_seconds=0)


def test_reads_what_should_run(control: ControlPlane, calls: client.Client) -> None:
    spec = wire.WorkloadSpec(id="w", name="w", env={"A": "é"}, probes=[wire.ProbeSpec(url="/x")])
    control.assign(spec)

    assert calls.assignment(since=-1, wait_seconds=0).workloads == [spec]
