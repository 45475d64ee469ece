from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api_state import (
    CREATED,
    FakeApi,
    drop,
    local_offer,
    replica_json,
    replica_step,
    says,
)
from tests.integration.cli.conftest import SERVICE, Cli, interrupt

RUN = ("run", ".", "-f", "serve.dstack.yml", "-y", "-d")
AWAY = '{"error": {"code": "unavailable", "message": "The database is away."}}'
PUBLISHED = "Service is published at http://yellow-cat-1.localhost:8080"


def test_publishes_a_folder(cli: Cli, api: FakeApi, folder: Path) -> None:
    (folder / "app.py").write_text("print('hi')")

    done = cli(*RUN)

    assert (done.code, done.err) == (0, "")
    assert done.last_line == PUBLISHED
    (archive,) = api.uploads.values()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getnames() == ["app.py"]


def test_says_what_a_person_should_know_of_a_service_that_runs(cli: Cli, api: FakeApi) -> None:
    api.steps = [{**replica_step("running"), "notice": "No chat template was found."}]

    done = cli(*RUN)

    assert (done.code, done.err.strip()) == (0, "Warning: No chat template was found.")
    assert done.last_line == PUBLISHED


def test_shows_the_plan_before_it_starts_anything(cli: Cli, api: FakeApi) -> None:
    api.offers = [
        local_offer(),
        *[local_offer(backend="aws", region="eu-west-1", price_usd_per_hour=1.595)] * 4,
    ]

    lines = cli(*RUN).out.splitlines()

    assert lines[0] == " Configuration   serve.dstack.yml"
    assert " Min resources   2..xCPU, 8GB.., 100GB.. (disk)" in lines
    assert " Shell           bash" in lines
    at = lines.index("")
    assert lines[at + 1 : at + 7] == [
        " #  BACKEND  REGION     INSTANCE  RESOURCES                 SPOT  PRICE",
        " 1  local    local      my-host   2xCPU, 8GB, 100GB (disk)  no    $0",
        " 2  aws      eu-west-1  my-host   2xCPU, 8GB, 100GB (disk)  no    $1.595",
        " 3  aws      eu-west-1  my-host   2xCPU, 8GB, 100GB (disk)  no    $1.595",
        "    ...",
        " Shown 3 of 5 offers, $1.595 max",
    ]


def test_shows_no_shell_where_none_is_used_or_an_older_server_says_nothing(
    cli: Cli, api: FakeApi
) -> None:
    api.plan_changes = {"shell": None}

    assert " Shell" not in cli(*RUN).out


def test_shows_as_many_offers_as_asked_for(cli: Cli, api: FakeApi) -> None:
    api.offers = [local_offer()] * 9

    assert " Shown 7 of 9 offers, $0 max" in cli(*RUN, "--max-offers", "7").out


def test_sends_everything_that_flags_and_files_say(cli: Cli, api: FakeApi, folder: Path) -> None:
    (folder / ".dstack").mkdir()
    (folder / ".dstack" / "profiles.yml").write_text("profiles: [{name: cheap, max_price: 0.5}]")

    done = cli(
        *RUN, "-n", "my-run", "-e", "A=1", "--profile", "cheap", "--gpu", "80GB", "--spot",
        "-b", "aws", "-b", "gcp", "-r", "eu", "--max-price", "2.5", "--max-duration", "2h",
        "--retry", "--instance-type", "p4", "--cpu", "4..", "--memory", "16GB", "--disk", "1TB",
    )  # fmt: skip

    assert done.code == 0
    (planned,), (submitted,) = api.bodies("POST", "/runs/plan"), api.bodies("POST", "/main/runs")
    assert planned == {
        "configuration": SERVICE,
        "name": "my-run",
        "env": {"A": "1"},
        "profile": {"max_price": 0.5},
        "overrides": {
            "gpu": "80GB", "cpu": "4..", "memory": "16GB", "disk": "1TB", "spot_policy": "spot",
            "backends": ["aws", "gcp"], "regions": ["eu"], "instance_types": ["p4"],
            "max_price": 2.5, "max_duration": "2h", "retry": True,
        },
        "upload": next(iter(api.uploads)),
        "left_out": [],
    }  # fmt: skip
    assert submitted == {**planned, "plan_id": "plan-1"}


def test_keeps_the_planned_name_when_it_submits(cli: Cli, api: FakeApi) -> None:
    cli(*RUN)

    assert api.bodies("POST", "/main/runs")[0]["name"] == "yellow-cat-1"


def test_sends_a_folder_only_once(cli: Cli, api: FakeApi) -> None:
    cli(*RUN)
    cli(*RUN, "-n", "again")

    assert len(api.bodies("POST", "/uploads")) == 1


def test_is_the_same_as_apply(cli: Cli, api: FakeApi) -> None:
    done = cli("apply", "-f", "serve.dstack.yml", "-y", "-d")

    assert done.last_line == PUBLISHED


