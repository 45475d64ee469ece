"""A backend comes to be once its check has passed; a check that finds something saves nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.backends import queries, services
from apps.backends.connecting import checks, requests, retention, rows
from apps.backends.connecting.requests import NewBackend
from apps.backends.models import Backend, Check
from apps.core import crypto
from apps.core.errors import AppError, Conflict, Forbidden, Invalid
from tests import factories
from tests.fakes.aws_cloud import Emulator, Refusal
from tests.people import People

SECRET = "wJalrXUtnFEMI/K7MDENG"
KEYS = {"type": "access_key", "access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": SECRET}
CONFIG: dict[str, Any] = {"creds": KEYS, "regions": ["us-east-1"]}


def asked(people: People, who: str = "alice", *, check: bool = True, **new: Any) -> Any:
    wanted = {"kind": "aws", "config": CONFIG, "project": people.project, **new}
    access = Access(user=getattr(people, who))
    return requests.connect(access=access, new=NewBackend(**wanted), check=check)


def changed(people: People, backend: Backend, **config: Any) -> Any:
    access = Access(user=people.alice)
    return requests.reconnect(access=access, backend=backend, config=config)


def connected(people: People, **new: Any) -> Backend:
    made = asked(people, check=False, **new)
    assert isinstance(made, Backend)
    return made


def test_is_connected_once_its_check_has_passed(people: People, aws: Emulator) -> None:
    aws.faults.quotas = {"L-1216C47A": 32.0, "L-DB2E81BA": 0.0}
    check = asked(people, name="prod")
    assert not queries.backends_of(people.project).exists()
    assert SECRET not in check.config

    checks.run(ids=[check.pk])

    check.refresh_from_db()
    backend = queries.named(people.project, "prod")
    assert (check.state, check.problems, check.config, check.backend) == ("passed", [], "", backend)
    assert crypto.decrypt(backend.config)["creds"] == KEYS
    assert rows.shown(backend)["regions"] == ["us-east-1"]
    assert SECRET not in str(rows.shown(backend))
    assert check.facts[0].startswith("Account 123456789012, as arn:aws:")
    assert check.facts[1:] == ["us-east-1: vCPUs on demand at once: Standard 32, G and VT 0."]


def test_is_not_connected_where_something_is_missing(people: People, aws: Emulator) -> None:
    aws.faults.refused["RunInstances"] = Refusal("UnauthorizedOperation", 403)
    check = asked(people)

    checks.run(ids=[check.pk])

    check.refresh_from_db()
    [problem] = check.problems
    assert (check.state, check.config, check.facts) == ("problems", "", [])
    assert "lack ec2:RunInstances" in problem["message"]
    assert '"ec2:RunInstances"' in problem["policy"]
    assert not Backend.objects.exists()


def test_says_so_where_the_cloud_cannot_be_asked(people: People, aws: Emulator) -> None:
    aws.faults.is_away = True
    check = asked(people)

    checks.run(ids=[check.pk])

    check.refresh_from_db()
    assert check.state == "problems"
    assert not Backend.objects.exists()
    assert SECRET not in str(check.problems)


def test_a_check_that_runs_twice_connects_once(people: People, aws: Emulator) -> None:
    check = asked(people)

    checks.run(ids=[check.pk, check.pk])
    checks.run(ids=[check.pk])

    assert Backend.objects.count() == 1


def test_a_name_that_was_taken_meanwhile_is_a_problem(people: People, aws: Emulator) -> None:
    check = asked(people)
    first = connected(people)

    checks.run(ids=[check.pk])

    check.refresh_from_db()
    assert (check.state, check.config) == ("problems", "")
    assert "has a backend aws already" in check.problems[0]["message"]
    assert [backend.pk for backend in Backend.objects.all()] == [first.pk]


def test_changes_how_it_is_connected_once_that_was_checked(people: People, aws: Emulator) -> None:
    backend = connected(people)

    check = changed(people, backend, regions=["eu-west-1", "us-west-2"])
    assert rows.stored(backend)["regions"] == ["us-east-1"]
    checks.run(ids=[check.pk])

    backend.refresh_from_db()
    kept = rows.stored(backend)
    assert (kept["regions"], kept["creds"]) == (["eu-west-1", "us-west-2"], KEYS)


def test_keeps_how_it_is_connected_where_the_change_would_not_do(
    people: People, aws: Emulator
) -> None:
    backend = connected(people)
    check = changed(people, backend, regions=["us-east-1", "xx-nowhere-1"])

    checks.run(ids=[check.pk])

    check.refresh_from_db()
    backend.refresh_from_db()
    assert "AWS has no region xx-nowhere-1" in check.problems[0]["message"]
    assert rows.stored(backend)["regions"] == ["us-east-1"]


def test_a_check_of_what_is_connected_changes_nothing(people: People, aws: Emulator) -> None:
    backend = connected(people)
    before = backend.config
    alice = Access(user=people.alice)
    check = requests.check(access=alice, backend=backend)
    assert requests.check(access=alice, backend=backend).pk == check.pk

    checks.run(ids=[check.pk])

    backend.refresh_from_db()
    check.refresh_from_db()
    assert (check.state, backend.config) == ("passed", before)
    last = queries.last_check(backend)
    assert last is not None and last.pk == check.pk


def test_says_so_where_the_backend_was_deleted_meanwhile(people: People, aws: Emulator) -> None:
    backend = connected(people)
    check = requests.check(access=Access(user=people.alice), backend=backend)
    services.delete(access=Access(user=people.alice), backend=backend)
    services.forget(backend)

    checks.run(ids=[check.pk])

    check.refresh_from_db()
    assert "was deleted" in check.problems[0]["message"]


@pytest.mark.parametrize(
    ("who", "config", "project", "may"),
    [
        ("alice", CONFIG, True, True),
        ("bob", CONFIG, True, False),
        ("root", CONFIG, True, True),
        ("alice", {}, True, False),
        ("alice", {"creds": {"type": "default"}}, True, False),
        (
            "alice",
            {"creds": {"type": "role", "role_arn": "arn:aws:iam::123456789012:role/x"}},
            True,
            False,
        ),
        ("root", {}, True, True),
        ("alice", CONFIG, False, False),
        ("root", CONFIG, False, True),
    ],
)
def test_who_may_connect_with_what(
    people: People, who: str, config: dict[str, Any], project: bool, may: bool
) -> None:
    where = people.project if project else None
    if may:
        assert asked(people, who, config=config, project=where).state == "checking"
        return
    with pytest.raises(Forbidden):
        asked(people, who, config=config, project=where)
    assert not Check.objects.exists()


def test_nobody_else_changes_what_acts_for_the_server(people: People) -> None:
    backend = asked(people, "root", config={"regions": ["us-east-1"]}, check=False)

    with pytest.raises(Forbidden, match="those of the server itself"):
        changed(people, backend, regions=["us-west-2"])


@pytest.mark.parametrize(
    "name",
    ["../aws", "aws;rm -rf /", "Ä", "AWS", "a" * 33, "a b", "-a", "a-", "a\0b", "a\n", "$(id)"],
)
def test_refuses_what_is_no_name(people: People, name: str) -> None:
    with pytest.raises(Invalid, match="name: use 1 to 32"):
        asked(people, name=name)


def test_refuses_the_name_of_another_kind_and_one_that_is_taken(people: People) -> None:
    connected(people)
    with pytest.raises(Invalid, match="local is a kind of backends"):
        asked(people, name="local")
    with pytest.raises(Conflict, match="has a backend aws already"):
        asked(people)
    assert connected(people, name="second").name == "second"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"creds": SECRET}, "creds must have keys and values"),
        (
            {"creds": {"type": SECRET}},
            "creds has no such `type`; there is: 'access_key', 'default', 'role'",
        ),
        ({"creds": {"secret_key": SECRET}}, "creds is missing: say which `type` it is"),
        ({"creds": {**KEYS, "secret_key": 7}}, "wrong: creds.secret_key must be text"),
        ({"creds": {**KEYS, "secret_key": "short"}}, "wrong: creds.secret_key is too short"),
        ({"creds": {**KEYS, "access_key": SECRET}}, "wrong: creds.access_key must be the ID of"),
        ({"creds": {"type": "role"}}, "wrong: creds.role_arn is missing"),
        ({"creds": {**KEYS, "x": 1}}, "wrong: creds.x there is no such key"),
        (
            {**CONFIG, "regions": ["us-east-1; rm"]},
            "regions.0 must be the name of a region, such as us-east-1",
        ),
        ({**CONFIG, "regions": {"a": SECRET}}, "regions must be a list"),
        ({**CONFIG, "regions": [1]}, "regions.0 must be text"),
        (
            {**CONFIG, "regions": ["x" * 100_000]},
            "regions.0 must be the name of a region, such as us-east-1",
        ),
        ({**CONFIG, "vpc_id": "vpc-1", "regions": []}, "name exactly one in regions"),
        ({**CONFIG, "endpoint_url": "http://169.254.169.254"}, "endpoint_url there is no such key"),
        ({**CONFIG, "regions": ["us-east-1"] * 101}, "regions has too many entries"),
        ({"creds": {**KEYS, "secret_key": SECRET * 100}}, "is too long"),
        ({**CONFIG, "public_ips": SECRET}, "public_ips must be true or false"),
        ({**CONFIG, "x\n\x1b[31m" + "y" * 500: 1}, "there is no such key"),
    ],
)
def test_says_what_is_wrong_and_never_a_secret(
    people: People, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        asked(people, config=config)

    text = refused.value.message + str(refused.value.details)
    assert said in text
    assert SECRET not in text
    assert len(refused.value.message) < 600
    assert refused.value.message.isprintable()


@pytest.mark.parametrize("text", ["us-east-1,eu-west-1", "us-east-1, eu-west-1"])
def test_takes_a_list_as_text_with_commas(people: People, text: str) -> None:
    backend = connected(people, config={**CONFIG, "regions": text})

    assert rows.stored(backend)["regions"] == ["us-east-1", "eu-west-1"]


def test_takes_each_region_once(people: People) -> None:
    """Each one costs a check some calls."""
    backend = connected(people, config={**CONFIG, "regions": ["us-east-1"] * 50})

    assert rows.stored(backend)["regions"] == ["us-east-1"]


def test_refuses_more_checks_at_once_than_a_project_may_have(people: People) -> None:
    for number in range(requests.MOST_CHECKS_AT_ONCE):
        asked(people, name=f"cloud-{number}")

    with pytest.raises(Conflict, match="checks are under way"):
        asked(people, name="another")


def test_the_last_check_of_a_backend_is_kept(people: People) -> None:
    backend = connected(people)
    old = timezone.now() - timedelta(days=2)
    for number in range(3):
        Check.objects.create(
            backend=backend,
            kind="aws",
            name=f"c{number}",
            state="passed",
            next_check_at=None,
            state_at=old,
        )
    Check.objects.create(
        kind="aws", name="never", state="problems", next_check_at=None, state_at=old
    )

    retention.prune(at=timezone.now())

    assert [check.name for check in Check.objects.all()] == ["c2"]


SHARED: dict[str, Any] = {"project": None, "name": "ours"}


def test_a_backend_of_the_server_is_seen_by_those_it_is_shared_with(people: People) -> None:
    other = factories.project("other", admin=people.charlie)
    backend = asked(people, "root", check=False, shares=["main"], **SHARED)

    assert queries.named(people.project, "ours") == backend
    assert not queries.backends_of(other).exists()
    root = Access(user=people.root)
    requests.share(access=root, backend=backend, for_all=True, names=[])
    assert queries.backends_of(other).exists()
    requests.share(access=root, backend=backend, for_all=False, names=[])
    assert not queries.backends_of(people.project).exists()


def test_a_name_means_one_backend_in_a_project(people: People) -> None:
    ours = asked(people, "root", check=False, for_all=True, **SHARED)
    with pytest.raises(Conflict, match="has a backend ours already"):
        asked(people, name="ours")
    requests.share(access=Access(user=people.root), backend=ours, for_all=False, names=[])
    mine = connected(people, name="ours")
    with pytest.raises(Conflict, match="Project main has a backend ours of its own"):
        requests.share(access=Access(user=people.root), backend=ours, for_all=True, names=[])
    # Should both come to be at the same moment, it is the project's own.
    rows.share(ours, for_all=True, shares=[])
    assert list(queries.backends_of(people.project)) == [mine]


@pytest.mark.parametrize("name", ["nope", "other\0", "Ä"])
def test_is_shared_with_projects_that_there_are(people: People, name: str) -> None:
    with pytest.raises(Invalid, match="there is no project"):
        asked(people, "root", shares=[name], **SHARED)


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_backend_of_the_server_is_its_admins_alone(people: People, who: str) -> None:
    backend = asked(people, "root", check=False, for_all=True, **SHARED)
    access = Access(user=getattr(people, who))
    verbs: list[Any] = [
        lambda: requests.check(access=access, backend=backend),
        lambda: requests.reconnect(access=access, backend=backend, config={}),
        lambda: services.set_disabled(access=access, backend=backend, disabled=True),
        lambda: services.delete(access=access, backend=backend),
        lambda: requests.share(access=access, backend=backend, for_all=False, names=[]),
    ]

    for verb in verbs:
        with pytest.raises(AppError, match="admin of this server"):
            verb()
