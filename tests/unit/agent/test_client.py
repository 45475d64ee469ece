from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent import client, config, wire
from tests.fakes.control_plane import TOKEN, ControlPlane


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    plane = ControlPlane()
    plane.start()
    yield plane
    plane.stop()


@pytest.fixture
def calls(plane: ControlPlane) -> client.Client:
    return client.Client(config.made(plane.url, TOKEN))


def nothing() -> None:
    pass


def test_fetches_an_upload(plane: ControlPlane, calls: client.Client, tmp_path: Path) -> None:
    name = hashlib.sha256(b"content").hexdigest()
    plane.blobs[name] = b"content"

    calls.fetch(blob=name, target=tmp_path / "file", check=nothing)

    assert (tmp_path / "file").read_bytes() == b"content"


def test_notices_a_damaged_upload(
    plane: ControlPlane, calls: client.Client, tmp_path: Path
) -> None:
    plane.blobs["0" * 64] = b"content"

    with pytest.raises(client.ServerAway, match="arrived damaged"):
        calls.fetch(blob="0" * 64, target=tmp_path / "file", check=nothing)


def test_asks_for_nothing_else_by_a_strange_name(
    plane: ControlPlane, calls: client.Client, tmp_path: Path
) -> None:
    with pytest.raises(client.Refused):
        calls.fetch(blob="../report?a=b", target=tmp_path / "file", check=nothing)

    assert plane.calls == ["GET /api/agent/blobs/..%2Freport%3Fa%3Db"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_tells_a_refusal_from_trouble(
    plane: ControlPlane, calls: client.Client, status: int
) -> None:
    plane.refuse_with = status

    with pytest.raises(client.Refused, match=f"answered {status}: refused by the test") as caught:
        calls.assignment(since=-1, wait_seconds=0)

    assert caught.value.status == status


@pytest.mark.parametrize("status", [301, 429, 500, 503])
def test_takes_anything_else_for_trouble_that_passes(
    plane: ControlPlane, calls: client.Client, status: int
) -> None:
    plane.refuse_with = status

    with pytest.raises(client.ServerAway):
        calls.assignment(since=-1, wait_seconds=0)


def test_calls_again_when_a_kept_connection_was_closed(
    plane: ControlPlane, calls: client.Client
) -> None:
    calls.report(wire.Report(boot_id="a"))
    plane.hang_up()

    assert calls.report(wire.Report(boot_id="b")).revision == 0


def test_says_that_nobody_answers() -> None:
    calls = client.Client(config.made("http://127.0.0.1:9", TOKEN))

    with pytest.raises(client.ServerAway, match="Connection refused"):
        calls.assignment(since=-1, wait_seconds=0)


def test_reads_what_should_run(plane: ControlPlane, calls: client.Client) -> None:
    spec = wire.WorkloadSpec(id="w", name="w", env={"A": "é"}, probes=[wire.ProbeSpec(url="/x")])
    plane.assign(spec)

    assert calls.assignment(since=-1, wait_seconds=0).workloads == [spec]


def test_waits_longer_after_each_attempt() -> None:
    pauses = client.Pauses()

    waits = [pauses.next() for _ in range(10)]

    assert waits[0] <= 0.2
    assert 3.75 <= waits[-1] <= 5.0
