"""Pages that follow what goes on: they keep what a person does, and drop what is over."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e import browser
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack, eventually

TALKS = """\
type: service
name: {name}
commands:
  - for i in $(seq 600); do echo "line $i $(printf 'w%.0s' $(seq $((i % 150))))"; done
  - python3 -u -m http.server $PORT --bind $DSTACK_HOST
port: 8000
"""
# A stream of the test's own, and how often each event came of it.
HINTS = """
window.EventSource = class extends EventTarget {
  static OPEN = 1;
  readyState = 1;
  constructor() {
    super();
    window.hints = this;
  }
  close() {}
};
window.heard = { "live": 0, "live:metrics": 0, "live:figures": 0, "live:seldom": 0 };
for (const name in heard) addEventListener(name, () => (heard[name] += 1));
window.tell = (name) => window.hints.dispatchEvent(new MessageEvent(name));
"""
LATE_SECONDS = 0.7
# A page that waits for a second replica is loaded later than others.
LOADED_SECONDS = 45.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = stacks.new(tmp_path_factory.mktemp("follow"), DOCKER_HOST="unix:///nowhere")
    yield running
    assert running.stop() == 0


def deploy(stack: Stack, folder: Path, name: str) -> str:
    (folder / "serve.dstack.yml").write_text(TALKS.format(name=name))
    stack.dstack("run", ".", "-f", "serve.dstack.yml", "-y", "-d", cwd=folder)
    return f"{stack.url}/projects/main/services/{name}/"


def late(route: Route) -> None:
    """A font that comes long after the page, as on a cold visit."""
    time.sleep(LATE_SECONDS)
    route.continue_()


def is_at_end(page: Page) -> bool:
    box = "document.querySelector('[data-log-box]')"
    found: bool = page.evaluate(f"{box}.scrollHeight - {box}.scrollTop - {box}.clientHeight < 2")
    return found


def test_a_log_follows_from_the_first_visit_on(page: Page, stack: Stack, tmp_path: Path) -> None:
    address = deploy(stack, tmp_path, "talks")
    page.route("**/mono.woff2*", late)

    page.goto(f"{address}logs/")
    expect(page.get_by_role("log")).to_contain_text("line 600")
    page.wait_for_function("document.fonts.check('12px JetBrains Mono')")
    # What is larger or smaller than it was is no person's scrolling.
    page.set_viewport_size({"width": 700, "height": 500})
    page.locator("[data-log-wrap]").click()
    page.set_viewport_size({"width": 1200, "height": 900})
    stack.call("talks", "/seen-live", **stack.bearer())
    expect(page.get_by_role("log")).to_contain_text("/seen-live")

    expect(page.locator("[data-log-follow]")).to_have_text("Pause")
    expect(page.locator("[data-log-state]")).to_have_text("")
    assert is_at_end(page)


def test_a_log_pauses_where_a_person_scrolls_up(page: Page, stack: Stack, tmp_path: Path) -> None:
    page.goto(f"{deploy(stack, tmp_path, 'scrolls')}logs/")
    expect(page.get_by_role("log")).to_contain_text("line 600")

    page.get_by_role("log").hover()
    page.mouse.wheel(0, -900)
    expect(page.locator("[data-log-follow]")).to_have_text("Follow")
    stack.call("scrolls", "/seen-live", **stack.bearer())
    expect(page.locator("[data-log-state]")).to_contain_text("new line")
    assert not is_at_end(page)

    page.mouse.wheel(0, 5000)
    expect(page.locator("[data-log-follow]")).to_have_text("Pause")


def test_an_ended_service_offers_no_address_and_no_key(
    page: Page, stack: Stack, tmp_path: Path
) -> None:
    page.goto(deploy(stack, tmp_path, "ends"))
    card = page.locator(".endpoint-card")
    expect(card.get_by_role("button", name="Create a key for this service")).to_be_visible()

    stack.dstack("stop", "ends", "-y")

    expect(card).to_contain_text("It was at")
    expect(card.get_by_role("button")).to_have_count(0)
    expect(card.locator(".snippets")).to_have_count(0)


def test_a_key_that_was_made_stays_while_the_page_follows(
    page: Page, stack: Stack, tmp_path: Path
) -> None:
    page.goto(deploy(stack, tmp_path, "keyed"))
    page.get_by_role("button", name="Create a key for this service").click()
    key = page.locator("#issued-key").inner_text()

    stack.dstack("scale", "keyed", "2")

    expect(page.locator(".service-line")).to_contain_text("2 of 2 replicas ready")
    expect(page.locator("#issued-key")).to_have_text(key)


def test_what_is_typed_stays_while_the_page_follows(
    page: Page, stack: Stack, tmp_path: Path
) -> None:
    page.goto(deploy(stack, tmp_path, "typed"))
    page.get_by_role("button", name="Scale").click()
    field = page.get_by_label("Replicas")
    field.fill("abc")

    stack.dstack("scale", "typed", "2")
    expect(page.locator(".service-line")).to_contain_text("2 of 2 replicas ready")

    expect(field).to_have_value("abc")
    page.locator("#scale").get_by_role("button", name="Scale").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#replicas-again")).to_have_value("abc")
    # Also while the page goes on to follow.
    stack.dstack("scale", "typed", "1")
    expect(page.locator(".service-line")).to_contain_text("1 of 1 replica ready")
    expect(page.locator("#replicas-again")).to_have_value("abc")


def test_a_page_follows_what_changed_while_it_still_loaded(
    page: Page, stack: Stack, tmp_path: Path
) -> None:
    address = deploy(stack, tmp_path, "early")

    def changes(route: Route) -> None:
        stack.dstack("scale", "early", "2")
        eventually(lambda: is_ready(stack, "early", replicas=2), what="two replicas")
        route.continue_()

    page.route("**/chart*.js", changes, times=1)
    page.goto(address, timeout=LOADED_SECONDS * 1000)

    expect(page.locator(".service-line")).to_contain_text("2 of 2 replicas ready")


def is_ready(stack: Stack, name: str, *, replicas: int) -> bool:
    states = [row["state"] for row in stack.api("GET", f"/projects/main/runs/{name}")["replicas"]]
    return states.count("running") == replicas


def test_a_page_whose_stream_does_not_open_asks_now_and_then(page: Page, stack: Stack) -> None:
    page.route("**/live?*", lambda route: None)  # as a proxy that gathers what it passes on
    page.clock.install()
    page.goto(stack.url)
    body = {"configuration": TALKS.format(name="unannounced")}
    stack.api("POST", "/projects/main/runs", json=body)
    page.clock.fast_forward(6_000)

    expect(page.locator("tr", has_text="unannounced")).to_be_visible()
    expect(page.locator("[data-live=off]")).to_be_visible()


def test_what_is_chosen_in_a_list_stays_while_it_follows(
    page: Page, stack: Stack, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        deploy(stack, tmp_path, name)
    page.goto(f"{stack.url}/projects/main/services/")
    page.get_by_label("Choose one", exact=True).check()
    page.get_by_label("Choose two", exact=True).check()
    expect(page.get_by_role("status").filter(has_text="2 chosen")).to_be_visible()

    stack.dstack("scale", "two", "2")
    expect(page.locator("tr", has_text="two")).to_contain_text("2 of 2")

    expect(page.get_by_label("Choose one", exact=True)).to_be_checked()
    page.get_by_label("With the chosen services").get_by_role("button", name="Stop").click()
    expect(page.locator("main")).to_contain_text("one.localhost")
    page.get_by_role("button", name="Stop 2 services").click()
    expect(page.get_by_text("2 services are stopping.")).to_be_visible()
    eventually(lambda: is_over(stack, "one") and is_over(stack, "two"), what="the end of both")
    page.goto(f"{stack.url}/projects/main/")
    expect(page.locator("#overview")).to_contain_text("two Stopped")


def is_over(stack: Stack, name: str) -> bool:
    found: str = stack.api("GET", f"/projects/main/runs/{name}")["state"]
    return found == "stopped"


def test_finds_a_service_by_keys_alone_and_remembers_it(
    page: Page, stack: Stack, tmp_path: Path
) -> None:
    for name in ("found-first", "found-later"):
        deploy(stack, tmp_path, name)
    page.goto(f"{stack.url}/projects/main/tokens/")

    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox", name="Search services")
    options = page.get_by_role("dialog", name="Search").get_by_role("option")
    expect(box).to_be_focused()
    page.keyboard.type("fndf")
    first = options.first
    expect(first).to_have_text(re.compile("found-first"))
    expect(box).to_have_attribute("aria-activedescendant", first.get_attribute("id") or "")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="found-first")).to_be_visible()

    # What was chosen comes first, where nothing is typed. No script hears of a key before the load.
    page.wait_for_load_state()
    page.keyboard.press("Control+k")
    expect(options.first).to_have_text(re.compile("found-first"))
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()


def test_opens_a_service_without_a_token_until_one_signs_out(
    program: Browser, stack: Stack, tmp_path: Path
) -> None:
    address = deploy(stack, tmp_path, "opens")
    with browser.fresh_page(program) as page:
        browser.sign_in(page, stack)
        page.goto(address)
        with page.expect_popup() as popup:
            page.get_by_role("button", name="Open in the browser").click()
        service = popup.value

        expect(service).to_have_url(f"http://opens.localhost:{stack.gateway_port}/")
        expect(service.get_by_role("heading")).to_contain_text("Directory listing")
        assert service.evaluate("document.cookie") == ""
        (cookie,) = page.context.cookies(service.url)
        assert (cookie["domain"], cookie["httpOnly"]) == ("opens.localhost", True)

        page.get_by_label("Account").click()
        page.get_by_role("button", name="Sign out").click()
        eventually(lambda: is_refused(service), what="the end of what was opened")


def is_refused(service: Page) -> bool:
    answer = service.reload()
    return answer is not None and answer.status == 401


def test_the_last_of_many_hints_is_acted_on(page: Page, stack: Stack) -> None:
    page.add_init_script(HINTS)
    page.goto(f"{stack.url}/projects/main/services/")
    page.wait_for_function("() => window.hints")

    at_once = page.evaluate(
        "() => { for (const n of [1, 2, 3]) { tell('metrics'); tell('changed'); } return heard; }"
    )

    assert at_once == {"live": 1, "live:metrics": 3, "live:figures": 1, "live:seldom": 1}
    page.wait_for_function(
        "() => heard['live'] === 2 && heard['live:figures'] === 2 && heard['live:seldom'] === 2"
    )
