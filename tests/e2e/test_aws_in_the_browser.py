"""A newcomer with an account of AWS: connects it, sees offers, deploys, watches a machine boot,
calls the service there, reads what it costs, stops it. All in the browser; the cloud is emulated,
and its machine really boots what it was given.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.e2e import browser, machine_room, prepared
from tests.e2e.machine_room import Room
from tests.e2e.stack import Stack, eventually
from tests.fakes import aws_cloud
from tests.fakes.aws_cloud import Emulator, Refusal
from tests.fakes.imds import Imds
from tests.free_ports import free_port
from tests.integration.instances import virtual_machines
from tests.integration.instances.virtual_machines import Cloud

pytestmark = pytest.mark.timeout(400)

NORTH, KIND = "us-east-1", "t3.large"
BOOT_SECONDS = 60.0
SERVICE = f"""\
type: service
name: hello
commands:
  - echo hello from the cloud
  - python3 -m http.server $PORT --bind $DSTACK_HOST
port: 8000
backends: [aws]
instance_types: [{KIND}]
"""


SPOT = SERVICE.replace("hello", "cheap") + "spot_policy: spot\n"
# A sweep asks for prices each minute, first for those on demand.
PRICES_SECONDS = 150.0
# What asks a cloud's own address is led to the fake.
METADATA = """
table ip test_metadata {{
  chain output {{
    type nat hook output priority -100;
    ip daddr 169.254.169.254 tcp dport 80 dnat to {host}:{port}
  }}
}}
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with virtual_machines.cloud(number=1) as made:
        yield made


@pytest.fixture(scope="module")
def room(cloud: Cloud, aws_server: Emulator) -> Iterator[Room]:
    aws_server.clear()
    with machine_room.opened(cloud, NORTH) as opened:
        yield opened
    assert opened.failures == []