def test_prints_each_phase_once_in_a_pipe(cli: Cli, api: FakeApi) -> None:
    pulling = {"state": "provisioning", "replicas": [replica_json(state="starting", phase="pip")]}
    api.steps = [replica_step("provisioning"), pulling, pulling, replica_step("running")]

    lines = cli.process(*RUN).out.splitlines()

    at = lines.index("Provisioning yellow-cat-1...")
    assert lines[at + 1 :] == [
        "  yellow-cat-1 is provisioning; replica 0: provisioning",
        "  yellow-cat-1 is provisioning; replica 0: pip",
        PUBLISHED,
    ]


TRIED = [
    {
        "backend": "aws",
        "region": "us-east-1",
        "instance": "p5",
        "spot": True,
        "reason": "full\x1b[2J",
    },
    {"backend": "local", "region": "local", "instance": "host", "spot": False, "reason": "no GPU"},
]


def test_prints_what_was_tried_once_in_a_pipe(cli: Cli, api: FakeApi) -> None:
    def step(phase: str, tried: int) -> dict[str, Any]:
        told = replica_json(state="provisioning", phase=phase, phase_since=CREATED)
        return {"state": "provisioning", "replicas": [{**told, "tried": TRIED[:tried]}]}

    api.steps = [step("creating p5", 0), step("booting", 1), step("booting", 2)]
    api.steps += [replica_step("running")]

    lines = cli.process(*RUN).out.splitlines()

    at = lines.index("Provisioning yellow-cat-1...")
    assert lines[at + 1 :] == [
        "  yellow-cat-1 is provisioning; replica 0: creating p5",
        "  replica 0 tried aws us-east-1 p5 (spot): full\\x1b[2J",
        "  yellow-cat-1 is provisioning; replica 0: booting",
        "  replica 0 tried local host: no GPU",
        PUBLISHED,
    ]


def test_returns_at_once_for_a_service_that_starts_asleep(cli: Cli, api: FakeApi) -> None:
    api.steps = [{"state": "idle", "replicas_wanted": 0, "replicas": []}]

    assert cli(*RUN).last_line == PUBLISHED


def test_says_why_a_run_failed_with_its_last_lines(cli: Cli, api: FakeApi) -> None:
    api.steps = [
        replica_step("provisioning"),
        {"state": "failed", "error": "The command exited with 1.", "last_lines": ["Trace", "Oops"]},
    ]

    done = cli(*RUN)

    assert done.code == 1
    assert "published" not in done.out
    assert done.err.splitlines() == [
        "Error: Run yellow-cat-1 failed: The command exited with 1.",
        "  Trace",
        "  Oops",
    ]


def test_ends_with_1_when_somebody_stops_the_run(cli: Cli, api: FakeApi) -> None:
    api.steps = [{"state": "stopping"}]

    done = cli(*RUN)

    assert (done.code, done.err) == (1, "Error: Run yellow-cat-1 was stopped.\n")


def test_streams_the_output_until_the_run_ends(cli: Cli, api: FakeApi) -> None:
    api.first_lines = ["one", "two"]
    api.steps = [replica_step("running"), {}, {}, {"state": "stopped", "replicas": []}]

    lines = cli(*RUN[:-1]).out.splitlines()

    assert lines[-4:] == [PUBLISHED, "one", "two", "Run yellow-cat-1 was stopped."]


def test_says_why_a_run_failed_while_its_output_was_streamed(cli: Cli, api: FakeApi) -> None:
    api.steps = [replica_step("running"), {}, {"state": "failed", "error": "It died"}]

    done = cli(*RUN[:-1])

    assert done.code == 1
    assert done.err.splitlines() == [
        "Error: Run yellow-cat-1 failed: It died.",
        "  What it wrote: dstack logs yellow-cat-1",
    ]


def test_names_the_address_of_a_model(cli: Cli, api: FakeApi) -> None:
    api.steps = [replica_step("running", model_url="http://gateway.localhost:8080/v1")]

    lines = cli(*RUN).out.splitlines()

    assert lines[-2:] == ["The model is available at http://gateway.localhost:8080/v1", PUBLISHED]


