"""Every page as a picture, for a person to look at: `make screenshots`.

In both themes and as a phone shows it, of a server whose rows are as long as they may be, into
`build/screenshots`, which is emptied first. Its name keeps it out of `make test`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Page, ViewportSize

from tests.e2e import browser, showcase
from tests.e2e import stack as stacks
from tests.e2e.stack import ROOT, Stack
from tests.e2e.test_every_page_by_eye import DESK, NOWHERE, PAGES, PHONE, shown

FOLDER = ROOT / "build" / "screenshots"
LOOKS: dict[str, tuple[ViewportSize, Literal["light", "dark"]]] = {
    "light": (DESK, "light"),
    "dark": (DESK, "dark"),
    "phone": (PHONE, "light"),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    shutil.rmtree(FOLDER, ignore_errors=True)
    running = stacks.new(tmp_path_factory.mktemp("pictures"), **NOWHERE)
    showcase.fill(running)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def page(stack: Stack, chromium: str) -> Iterator[Page]:
    with browser.opened(chromium) as opened:
        browser.sign_in(opened, stack)
        yield opened


@pytest.mark.parametrize("path", PAGES)
def test_takes_its_pictures(page: Page, stack: Stack, path: str) -> None:
    name = re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")[:100]
    for look, (size, theme) in LOOKS.items():
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=theme)
        shown(page, stack, path).screenshot(path=FOLDER / look / f"{name}.png", full_page=True)

        assert (FOLDER / look / f"{name}.png").stat().st_size > 0
