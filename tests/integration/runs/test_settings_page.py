"""The Settings tab: each section changes the service's file, as an update by YAML does."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from apps.accounts.access import Access
from apps.core import crypto
from apps.core.models import Event
from apps.runs import services
from apps.runs.models import Run
from apps.runs.planning.request import PlanRequest
from tests import factories
from tests.commented_service import TEXT
from tests.people import People, signed_in

pytestmark = pytest.mark.usefixtures("local_backend")
SETTINGS = "/projects/main/services/hello/settings/"
MORE = """\
max_concurrency: 4
hold: {timeout: 30, max_requests: 5}
rate_limits:
- rps: 5
- {rps: 0.5, prefix: /v1, burst: 3, key: {type: header, header: X}}
retry: {on_events: [error], duration: 1h}
max_duration: 8h
stop_duration: off
max_price: 1.50
schedule: {cron: ['0 8 * * *', '0 9 * * 1'], timezone: Europe/Berlin}
"""
FIXED = TEXT.partition("\nreplicas")[0]


def deployed(people: People, text: str = TEXT, **more: Any) -> Run:
    asked = PlanRequest(configuration=text, **more)
    access = Access(user=people.alice)
    return services.submit(access=access, project=people.project, request=asked)


def now(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def file_of(run: Run) -> str:
    text: str = crypto.decrypt(now(run).configuration)
    return text


def fields(page: str, section: str) -> dict[str, Any]:
    """What a browser would send of a section as it stands on the page."""
    part = page.partition(f'action="{SETTINGS}{section}/#{section}"')[2].partition("</form>")[0]
    found: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", part):
        attrs = {name: html.unescape(value) for name, value in re.findall(r'(\w+)="([^"]*)"', tag)}
        if attrs.get("type") == "checkbox" and " checked" not in tag:
            continue
        unsaid = "on" if attrs.get("type") == "checkbox" else ""
        found.setdefault(attrs["name"], []).append(attrs.get("value", unsaid))
    for name, inside in re.findall(r'<select name="(\w+)".*?>(.*?)</select>', part, re.DOTALL):
        chosen = re.search(r'value="(\w*)" selected', inside)
        found[name] = [chosen[1] if chosen else ""]
    for name, inside in re.findall(r'<textarea name="(\w+)".*?>(.*?)</textarea>', part, re.DOTALL):
        found[name] = [html.unescape(inside).removeprefix("\n").replace("\n", "\r\n")]
    found.pop("csrfmiddlewaretoken", None)
    return found


def problems(answer: Any) -> list[str]:
    page = html.unescape(answer.content.decode())
    return re.findall(r'field-error".*?</p>|data-tone="red".*?</p>', page, re.DOTALL)


def sent(people: People, section: str, page: str = "", **typed: Any) -> Any:
    """Fill a section in, as it stands on `page` or on a fresh one, and send it."""
    client = signed_in(people.bob)
    page = page or client.get(SETTINGS).content.decode()
    data = {**fields(page, section), **typed}
    return client.post(f"{SETTINGS}{section}/", {k: v for k, v in data.items() if v is not None})


def saved(people: People, section: str, **typed: Any) -> None:
    """Save a section; confirm it where that is asked for."""
    answer = sent(people, section, **typed)
    if answer.status_code == 200:
        answer = sent(people, section, answer.content.decode())
    assert answer.status_code == 302, problems(answer)
    assert answer["Location"] == f"{SETTINGS}#{section}"


def test_a_change_is_a_version_as_any_other(people: People) -> None:
    run = deployed(people)

    saved(people, "scaling", target="12.5")

    assert file_of(run) == TEXT.replace("target: 10", "target: 12.5")
    assert now(run).version == 2
    told = Event.objects.get(run_id=run.pk, state_machine="version")
    assert (told.actor, told.reason) == ("bob", "updated to version 2: scaling.target")


def test_a_page_that_is_sent_as_it_stands_changes_nothing(people: People) -> None:
    run = deployed(people, TEXT + MORE)
    page = signed_in(people.bob).get(SETTINGS).content.decode()
    sections = re.findall(rf'action="{SETTINGS}([a-z-]+)/#', page)

    for section in sections:
        answer = sent(people, section, page)
        assert answer.status_code == 302, problems(answer)

    assert len(sections) == 7
    assert (now(run).version, file_of(run)) == (1, TEXT + MORE)


def test_a_range_becomes_a_number_without_scaling(people: People) -> None:
    run = deployed(people)

    page = sent(people, "scaling", replicas="1", metric="").content.decode()
    assert now(run).version == 1
    # What it says about the measure goes with it.
    assert "A comment of what changes will go." in page
    assert sent(people, "scaling", page).status_code == 302

    assert file_of(run) == TEXT.partition("scaling:")[0].replace("1..2", "1")


@pytest.mark.parametrize(
    ("section", "typed", "field", "said"),
    [
        ("scaling", {"replicas": "4..1"}, "scaling-replicas", "4..1"),
        ("rate-limits", {"rps_1": "many"}, "rate-limits-rps_1", "many"),
        ("retry", {"retry": "on", "events": []}, "retry-events", "at least one"),
        ("schedule", {"cron": "8 o'clock"}, "schedule-cron", "five fields"),
    ],
)
def test_a_wrong_value_is_said_at_its_field(
    people: People, section: str, typed: dict[str, Any], field: str, said: str
) -> None:
    run = deployed(people)

    answer = sent(people, section, **typed)

    page = html.unescape(answer.content.decode())
    part = page.partition(f'action="{SETTINGS}{section}/#{section}"')[2].partition("</form>")[0]
    error = re.search(rf'id="{field}_error"[^>]*>(.*?)</p>', part, re.DOTALL)
    assert answer.status_code == 422
    assert error is not None, problems(answer)
    assert said in re.sub("<[^>]+>", "", error[1])
    kept = fields(answer.content.decode(), section)
    assert {key: kept.get(key, [""])[0] for key in typed if typed[key]} == {
        key: value for key, value in typed.items() if value
    }
    assert (now(run).version, file_of(run)) == (1, TEXT)


def test_says_what_it_costs_before_and_does_it_when_sent_again(people: People) -> None:
    run = deployed(people)

    page = sent(people, "scaling", replicas="2..2", metric="").content.decode()

    assert now(run).version == 1
    assert "It starts 1 more replica, which costs" in page
    assert 'data-kind="old"' in page
    # Other values are asked about again.
    page = sent(people, "scaling", page, replicas="2..3", metric="rps").content.decode()
    assert (now(run).version, "Save all the same" in page) == (1, True)
    assert sent(people, "scaling", page).status_code == 302
    assert now(run).spec["replicas"] == {"min": 2, "max": 3}


def test_says_that_anyone_could_call_it(people: People) -> None:
    run = deployed(people)

    page = sent(people, "access", auth=None).content.decode()

    assert "without a token" in page
    assert now(run).spec["auth"] is True


def test_shows_a_file_that_must_be_written_anew(people: People) -> None:
    run = deployed(people, "x-most: &most 1\n" + FIXED + "\nmax_concurrency: *most\n")

    page = sent(people, "requests", concurrency="7").content.decode()
    assert "written anew, without its comments" in page
    assert now(run).version == 1
    assert sent(people, "requests", page).status_code == 302

    spec = now(run).spec
    assert spec["max_concurrency"] == 7
    assert spec["commands"] == ["python3 -m http.server $PORT"]


def test_keeps_what_was_passed_beside_the_file(people: People) -> None:
    text = TEXT + "env:\n  - SECRET\n"
    run = deployed(people, text, env={"SECRET": "s3cret", "OTHER": "x"})

    saved(people, "requests", concurrency="4")

    assert crypto.decrypt(now(run).secrets)["env"] == {"SECRET": "s3cret", "OTHER": "x"}
    assert file_of(run) == text + "\nmax_concurrency: 4\n"


def test_warns_of_what_a_flag_said(people: People) -> None:
    run = deployed(people, overrides={"max_price": 3})

    page = sent(people, "requests", concurrency="4").content.decode()

    assert "This also changes max_price" in page
    assert now(run).version == 1


def test_keeps_the_replicas_that_it_was_scaled_to(people: People) -> None:
    run = deployed(people, FIXED)
    services.scale(access=Access(user=people.alice), run=run, replicas="2")

    saved(people, "requests", concurrency="4")

    assert now(run).spec["replicas"] == {"min": 2, "max": 2}
    assert file_of(run) == f"{FIXED}\nreplicas: 2\n\nmax_concurrency: 4\n"


def test_refuses_what_was_made_of_another_version(people: People) -> None:
    run = deployed(people)
    page = signed_in(people.bob).get(SETTINGS).content.decode()
    saved(people, "scaling", target="30")

    answer = sent(people, "scaling", page, target="20", window="2m")

    again = answer.content.decode()
    assert answer.status_code == 409
    assert "changed since this page was opened (it is at version 2)" in again
    assert "Target of each replica: 30; Measured over: 1m" in again
    assert fields(again, "scaling")["target"] == ["20"]
    assert now(run).spec["scaling"]["target"] == 30
    # Whoever has seen it saves again.
    assert sent(people, "scaling", again).status_code == 302
    assert now(run).spec["scaling"]["target"] == 20


@pytest.mark.parametrize("state", ["stopping", "failed"])
def test_what_is_over_is_only_read(people: People, state: str) -> None:
    run = deployed(people)
    page = signed_in(people.bob).get(SETTINGS).content.decode()
    Run.objects.filter(pk=run.pk).update(state=state)

    over = signed_in(people.bob).get(SETTINGS).content.decode()
    answer = sent(people, "access", page, auth=None)

    assert over.count('<fieldset class="settings-fields" disabled>') == 7
    assert ">Save<" not in over
    assert ('name="typed"' in over) is (state != "stopping")
    assert answer.status_code == 409
    assert f"hello is {state}: deploy it again instead." in answer.content.decode()


def test_scales_within_the_range_and_stays_there(people: People) -> None:
    run = deployed(people)
    client = signed_in(people.bob)
    scale = "/projects/main/services/hello/scale/"

    refused = client.post(scale, {"replicas": "9", "back": "settings"})
    done = client.post(scale, {"replicas": "0..2", "back": "settings"})

    page = refused.content.decode()
    assert refused.status_code == 422
    assert 'id="now-problem"' in page
    assert 'id="danger"' in page
    assert (done.status_code, done["Location"]) == (302, SETTINGS)
    assert now(run).version == 1


def test_deletes_only_by_its_name(people: People) -> None:
    run = deployed(people)
    Run.objects.filter(pk=run.pk).update(state="stopped")
    client = signed_in(people.bob)
    delete = "/projects/main/services/hello/delete/"

    refused = client.post(delete, {"typed": "helo"})
    page = refused.content.decode()
    assert (refused.status_code, "Type hello to delete it." in page) == (422, True)
    assert 'value="helo"' in page
    assert now(run).deleted_at is None

    assert client.post(delete, {"typed": "hello"}).status_code == 302
    assert now(run).deleted_at is not None


def test_shows_ones_own_keys_that_may_call_it(people: People) -> None:
    deployed(people)
    factories.token(people.bob, name="for hello", project=people.project, run_names=["hello"])
    factories.token(people.bob, name="for others", project=people.project, run_names=["other"])
    factories.token(people.bob, name="elsewhere", project=factories.project("else"))
    factories.token(people.alice, name="of alice")
    factories.token(people.bob, name="for all")

    page = signed_in(people.bob).get(SETTINGS).content.decode()

    names = re.findall(r'<li><span class="wrap">(.*?)</span>', page)
    assert names == ["for all", "for hello"]


def test_no_such_section(people: People) -> None:
    deployed(people)

    assert signed_in(people.bob).post(f"{SETTINGS}nothing/").status_code == 404
