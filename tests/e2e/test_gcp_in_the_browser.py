"""Connecting Google Cloud in the browser: the form, what is wrong, the role to paste, the quota."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e import prepared
from tests.e2e.stack import Stack
from tests.fakes.gcp_keys import key
from tests.fakes.gcp_world import PROJECT, World
from tests.free_ports import free_port

pytestmark = pytest.mark.timeout(200)


@pytest.fixture(scope="module")
def stack(gcp_server: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("gcp")
    running = Stack(
        folder / "home", free_port(), free_port(), {"DSTACK_GCP_ENDPOINT": gcp_server.url}
    )
    prepared.copy_database(running.home / "server" / "pg")
    running.start()
    yield running
    assert running.stop() == 0


def connect(page: Page, data: str) -> None:
    page.get_by_role("link", name="Backends", exact=True).click()
    page.get_by_role("link", name="Connect a cloud").first.click()
    page.get_by_role("link", name="Google Cloud", exact=True).click()
    page.get_by_label("Key (the whole JSON file)").fill(data)
    page.get_by_label("Project ID").fill(PROJECT)
    page.get_by_label("Regions").fill("us-central1, europe-west4")
    page.get_by_role("button", name="Check and connect").click()


def test_a_wrong_key_a_missing_permission_and_then_a_project_that_works(
    page: Page, stack: Stack, gcp_server: World
) -> None:
    gcp_server.clear()
    connect(page, '{"type": "authorized_user"}')
    expect(page.locator("main")).to_contain_text("must be the key of a service account")

    gcp_server.faults.denied = {"compute.instances.create"}
    connect(page, key())
    check = page.locator("#check")
    expect(check).to_contain_text("The credentials lack compute.instances.create")
    expect(check).to_contain_text("nothing was saved")
    expect(check.locator(".secret-once code")).to_contain_text('"includedPermissions": ["compute.')

    gcp_server.faults.denied = set()
    connect(page, key())
    expect(page.get_by_text("gcp works, and is connected.")).to_be_visible()
    expect(page.locator("main")).to_contain_text("us-central1: at once: CPUs 72, L4 1")
