"""The proxy's configuration as HAProxy itself reads it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from dstack_web.front import config, pages
from dstack_web.front.config import Front
from dstack_web.front.errors import FrontFailed
from dstack_web.front.room import Room
from gateway.haproxy.error_pages import Page

ROOM = Room(connections=100, per_address=60)


def front(**changes: object) -> Front:
    found = {"bind": "127.0.0.1", "port": 3000, "web": Path("/run/web.sock"), "room": ROOM}
    return Front(**{**found, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost"])
@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8, 192.0.2.7 ,::1,2001:db8::/32"])
def test_haproxy_takes_it_without_a_word(tmp_path: Path, bind: str, trusted: str) -> None:
    known = config.trusted({"DSTACK_TRUSTED_PROXIES": trusted})
    config.write(tmp_path, front(bind=bind, trusted=known))

    done = subprocess.run(
        [*config.argv(tmp_path, {}), "-c"], capture_output=True, text=True, timeout=30
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_leaves_no_mark_unfilled() -> None:
    assert "@" not in config.render(front()).replace("unix@", "")


@pytest.mark.parametrize("text", ["nobody", "10.0.0.0/33", "1.2.3.4 accept", "10.0.0.1\naccept"])
def test_proxies_that_cannot_be_understood_are_refused(text: str) -> None:
    with pytest.raises(FrontFailed, match=r"^DSTACK_TRUSTED_PROXIES: .*give addresses or networks"):
        config.trusted({"DSTACK_TRUSTED_PROXIES": text})


def test_a_program_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FrontFailed, match="is not a program"):
        config.argv(tmp_path, {"DSTACK_HAPROXY": str(tmp_path)})


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: str(page.status))
def test_a_text_for_each_form_on_one_line(page: Page) -> None:
    as_json, as_html = pages.texts(page).splitlines()

    error = json.loads(as_json.removeprefix("json "))["error"]
    assert (error["code"], error["message"]) == (page.code, page.message)
    assert as_html.startswith("html <!doctype html>")


def test_every_error_of_the_configuration_has_its_texts() -> None:
    names = set(pages.files())

    assert all(f"front-{page.status}.map" in config.TEMPLATE for page in pages.PAGES)
    assert config.TEMPLATE.count("http-error status") == len(pages.PAGES)
    assert names == {"front-types.map", *(f"front-{page.status}.map" for page in pages.PAGES)}
