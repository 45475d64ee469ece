"""The main job in the browser: a pasted YAML becomes an authenticated URL, watched live."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e import browser
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack, eventually

SERVE = """\
type: service
name: {name}
commands:
  - echo starting {name}
  - python3 -m http.server $PORT
port: 8000
"""
BROKEN = "type: service\nname: broken\ncommands: ['echo no such model >&2; exit 3']\nport: 8000\n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = stacks.new(tmp_path_factory.mktemp("browser"))
    yield running
    assert running.stop() == 0


def deploy(page: Page, text: str) -> None:
    page.get_by_role("link", name="Deploy", exact=True).first.click()
    browser.type_yaml(page, text)
    name = re.search("name: (.+)", text)
    assert name is not None
    expect(page.locator("#plan .plan-name")).to_contain_text(name[1])
    page.locator("#plan").get_by_role("button", name="Deploy").click()
    expect(page.get_by_role("heading", name=name[1], level=1)).to_be_visible()


def state(page: Page, word: str) -> None:
    expect(page.locator(f".page-head [data-state={word}]")).to_be_visible()


def test_three_clicks_lead_to_a_page_that_answers(page: Page, stack: Stack) -> None:
    page.get_by_role("link", name="Hello, web").click()
    page.locator("#plan").get_by_role("button", name="Deploy").click()
    # By itself: nobody reloads the page.
    state(page, "running")
    with page.context.expect_page() as opened:
        page.locator(".big-url a").click()

    expect(opened.value.get_by_role("heading", name="It works")).to_be_visible()


def test_a_pasted_yaml_becomes_an_authenticated_url(page: Page, stack: Stack) -> None:
    deploy(page, SERVE.format(name="pasted"))
    state(page, "running")
    page.get_by_role("button", name="Create a key for this service").click()
    key = page.locator("#issued-key").inner_text()

    assert key in page.locator("[data-snippet=curl] pre").inner_text()
    assert stack.call("pasted").status_code == 401
    answer = eventually(
        lambda: stack.call("pasted", Authorization=f"Bearer {key}").status_code == 200
    )
    assert answer
    # Each call is a row of its own, by its id and the key's name.
    called = stack.call("pasted", Authorization=f"Bearer {key}")
    page.get_by_role("link", name="Requests", exact=True).click()
    row = page.locator(".request-table tr").filter(has_text=called.headers["x-request-id"])
    expect(row).to_contain_text("calls pasted")
    expect(row.locator(".state")).to_have_text("200")
    page.get_by_role("link", name="4xx").click()
    expect(page.locator(".request-table .state").first).to_have_text("401")
    expect(row).to_have_count(0)


def test_follows_the_log_and_stops(page: Page, stack: Stack) -> None:
    deploy(page, SERVE.format(name="followed"))
    state(page, "running")
    page.get_by_role("link", name="Logs").click()
    expect(page.get_by_role("log")).to_contain_text("starting followed")
    stack.call("followed", "/seen-live", **stack.bearer())
    expect(page.get_by_role("log")).to_contain_text("/seen-live")

    page.get_by_label("Search in all lines").fill("SEEN-live")
    expect(page.locator(".log-line mark").first).to_have_text("seen-live")
    expect(page.get_by_role("log")).not_to_contain_text("starting followed")

    page.get_by_label("More").click()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Stop followed").click()
    state(page, "stopped")
    assert stack.call("followed", **stack.bearer()).status_code == 404


def test_changes_its_settings_by_forms(page: Page, stack: Stack) -> None:
    deploy(page, SERVE.format(name="settled"))
    state(page, "running")
    page.get_by_role("link", name="Settings", exact=True).last.click()
    scaling = page.locator("#scaling")
    scaling.get_by_label("Replicas", exact=True).fill("4..1")
    scaling.get_by_role("button", name="Save").click()
    expect(page.locator("#scaling-replicas_error")).to_contain_text("4..1")
    expect(page.locator("#scaling-replicas")).to_have_value("4..1")

    access = page.locator("#access")
    access.get_by_label("Callers need a token").uncheck()
    access.get_by_role("button", name="Save").click()
    expect(access.get_by_role("alert")).to_contain_text("auth: false")
    access.get_by_role("button", name="Save all the same").click()
    expect(page.locator(".service-line")).to_contain_text("version 2")
    assert eventually(lambda: stack.call("settled").status_code == 200)

    page.locator("#danger").get_by_role("button", name="Stop settled").click()
    state(page, "stopped")
    page.get_by_role("link", name="Settings", exact=True).last.click()
    page.get_by_label("Type settled to delete it").fill("settled")
    page.get_by_role("button", name="Delete settled").last.click()
    expect(page.get_by_role("heading", name="Services", level=1)).to_be_visible()


def test_marks_problems_at_their_line_as_one_types(page: Page) -> None:
    page.get_by_role("link", name="Deploy", exact=True).first.click()
    browser.type_yaml(page, SERVE.format(name="typed") + "replicas: 4..1\n")

    expect(page.locator("#plan")).to_contain_text("line 7")
    expect(page.locator(".cm-lint-marker-error")).to_be_visible()
    expect(page.locator("[data-deploy]")).to_have_css("pointer-events", "none")

    browser.type_yaml(page, SERVE.format(name="typed"))
    expect(page.locator(".cm-lint-marker-error")).to_have_count(0)
    expect(page.locator("#plan .plan-name")).to_contain_text("typed")


def test_asks_for_a_missing_value_and_passes_it_on(page: Page, stack: Stack) -> None:
    text = SERVE.format(name="asks").replace("echo starting", "echo $GREETING from")
    page.get_by_role("link", name="Deploy", exact=True).first.click()
    browser.type_yaml(page, text + "env:\n  - GREETING\n")
    page.get_by_label("GREETING").fill("good morning")
    expect(page.locator("[data-deploy]:not([data-blocked])")).to_be_visible()
    expect(page.locator("#plan[data-stale]")).to_have_count(0)
    page.locator("#plan").get_by_role("button", name="Deploy").click()
    page.get_by_role("link", name="Logs").click()

    expect(page.get_by_role("log")).to_contain_text("good morning from asks")


def test_sends_a_folder_along(page: Page, stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "my app"
    (folder / "lib").mkdir(parents=True)
    hello = folder / "lib" / "hello é.txt"
    hello.write_text("from the folder")
    os.utime(hello, (1_600_000_000, 1_600_000_000))
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "big.js").write_text("not sent")
    page.get_by_role("link", name="Deploy", exact=True).first.click()
    browser.type_yaml(page, SERVE.format(name="folder"))
    page.locator("[data-files-folder]").set_input_files(folder)
    expect(page.locator("#files")).to_contain_text("1 file")
    expect(page.locator("#plan .plan-name")).to_contain_text("folder")
    expect(page.locator("#plan .facts")).to_contain_text("Left outnode_modules (!NAME/ in")
    page.locator("#plan").get_by_role("button", name="Deploy").click()
    state(page, "running")

    answer = stack.call("folder", "/lib/hello%20%C3%A9.txt", **stack.bearer())
    assert answer.text == "from the folder"
    assert answer.headers["Last-Modified"] == "Sun, 13 Sep 2020 12:26:40 GMT"


def test_takes_a_folder_that_is_dropped(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "my app"
    (folder / "lib" / "deep").mkdir(parents=True)
    (folder / "lib" / "deep" / "hello é.txt").write_text("from the folder")
    (folder / "main.py").write_text("")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "big.js").write_text("not sent")
    page.get_by_role("link", name="Deploy", exact=True).first.click()
    expect(page.get_by_text("Choose a folder")).to_be_visible()  # its script listens
    browser.type_yaml(page, SERVE.format(name="dropped"))

    browser.drop(page, page.locator("[data-files]"), folder)

    expect(page.locator("#files")).to_contain_text("2 files")
    expect(page.locator("#files")).to_contain_text("lib/, main.py")
    expect(page.locator("#plan .plan-name")).to_contain_text("dropped")
    expect(page.locator("#plan .facts")).to_contain_text("Left outnode_modules")

    (folder / ".dstackignore").write_text("!node_modules/\n*.py\n")
    browser.drop(page, page.locator("[data-files]"), folder)

    expect(page.locator("#files")).to_contain_text(".dstackignore, lib/, node_modules/")
    expect(page.locator("#plan .facts")).not_to_contain_text("Left out")


def test_takes_an_archive_that_is_dropped(page: Page, tmp_path: Path) -> None:
    archive = tmp_path / "app.zip"
    archive.write_bytes(zip_of(**{"one.py": "1", "two.py": "2"}))
    page.get_by_role("link", name="Deploy", exact=True).first.click()
    expect(page.get_by_text("Choose a folder")).to_be_visible()  # its script listens

    browser.drop(page, page.locator("[data-files]"), archive)

    expect(page.locator("#files")).to_contain_text("one.py, two.py")


def test_says_why_a_service_failed_with_its_last_words(page: Page) -> None:
    deploy(page, BROKEN)
    state(page, "failed")

    expect(page.get_by_role("alert")).to_contain_text("code 3")
    expect(page.locator(".last-lines").first).to_contain_text("no such model")


def test_a_yaml_that_is_dropped_on_the_editor_opens(page: Page, tmp_path: Path) -> None:
    file, other = tmp_path / "serve.dstack.yml", tmp_path / "model.bin"
    file.write_text(SERVE.format(name="dropped"))
    other.write_bytes(b"no text")
    page.get_by_role("link", name="Deploy", exact=True).first.click()
    editor = page.locator(".cm-content")
    expect(editor).to_be_visible()

    browser.drop(page, editor, other)
    expect(page.locator("[data-editor-error]")).to_contain_text(".yml or .yaml")
    browser.drop(page, editor, file)

    expect(page.locator("#plan .plan-name")).to_contain_text("dropped")
    assert page.locator("textarea[name=configuration]").input_value() == file.read_text()
    expect(page.locator("[data-editor-error]")).to_be_hidden()


def test_a_starting_service_says_what_it_waits_for_and_what_it_writes(page: Page) -> None:
    slow = "type: service\nname: slow\nport: 8000\ncommands: ['echo part one; exec sleep 600']\n"
    deploy(page, slow)

    starting = page.locator("#starting")
    expect(starting).to_contain_text("Replica 0: ")
    expect(starting.locator(".newest-lines")).to_contain_text("part one")
    expect(starting).to_contain_text("left")


def test_the_list_follows_without_a_reload(page: Page, stack: Stack) -> None:
    expect(page.locator("[data-live=on]")).to_be_visible()
    body = {"configuration": SERVE.format(name="elsewhere")}
    stack.api("POST", "/projects/main/runs", json=body)

    row = page.locator("tr", has_text="elsewhere")
    expect(row.locator("[data-state=running]")).to_be_visible()


def test_makes_and_revokes_a_token(page: Page) -> None:
    page.get_by_role("link", name="Tokens").first.click()
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Create token").click()
    expect(page.locator("#issued-token")).to_contain_text("dsk_u_")

    page.locator("tr", has_text="laptop").get_by_role("button", name="Revoke").click()
    page.locator("[popover]:popover-open").get_by_role("button", name="Revoke").click()

    expect(page.locator("tr", has_text="laptop")).to_have_count(0)


def test_works_without_javascript(stack: Stack, program: Browser) -> None:
    with browser.fresh_page(program, javascript=False) as page:
        browser.sign_in(page, stack)
        page.get_by_role("link", name="Deploy", exact=True).first.click()
        page.locator("textarea").fill(SERVE.format(name="plain"))
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("#plan .plan-name")).to_contain_text("plain")
        page.locator("#plan").get_by_role("button", name="Deploy").click()

        expect(page.get_by_role("heading", name="plain", level=1)).to_be_visible()


def test_can_be_used_by_the_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def zip_of(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def test_says_what_is_wrong_with_an_archive(page: Page, tmp_path: Path) -> None:
    page.get_by_role("link", name="Deploy", exact=True).first.click()
    expect(page.get_by_text("Choose a folder")).to_be_visible()  # its script listens
    archive = tmp_path / "a.zip"
    archive.write_bytes(zip_of(**{"../x": ""}))
    with page.expect_response(re.compile("/deploy/files/")):
        page.locator('input[name="archive"]').set_input_files(archive)

    expect(page.locator("[data-files-error]")).to_contain_text("leads out of the folder")
