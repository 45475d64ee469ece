"""A real Chromium for the journeys; what its console says wrong fails the test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Response,
    StorageState,
    expect,
    sync_playwright,
)

from tests.e2e.stack import PASSWORD, Stack

ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SECONDS = 15.0
# A page that is left before the fade from the last one is over: no fault, nothing is lost.
SKIPPED = "Transition was skipped"


@contextlib.contextmanager
def program(chromium: str) -> Iterator[Browser]:
    """Yield a browser, whose start takes seconds; its pages know nothing of each other."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def fresh_page(
    browser: Browser, *, javascript: bool = True, cookies: StorageState | None = None
) -> Iterator[Page]:
    """Yield a page that knows nothing but `cookies`; its complaints fail the test."""
    complaints: list[str] = []
    context = browser.new_context(java_script_enabled=javascript, storage_state=cookies)
    page = context.new_page()
    page.set_default_timeout(SECONDS * 1000)
    expect.set_options(timeout=SECONDS * 1000)
    page.on(
        "pageerror", lambda error: None if SKIPPED in str(error) else complaints.append(str(error))
    )
    page.on("console", lambda said: complaints.append(said.text) if _bad(said) else None)
    page.on("response", lambda got: complaints.append(got.url) if _asked_again(got) else None)
    try:
        yield page
    finally:
        context.close()
    assert not complaints, complaints


@contextlib.contextmanager
def opened(chromium: str) -> Iterator[Page]:
    """Yield a page of a browser of its own; its complaints fail the test."""
    with program(chromium) as browser, fresh_page(browser) as page:
        yield page


def _bad(said: ConsoleMessage) -> bool:
    # Broken assets, refused inline code (the content security policy), errors of scripts. No
    # fault are an answer of 422, which says that what one sent cannot be used, and a request that
    # ends with its page (one that fails says `htmx:sendError` besides).
    right = ("status of 422", "htmx:sendAbort", "htmx:afterRequest")
    return said.type == "error" and not any(text in said.text for text in right)


def _asked_again(got: Response) -> bool:
    """Whether a browser may not keep a static file, so that its name would not change with it."""
    return "/static/" in got.url and "immutable" not in got.headers.get("cache-control", "")


def sign_in(page: Page, stack: Stack) -> None:
    page.goto(stack.url)
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Services")).to_be_visible()


def signed_in(browser: Browser, stack: Stack) -> StorageState:
    """Return the cookies of somebody who has just signed in."""
    with fresh_page(browser) as page:
        sign_in(page, stack)
        return page.context.storage_state()


def type_yaml(page: Page, text: str) -> None:
    """Replace what the editor holds, as by pasting."""
    editor = page.get_by_role("textbox", name="Service configuration")
    editor.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)


def drop(page: Page, place: Locator, path: Path) -> None:
    """Drop a file or folder of the disk there, as from a file manager."""
    # Until it lies still and nothing lies above it, such as the page before, that fades out.
    place.click(trial=True, position={"x": 10, "y": 10})
    box = place.bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    for step in ("dragEnter", "dragOver", "drop"):
        session.send(
            "Input.dispatchDragEvent",
            {
                "type": step,
                "x": box["x"] + 10,
                "y": box["y"] + 10,
                "data": {"items": [], "files": [str(path)], "dragOperationsMask": 1},
            },
        )
