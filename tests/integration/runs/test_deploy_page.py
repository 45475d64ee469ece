from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.html import escape

from apps.core import crypto
from apps.runs.models import Run, Upload
from apps.runs.starters import STARTERS
from tests import factories
from tests.people import People, signed_in

pytestmark = pytest.mark.usefixtures("local_backend")
DEPLOY = "/projects/main/deploy/"
YAML = "type: service\nname: hello\ncommands:\n  - python3 -m http.server $PORT\nport: 8000\n"


def preview(people: People, configuration: str, **more: Any) -> str:
    client = signed_in(people.bob, htmx="plan")
    page: str = client.post(DEPLOY, {"configuration": configuration, **more}).content.decode()
    return page


def marks(page: str) -> list[dict[str, Any]]:
    found = re.search(r'data-marks="([^"]*)"', page)
    assert found is not None
    listed: list[dict[str, Any]] = json.loads(
        found[1].replace("&quot;", '"').replace("&#x27;", "'")
    )
    return listed


def zipped(**files: str) -> SimpleUploadedFile:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), text)
    return SimpleUploadedFile("app.zip", buffer.getvalue())


def test_shows_what_will_happen(people: People) -> None:
    page = preview(people, YAML)

    assert "http://hello.localhost:8080" in page
    assert "$0/h" in page
    assert "data-blocked" not in page
    assert "<html" not in page


def test_names_each_problem_with_its_line(people: People) -> None:
    page = preview(people, YAML + "replicas: 4..1\nresorces: 3\n")

    assert [mark["line"] for mark in marks(page)] == [6, 7]
    assert "2 problems in the way" in page
    assert "data-blocked" in page


def test_says_which_shell_runs_the_commands(people: People) -> None:
    assert "<dt>Shell</dt><dd>bash</dd>" in preview(people, YAML)
    assert "<dt>Shell</dt><dd>/bin/zsh</dd>" in preview(people, YAML + "shell: /bin/zsh\n")
    assert "<dt>Shell</dt>" not in preview(people, YAML + "entrypoint: cowsay\n")


def test_marks_the_line_that_the_shell_cannot_read(people: People) -> None:
    page = preview(people, "type: service\nport: 1\ncommands:\n- |\n  echo\n  fi\n- serve\n")

    assert [(mark["line"], mark["message"][:33]) for mark in marks(page)] == [
        (6, "commands[0]: bash cannot read it:")
    ]
    assert "data-blocked" in page


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\t",
        "a: [",
        "- 1",
        "&a [*a]",
        "type: task",
        "\ufffe",
        "\x01",
        "x" * 100_000,
        "<script>alert(1)</script>",
        "name: $(rm -rf /)\n" + YAML,
        "port: 65536\n" + YAML.replace("port: 8000\n", ""),
    ],
)
def test_answers_any_text_with_words(people: People, text: str) -> None:
    page = preview(people, text)

    assert "problem" in page
    assert "<script" not in page


def test_asks_for_values_that_the_file_leaves_open(people: People) -> None:
    open_yaml = YAML + "env:\n  - HF_TOKEN\n"

    asked = preview(people, open_yaml)
    answered = preview(people, open_yaml, **{"env.HF_TOKEN": "secret"})

    assert 'name="env.HF_TOKEN"' in asked
    assert "data-blocked" in asked
    assert "data-blocked" not in answered


def test_deploys_and_leads_to_the_service(people: People) -> None:
    sent = {"configuration": YAML, "action": "deploy"}

    answer = signed_in(people.bob).post(DEPLOY, sent)

    run = Run.objects.get()
    assert answer["Location"] == "/projects/main/services/hello/"
    assert (run.name, run.user, run.state) == ("hello", people.bob, "submitted")


def test_gives_the_values_to_the_run(people: People) -> None:
    sent = {"configuration": YAML + "env: [TOKEN]\n", "env.TOKEN": "s3cret", "action": "deploy"}

    signed_in(people.bob).post(DEPLOY, sent)

    assert crypto.decrypt(Run.objects.get().secrets)["env"] == {"TOKEN": "s3cret"}