@pytest.fixture(scope="module")
def stack(
    room: Room, aws_server: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A server that machines of the cloud reach, and that asks the emulator for them."""
    folder, port = tmp_path_factory.mktemp("aws"), free_port()
    running = Stack(
        folder / "home",
        port,
        free_port(),
        {
            **aws_cloud.KEYS,
            "AWS_ENDPOINT_URL": aws_server.url,
            "AWS_CONFIG_FILE": str(folder / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
            "DSTACK_BIND": "0.0.0.0",
            "DSTACK_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "DSTACK_AGENT_URL": f"http://{room.cloud.wire.here}:{port}",
            "DSTACK_GATEWAY_SSH_PORT": str(free_port()),
        },
    )
    prepared.copy_database(running.home / "server" / "pg")
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def imds(room: Room) -> Iterator[Imds]:
    """What the machines are told of themselves by their cloud."""
    wire = room.cloud.wire
    fake = Imds(wire.here)
    rules = METADATA.format(host=wire.here, port=fake.port)
    within = ["ip", "netns", "exec", wire.network, "nft"]
    subprocess.run([*within, "-f", "-"], input=rules, text=True, check=True)
    yield fake
    subprocess.run([*within, "delete", "table", "ip", "test_metadata"], check=True)
    fake.stop()


def deploy(page: Page, yaml: str) -> None:
    page.get_by_role("link", name="Deploy", exact=True).first.click()
    browser.type_yaml(page, yaml)
    expect(page.locator("#plan tbody tr").first).to_contain_text("aws")
    page.locator("#plan").get_by_role("button", name="Deploy").click()


def stop(page: Page, name: str) -> None:
    page.get_by_label("More").click()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name=f"Stop {name}").click()


def connect(page: Page, stack: Stack) -> None:
    page.get_by_role("link", name="Backends", exact=True).click()
    page.get_by_role("link", name="Connect a cloud").first.click()
    page.get_by_label("Access key ID").fill("AKIAIOSFODNN7EXAMPLE")
    page.get_by_label("Secret access key").fill("k" * 40)
    page.get_by_label("Regions").fill(NORTH)
    page.get_by_role("button", name="Check and connect").click()


@pytest.fixture(scope="module")
def connected(stack: Stack, program: Browser, cookies: StorageState) -> None:
    with browser.fresh_page(program, cookies=cookies) as page:
        page.goto(stack.url)
        connect(page, stack)
        expect(page.get_by_text("aws works, and is connected.")).to_be_visible()


def test_a_wrong_key_and_a_missing_permission_are_said(
    page: Page, stack: Stack, aws_server: Emulator
) -> None:
    refused = aws_server.faults.refused
    refused["GetCallerIdentity"] = Refusal("InvalidClientTokenId", 403, "The token is invalid.")
    connect(page, stack)
    expect(page.locator("#check")).to_contain_text("Check the credentials of this backend")
    expect(page.locator("#check")).to_contain_text("nothing was saved")

    refused.clear()
    refused["RunInstances"] = Refusal("UnauthorizedOperation", 403)
    connect(page, stack)
    expect(page.locator("#check")).to_contain_text("The credentials lack ec2:RunInstances.")
    expect(page.locator("#check code")).to_contain_text('"Action": ["ec2:RunInstances"]')

    refused.clear()
    [backend] = stack.api("GET", "/projects/main/backends")["items"]
    assert backend["name"] == "local"


@pytest.mark.usefixtures("connected")
def test_a_service_on_a_machine_of_the_cloud_from_offer_to_bill(
    page: Page, stack: Stack, room: Room
) -> None:
    page.get_by_role("link", name="Offers", exact=True).click()
    expect(page.locator("#offers")).to_contain_text(KIND)
    page.get_by_role("link", name="Deploy", exact=True).first.click()
    browser.type_yaml(page, SERVICE)
    expect(page.locator("#plan tbody tr").first).to_contain_text(
        re.compile(f"aws.*{KIND}", re.DOTALL)
    )
    expect(page.locator("#plan tbody tr").first).to_contain_text("aws")
    page.locator("#plan").get_by_role("button", name="Deploy").click()

    starting, more_seconds = page.locator("#starting"), BOOT_SECONDS * 1000
    expect(starting).to_contain_text("booting")
    # A phase that goes on grows, without an event.
    expect(starting.locator(".start-legend")).to_contain_text(re.compile(r"booting [2-9]\.\d s"))
    expect(page.locator(".page-head [data-state=running]")).to_be_visible(timeout=more_seconds)
    answer = stack.call("hello", **stack.bearer())
    assert (answer.status_code, "Directory listing" in answer.text) == (200, True)
    expect(page.locator(".service-line")).to_contain_text(re.compile(r"\$0\.00[0-9]{2} so far"))

    stop(page, "hello")
    expect(page.locator(".page-head [data-state=stopped]")).to_be_visible()
    [machine] = room.machines.values()
    eventually(lambda: not machine.is_up, seconds=BOOT_SECONDS)
    page.get_by_role("link", name="Spend", exact=True).click()
    expect(page.locator("main")).to_contain_text("hello")


@pytest.mark.usefixtures("connected")
def test_a_service_that_is_stopped_while_its_machine_boots_is_over_at_once(
    page: Page, stack: Stack, room: Room
) -> None:
    before = set(room.machines)
    deploy(page, SERVICE.replace("hello", "early"))
    expect(page.locator("#starting")).to_contain_text("booting")

    stop(page, "early")

    expect(page.locator(".page-head [data-state=stopped]")).to_be_visible()
    eventually(lambda: set(room.machines) - before, seconds=BOOT_SECONDS)
    eventually(lambda: not any(each.is_up for each in room.machines.values()), seconds=BOOT_SECONDS)


@pytest.mark.long
@pytest.mark.usefixtures("connected")
def test_a_spot_machine_that_is_taken_back_is_replaced_before_it_ends(
    page: Page, stack: Stack, room: Room, imds: Imds
) -> None:
    spot = "/projects/main/offers?backend=aws&spot=true"
    eventually(lambda: stack.api("GET", spot)["items"], seconds=PRICES_SECONDS, every=1)
    before, more_seconds = set(room.machines), BOOT_SECONDS * 1000
    deploy(page, SPOT)
    running = page.locator(".page-head [data-state=running]")
    expect(running).to_be_visible(timeout=more_seconds)
    (first,) = set(room.machines) - before

    imds.take_back((datetime.now(UTC) + timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ"))

    page.get_by_role("link", name="Replicas", exact=True).click()
    rows = page.locator("main")
    expect(rows).to_contain_text("draining", timeout=more_seconds)
    imds.notice = None
    expect(rows.locator("td [data-state=running]")).to_have_count(1, timeout=more_seconds)
    assert stack.call("cheap", **stack.bearer()).status_code == 200
    eventually(lambda: not room.machines[first].is_up, seconds=BOOT_SECONDS)
    page.get_by_role("link", name="Events", exact=True).click()
    page.wait_for_url("**/events/")
    expect(page.locator("main")).to_contain_text("takes its spot machine back")

    stop(page, "cheap")
    expect(page.locator(".page-head [data-state=stopped]")).to_be_visible(timeout=more_seconds)
