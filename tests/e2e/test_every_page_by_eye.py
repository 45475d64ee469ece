"""What each page is for the eye, on a phone and in both themes, when everything in it is long."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from playwright.sync_api import Page, ViewportSize, expect

from dstack_web.web import docs
from tests.e2e import browser, showcase
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack

PHONE, DESK = ViewportSize(width=390, height=844), ViewportSize(width=1400, height=900)
# A cloud is to be asked nothing: nobody listens there.
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MAIN, EMPTY = "/projects/main", f"/projects/{showcase.EMPTY_PROJECT}"
SERVICE = f"{MAIN}/services/{showcase.LONG}"
PAGES = [
    f"{MAIN}/",
    f"{EMPTY}/",
    f"{MAIN}/services/",
    f"{MAIN}/services/?state=failed",
    f"{MAIN}/services/?sort=-cost&page=2",
    f"{MAIN}/bulk/?do=stop&chosen={showcase.CHOSEN}",
    f"{MAIN}/services/{showcase.FAILED}/",
    f"{MAIN}/deploy/",
    f"{MAIN}/deploy/?service={showcase.LONG}",
    f"{MAIN}/models/",
    f"{MAIN}/models/playground/",
    f"{MAIN}/gateways/",
    f"{MAIN}/gateways/local/",
    f"{MAIN}/gateways/{showcase.GATEWAY}/",
    f"{MAIN}/hosts/",
    f"{MAIN}/hosts/new/add/",
    f"{MAIN}/hosts/{showcase.HOST}/",
    f"{MAIN}/gateways/local/certificates/",
    f"{MAIN}/backends/",
    f"{MAIN}/backends/local/",
    f"{MAIN}/backends/{showcase.CLOUD}/",
    f"{MAIN}/backends/{showcase.CLOUD}/config/",
    f"{MAIN}/backends/connect/",
    "/backends/",
    f"{MAIN}/backends/checks/{showcase.CHECK}/",
    "/backends/connect/",
    f"/backends/{showcase.SHARED_CLOUD}/",
    f"/backends/{showcase.SHARED_CLOUD}/config/",
    f"{MAIN}/instances/?all=1",
    f"{MAIN}/spend/",
    f"{MAIN}/spend/?days=90",
    f"{MAIN}/instances/{showcase.MACHINE}/",
    f"{MAIN}/offers/",
    f"{MAIN}/offers/?gpu=banana",
    f"{MAIN}/offers/?gpu=A100:80GB",
    f"{MAIN}/offers/?gpu=80GB&all=1",
    f"{MAIN}/tokens/",
    f"{MAIN}/members/",
    f"{MAIN}/settings/",
    f"{MAIN}/uploads/",
    "/users/",
    "/search/?q=a",
    "/new-project/",
    "/password/",
    "/docs/",
    *(f"/docs/{name}/" for name in docs.NAMES),
    f"{SERVICE}/",
    f"{SERVICE}/metrics/",
    f"{SERVICE}/requests/",
    f"{SERVICE}/logs/",
    f"{SERVICE}/replicas/",
    f"{SERVICE}/events/",
    f"{SERVICE}/versions/",
    f"{SERVICE}/configuration/",
    f"{SERVICE}/settings/",
    f"{MAIN}/services/{showcase.FAILED}/settings/",
    f"{EMPTY}/services/",
    f"{EMPTY}/deploy/",
    f"{EMPTY}/offers/",
    f"{EMPTY}/spend/",
    f"{EMPTY}/backends/",
    f"{EMPTY}/models/",
    f"{EMPTY}/models/playground/",
    f"{EMPTY}/uploads/",
]
# Parts of pages, which others fetch; what answers without a page; the door before them all.
NO_PAGES = {
    "live", "healthz", "readyz", "metrics", "home", "docs", "accounts:sign_in", "accounts:sign_out",
    "autoscaling:decisions", "runs:upload_files", "runs:service_key", "routing:open_service",
    "routing:playground_chat", "routing:playground_code", "routing:playground_key",
}  # fmt: skip
FOR_PARTS = ("telemetry:",)
# What a button of a page asks for.
ACTIONS = re.compile(
    r"_(state|delete|remove|stop|scale|rollback|revoke|role|edit|save|withdraw|close|check)$|open_local$|:(terminate|change|delete|retry|upgrade|check|remove|accept-key|clear_cache)$"
)
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
WIDTH, HEIGHT = "document.documentElement.scrollWidth", "document.documentElement.scrollHeight"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = stacks.new(tmp_path_factory.mktemp("eye"), **NOWHERE)
    showcase.fill(running)
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def page(stack: Stack, chromium: str) -> Iterator[Page]:
    with browser.opened(chromium) as opened:
        browser.sign_in(opened, stack)
        yield opened


def shown(page: Page, stack: Stack, path: str) -> Page:
    """The page with all that comes after it: what it loads by itself."""
    page.goto(f"{stack.url}{path}")
    expect(page.locator("main")).to_be_visible()
    expect(page.locator(".htmx-request")).to_have_count(0)
    return page


def test_no_page_is_left_out() -> None:
    seen = {resolve(path.partition("?")[0]).view_name for path in PAGES}

    unseen = {name for name in names(get_resolver()) if not name.startswith(FOR_PARTS)}
    assert {name for name in unseen - seen - NO_PAGES if not ACTIONS.search(name)} == set()


def names(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    """Yield the names of all addresses that have one, but the API's."""
    for each in resolver.url_patterns:
        if isinstance(each, URLPattern):
            if each.name:
                yield prefix + each.name
        elif not str(each.pattern).startswith("api/"):
            yield from names(each, f"{each.namespace}:" if each.namespace else prefix)


