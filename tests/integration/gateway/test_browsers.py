"""A real Chromium: a page of one origin calls services that want tokens, at another one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright

from tests.e2e.browser import ARGS
from tests.fakes.control_plane_gateway import service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, BOB, Gateway, hello

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Chromium breaks requests off when a network of another test comes or goes: once more, then.
FETCH = """async ([url, options]) => {
  let failed;
  for (let left = 2; left > 0; left--) {
    try {
      const answer = await fetch(url, options);
      return {status: answer.status, text: await answer.text(), redirected: answer.redirected,
              wait: answer.headers.get('Retry-After')};
    } catch (error) { failed = {error: String(error)}; }
  }
  return failed;
}"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def opened(
    tmp_path_factory: pytest.TempPathFactory, chromium: str
) -> AsyncIterator[tuple[Gateway, Page]]:
    async with hello(tmp_path_factory.mktemp("browser")) as (gateway, targets):
        await gateway.control.applied(await gateway.control.put(service("asleep")))
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=list(ARGS))
            page = await browser.new_page()
            # Another port is another origin.
            await page.goto(f"http://{targets[0].address}/")
            yield gateway, page
            await browser.close()


async def fetch(
    opened: tuple[Gateway, Page], where: str, *, token: str = ALICE, **options: Any
) -> Mapping[str, Any]:
    gateway, page = opened
    sent = {"headers": {"Authorization": f"Bearer {token}"}, **options}
    found: Mapping[str, Any] = await page.evaluate(FETCH, [where.format(port=gateway.port), sent])
    return found


WAYS = pytest.mark.parametrize(
    "base",
    [
        "http://hello.localhost:{port}",
        "http://localhost:{port}/services/main/hello",
        "http://127.0.0.1:{port}/services/main/hello",
    ],
)


@WAYS
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_calls_a_service_with_a_token(
    opened: tuple[Gateway, Page], base: str, method: str
) -> None:
    answer = await fetch(opened, f"{base}/cors", method=method)

    assert answer["status"] == 200
    assert json.loads(answer["text"])["method"] == method


@WAYS
@pytest.mark.parametrize(("token", "status"), [("dsk_u_no", 401), (BOB, 403)])
async def test_reads_why_it_is_refused(
    opened: tuple[Gateway, Page], base: str, token: str, status: int
) -> None:
    answer = await fetch(opened, f"{base}/cors", token=token)

    assert (answer["status"], "error" in json.loads(answer["text"])) == (status, True)


@pytest.mark.parametrize(
    "url", ["http://no.localhost:{port}/", "http://localhost:{port}/services/main/no/"]
)
@pytest.mark.parametrize("credentials", ["omit", "include"])
async def test_reads_that_there_is_no_service(
    opened: tuple[Gateway, Page], url: str, credentials: str
) -> None:
    answer = await fetch(opened, url, credentials=credentials)

    assert (answer["status"], "not_found" in answer["text"]) == (404, True)


async def test_reads_answers_of_the_openai_api(opened: tuple[Gateway, Page]) -> None:
    listed = await fetch(opened, "http://localhost:{port}/v1/models")
    unknown = await fetch(opened, "http://localhost:{port}/v1//models/no/")

    assert (listed["status"], unknown["status"]) == (200, 404)


async def test_is_kept_from_what_the_application_does_not_allow(
    opened: tuple[Gateway, Page],
) -> None:
    assert "error" in await fetch(opened, "http://hello.localhost:{port}/echo")


async def test_wakes_a_service_by_the_request_and_not_before(
    opened: tuple[Gateway, Page],
) -> None:
    control = opened[0].control
    target = await Target().start()
    asked = asyncio.create_task(fetch(opened, "http://asleep.localhost:{port}/cors"))
    await control.wait_status(lambda status: status.held == {"e-asleep": 1})
    await control.put(service("asleep", target.address))
    answer = await asked
    await target.stop()

    assert answer["status"] == 200
    assert target.seen == ["/cors"]
    assert json.loads(answer["text"])["method"] == "GET"