def test_a_text_areas_line_ends_do_not_reach_the_commands(people: People) -> None:
    sent = {"configuration": YAML.replace("\n", "\r\n"), "action": "deploy"}

    signed_in(people.bob).post(DEPLOY, sent)

    assert crypto.decrypt(Run.objects.get().configuration) == YAML


def test_does_not_deploy_what_has_a_problem(people: People) -> None:
    sent = {"configuration": "type: service\n", "action": "deploy"}

    answer = signed_in(people.bob).post(DEPLOY, sent)

    assert answer.status_code == 422
    assert "What will happen" in answer.content.decode()
    assert not Run.objects.exists()


def test_does_not_deploy_what_changed_since_it_was_looked_at(people: People) -> None:
    client = signed_in(people.bob)
    plan = re.search(r'name="plan_id" value="([^"]+)"', preview(people, YAML))
    assert plan is not None
    factories.run(people.project, name="hello")

    answer = client.post(DEPLOY, {"configuration": YAML, "plan_id": plan[1], "action": "deploy"})

    assert answer.status_code == 409
    assert "look at it again" in answer.content.decode()


def test_keeps_the_name_that_it_made_up(people: People) -> None:
    nameless = YAML.replace("name: hello\n", "")
    first = re.search(r'name="draft" value="([^"]+)"', preview(people, nameless))
    assert first is not None

    again = re.search(r'name="draft" value="([^"]+)"', preview(people, nameless, draft=first[1]))

    assert again is not None
    assert again[1] == first[1]


def test_says_that_it_replaces_a_running_one(people: People) -> None:
    factories.run(people.project, name="hello")

    assert "replaces the running one" in preview(people, YAML)


def test_works_without_javascript(people: People) -> None:
    client = signed_in(people.bob)

    page = client.post(DEPLOY, {"configuration": YAML, "action": "preview"}).content.decode()

    assert "<html" in page
    assert "http://hello.localhost:8080" in page
    assert escape("python3 -m http.server $PORT") in page


def test_takes_a_yaml_file(people: People) -> None:
    file = SimpleUploadedFile("x.yml", YAML.encode())

    page = preview(people, "ignored", yaml_file=file)

    assert "http://hello.localhost:8080" in page


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00", "not UTF-8 text: save the file as UTF-8"),
        (b"x" * 1_100_000, "configuration is 1.1 MB; at most 1 MB"),
    ],
)
def test_refuses_a_file_that_is_no_yaml(people: People, content: bytes, said: str) -> None:
    client = signed_in(people.bob)

    answer = client.post(DEPLOY, {"yaml_file": SimpleUploadedFile("x.yml", content)})

    assert answer.status_code == 422
    assert said in answer.content.decode()


def test_sends_files_along(people: People) -> None:
    client = signed_in(people.bob)
    part = client.post(f"{DEPLOY}files/", {"archive": zipped(app_py="print(1)", lib__a_py="")})
    upload = Upload.objects.get()

    client.post(DEPLOY, {"configuration": YAML, "upload": upload.hash, "action": "deploy"})

    assert "app.py, lib/" in part.content.decode()
    assert Run.objects.get().upload == upload


def test_takes_an_archive_with_the_form_itself(people: People) -> None:
    sent = {"configuration": YAML, "archive": zipped(app_py="1"), "action": "deploy"}

    signed_in(people.bob).post(DEPLOY, sent)

    assert Run.objects.get().upload is not None


@pytest.mark.parametrize(
    ("digest", "status"), [("0" * 64, 404), ("../../etc/passwd", 422), ("A" * 64, 422), ("x", 422)]
)
def test_refuses_an_upload_that_is_not_there(people: People, digest: str, status: int) -> None:
    answer = signed_in(people.bob).post(DEPLOY, {"configuration": YAML, "upload": digest})

    assert answer.status_code == status


def test_does_not_find_another_projects_upload(people: People) -> None:
    other = factories.project("other")
    Upload.objects.create(project=other, hash="a" * 64, size_bytes=1, blob="x")

    answer = signed_in(people.bob).post(DEPLOY, {"configuration": YAML, "upload": "a" * 64})

    assert answer.status_code == 404


