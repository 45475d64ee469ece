from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fakes.api_state import CREATED, FakeApi, replica_json
from tests.integration.cli.conftest import Cli


def test_lists_runs_that_have_not_ended(cli: Cli, api: FakeApi) -> None:
    api.add_run("old", "stopped")
    api.add_run("new")

    lines = cli("ps").out.splitlines()

    assert [line.split()[0] for line in lines] == ["NAME", "new"]


def test_lists_the_last_run_when_all_have_ended(cli: Cli, api: FakeApi) -> None:
    api.add_run("older", "stopped")
    api.add_run("old", "failed", error="It died")

    lines = cli("ps", "-v").out.splitlines()

    assert len(lines) == 2
    assert lines[1].endswith("It died")


@pytest.mark.parametrize("ended", [1, 3])
@pytest.mark.parametrize(("state", "shown"), [("idle", False), ("stopped", True)])
def test_a_sleeping_run_has_no_machine(
    cli: Cli, api: FakeApi, ended: int, state: str, shown: bool
) -> None:
    before = [replica_json(num, "stopped", price_usd_per_hour=1.5) for num in range(ended)]
    api.add_run("hello", state, replicas=before)

    out = cli("ps", "-a").out

    assert (out.count("$1.5"), out.count("local")) == ((ended, 2 * ended) if shown else (0, 0))
    assert len(out.splitlines()) == (1 + ended + (ended > 1) if shown else 2)


def test_says_what_runs_wait_for_and_what_became_of_updates(cli: Cli, api: FakeApi) -> None:
    api.add_run("old", "stopped", notice="Never mind.")
    api.add_run("hello", notice="Version 2 was given up: it died. Version 1 goes on.")
    api.add_run(
        "new", "provisioning", replicas=[replica_json(state="pending", phase="no GPU free")]
    )

    lines = cli("ps", "-a").out.splitlines()

    assert [line.split()[0] for line in lines[:4]] == ["NAME", "new", "hello", "old"]
    assert lines[4:] == [
        "",
        " new: replica 0: no GPU free",
        " hello: Version 2 was given up: it died. Version 1 goes on.",
    ]


def test_says_of_each_replica_where_it_stands_and_what_was_tried(cli: Cli, api: FakeApi) -> None:
    since = (datetime.now(UTC) - timedelta(seconds=125)).isoformat()
    tried = [{"backend": "aws", "region": "us-east-1", "instance": "p5", "reason": "no capacity"}]
    booting = replica_json(state="provisioning", phase="booting", phase_since=since, tried=tried)
    api.add_run("new", "provisioning", replicas=[booting])
    ending = replica_json(state="stopped", phase="ending p5 in us-east-1", phase_since="soon")
    api.add_run("old", "stopped", replicas=[ending])

    brief, long = (cli("ps", "-a", *more).out.splitlines()[4:] for more in ([], ["-v"]))

    def without_seconds(lines: list[str]) -> list[str]:
        return [re.sub(r"\(2 m \d+ s\)", "(2 m)", line) for line in lines]

    assert without_seconds(brief) == [" new: replica 0: booting (2 m); 1 offer tried"]
    assert without_seconds(long) == [
        " old: replica 0: ending p5 in us-east-1",
        " new: replica 0: booting (2 m)",
        " new: replica 0: 1 offer tried:",
        "   aws us-east-1 p5: no capacity",
    ]


def test_lists_all_runs_over_many_pages(cli: Cli, api: FakeApi) -> None:
    api.page = 3
    for number in range(10):
        api.add_run(f"run-{number}", "stopped" if number % 2 else "running")

    found = json.loads(cli("ps", "-a", "--json").out)

    assert [run["name"] for run in found] == [f"run-{number}" for number in reversed(range(10))]


def test_shows_a_header_when_there_is_nothing(cli: Cli) -> None:
    assert cli("ps").out.split() == [
        "NAME", "BACKEND", "REGION", "RESOURCES", "SPOT", "PRICE", "STATUS", "SUBMITTED",
    ]  # fmt: skip