def test_returns_when_an_update_is_accepted(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")
    api.steps = [replica_step("provisioning")] * 1000

    done = cli(*RUN, "-n", "hello")

    assert done.last_line == "Service is published at http://hello.localhost:8080"


def test_asks_nobody_without_a_terminal(cli: Cli, api: FakeApi) -> None:
    done = cli("run", ".", "-f", "serve.dstack.yml")

    assert done.code == 1
    assert "stdin is no terminal: add -y" in done.err
    assert api.runs == {}


def test_places_each_problem_of_the_file_before_it_uploads(
    cli: Cli, api: FakeApi, folder: Path
) -> None:
    (folder / "serve.dstack.yml").write_text("type: service\ncommands: [a]\nport: 65536\nx: 1\n")

    done = cli(*RUN)

    assert done.code == 1
    lines = done.err.splitlines()
    assert lines[0] == "Error: serve.dstack.yml has 2 problems:"
    assert lines[1].startswith("  serve.dstack.yml:3:7: port: ")
    assert lines[2].startswith("  serve.dstack.yml:4:1: x: ")
    assert api.uploads == {}


def test_names_a_flag_that_does_not_fit(cli: Cli) -> None:
    done = cli(*RUN, "--gpu", "A100:")

    assert done.code == 1
    assert done.err.startswith("Error: gpu: ")


def test_refuses_a_missing_value_before_it_asks_the_server(
    cli: Cli, api: FakeApi, folder: Path
) -> None:
    (folder / "serve.dstack.yml").write_text(SERVICE + "env: [HF_TOKEN]\n")

    done = cli(*RUN)

    assert (done.code, api.seen) == (1, [])
    assert "No value for HF_TOKEN" in done.err


def test_says_that_the_run_changed_since_the_plan(cli: Cli, api: FakeApi) -> None:
    api.plan_changes = {"plan_id": "old"}

    done = cli(*RUN)

    assert done.err == "Error: The run changed since it was planned. Run the command again.\n"


def test_shows_what_was_left_out(cli: Cli, api: FakeApi, folder: Path) -> None:
    for name in ("venv", "web/node_modules", "api/node_modules"):
        (folder / name).mkdir(parents=True)
        (folder / name / "big").symlink_to("/etc/passwd")

    done = cli(*RUN)

    assert done.code == 0
    assert (
        " Left out        node_modules (2), venv (`!NAME/` in .dstackignore brings one back)"
        in done.out.splitlines()
    )
    assert api.bodies("POST", "/runs/plan")[0]["left_out"] == ["node_modules (2)", "venv"]


def test_shows_what_the_plan_warns_of(cli: Cli, api: FakeApi) -> None:
    api.plan_changes = {"warnings": ["aws does not answer"], "offers": [], "total_offers": 0}

    done = cli(*RUN)

    assert " No offer fits now." in done.out
    assert done.err == "Warning: aws does not answer\n"


def test_tells_the_limit_of_the_server_and_the_biggest_files(
    cli: Cli, api: FakeApi, folder: Path
) -> None:
    api.upload_limit_bytes = 10
    (folder / "model.bin").write_bytes(bytes(2000))

    done = cli(*RUN)

    assert done.code == 1
    assert "The upload is larger than 10 bytes." in done.err
    assert "2.0 KB  model.bin" in done.err


def test_has_a_limit_of_its_own(cli: Cli, folder: Path) -> None:
    (folder / "model.bin").write_bytes(bytes(5 * 2**20))

    done = cli.process(*RUN, DSTACK_UPLOAD_LIMIT_MB="1")

    assert done.code == 1
    assert "the limit is 4.0 MB" in done.err


def test_ends_with_its_own_words_when_packing_stops(cli: Cli, folder: Path) -> None:
    (folder / "model.bin").write_bytes(os.urandom(2 * 2**20))

    done = cli.process(*RUN, DSTACK_UPLOAD_LIMIT_MB="1")

    assert [line.split()[0] for line in done.err.splitlines()] == ["Error:", "2.0"]


@pytest.mark.parametrize("limit", ["x", "0", "-1", "1e9", "99999999999"])
def test_refuses_a_limit_that_is_no_number(cli: Cli, limit: str) -> None:
    done = cli.process(*RUN, DSTACK_UPLOAD_LIMIT_MB=limit)

    assert done.code == 1
    assert "number of megabytes" in done.err


def test_waits_for_a_server_that_restarts(cli: Cli, api: FakeApi) -> None:
    api.steps = [replica_step("provisioning")] * 5 + [replica_step("running")]
    process = cli.start(*RUN)
    assert process.stdout
    while "is provisioning" not in process.stdout.readline():
        pass
    api.interruptions = [drop, drop, says(502, "Bad Gateway"), says(503, AWAY)]

    out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == PUBLISHED


def test_leaves_quietly_with_130_on_ctrl_c(cli: Cli, api: FakeApi) -> None:
    api.steps = [replica_step("provisioning")] * 1000
    process = cli.start(*RUN)
    assert process.stdout
    while "is provisioning" not in process.stdout.readline():
        pass

    done = interrupt(process)

    assert (done.code, done.err) == (130, "")


@pytest.mark.parametrize(
    "args",
    [("run", "none"), ("run", "serve.dstack.yml"), ("run", "a\nb"), ("run", "."),
     (*RUN, "--spot", "--on-demand"), (*RUN, "--profile", "none"), (*RUN, "-e", "1=2"),
     ("run", ".", "-f", "-"), (*RUN, "--project", "../../x"), (*RUN, "-e", "\udcff=1"),
     (*RUN, "-e", "A=\udcff"), (*RUN, "-n", "\udcff")],
)  # fmt: skip
def test_ends_with_one_sentence_for_what_it_cannot_use(cli: Cli, args: tuple[str, ...]) -> None:
    done = cli(*args)

    assert done.code == 1
    assert done.err.startswith("Error: ")
    assert len(done.err.splitlines()) == 1
