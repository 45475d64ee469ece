"""Connecting in the browser: the form of a kind, what is wrong with it, and the page of a check."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from apps.backends import queries
from apps.backends.connecting import checks, rows
from apps.backends.connecting.config_form import ANEW
from apps.backends.models import Backend, Check
from apps.core import crypto
from tests import factories
from tests.fakes.aws_cloud import Emulator, Refusal
from tests.people import People, signed_in

SECRET = "wJalrXUtnFEMI/K7MDENG"
FORM = {
    "kind": "aws",
    "name": "prod",
    "creds.type": "access_key",
    "creds.access_key.access_key": "AKIAIOSFODNN7EXAMPLE",
    "creds.access_key.secret_key": SECRET,
    "regions": "us-east-1, eu-west-1",
    "public_ips": "on",
}
TEXT = f"""creds: {{type: access_key, access_key: AKIAIOSFODNN7EXAMPLE, secret_key: {SECRET}}}
regions: [us-east-1]
"""


def address(page: str, *words: object) -> str:
    return reverse(f"backends:{page}", args=["main", *words])


def sent(people: People, form: dict[str, Any], who: str = "alice") -> Any:
    return signed_in(getattr(people, who)).post(address("connect"), form)


def connected(people: People) -> Backend:
    sent(people, {**FORM, "no_check": "on"})
    return queries.named(people.project, "prod")


def test_the_form_has_a_field_for_each_key_and_hides_what_is_secret(people: People) -> None:
    page = signed_in(people.alice).get(address("connect")).content.decode()

    for name in [name for name in FORM if name not in ("kind", "name")]:
        assert f'name="{name}"' in page
    assert 'name="creds.access_key.secret_key" type="password"' in page
    assert "ec2:RunInstances" in page


@pytest.mark.parametrize(
    "form",
    [
        FORM,
        {"kind": "aws", "name": "prod", "text": TEXT},
        {"kind": "aws", "name": "prod", "file": SimpleUploadedFile("aws.yml", TEXT.encode())},
    ],
    ids=["fields", "text", "file"],
)
def test_connects_what_was_checked(people: People, aws: Emulator, form: dict[str, Any]) -> None:
    answer = sent(people, form)

    check = Check.objects.get()
    assert answer["Location"] == address("check", check.pk)
    waiting = signed_in(people.alice).get(answer["Location"]).content.decode()
    assert 'hx-trigger="every 1s"' in waiting
    checks.run(ids=[check.pk])
    shown = signed_in(people.alice).get(answer["Location"]).content.decode()
    assert "prod works, and is connected." in shown and 'hx-trigger="every' not in shown
    assert rows.stored(queries.named(people.project, "prod"))["creds"]["secret_key"] == SECRET


def test_shows_each_problem_with_the_policy_to_paste(people: People, aws: Emulator) -> None:
    aws.faults.refused["RunInstances"] = Refusal("UnauthorizedOperation", 403)
    answer = sent(people, FORM)
    checks.run(ids=[Check.objects.get().pk])

    shown = html.unescape(signed_in(people.alice).get(answer["Location"]).content.decode())

    assert "prod was not connected, and nothing was saved." in shown
    assert "The credentials lack ec2:RunInstances. Allow this:</p>" in shown
    assert '<code>{"Version": "2012-10-17"' in shown
    assert not Backend.objects.exists()


def test_a_check_that_passes_says_that_no_machine_could_call(
    people: People, aws: Emulator, settings: Any
) -> None:
    settings.DSTACK_AGENT_URL = settings.DSTACK_PUBLIC_URL = "http://127.0.0.1:3000"
    answer = sent(people, FORM)
    checks.run(ids=[Check.objects.get().pk])

    shown = signed_in(people.alice).get(answer["Location"]).content.decode()

    assert "prod works, and is connected." in shown
    assert "<li>No machine elsewhere can call this server at http://127.0.0.1:3000" in shown


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"regions": "us-east-1, nowhere"}, "Regions must be the name of a region"),
        ({"creds.access_key.access_key": "x"}, "Access key ID must be the ID of an access key"),
        ({"name": "../x;"}, "Name: use 1 to 32"),
        ({"name": "connect"}, "connect is an address of the dashboard"),
        ({"creds.type": "none"}, "is missing"),
        ({"creds.type": "default"}, "only an admin of this server"),
        ({"text": "{"}, "is no YAML or JSON that can be read"),
        ({"text": SECRET}, "must have keys and values"),
        ({"kind": "nope"}, "There is no backend"),
    ],
)
def test_says_what_is_wrong_where_it_is(people: People, changes: dict[str, str], said: str) -> None:
    answer = sent(people, {**FORM, **changes})

    page = html.unescape(answer.content.decode())
    assert answer.status_code in (403, 422)
    assert said in page
    assert SECRET not in page
    assert not Check.objects.exists()


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404)])
def test_is_for_admins_of_the_project(people: People, who: str, status: int) -> None:
    check = Check.objects.create(project=people.project, kind="aws", name="x", state="passed")

    assert sent(people, FORM, who).status_code == status
    browser = signed_in(getattr(people, who))
    assert browser.get(address("connect")).status_code == status
    assert browser.get(address("check", check.pk)).status_code == status


def test_changes_how_it_is_connected_and_keeps_its_credentials(people: People) -> None:
    backend = connected(people)
    browser, here = signed_in(people.alice), address("backend_config", "prod")
    page = browser.get(here).content.decode()
    assert "us-east-1, eu-west-1" in page and SECRET not in page

    form = {"creds.type": "keep", "regions": "us-west-2", "no_check": "on"}
    assert browser.post(here, form)["Location"] == address("detail", "prod")

    backend.refresh_from_db()
    kept = rows.stored(backend)
    assert (kept["regions"], kept["creds"]["secret_key"]) == (["us-west-2"], SECRET)
    assert kept["public_ips"] is False
    browser.post(here, {**form, "vpc_id": "vpc-0a1b"})
    backend.refresh_from_db()
    assert rows.stored(backend)["vpc_id"] == "vpc-0a1b"
    browser.post(here, {**form, "vpc_id": ""})
    backend.refresh_from_db()
    assert rows.stored(backend)["vpc_id"] is None


def test_shows_machines_and_the_last_errors_of_a_backend(people: People) -> None:
    backend = connected(people)
    factories.instance(people.project, backend=backend, name="alive", price_usd_per_hour=2)
    factories.instance(people.project, backend=backend, state="failed", error="no room in zone a")

    page = signed_in(people.bob).get(address("detail", "prod")).content.decode()

    assert "alive" in page and "no room in zone a" in page and "1 instance, $2/h" in page
    listed = signed_in(people.bob).get(address("list")).content.decode()
    assert "$2/h" in listed


def test_disables_enables_and_deletes(people: People) -> None:
    backend, browser = connected(people), signed_in(people.alice)

    browser.post(address("backend_state", "prod"), {"disabled": "1"})
    assert queries.state_of(queries.named(people.project, "prod")) == "disabled"
    browser.post(address("backend_state", "prod"), {"disabled": "0"})
    assert queries.state_of(queries.named(people.project, "prod")) == "enabled"
    assert browser.post(address("backend_check", "prod")).status_code == 302
    assert backend.checks.get().state == "checking"
    browser.post(address("backend_delete", "prod"))
    assert not queries.backends_of(people.project).exists()


def test_a_project_sees_of_a_shared_backend_its_own_machines_alone(people: People) -> None:
    other = factories.project("other", admin=people.charlie)
    shared = factories.backend(None, kind="aws", name="shared")
    rows.share(shared, for_all=True, shares=[])
    factories.instance(other, backend=shared, name="of-another", error="secret of another")

    for page in ("detail", "list"):
        words = ["shared"] if page == "detail" else []
        shown = signed_in(people.alice).get(address(page, *words)).content.decode()
        assert "another" not in shown
        assert "$0/h" in shown


def test_the_servers_own_are_for_its_admins(people: People) -> None:
    pages = ["/backends/", "/backends/connect/"]

    assert {signed_in(people.root).get(page).status_code for page in pages} == {200}
    assert {signed_in(people.alice).get(page).status_code for page in pages} == {403}
    form = {**FORM, "projects": "main", "no_check": "on"}
    answer = signed_in(people.root).post("/backends/connect/", form)
    assert answer["Location"] == "/backends/prod/"
    assert queries.named(people.project, "prod").project is None
    here = "/backends/prod/config/"
    assert 'value="main"' in signed_in(people.root).get(here).content.decode()
    kept = {"creds.type": "keep", "regions": "us-east-1", "no_check": "on"}
    signed_in(people.root).post(here, {**kept, "projects": "all"})
    assert queries.named_of_server("prod").for_all
    signed_in(people.root).post(here, {**kept, "projects": ""})
    assert not queries.backends_of(people.project).exists()
    assert signed_in(people.root).post(here, {**kept, "projects": "nope"}).status_code == 422


ROLE = {
    "creds.type": "role",
    "creds.role.role_arn": "arn:aws:iam::123456789012:role/ours",
    "creds.role.external_id": SECRET,
}
NETWORK = {"regions": "us-east-1", "vpc_id": "vpc-0a1b", "subnet_ids": "subnet-0a1b, subnet-0a2b"}
TYPED = {
    "keys": {**FORM, "public_ips": ""},
    "network": {**FORM, **NETWORK},
    "text": {"kind": "aws", "name": "prod", "text": TEXT},
    "role of the server": {"kind": "aws", "name": "prod", **ROLE, "projects": "main"},
}


def filled(page: str) -> dict[str, str]:
    """What the form of a page sends as it stands."""
    fields = [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) | {"on": str(" checked" in tag)}
              for tag in re.findall(r"<input [^>]*>", page)]  # fmt: skip
    sent = {}
    for field in fields:
        is_box = field.get("type") in ("radio", "checkbox")
        if "name" in field and (not is_box or field["on"] == "True"):
            sent[field["name"]] = html.unescape(field.get("value", "on"))
    return sent


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED)
def test_trying_again_loses_nothing_that_was_typed_but_secrets(
    people: People, aws: Emulator, typed: dict[str, str]
) -> None:
    aws.faults.refused["RunInstances"] = Refusal("UnauthorizedOperation", 403)
    browser, is_shared = signed_in(people.root), "projects" in typed
    browser.post("/backends/connect/" if is_shared else address("connect"), typed)
    check = Check.objects.get()
    checks.run(ids=[check.pk])
    here = f"/backends/checks/{check.pk}/" if is_shared else address("check", check.pk)
    again = re.findall(r'href="([^"]*)">Try again', browser.get(here).content.decode())

    page = browser.get(html.unescape(again[0])).content.decode()

    told = filled(page)
    wanted = typed if "text" not in typed else {**FORM, "regions": "us-east-1"}
    for name, value in wanted.items():
        assert told.get(name, "") == ("" if value == SECRET else value), name
    assert SECRET not in page and ANEW in page
    check.refresh_from_db()
    assert SECRET not in str(crypto.decrypt(check.typed)) and not check.config


@pytest.mark.parametrize(
    "changes",
    [{"regions": "us-east-1, nowhere"}, {"name": "../x"}, {"public_ips": ""}, {"no_check": "on"}],
)
def test_a_form_that_is_refused_keeps_what_was_typed(
    people: People, changes: dict[str, str]
) -> None:
    typed = {**FORM, "vpc_id": "wrong", **changes}

    told = filled(sent(people, typed).content.decode())

    assert {name: told.get(name, "") for name in typed} == {
        **typed,
        "creds.access_key.secret_key": "",
    }


def test_a_text_that_is_refused_fills_the_fields(people: People) -> None:
    page = sent(people, {"kind": "aws", "text": f"{TEXT}vpc_id: wrong\n"}).content.decode()

    told = filled(page)
    assert (told["creds.access_key.access_key"], told["regions"], told["vpc_id"]) == (
        "AKIAIOSFODNN7EXAMPLE",
        "us-east-1",
        "wrong",
    )
    assert SECRET not in page


def test_what_was_typed_of_a_change_is_there_again_and_forgotten_once_it_works(
    people: People, aws: Emulator
) -> None:
    connected(people)
    browser, here = signed_in(people.alice), address("backend_config", "prod")
    aws.faults.refused["RunInstances"] = Refusal("UnauthorizedOperation", 403)
    browser.post(here, {"creds.type": "keep", "regions": "us-west-2"})
    check = Check.objects.get()
    checks.run(ids=[check.pk])

    told = filled(browser.get(f"{here}?check={check.pk}").content.decode())

    assert (told["creds.type"], told["regions"], told.get("public_ips")) == (
        "keep",
        "us-west-2",
        None,
    )
    assert filled(browser.get(here).content.decode())["regions"] == "us-east-1, eu-west-1"
    aws.faults.refused.clear()
    browser.post(here, told)
    passed = Check.objects.latest("pk")
    checks.run(ids=[passed.pk])
    passed.refresh_from_db()
    assert (passed.state, passed.typed) == ("passed", "")


@pytest.mark.parametrize("check", ["nonsense", "0190a0a0-0000-7000-8000-000000000000"])
def test_a_check_that_is_forgotten_leaves_an_empty_form(people: People, check: str) -> None:
    page = signed_in(people.alice).get(f"{address('connect')}?kind=aws&check={check}")

    assert page.status_code == 200 and ANEW not in page.content.decode()


def test_what_others_typed_is_not_shown(people: People) -> None:
    other = factories.project("other", admin=people.charlie)
    signed_in(people.charlie).post(reverse("backends:connect", args=[other.name]), FORM)
    check = Check.objects.get()

    page = signed_in(people.alice).get(f"{address('connect')}?kind=aws&check={check.pk}")

    assert "AKIAIOSFODNN7EXAMPLE" not in page.content.decode()


def test_what_is_connected_without_a_check_says_that_no_machine_could_call(
    people: People, settings: Any
) -> None:
    settings.DSTACK_AGENT_URL = settings.DSTACK_PUBLIC_URL = "http://127.0.0.1:3000"
    connected(people)

    told = {
        who: signed_in(who).get(address("detail", "prod")).content.decode()
        for who in (people.alice, people.bob)
    }

    said = "No machine elsewhere can call this server"
    assert (said in told[people.alice], said in told[people.bob]) == (True, False)