def test_does_not_cut_a_table_in_a_pipe(cli: Cli, api: FakeApi) -> None:
    resources = "x" * 500
    api.add_run("hello", replicas=[replica_json(resources=resources)])

    done = cli.process("ps", COLUMNS="40")

    assert resources in done.out
    assert "\x1b" not in done.out


def test_stops_a_run_and_waits_until_it_has_ended(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")

    done = cli("stop", "hello", "-y")

    assert (done.code, done.last_line) == (0, "Stopped")
    assert api.runs["hello"].data["state"] == "stopped"
    assert api.bodies("POST", "/stop") == [{"abort": False}]


def test_aborts_a_run(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")

    assert cli("stop", "hello", "-y", "-x").last_line == "Aborted"
    assert api.bodies("POST", "/stop") == [{"abort": True}]


def test_does_not_stop_a_run_that_has_ended(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello", "failed")

    done = cli("stop", "hello", "-y")

    assert (done.code, done.err) == (1, "Error: Run hello has ended already (failed).\n")


def test_does_not_stop_without_an_answer(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")

    assert cli("stop", "hello").code == 1
    assert api.runs["hello"].data["state"] == "running"


def test_deletes_a_run(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello", "stopped")

    assert cli("delete", "hello").out == "Deleted\n"
    assert api.runs == {}


def test_does_not_delete_a_run_that_lives(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")

    done = cli("delete", "hello")

    assert done.err == "Error: Run hello has not ended: stop it first.\n"


def measured(**more: Any) -> dict[str, Any]:
    quiet = {"requests": {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}, "rps": 0.0}
    others = ("p50_ms", "p95_ms", "p99_ms", "in_flight", "held")
    unknown = {"tokens_in": None, "tokens_out": None}
    return {"at": "2030-01-01T10:00:00Z", **quiet, **dict.fromkeys(others, 0), **unknown, **more}


def test_shows_what_is_asked_and_what_scaling_did(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")
    asked = {"2xx": 1234, "3xx": 0, "4xx": 0, "5xx": 2}
    point = measured(requests=asked, rps=20.6, p50_ms=84.4, p95_ms=1250.0, p99_ms=None, held=7)
    levels = [{"at": "2030-01-01T10:00:00Z", "wanted": 4, "ready": 2}]
    used = {"cpu_cores": 0.5, "cpu_limit": 2.0, "memory_bytes": 3 * 2**29, "disk_bytes": 2048}
    gpu = {"gpu_percent": 87.4, "gpu_memory_bytes": 2**30, "gpu_memory_total_bytes": 2**31}
    resources = [{"replica": 0, "points": [{**used, **gpu, "memory_limit_bytes": None}, None]}]
    api.metrics = {
        "step_seconds": 60,
        "points": [point],
        "replicas": levels,
        "resources": resources,
    }
    api.decisions = [{"at": "2030-01-01T10:00:00Z", "reason": "2 -> 4: 38 rps over 6 s, target 10"}]

    out = cli("metrics", "hello").out.splitlines()

    assert out[0].split()[:4] == ["TIME", "RPS", "2XX", "3XX"]
    assert out[1].split()[1:] == [
        *("20.6", "1,234", "0", "0", "2", "84", "ms", "1.25", "s", "-", "-", "7", "-", "-")
    ]
    assert out[3].split() == ["REPLICA", "CPU", "MEMORY", "DISK", "GPU", "GPU", "MEMORY"]
    assert " ".join(out[4].split()) == ("0 0.50 of 2 cores 1.5 GB 2.0 KB 87 % 1.0 GB of 2.0 GB")
    assert out[6] == " Replicas: 2 of 4 ready."
    assert out[-1].endswith("2 -> 4: 38 rps over 6 s, target 10")
    assert json.loads(cli("metrics", "hello", "--json").out)["decisions"] == api.decisions


@pytest.mark.parametrize(
    ("counts", "shown"),
    [([None, None], "-"), ([None, 0], "0"), ([1200, None], "1,200"), ([1200, 34], "1,234")],
)
def test_tells_tokens_that_were_not_measured_from_none(
    cli: Cli, api: FakeApi, counts: list[int | None], shown: str
) -> None:
    api.add_run("hello")
    asked = {"2xx": 1, "3xx": 0, "4xx": 0, "5xx": 0}
    # More points than lines, so that several make one.
    points = [measured(requests=asked, tokens_in=count, tokens_out=count) for count in counts] * 12
    api.metrics = {"step_seconds": 10, "points": points, "replicas": []}

    out = cli("metrics", "hello").out.splitlines()

    assert [line.split()[-2:] for line in out[1:13]] == [[shown, shown]] * 12


def test_leaves_out_the_time_before_the_run(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")
    times = [f"2030-01-01T10:0{minute}:00Z" for minute in range(4)]
    asked = {"2xx": 7, "3xx": 0, "4xx": 0, "5xx": 0}
    points = [measured(at=at) for at in times[:3]] + [measured(at=times[3], requests=asked)]
    levels = [{"at": "2030-01-01T10:02:30Z", "wanted": 1, "ready": 1}]
    api.metrics = {"step_seconds": 60, "points": points, "replicas": levels}

    lines = cli("metrics", "hello").out.split("\n\n")[0].splitlines()

    assert [line.split()[2] for line in lines[1:]] == ["0", "7"]


def test_says_that_nothing_was_asked(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")
    api.metrics = {"step_seconds": 60, "points": [measured()], "replicas": []}

    assert cli("metrics", "hello").out == " No requests in this time.\n"


def test_lists_events_oldest_first(cli: Cli, api: FakeApi) -> None:
    one = {"at": "2030-01-01T10:00:00Z", "kind": "run", "run": "hello", "replica": None,
           "subject": "hello",
           "old": None, "new": "submitted", "reason": "", "actor": "admin"}  # fmt: skip
    two = {"at": "2030-01-01T10:00:01Z", "kind": "replica", "run": "hello", "replica": 0,
           "subject": "replica 0",
           "old": "pending", "new": "failed", "reason": "no offer", "actor": ""}  # fmt: skip
    api.events = [two, one]

    assert cli("events", "hello").out.splitlines() == [
        " TIME                 OBJECT           FROM     TO         REASON    ACTOR",
        " 2030-01-01 10:00:00  run hello                 submitted            admin",
        " 2030-01-01 10:00:01  hello replica 0  pending  failed     no offer",
    ]
    assert json.loads(cli("events", "--json").out) == [one, two]


def test_lists_what_scaling_decided(cli: Cli, api: FakeApi) -> None:
    api.events = [
        {"at": "2030-01-01T10:00:00Z", "kind": "scaling", "run": "hello", "replica": None,
         "subject": "hello", "old": "2", "new": "4", "actor": None,
         "reason": "2 -> 4: 38 rps over 6 s, target 10"}
    ]  # fmt: skip

    assert cli("events", "hello").out.splitlines()[1] == (
        " 2030-01-01 10:00:00  hello scaling  2     4   2 -> 4: 38 rps over 6 s, target 10"
    )


def test_lists_what_a_replica_was_answering_when_it_ended(cli: Cli, api: FakeApi) -> None:
    api.events = [
        {"at": "2030-01-01T10:00:00Z", "kind": "request", "run": "hello", "replica": 0,
         "subject": "replica 0", "old": None, "new": "unanswered", "actor": None,
         "reason": "exited while it answered GET /die"}
    ]  # fmt: skip

    assert cli("events", "hello").out.splitlines()[1] == (
        " 2030-01-01 10:00:00  hello replica 0        unanswered  exited while it answered GET /die"
    )


def test_prints_a_new_token_alone(cli: Cli, api: FakeApi) -> None:
    done = cli("token", "create", "ci; rm -rf /", "--expires", "30d", "--run", "a", "--run", "b")

    assert (done.code, done.out) == (0, "dsk_u_the-whole-token\n")
    assert done.err == "Keep it: it is shown only now.\n"
    assert api.bodies("POST", "/tokens") == [
        {"name": "ci; rm -rf /", "scope": "call", "runs": ["a", "b"], "project": "main",
         "expires": "30d"}
    ]  # fmt: skip


def test_bounds_the_calls_of_a_token(cli: Cli, api: FakeApi) -> None:
    cli("token", "create", "key", "--run", "a", "--rps", "0.5", "--burst", "10")

    (sent,) = api.bodies("POST", "/tokens")
    assert (sent["rps"], sent["burst"]) == (0.5, 10)
    assert "  0.5  " in cli("token", "list").out


def test_makes_a_token_for_all_projects_unless_one_is_named(cli: Cli, api: FakeApi) -> None:
    cli("token", "create", "one")
    cli("token", "create", "two", "--project", "main", "--scope", "call")

    sent = [(body["scope"], body["project"]) for body in api.bodies("POST", "/tokens")]
    assert sent == [("full", None), ("call", "main")]


def test_revokes_a_token_by_name_or_id(cli: Cli, api: FakeApi) -> None:
    for name in ("a", "b"):
        cli("token", "create", name)

    assert cli("token", "revoke", "a").out == "Token a is revoked.\n"
    assert cli("token", "revoke", "2").code == 0
    assert api.tokens == []


def test_asks_for_the_id_when_a_name_is_not_unique(cli: Cli, api: FakeApi) -> None:
    for name in ("a", "a"):
        cli("token", "create", name)

    done = cli("token", "revoke", "a")

    assert done.code == 1
    assert "by its id (2, 1)" in done.err


def test_lists_tokens(cli: Cli) -> None:
    cli("token", "create", "ci")

    assert "dsk_u_abcd…  full   all      all" in cli("token", "list").out
    assert json.loads(cli("token", "list", "--json").out)[0]["name"] == "ci"


def test_lists_gateways(cli: Cli, api: FakeApi) -> None:
    api.gateways = [
        {"name": "local", "backend": "local", "region": "local", "address": "127.0.0.1:8080",
         "domain": "localhost", "default": True, "error": "no\ncertificate"}
    ]  # fmt: skip

    assert cli("gateway", "list").out.splitlines() == [
        " BACKEND  REGION  NAME   ADDRESS         DOMAIN     DEFAULT",
        " local    local   local  127.0.0.1:8080  localhost  ✓",
    ]
    assert r"no\ncertificate" in cli("gateway", "list", "-v").out


HOSTILE = ["../x", "..", "a/b", "a b", "$(id)", "a;b", "é", "a\n", "%2e", "x" * 200, "a?b=c", "-"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("command", ["logs", "stop", "delete", "events", "metrics", "requests"])
def test_never_sends_a_name_that_is_none(cli: Cli, api: FakeApi, command: str, name: str) -> None:
    done = cli(command, "--", name)

    assert done.code == 1
    assert "is not a name" in done.err
    assert api.seen == []


@pytest.mark.parametrize("flags", [(), ("-a",), ("--json",)])
def test_lists_all_runs_whatever_the_size_of_a_page(
    cli: Cli, api: FakeApi, flags: tuple[str, ...]
) -> None:
    api.page = 7
    names = [f"sleeper-{n}" for n in range(60)]
    for name in names:
        api.add_run(name, "idle", replicas=[], replicas_wanted=0)

    out = cli("ps", *flags).out

    if "--json" in flags:
        assert [one["name"] for one in json.loads(out)] == names[::-1]
    else:
        assert [line.split()[0] for line in out.splitlines()[1:]] == names[::-1]


def test_lists_all_of_every_kind_whatever_the_size_of_a_page(cli: Cli, api: FakeApi) -> None:
    api.page = 7
    event = {"kind": "run", "run": "hello", "subject": "hello", "old": None, "new": "running"}
    api.events = [{**event, "at": f"2030-01-01T10:00:{n:02}Z"} for n in range(59, -1, -1)]
    api.gateways = [{"name": f"gateway-{n}"} for n in range(20)]
    api.tokens = [{"id": n, "name": f"token-{n}", "created_at": CREATED} for n in range(20)]

    assert len(cli("events").out.splitlines()) == 61
    assert len(cli("events", "--limit", "9").out.splitlines()) == 10
    assert len(cli("gateway", "list").out.splitlines()) == 21
    assert len(cli("token", "list").out.splitlines()) == 21
    assert cli("token", "revoke", "token-19").code == 0
