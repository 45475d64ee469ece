"""The commands of the children, and what may be in whose environment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dstack_web.embedded import addresses, children
from dstack_web.embedded.children import Child, Plan
from dstack_web.embedded.home import Home, Secrets
from dstack_web.embedded.servers.postgres import Postgres
from dstack_web.embedded.servers.valkey import Valkey
from dstack_web.front.room import Room

SECRETS = Secrets(
    secret_key="the-secret-key",
    encryption_keys=["the-encryption-key"],
    gateway_token="dsk_g_x",
)
ENVIRON = {
    "PATH": "/usr/bin",
    "AWS_SECRET_ACCESS_KEY": "of-the-user",
    "DSTACK_ADMIN_PASSWORD": "the-password",
    "DSTACK_LOG_LEVEL": "DEBUG",
    "DOCKER_HOST": "unix:///d.sock",
}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    home = Home(tmp_path)
    return Plan(
        home=home,
        addresses=addresses.from_environment({}),
        secrets=SECRETS,
        environ=ENVIRON,
        postgres=Postgres(data=home.folder("pg"), sockets=home.folder("run")),
        valkey=Valkey(folder=home.folder("valkey"), sockets=home.folder("run")),
        static_root=tmp_path,
        sockets=home.folder("run"),
        room=Room(connections=1000, per_address=600),
    )


def named(plan: Plan, name: str) -> Child:
    return next(child for child in children.services(plan) if child.name == name)


@pytest.mark.parametrize("name", ["agent", "front", "gateway"])
def test_who_needs_no_database_gets_nothing_of_the_servers_secrets(plan: Plan, name: str) -> None:
    values = " ".join(named(plan, name).env.values())

    for secret in ("the-secret-key", "the-encryption-key", "postgresql://", "unix:///tmp"):
        assert secret not in values


def test_the_gateways_token_is_named_by_its_file_only(plan: Plan) -> None:
    values = {value for child in children.services(plan) for value in child.env.values()}

    assert "dsk_g_x" not in values


def test_no_child_inherits_what_it_has_no_use_for(plan: Plan) -> None:
    everything = [*children.servers(plan), *children.services(plan)]
    having = {
        child.name: {"of-the-user", "the-password"}.intersection(child.env.values())
        for child in everything
    }

    # Who calls clouds finds the credentials of the server, as their own tools do.
    assert {name: has for name, has in having.items() if has} == {"worker-outside": {"of-the-user"}}


def test_settings_of_the_user_reach_the_server(plan: Plan) -> None:
    assert named(plan, "web").env["DSTACK_LOG_LEVEL"] == "DEBUG"


@pytest.mark.parametrize(
    ("bind", "url"), [("", "http://127.0.0.1:3000"), ("192.0.2.1", "http://192.0.2.1:3000")]
)
def test_the_agent_of_this_machine_does_not_call_the_address_for_others(
    plan: Plan, bind: str, url: str
) -> None:
    outside = {"DSTACK_AGENT_URL": "https://dstack.example"}
    listen = addresses.from_environment({"DSTACK_BIND": bind} | outside)
    env = named(replace(plan, environ=ENVIRON | outside, addresses=listen), "web").env

    assert env["DSTACK_AGENT_URL"] == "https://dstack.example"
    assert env["DSTACK_LOCAL_URL"] == url


def test_who_looks_for_the_container_engine_learns_where_it_is(plan: Plan) -> None:
    ignorant = [child.name for child in children.services(plan) if "DOCKER_HOST" not in child.env]

    assert ignorant == ["front", "gateway"]


def test_no_secret_stands_in_a_command_line(plan: Plan) -> None:
    everything = [*children.servers(plan), *children.services(plan)]
    words = " ".join(word for child in everything for word in child.argv)

    for secret in ("the-secret-key", "the-encryption-key", "dsk_g_x"):
        assert secret not in words


def test_each_queue_has_a_worker(plan: Plan) -> None:
    queues = [
        child.argv[child.argv.index("-Q") + 1]
        for child in children.services(plan)
        if "worker" in child.argv
    ]

    assert queues == ["control", "outside"]
