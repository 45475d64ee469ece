"""A browser for the modules whose tests want a fresh page each; they bring their `stack`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, StorageState

from tests.e2e import browser
from tests.e2e.stack import Stack


@pytest.fixture(scope="module")
def program(chromium: str) -> Iterator[Browser]:
    with browser.program(chromium) as started:
        yield started


@pytest.fixture(scope="module")
def cookies(stack: Stack, program: Browser) -> StorageState:
    return browser.signed_in(program, stack)


@pytest.fixture
def page(stack: Stack, program: Browser, cookies: StorageState) -> Iterator[Page]:
    """A page of somebody who has signed in."""
    with browser.fresh_page(program, cookies=cookies) as opened:
        opened.goto(stack.url)
        yield opened
