from __future__ import annotations

import json

import pytest

from tests.fakes.api_state import CREATED, FakeApi, instance_json
from tests.integration.cli.conftest import Cli

BUSY = instance_json(
    "dstack-1",
    running=[{"run": "hello", "replica": 0, "state": "running"}],
    error="aws did not answer\x1b[2J",
)
IDLE = instance_json("dstack-2", state="idle", idle_until="2030-01-01T10:20:30Z", spot=True)
HOST = instance_json("my-host", backend="local", running_of_others=3)


def test_lists_instances_with_what_runs_there(cli: Cli, api: FakeApi) -> None:
    api.instances = [BUSY, IDLE, HOST]

    lines = cli("instance", "list").out.splitlines()

    assert lines[0].split() == [
        "NAME", "BACKEND", "REGION", "INSTANCE", "RESOURCES", "SPOT", "PRICE", "STATUS", "RUNS",
        "REPORTED", "CREATED",
    ]  # fmt: skip
    assert lines[1].split()[-9:-6] == ["$0.096", "ready", "hello/0"]
    assert lines[2].split()[-10:-6] == ["yes", "$0.096", "idle", "-"]
    assert "3 of other projects" in lines[3]
    assert lines[4:] == [
        "",
        " dstack-1: aws did not answer\\x1b[2J",
        " dstack-2: idle until 10:20:30 UTC",
    ]


def test_lists_as_json_and_those_that_have_ended_where_that_is_asked(
    cli: Cli, api: FakeApi
) -> None:
    api.instances = [BUSY, IDLE]

    found = json.loads(cli("instance", "list", "-a", "--json").out)

    assert [one["name"] for one in found] == ["dstack-1", "dstack-2"]
    asked = [s.query.get("ended") for s in api.seen if s.path.endswith("/instances")]
    assert asked[0] in (["true"], ["True"])


def test_tells_admins_of_machines_that_the_server_does_not_know(cli: Cli, api: FakeApi) -> None:
    api.unknown_machines = [
        {"backend": "aws", "ref": "i-1", "name": "dstack-9", "ends_at": "2030-01-01T10:20:30Z"},
        {"backend": "aws", "ref": "i-2", "name": "", "first_seen_at": CREATED, "ends_at": None},
    ]

    lines = cli("instance", "list").out.splitlines()

    unknown = " is not known to this server: it"
    assert lines[-2:] == [
        f" Machine dstack-9 of aws{unknown} is ended at 2030-01-01 10:20 UTC.",
        f" Machine i-2 of aws{unknown} is left alone.",
    ]


def test_shows_an_instance_with_what_its_cloud_calls_it(cli: Cli, api: FakeApi) -> None:
    events = [
        {"at": "2030-01-01T10:20:31Z", "new": "ready", "reason": ""},
        {"at": "2030-01-01T10:20:30Z", "new": "booting", "reason": "it\x1b[2J exists"},
    ]
    api.instances = [
        {**HOST, "zone": "a-1", "cloud_id": "i-0abc", "cloud_page": "https://aws", "events": events}
    ]

    lines = cli("instance", "show", "my-host").out.splitlines()

    assert lines[1].split()[0] == "my-host"
    assert lines[3:] == [
        " zone: a-1",
        " id there: i-0abc",
        " its page there: https://aws",
        " 2030-01-01 10:20:30 UTC  booting: it\\x1b[2J exists",
        " 2030-01-01 10:20:31 UTC  ready",
    ]
    shown = json.loads(cli("instance", "show", "my-host", "--json").out)
    assert shown["cloud_id"] == "i-0abc"
    assert cli("instance", "show", "nope").code == 1


def test_terminates_an_instance(cli: Cli, api: FakeApi) -> None:
    api.instances = [dict(BUSY)]

    done = cli("instance", "terminate", "dstack-1", "-y")

    assert (done.code, done.out) == (0, "dstack-1 is being terminated.\n")
    assert api.instances[0]["state"] == "terminating"


@pytest.mark.parametrize(
    ("name", "flags", "error"),
    [
        ("dstack-1", [], "Nobody can answer 'Terminate dstack-1? It runs hello/0: cut off and "),
        ("nope", ["-y"], "There is no instance 'nope' in project main."),
        ("../../users", ["-y"], "'../../users' is not a name: use letters, digits"),
        ("my-host", ["-y"], "my-host is no machine that this server made."),
    ],
)
def test_says_why_it_terminates_nothing(
    cli: Cli, api: FakeApi, name: str, flags: list[str], error: str
) -> None:
    api.instances = [dict(BUSY), dict(HOST)]

    done = cli("instance", "terminate", name, *flags)

    assert done.code == 1
    assert done.err.startswith(f"Error: {error}")
    assert [one["state"] for one in api.instances] == ["ready", "ready"]


KEPT = {"project": "main", "bytes": 14 * 2**30, "used_at": None, "clearing": False}


def test_lists_and_clears_model_files(cli: Cli, api: FakeApi) -> None:
    unmeasured = {**KEPT, "project": "other", "bytes": None, "clearing": True}
    api.instances = [instance_json("dstack-1", caches=[KEPT, unmeasured])]

    listed = cli("instance", "list").out
    done = cli("instance", "clear-cache", "dstack-1", "-y")

    assert "dstack-1: Project main keeps 14.0 GB of model files there\n" in listed
    assert "other keeps an amount not known yet of model files there, being removed\n" in listed
    assert (done.code, done.out) == (0, "The model files on dstack-1 are being removed.\n")
    assert api.instances[0]["caches"][0]["clearing"]


@pytest.mark.parametrize(
    ("name", "flags", "error"),
    [
        ("dstack-1", [], "Nobody can answer 'Clear the model files on dstack-1? Project main "),
        ("my-host", ["-y"], "my-host keeps no model files of project main."),
        ("nope", ["-y"], "There is no instance 'nope' in project main."),
    ],
)
def test_says_why_it_clears_nothing(
    cli: Cli, api: FakeApi, name: str, flags: list[str], error: str
) -> None:
    api.instances = [instance_json("dstack-1", caches=[KEPT]), dict(HOST)]

    done = cli("instance", "clear-cache", name, *flags)

    assert done.code == 1
    assert done.err.startswith(f"Error: {error}")
