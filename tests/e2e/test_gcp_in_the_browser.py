"""Connecting Google Cloud and Azure in the browser: what is wrong, the role to paste, the quota."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e import prepared
from tests.e2e.stack import Stack
from tests.fakes import azure_cloud
from tests.fakes.azure_world import CONFIG
from tests.fakes.gcp_keys import key
from tests.fakes.gcp_world import PROJECT, World
from tests.free_ports import free_port

pytestmark = pytest.mark.timeout(200)


@pytest.fixture(scope="module")
def stack(
    gcp_server: World, azure_server: azure_cloud.World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("gcp")
    emulators = {
        "DSTACK_GCP_ENDPOINT": gcp_server.url,
        "DSTACK_AZURE_ENDPOINT": azure_server.url,
    }
    running = Stack(folder / "home", free_port(), free_port(), emulators)
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


def connect_azure(page: Page, subscription: str) -> None:
    page.get_by_role("link", name="Backends", exact=True).click()
    page.get_by_role("link", name="Connect a cloud").first.click()
    page.get_by_role("link", name="Azure", exact=True).click()
    page.get_by_label("Client ID (appId)").fill(CONFIG["creds"]["client_id"])
    page.get_by_label("Client secret (password)").fill(CONFIG["creds"]["client_secret"])
    page.get_by_label("Tenant ID").fill(CONFIG["tenant_id"])
    page.get_by_label("Subscription ID").fill(subscription)
    page.get_by_label("Regions").fill("westus2, westeurope")
    page.get_by_role("button", name="Check and connect").click()


def test_a_wrong_subscription_a_missing_action_and_then_one_that_works(
    page: Page, stack: Stack, azure_server: azure_cloud.World
) -> None:
    azure_server.clear()
    connect_azure(page, "my subscription")
    expect(page.locator("main")).to_contain_text("must be the ID of a subscription")

    azure_server.faults.denied = {"Microsoft.Compute/virtualMachines/write"}
    connect_azure(page, CONFIG["subscription_id"])
    check = page.locator("#check")
    expect(check).to_contain_text("The credentials lack Microsoft.Compute/virtualMachines/write")
    expect(check.locator(".secret-once code")).to_contain_text('"AssignableScopes": ["/subscri')

    azure_server.faults.denied = set()
    connect_azure(page, CONFIG["subscription_id"])
    expect(page.get_by_text("azure works, and is connected.")).to_be_visible()
    expect(page.locator("main")).to_contain_text("westus2: at once: vCPUs 350, spot vCPUs 100")