def test_says_that_files_cannot_be_read(people: People) -> None:
    client = signed_in(people.bob, htmx="files")

    answer = client.post(f"{DEPLOY}files/", {"archive": SimpleUploadedFile("a.zip", b"junk")})

    assert answer.status_code == 422
    assert "sound zip" in answer.content.decode()


@pytest.mark.parametrize("starter", STARTERS, ids=lambda starter: starter.key)
def test_each_template_fits_this_machine(people: People, starter: Any) -> None:
    page = signed_in(people.bob).get(f"{DEPLOY}?template={starter.key}").content.decode()

    assert "problem" not in page.partition('id="plan"')[2]
    assert "data-blocked" not in page


def test_starts_from_a_service_that_is_there(people: People) -> None:
    run = factories.run(people.project, name="hello", configuration=crypto.encrypt(YAML))

    page = signed_in(people.bob).get(f"{DEPLOY}?service={run.name}").content.decode()

    assert "python3 -m http.server" in page
    assert "replaces the running one" in page


def test_does_not_start_from_a_service_that_is_not_there(people: People) -> None:
    assert signed_in(people.bob).get(f"{DEPLOY}?service=nope").status_code == 404


def test_refuses_a_form_that_is_far_too_large(people: People) -> None:
    answer = signed_in(people.bob).post(DEPLOY, {"configuration": "x" * 5_000_000})

    assert answer.status_code == 400
    assert "<html" in answer.content.decode()


def test_refuses_files_above_the_limit(people: People, settings: Any) -> None:
    settings.DSTACK_UPLOAD_LIMIT_MB = 0
    client = signed_in(people.bob, htmx="files")

    answer = client.post(f"{DEPLOY}files/", {"archive": zipped(app_py="print(1)")})

    assert answer.status_code == 413


def posted(people: People, text: str, **more: Any) -> Any:
    sent = {"configuration": text, "action": "deploy", **more}
    return signed_in(people.bob).post(DEPLOY, sent)


def plan_id(page: str) -> str:
    found = re.search(r'name="plan_id" value="([^"]+)"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(("opened_for", "warned"), [("", True), ("other", True), ("hello", False)])
def test_says_that_a_name_is_taken(people: People, opened_for: str, warned: bool) -> None:
    posted(people, YAML)

    page = preview(people, YAML + "auth: false\n", service=opened_for)

    assert ("exists: update it, or choose another name." in page) == warned
    assert "Update hello</button>" in page


def test_updates_no_service_that_nobody_saw_in_the_plan(people: People) -> None:
    posted(people, YAML)
    changed = YAML + "auth: false\n"

    answer = posted(people, changed)

    page = answer.content.decode()
    assert answer.status_code == 409
    assert "hello exists: update it, or choose another name." in page
    assert Run.objects.get().version == 1
    # The page says now what would happen, and the same button does it.
    assert posted(people, changed, plan_id=plan_id(page)).status_code == 302
    assert Run.objects.get().version == 2


def test_a_plan_from_before_it_was_scaled_is_looked_at_again(people: People) -> None:
    posted(people, YAML)
    changed = YAML + "auth: false\n"
    page = preview(people, changed, service="hello")
    signed_in(people.bob).post("/projects/main/services/hello/scale/", {"replicas": "3"})

    answer = posted(people, changed, service="hello", plan_id=plan_id(page))

    run = Run.objects.get()
    assert answer.status_code == 409
    assert "was scaled to 3 replicas" in answer.content.decode()
    assert (run.version, run.desired_replicas) == (1, 3)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("resources:\n  gpu: H100:8\n", 7),
        ("resources: {gpu: H100:8}\n", 6),
        ("max_price: 0.5\nresources:\n  cpu: 2..\n  gpu: H100:8\n", 9),
    ],
)
def test_what_no_machine_has_is_marked_at_its_line(people: People, more: str, line: int) -> None:
    page = preview(people, YAML + more)

    assert [mark["line"] for mark in marks(page)] == [line]
    assert f'data-goto-line="{line}"' in page
