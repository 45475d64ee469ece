"""A real Chromium for the journeys; what its console says wrong fails the test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, expect, sync_playwright

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


@contextlib.contextmanager
def opened(chromium: str, *, javascript: bool = True) -> Iterator[Page]:
    """This function will yield a page of a fresh browser; its complaints fail the test."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGS))
        context = browser.new_context(java_script_enabled=javascript)
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        expect.set_options(timeout=SECONDS * 1000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if _bad(said) else None)
        try:
            yield page
        finally:
            browser.close()
    assert not complaints, complaints


def _bad(said: ConsoleMessage) -> bool:
    # Broken assets, refused inline code (the content security policy), errors of scripts; an
    # answer of 422 is how the server says that what one sent cannot be used.
    return said.type == "error" and "status of 422" not in said.text


def sign_in(page: Page, stack: Stack) -> None:
    page.goto(stack.url)
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Services")).to_be_visible()


def type_yaml(page: Page, text: str) -> None:
    """This function will replace what the editor holds, as by pasting."""
    editor = page.get_by_role("textbox", name="Service configuration")
    editor.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)


def drop(page: Page, place: Locator, path: Path) -> None:
    """This function will drop a file or folder of the disk there, as from a file manager."""
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
