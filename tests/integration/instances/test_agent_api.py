"""The agent's routes over ASGI, with the real database and broker."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from apps.core import live_hints, notifications
from apps.instances.models import Instance, Workload
from tests import factories

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_url"),
    pytest.mark.asyncio,
]


@pytest.fixture
def instance(transactional_db: None) -> Instance:
    return factories.instance(factories.project())


@pytest.fixture
def workload(instance: Instance) -> Workload:
    return factories.workload(instance, state="assigned")


def headers(instance: Instance) -> dict[str, str]:
    return factories.agent_headers(instance)


async def report(instance: Instance, *workloads: dict[str, Any], **more: Any) -> Any:
    body = {"boot_id": "b", "workloads": list(workloads), **more}
    return await AsyncClient().post(
        "/api/agent/report", json.dumps(body), "application/json", headers=headers(instance)
    )


async def test_hands_out_the_assignment_at_once_when_it_is_news(
    instance: Instance, workload: Workload
) -> None:
    answer = await AsyncClient().get("/api/agent/assignment?wait=20", headers=headers(instance))

    assert [w["id"] for w in answer.json()["workloads"]] == [str(workload.pk)]


async def test_answers_as_soon_as_something_changes(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_hints, "LOOK_SECONDS", 60.0)
    url = f"/api/agent/assignment?since={instance.revision}&wait=20"
    waiting = asyncio.create_task(AsyncClient().get(url, headers=headers(instance)))
    await asyncio.sleep(0.3)
    await Instance.objects.filter(pk=instance.pk).aupdate(revision=instance.revision + 1)
    began = time.monotonic()
    await sync_to_async(notifications.publish)(f"instance:{instance.pk}")

    assert (await waiting).json()["revision"] == instance.revision + 1
    assert time.monotonic() - began < 10


async def test_notes_what_the_agent_reports(instance: Instance, workload: Workload) -> None:
    said = {"id": str(workload.pk), "state": "running", "ready": True, "address": "127.0.0.1:1"}
    answer = await report(instance, said)

    await workload.arefresh_from_db()
    assert answer.json() == {"revision": instance.revision}
    assert (workload.state, workload.ready, workload.address) == ("running", True, "127.0.0.1:1")


async def test_an_agent_cannot_speak_for_another_machine(workload: Workload) -> None:
    other = await sync_to_async(lambda: factories.instance(factories.project()))()
    await report(other, {"id": str(workload.pk), "state": "exited"})

    await workload.arefresh_from_db()
    assert workload.state == "assigned"


async def test_a_late_report_never_takes_a_workload_back(
    instance: Instance, workload: Workload
) -> None:
    await report(instance, {"id": str(workload.pk), "state": "exited", "exit_code": 1})
    await report(instance, {"id": str(workload.pk), "state": "running"})

    await workload.arefresh_from_db()
    assert (workload.state, workload.exit_code) == ("exited", 1)


@pytest.mark.parametrize(
    "said",
    [
        {"state": "running", "phase": "\x00" * 5000, "address": "x" * 9000},
        {"state": "nonsense"},
        {"state": "exited", "reason": "r" * 500, "last_lines": ["\x00"] * 500},
        {"state": "running", "started_at": "yesterday"},
    ],
)
async def test_survives_a_strange_report(
    instance: Instance, workload: Workload, said: dict[str, Any]
) -> None:
    assert (await report(instance, {"id": str(workload.pk), **said})).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"boot_id": 1}', b"\xff", b"[" * 100_000])
async def test_refuses_what_is_no_report(instance: Instance, body: bytes) -> None:
    answer = await AsyncClient().post(
        "/api/agent/report", body, "application/json", headers=headers(instance)
    )

    assert answer.status_code == 422


@pytest.mark.parametrize(
    "token", ["", "Bearer", "Bearer dsk_a_x", "Basic x", "Bearer dsk_u_\x00", "Bearer é"]
)
async def test_refuses_a_token_of_no_instance(instance: Instance, token: str) -> None:
    answer = await AsyncClient().get("/api/agent/assignment", headers={"Authorization": token})

    assert answer.status_code == 401


async def test_gives_only_the_uploads_of_its_own_workloads(instance: Instance) -> None:
    answer = await AsyncClient().get(f"/api/agent/blobs/{'0' * 64}", headers=headers(instance))

    assert answer.status_code == 404


async def test_hands_the_agent_itself_to_whoever_asks(tmp_path: Path) -> None:
    answer = await AsyncClient().get("/api/agent/agent.pyz")

    etag = answer.headers["ETag"]
    assert etag == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    program = tmp_path / "agent.pyz"
    program.write_bytes(answer.content)
    ran = subprocess.run(
        [sys.executable, "-I", str(program), "--help"], capture_output=True, timeout=60
    )
    assert b"Runs replicas on this host" in ran.stdout
    for known in (etag, f'"x", W/{etag}', "*"):
        again = await AsyncClient().get("/api/agent/agent.pyz", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
    other = await AsyncClient().get("/api/agent/agent.pyz", headers={"If-None-Match": '"x"'})
    assert other.status_code == 200
    assert (await AsyncClient().post("/api/agent/agent.pyz")).status_code == 405


async def test_says_which_agent_it_has(instance: Instance) -> None:
    program = await AsyncClient().get("/api/agent/agent.pyz")
    answer = await AsyncClient().get("/api/agent/assignment?wait=0", headers=headers(instance))

    assert f'"{answer.json()["program_sha256"]}"' == program.headers["ETag"]
