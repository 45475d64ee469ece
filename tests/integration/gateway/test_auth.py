"""Who may call a service, and what the caller reads when not."""

from __future__ import annotations

import time

import pytest

from tests.fakes.control_plane_gateway import key, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, BOB, Gateway, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_lets_a_token_of_the_project_in(gateway: Gateway) -> None:
    answer = await gateway.call("/a?b=c", token=ALICE)

    assert (answer.status, answer.json["path"]) == (200, "/a?b=c")


@pytest.mark.parametrize(
    "value", [f"Bearer {ALICE}", f'"Bearer {ALICE}"', f"bearer  {ALICE}", f'" Bearer {ALICE}" ']
)
async def test_reads_the_seeds_header_with_and_without_quotes(gateway: Gateway, value: str) -> None:
    answer = await gateway.call(headers={"Authentication": value})

    assert answer.status == 200
    assert answer.header_of_request("authentication") == []
