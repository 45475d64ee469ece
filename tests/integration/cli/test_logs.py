from __future__ import annotations

import json

import pytest

from tests.fakes.api_state import FakeApi, replica_json
from tests.integration.cli.conftest import Cli


def test_prints_raw_lines(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello").log("one", "", "\x1b[31mred\x1b[0m", "a\u2028b\x85c", "日本 \U0001f600")

    done = cli("logs", "hello")

    assert done.code == 0
    assert done.out.split("\n") == [
        "one", "", "\x1b[31mred\x1b[0m", "a\u2028b\x85c", "日本 \U0001f600", "",
    ]  # fmt: skip


def test_numbers_the_lines_of_several_replicas(cli: Cli, api: FakeApi) -> None:
    run = api.add_run("hello", replicas=[replica_json(0), replica_json(1)])
    run.log("a", replica=0)
    run.log("b", replica=1)

    assert cli("logs", "hello").out == "[0] a\n[1] b\n"


def test_does_not_number_the_lines_of_one_replica(cli: Cli, api: FakeApi) -> None:
    run = api.add_run("hello", replicas=[replica_json(0), replica_json(1)])
    run.log("a", replica=0)
    run.log("b", replica=1)

    assert cli("logs", "hello", "--replica", "1").out == "b\n"


def test_filters_at_the_server(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello").log("GET /a", "POST /b", "GET /c?x=$(id)&y")

    assert cli("logs", "hello", "--grep", "$(id)&y").out == "GET /c?x=$(id)&y\n"


def test_prints_the_newest_lines(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello").log("one", "two", "three")

    assert cli("logs", "hello", "--tail", "2").out == "two\nthree\n"
    assert cli("logs", "hello", "--tail", "0").out == ""
    assert cli("logs", "hello", "--tail", "-1").code == 2


def test_follows_from_the_newest_lines_on(cli: Cli, api: FakeApi) -> None:
    run = api.add_run("hello")
    api.break_logs_after = 1
    run.steps = [{}, {}, {}, {"state": "stopped"}]
    run.log("one", "two", "three")

    assert cli("logs", "hello", "-f", "--tail", "2").out == "two\nthree\n"


@pytest.mark.parametrize("flags", [[], ["-f"]])
def test_prints_an_object_a_line(cli: Cli, api: FakeApi, flags: list[str]) -> None:
    run = api.add_run("hello", state="stopped", replicas=[replica_json(0), replica_json(1)])
    run.log("日本 \x1b[0m\n")

    lines = cli("logs", "hello", "--json", *flags).out.splitlines()

    assert [json.loads(line) for line in lines] == run.lines


def test_passes_the_time_on(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello").log("a")

    assert cli("logs", "hello", "--since", "10m").code == 0
    assert api.seen[1].query["since"] == ["600s"]


def test_passes_a_moment_on(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello").log("a")

    assert cli("logs", "hello", "--since", "2030-01-31T12:00:00Z").code == 0
    assert api.seen[1].query["since"] == ["2030-01-31T12:00:00Z"]


def test_refuses_what_is_no_time(cli: Cli) -> None:
    done = cli("logs", "hello", "--since", "yesterday")

    assert done.code == 1
    assert done.err.startswith("Error: --since: expected a duration")


def test_follows_until_the_run_has_ended(cli: Cli, api: FakeApi) -> None:
    run = api.add_run("hello")
    run.steps = [{}, {}, {}, {"state": "stopped"}]
    run.log("one", "two")

    assert cli("logs", "-f", "hello").out == "one\ntwo\n"


def test_goes_on_after_a_broken_connection_without_a_line_twice(cli: Cli, api: FakeApi) -> None:
    api.break_logs_after = 2
    run = api.add_run("hello")
    run.steps = [{}, {}, {}, {}, {"state": "stopped"}]
    run.log("one", "two", "three", "four")

    done = cli("logs", "-f", "hello")

    assert (done.code, done.out) == (0, "one\ntwo\nthree\nfour\n")


def test_says_that_the_log_broke_off_when_it_does_not_follow(cli: Cli, api: FakeApi) -> None:
    api.break_logs_after = 1
    api.add_run("hello").log("one", "two")

    done = cli("logs", "hello")

    assert (done.code, done.out) == (1, "one\n")
    assert done.err.startswith("Error: ")


def test_ends_quietly_when_its_reader_leaves(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello").log(*["x" * 1000] * 2000)
    process = cli.start("logs", "hello")
    assert process.stdout and process.stderr

    process.stdout.readline()
    process.stdout.close()

    assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 1
    process.stderr.close()
