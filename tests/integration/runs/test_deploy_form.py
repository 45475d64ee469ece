"""The form of Deploy keeps what was typed and sent, and starts from what runs."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils.html import escape

from apps.accounts.access import Access
from apps.core import crypto
from apps.runs import services
from apps.runs.models import Run, Upload
from apps.runs.planning.request import PlanRequest
from tests import factories
from tests.integration.runs.test_deploy_page import DEPLOY, YAML, preview, zipped
from tests.people import People, signed_in

pytestmark = pytest.mark.usefixtures("local_backend")
TYPED = YAML + "# typed by hand: é <b>\n"


def shown_again(people: People, **sent: Any) -> tuple[int, str]:
    """What the form's own button leads to, without JavaScript's help."""
    answer = signed_in(people.bob).post(DEPLOY, {"configuration": TYPED, **sent})
    return answer.status_code, answer.content.decode()


STALE = {"plan_id": "stale"}


@pytest.mark.parametrize(
    ("wrong", "deployed", "previewed"),
    [
        ({"archive": SimpleUploadedFile("app.zip", b"no archive")}, 422, 422),
        ({"archive": SimpleUploadedFile("app.zip", b"")}, 422, 422),
        ({"yaml_file": SimpleUploadedFile("a.yml", b"\xff\xfe\x00")}, 422, 422),
        ({"upload": "xyz"}, 422, 422),
        ({"upload": "a" * 64}, 404, 404),
        ({"upload": "\0"}, 422, 422),
        ({"draft": "x" * 60}, 422, 422),
        (STALE, 409, 200),
        ({"configuration": TYPED + "replicas: 4..1\n"}, 422, 200),
        ({"configuration": TYPED.replace("port: 8000", "port: ${{ secrets.none }}")}, 422, 200),
    ],
)
@pytest.mark.parametrize("action", ["deploy", "preview"])
def test_keeps_what_was_typed_when_it_is_refused(
    people: People, wrong: dict[str, Any], deployed: int, previewed: int, action: str
) -> None:
    for sent in wrong.values():
        if isinstance(sent, SimpleUploadedFile):
            sent.seek(0)

    status, page = shown_again(people, **{"env.KEY": "v", **wrong, "action": action})

    assert escape(wrong.get("configuration", TYPED)) in page
    assert status == (deployed if action == "deploy" else previewed)
    # A preview is no submit: it asks for no plan.
    assert ("problems-head" in page) == ((wrong, action) != (STALE, "preview"))
    assert not Run.objects.exists()


def test_keeps_values_and_files_when_it_is_refused(people: People) -> None:
    text = YAML + "env: [KEY]\nreplicas: 4..1\n"
    archive = zipped(app_py="print()")

    page = shown_again(
        people, configuration=text, archive=archive, action="deploy", **{"env.KEY": "my value"}
    )[1]

    upload = Upload.objects.get()
    assert f'name="upload" value="{upload.hash}"' in page


def test_tells_of_a_bad_file_and_of_a_bad_text(people: People) -> None:
    archive = SimpleUploadedFile("app.zip", b"no archive")

    page = shown_again(people, configuration=YAML + "replicas: 4..1\n", archive=archive)[1]

    assert "2 problems in the way" in page


def test_an_update_starts_from_what_the_service_was_scaled_to(people: People) -> None:
    run = factories.run(people.project, name="hello", configuration=crypto.encrypt(YAML))
    run.spec["replicas"] = {"min": 3, "max": 3}
    run.desired_replicas = 3
    run.save()

    page = signed_in(people.bob).get(DEPLOY, {"service": "hello"}).content.decode()

    assert "replicas: 3" in page
    assert "was scaled to 3" not in page
    assert "was scaled to 3 replicas" in preview(people, YAML)


OPEN = YAML + "env:\n  - HF_TOKEN\n  - MODE=fast\n"
CANARY = "hf_kept_canary_1"


@pytest.fixture
def kept(people: People) -> Run:
    """A service with a value that another member passed."""
    sent = {"configuration": OPEN, "env.HF_TOKEN": CANARY, "action": "deploy"}
    signed_in(people.alice).post(DEPLOY, sent)
    return Run.objects.get()


def env_now() -> Any:
    return crypto.decrypt(Run.objects.order_by("pk").last().secrets)["env"]  # type: ignore[union-attr]


# What one may do to the text to have the value shown: none may.
CURIOUS = {
    "same": OPEN,
    "changed": OPEN + "replicas: 2\n",
    "broken": OPEN + "replicas: 4..1\n",
    "probe": OPEN + "probes: [{type: http, url: '/${{ env.HF_TOKEN }}'}]\n",
    "registry": OPEN
    + "registry_auth: {username: '${{ env.HF_TOKEN }}', password: '${{ env.HF_TOKEN }}'}\n"
    + "image: busybox\n",
    "variable": OPEN + "  - COPY=${{ env.HF_TOKEN }}\n",
    "command": OPEN.replace("python3 -m", "echo ${{ env.HF_TOKEN }}; python3 -m"),
    "name": OPEN.replace("name: hello", "name: ${{ env.HF_TOKEN }}"),
    "other name": OPEN.replace("name: hello", "name: other"),
    "no name": OPEN.replace("name: hello\n", ""),
}


@pytest.mark.parametrize("text", CURIOUS.values(), ids=CURIOUS)
@pytest.mark.parametrize("action", ["preview", "deploy", ""])
def test_never_carries_a_kept_value(people: People, kept: Run, text: str, action: str) -> None:
    client = signed_in(people.bob)
    sent = {"configuration": text, "draft": "hello", "action": action}

    answers = [client.post(DEPLOY, sent | more) for more in ({}, {"env.HF_TOKEN": ""})]
    answers += [
        client.post(DEPLOY, sent | {"plan_id": "stale"}),
        client.post(DEPLOY, sent | {"archive": SimpleUploadedFile("a.zip", b"junk")}),
        signed_in(people.bob, htmx="plan").post(DEPLOY, sent),
    ]

    assert [answer for answer in answers if CANARY in answer.content.decode()] == []


def test_no_page_and_no_answer_carries_a_kept_value(people: People, kept: Run) -> None:
    client, name = signed_in(people.bob), "/projects/main/services/hello/"
    sent = {"configuration": CURIOUS["probe"], "action": "deploy", "service": "hello"}
    client.post(DEPLOY, sent)
    pages = [f"{DEPLOY}?service=hello", "/projects/main/services/", name]
    pages += [f"{name}{tab}/" for tab in ("configuration", "versions", "events", "replicas")]

    shown = {path: client.get(path) for path in pages}

    api = "/api/projects/main/runs/hello"
    caller = Client(headers=factories.token(people.bob).headers)
    for path in (api, f"{api}/versions", f"{api}/events"):
        shown[path] = caller.get(path)
    for path in (f"{api}/rollback", f"{api}/rollback"):
        shown[path] = caller.post(path, {}, content_type="application/json")
    body = {"configuration": YAML, "name": "hello"}
    shown["plan"] = caller.post(
        "/api/projects/main/runs/plan", body, content_type="application/json"
    )
    assert {path: one.status_code for path, one in shown.items() if one.status_code != 200} == {}
    assert [path for path, one in shown.items() if CANARY in one.content.decode()] == []


def test_says_that_a_value_is_kept(people: People, kept: Run) -> None:
    page = signed_in(people.bob).get(f"{DEPLOY}?service=hello").content.decode()

    assert 'placeholder="(kept)"' in page
    assert "nothing differs" in page
    assert 'name="env.MODE"' not in page


@pytest.mark.parametrize("named", [True, False])
def test_an_empty_field_keeps_the_value_and_typing_replaces_it(
    people: People, kept: Run, named: bool
) -> None:
    text = OPEN + "replicas: 2\n"
    text = text if named else text.replace("name: hello\n", "")
    sent = {"configuration": text, "draft": "hello", "env.HF_TOKEN": "", "action": "deploy"}
    sent["service"] = "hello"
    if not named:
        sent["plan_id"] = services.plan(
            access=Access(user=people.bob),
            project=people.project,
            request=PlanRequest(OPEN, env={"HF_TOKEN": CANARY}),
        ).plan_id

    assert "data-blocked" not in preview(people, text, draft="hello")
    signed_in(people.bob).post(DEPLOY, sent)
    assert env_now() == {"HF_TOKEN": CANARY, "MODE": "fast"}

    again = {**sent, "configuration": OPEN, "env.HF_TOKEN": "new", "plan_id": ""}
    signed_in(people.bob).post(DEPLOY, again)
    assert env_now() == {"HF_TOKEN": "new", "MODE": "fast"}


def test_another_name_and_another_project_keep_nothing(people: People, kept: Run) -> None:
    other = factories.project("other", admin=people.bob)
    asked = preview(people, OPEN.replace("name: hello", "name: second"))
    client = signed_in(people.bob)

    there = client.post("/projects/other/deploy/", {"configuration": OPEN}).content.decode()

    assert other.pk != people.project.pk
    assert [("(kept)" in page, "data-blocked" in page) for page in (asked, there)] == [
        (False, True),
        (False, True),
    ]


def test_deploys_an_unchanged_service_again_when_asked(people: People, kept: Run) -> None:
    client = signed_in(people.bob)
    sent = {"configuration": OPEN, "env.HF_TOKEN": "", "service": "hello"}
    shown = client.post(DEPLOY, sent | {"action": "preview"}).content.decode()
    new = client.post(DEPLOY, sent | {"configuration": OPEN.replace("hello", "other")})

    client.post(DEPLOY, sent | {"action": "deploy"})
    unchanged = Run.objects.get(pk=kept.pk).version
    client.post(DEPLOY, sent | {"action": "redeploy"})

    assert "Deploy again" in shown
    assert "Deploy again" not in new.content.decode()
    assert (unchanged, Run.objects.get(pk=kept.pk).version) == (1, 2)
    assert env_now() == {"HF_TOKEN": CANARY, "MODE": "fast"}


@pytest.mark.parametrize(("draft", "status"), [("\0", 422), ("x" * 3000, 422), ("no such", 200)])
def test_an_odd_name_keeps_nothing(people: People, kept: Run, draft: str, status: int) -> None:
    sent = {"configuration": OPEN.replace("name: hello\n", ""), "draft": draft}

    answer = signed_in(people.bob).post(DEPLOY, sent)

    assert answer.status_code == status
    assert "(kept)" not in answer.content.decode()