@pytest.mark.parametrize("path", PAGES)
def test_fits_a_phone_and_can_be_read(page: Page, stack: Stack, path: str) -> None:
    page.set_viewport_size(PHONE)
    assert shown(page, stack, path).evaluate(WIDTH) <= PHONE["width"]

    page.set_viewport_size(DESK)
    unreadable = {}
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        expect(page.locator("html")).to_have_attribute("data-bs-theme", theme)
        unreadable[theme] = page.evaluate(CONTRAST)

    assert unreadable == {"light": [], "dark": []}


def test_a_short_page_does_not_scroll(page: Page, stack: Stack) -> None:
    page.set_viewport_size(DESK)

    assert (
        shown(page, stack, f"{MAIN}/gateways/local/certificates/").evaluate(HEIGHT)
        == DESK["height"]
    )


def test_refreshes_a_long_list_without_a_complaint(page: Page, stack: Stack) -> None:
    """The browser's console fails the test: a figure for a row that is not there is one."""
    page.set_viewport_size(DESK)
    shown(page, stack, f"{MAIN}/services/")
    rows = page.locator(".services-table tbody tr")
    expect(rows).to_have_count(50)
    # Those that are over have none.
    figured = page.locator("#services tr [name=run]")

    for _ in range(2):
        with page.expect_response(lambda answer: "/figures/" in answer.url) as heard:
            pass
        assert heard.value.text().count('id="rps-') == figured.count() >= 40
    # Another page of the list asks for its own rows.
    page.get_by_role("link", name="Next").click()
    expect(rows).not_to_have_count(50)
    with page.expect_response(lambda answer: "/figures/" in answer.url) as heard:
        pass
    assert heard.value.text().count('id="rps-') == figured.count()


def test_fetches_each_font_once(page: Page, stack: Stack) -> None:
    program = page.context.browser
    assert program is not None
    fresh = program.new_context()
    fonts: list[str] = []
    fresh.on("request", lambda sent: fonts.append(sent.url) if "woff2" in sent.url else None)

    first = fresh.new_page()
    first.goto(stack.url)
    first.evaluate("document.fonts.ready.then(() => true)")

    names = [url.rpartition("/")[2] for url in fonts]
    assert [name for name in names if re.fullmatch(r"inter\.[0-9a-f]+\.woff2", name)]
    assert len(names) == len({*names})
    fresh.close()


def test_a_model_whose_calls_all_fail_says_so(page: Page, stack: Stack) -> None:
    page.set_viewport_size(DESK)
    shown(page, stack, f"{MAIN}/models/")

    row = page.locator("#models tbody tr")
    expect(row).to_contain_text("most calls fail")
    expect(row).to_contain_text("100.0 %")
